/**
 * The page's parts: what there is to see of a fleet, as HTML that is exchanged part by part while somebody looks. Pure: the
 * same view gives the same text.
 *
 * However large the fleet, the parts stay small: some groups are shown in full, the others as rows of a table, and of
 * each list the first.
 */

import { createHash } from "node:crypto";
import { groupLabel } from "../group.ts";
import { REBOOTING } from "../semaphore.ts";
import { shellWord } from "../shell_word.ts";
import type { Place } from "../queue.ts";
import { dayChart, windowChart } from "./charts.ts";
import { age, ahead, clock, clockAfter, estimate } from "./clock.ts";
import { type FaultyGroup, type FleetView, type GroupView, type Holder, totals } from "./fleet.ts";
import { type Html, html, name } from "./html.ts";
import { freezeList } from "./page_freezes.ts";
import { median } from "../past_day.ts";
import { actionLink, groupKey, groupLink, icon } from "./page_links.ts";
import { groupBadges, groupSentence, pauseNote, stateNote } from "./page_words.ts";

/** So many groups are shown in full; up to so many, those too that stand idle. */
const CARDS_MOST = 5;
/** So many rows has the table of the others. */
const ROWS_MOST = 24;
/** So many machines are listed in all, and in each list at least. */
const MACHINES_MOST = { all: 40, least: 4 };

/** Who looks, as far as it changes what there is to see. */
export interface Audience {
  /** Whether an operator is signed in, who may act. */
  readonly operator: boolean;
  /** The groups that may be seen; absent: all. */
  readonly groups?: ReadonlySet<string>;
  /** The one group that is looked at; absent: all. */
  readonly only?: string;
  /** How hosts reach this server, for the first steps: `https://lock.example.net`. */
  readonly origin: string;
}

/** A part of the page by its key, in the order in which they stand. */
export type Parts = ReadonlyMap<string, Html>;

/** What the page shows. */
export interface PageView {
  readonly title: string;
  /** What is said aloud when it changes: no times, which change all the time. */
  readonly spoken: string;
  readonly parts: Parts;
}

/**
 * Tells a part from any other. How long ago something was is not in it: a browser reckons that itself, and needs no
 * other part for it.
 */
export function markOf({ text }: Html): string {
  const lasting = text.replaceAll(/(<time [^>]*>)[^<]*/g, "$1");
  return createHash("sha256").update(lasting).digest("base64url").slice(0, 12);
}

/** The page of a view. */
export function pageView(view: FleetView, audience: Audience): PageView {
  const { groups, faulty } = view;
  const { rebooting, waiting, overdue } = totals(groups);
  const parts = new Map<string, Html>();
  parts.set("notes", html`${stateNote(view)}${allPaused(view, audience)}${allFreezes(view, audience)}`);
  const counts = [
    ...(overdue > 0 ? [`${overdue} overdue`] : []),
    rebooting === 0 ? "nobody reboots" : `${rebooting} rebooting`,
    ...(waiting > 0 ? [`${waiting} waiting`] : []),
  ].join(", ");
  if (groups.length + faulty.length === 0 && audience.only === undefined) {
    const known = view.state.kind !== "empty";
    parts.set("start", known ? firstSteps(audience) : html``);
    return { title: "no machines yet", spoken: "No machine has asked for a slot yet", parts };
  }
  parts.set("summary", summary(view));
  const shown = cardsOf(groups, audience);
  const lists = shown.length * 2;
  const most = Math.max(MACHINES_MOST.least, Math.floor(MACHINES_MOST.all / Math.max(1, lists)));
  for (const one of faulty) parts.set(groupKey(one.group), faultyCard(one));
  for (const one of shown) parts.set(groupKey(one.group), card(one, view, audience, most));
  const rest = groups.filter((one) => !shown.includes(one)).sort(byWeight);
  if (rest.length > 0) parts.set("rest", restTable(rest, view));
  return { title: counts, spoken: counts, parts };
}

/** The groups that are shown in full. */
export function cardsOf(groups: readonly GroupView[], { only }: Audience): readonly GroupView[] {
  if (only !== undefined || groups.length <= CARDS_MOST) return groups.toSorted(byName);
  const busy = groups.filter((one) => weight(one) > 0).sort(byWeight);
  return busy.slice(0, CARDS_MOST).sort(byName);
}

/** How much there is to see in a group: what is overdue before all else. */
function weight({ holders, waiting, pause }: GroupView): number {
  const late = holders.filter(({ overdue }) => overdue).length;
  return late * 1000 + holders.length + waiting.length + (pause === undefined ? 0 : 1);
}

function byWeight(a: GroupView, b: GroupView): number {
  return weight(b) - weight(a) || byName(a, b);
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

/** web2 before web10. */
function byName(a: GroupView, b: GroupView): number {
  return COLLATOR.compare(a.group, b.group);
}

function allPaused({ pauseOfAll, now }: FleetView, { operator }: Audience): Html {
  if (pauseOfAll === undefined) return html``;
  return html`
    <div
      class="note paused">${icon("pause")}<p><strong>All groups are ${pauseOfAll.frozen
        ? "frozen"
        : "paused"}</strong>: ${pauseNote(
          pauseOfAll,
          now,
        )}</p>${operator && !pauseOfAll.frozen && actionLink("resume", {}, "Resume all")}</div>
  `;
}

/** The freezes of all groups that are planned. */
function allFreezes({ freezesOfAll, now }: FleetView, { operator }: Audience): Html {
  if (freezesOfAll.length === 0) return html``;
  return html`<div class="note">${icon("pause")}<div><strong>Freezes of all groups</strong>${
    freezeList(freezesOfAll, { operator, now })
  }</div></div>`;
}

/** The figures of all groups. */
function summary({ groups, now, pauseOfAll }: FleetView): Html {
  const { slots, held, rebooting, waiting, overdue } = totals(groups);
  const ends = groups.flatMap(({ forecast, pause }) =>
    forecast.kind === "done" && pause === undefined && pauseOfAll === undefined ? [forecast.atMs] : []
  );
  const endMs = ends.length === 0 ? undefined : Math.max(...ends);
  const still = groups.filter(({ waiting, forecast, pause }) => {
    return waiting.length > 0 && (pause ?? pauseOfAll) !== undefined || forecast.kind === "never";
  }).length;
  const open = waiting + rebooting > 0;
  return html`
    <section aria-labelledby="now">
      <h2 id="now" class="unseen">Now</h2>
      <dl class="tiles">
        <div class="tile${rebooting > 0 ? " busy" : ""}">
          <dt>${icon("reboot")}Rebooting</dt>
          <dd>${rebooting}<small> ${held === rebooting
            ? ""
            : `and ${held - rebooting} by hand, `}of ${slots} ${slots === 1 ? "slot" : "slots"}</small></dd>
        </div>
        <div class="tile">
          <dt>${icon("wait")}Waiting</dt>
          <dd>${waiting}<small>${groups.length > 1 &&
            ` in ${
              groups.filter(({ waiting }) => waiting.length > 0).length
            } of ${groups.length} groups`}</small></dd>
        </div>
        <div class="tile${overdue > 0 ? " late" : ""}">
          <dt>${icon("late")}Overdue</dt>
          <dd>${overdue}</dd>
        </div>
        <div class="tile">
          <dt>${icon("done")}Done in</dt>
          <dd>${!open
            ? html`<span class="words">all done</span>`
            : endMs === undefined
            ? html`<span class="words">not known</span>`
            : html`<span class="words">${estimate(endMs, now)}</span><small> at ${clock(endMs, now)}${
              still > 0 && `, but for ${still} ${still === 1 ? "group" : "groups"}`
            }</small>`}</dd>
        </div>
      </dl>
    </section>
  `;
}

function card(view: GroupView, { now, pauseOfAll }: FleetView, audience: Audience, most: number): Html {
  const { group, holders, waiting, pause, seen } = view;
  const key = groupKey(group);
  const { operator } = audience;
  const common = commonReason(waiting);
  return html`<section class="card" aria-labelledby="${key}-h">
<div class="head"><h2 id="${key}-h"><a href="${groupLink(group)}">${name(groupLabel(group))}</a></h2>${
    groupBadges(view, pauseOfAll, now)
  }${
    operator &&
    html`<div class="acts">${
      // a freeze ends by itself, or is removed
      pause === undefined || pause.frozen
        ? actionLink("pause", { group }, "Pause", groupLabel(group))
        : actionLink("resume", { group }, "Resume", groupLabel(group))}${
      actionLink("freeze", { group }, "Freeze", groupLabel(group))
    }</div>`
  }</div>
<p class="sentence">${groupSentence(view, pauseOfAll, now)}</p>
${slotRow(view)}${
    pause !== undefined &&
    html`<div class="note paused inner">${icon("pause")}<p><strong>${
      pause.frozen ? "Frozen" : "Paused"
    }</strong>: ${pauseNote(pause, now)}</p></div>`
  }
<div class="columns"><div><h3>Holding a slot</h3>${
    holders.length === 0
      ? html`<p class="none">${seen.semaphore.max === 0 ? "This group has no slots." : "Nobody."}</p>`
      : html`<ul class="machines">${
        holders.slice(0, most).map((holder) => holderRow(holder, view, operator, now))
      }</ul>${more(holders.length - most, group)}`
  }</div><div><h3>Waiting, in this order${common !== undefined && html`<small>${name(common)}</small>`}</h3>${
    waiting.length === 0
      ? html`<p class="none">Nobody.</p>`
      : html`<ol class="machines">${
        waiting.slice(0, most).map((place) => waitingRow(place, common, now))
      }</ol>${more(waiting.length - most, group)}`
  }</div></div>
${figures(view, now, operator)}</section>`;
}

/** The slots as a row of boxes, for the eye alone: the sentence above says the same. */
function slotRow({ seen: { semaphore: { max } }, holders }: GroupView): Html {
  const boxes = Math.max(max, holders.length);
  if (boxes < 1 || boxes > 60) return html``;
  return html`<div class="slots" aria-hidden="true">${
    Array.from({ length: boxes }, (_, index) => {
      const holder = holders[index];
      const look = holder === undefined ? "free" : lookOf(holder);
      return html`<i class="${look}"></i>`;
    })
  }</div>`;
}

function phaseText({ hold, byHand }: Holder): Html {
  if (byHand) return html`held by hand`;
  if (hold?.trouble !== undefined) return html`<strong>unhealthy</strong> since its reboot`;
  if (hold?.back !== undefined) return html`up again, not known to be well yet`;
  return hold?.phase === REBOOTING ? html`rebooting` : html`about to reboot`;
}

function lookOf({ hold, overdue, byHand }: Holder): "late" | "other" | "now" {
  return overdue || hold?.trouble !== undefined ? "late" : byHand ? "other" : "now";
}

function holderRow(holder: Holder, { group, day }: GroupView, operator: boolean, now: number): Html {
  const { id, hold, sinceMs, overdue, byHand } = holder;
  const ill = hold?.trouble !== undefined;
  const look = lookOf(holder);
  const typicalMs = median(day?.rebootsMs ?? []);
  const share = sinceMs === undefined || typicalMs === undefined || byHand
    ? undefined
    : Math.min(100, Math.round(100 * (now - sinceMs) / Math.max(1, typicalMs)));
  return html`
    <li
      class="${look}">${icon(overdue || ill ? "late" : byHand ? "hand" : "reboot")}<div class="who">${machine(
        id,
        hold?.host,
      )} <span class="phase">${phaseText(holder)}${overdue &&
        html`, <strong>overdue</strong>`}</span>${detail([
          sinceMs !== undefined && html`since ${clock(sinceMs, now)}`,
          byHand && hold?.by !== undefined && html`by ${name(hold.by)}`,
          ill
            ? name(hold.trouble ?? "")
            : hold?.reason !== undefined && hold.reason !== "" && name(hold.reason),
        ])}${share !== undefined &&
        html`
          <svg class="meter" aria-hidden="true" viewBox="0 0 100 3" preserveAspectRatio="none">
            <rect class="c-rail" width="100" height="3" />
            <rect class="c-${look}" width="${share}" height="3" />
          </svg>
        `}</div><div class="for">${sinceMs === undefined
        ? html`<span>-</span>`
        : age(sinceMs, now)}${operator &&
        actionLink(
          "unlock",
          { group, holder: id, since: hold?.since ?? "" },
          "Unlock",
          hold?.host ?? id,
        )}</div></li>
  `;
}

/** Why most of those in line wait: said once, and not in each row. */
function commonReason(waiting: readonly Place[]): string | undefined {
  const counts = new Map<string, number>();
  for (const { reason = "" } of waiting) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const [reason = "", count = 0] = [...counts].reduce((most, one) => one[1] > most[1] ? one : most, ["", 0]);
  return reason !== "" && count > 2 ? reason : undefined;
}

function waitingRow(
  { machine: id, host, priority, since, by, reason, away, kept }: Place,
  common: string | undefined,
  now: number,
): Html {
  const sinceMs = since === undefined ? undefined : Temporal.Instant.from(since).epochMilliseconds;
  return html`
    <li>
      <div class="who">${machine(id, host)} ${priority !== 0 && html`
        <span class="phase">priority ${priority}</span>
      `}${detail([
        away !== undefined &&
        html`${kept ? "a slot is kept for it until it asks again" : "asks from time to time"}`,
        by !== undefined && by !== "locksmithd" && by !== "fleet-lock" && html`by ${name(by)}`,
        reason !== undefined && reason !== "" && reason !== common && name(reason),
      ])}</div>
      <div class="for">${sinceMs === undefined ? html`<span>-</span>` : age(sinceMs, now)}</div>
    </li>
  `;
}

function detail(parts: readonly (Html | false)[]): Html {
  const known = parts.filter((part) => part !== false);
  if (known.length === 0) return html``;
  return html`<span class="detail">${
    known.map((part, index) => html`${index > 0 && " \u00b7 "}${part}`)
  }</span>`;
}

/** The host before the id, of which the beginning is enough for an eye. */
function machine(id: string, host: string | undefined): Html {
  if (host === undefined || host === "" || host === id) return html`<b>${name(id)}</b>`;
  const digits = /^[0-9a-f]{32}$/.test(id) ? `${id.slice(0, 8)}\u2026` : id;
  return html`<b>${name(host)}</b> <span class="id">${name(digits)}</span>`;
}

function more(count: number, group: string): Html {
  if (count <= 0) return html``;
  return html`<p class="none"><a href="${groupLink(group)}">and ${
    count.toLocaleString("en-US")
  } more</a></p>`;
}

/** The last day, and the windows and freezes to come. */
function figures(view: GroupView, now: number, operator: boolean): Html {
  const { openings, freezes, group } = view;
  const day = dayChart(view, now);
  const key = groupKey(group);
  const coming = (openings ?? []).slice(0, 3);
  const past = day &&
    html`<figure><figcaption id="${key}-d">Last 24 hours</figcaption>${day}<div class="axis" aria-hidden="true"><span>24 h ago</span><span>18 h</span><span>12 h</span><span>6 h</span><span>now</span></div></figure>`;
  const windows = openings !== undefined &&
    html`<figure><figcaption>Next windows</figcaption>${
      windowChart(openings, now)
    }<div class="axis" aria-hidden="true"><span>now</span><span>7 days</span></div>${
      coming.length === 0
        ? html`<p class="none">No window in sight.</p>`
        : html`<ul class="windows">${
          coming.map(({ startMs, endMs }) =>
            html`<li>${clock(Math.max(0, startMs), now)} to ${
              clockAfter(endMs, startMs, now)
            } <span class="detail">${
              startMs <= now ? html`open, closes ${ahead(endMs, now)}` : ahead(startMs, now)
            }</span></li>`
          )
        }</ul>`
    }</figure>`;
  const frozen = freezes.length > 0 &&
    html`<figure><figcaption>Freezes</figcaption>${freezeList(freezes, { group, operator, now })}</figure>`;
  return past || windows || frozen ? html`<div class="figures">${past}${windows}${frozen}</div>` : html``;
}

function faultyCard({ group, fault, hint, waiting }: FaultyGroup): Html {
  const key = groupKey(group);
  return html`
    <section class="card"
      aria-labelledby="${key}-h"><div class="head"><h2 id="${key}-h">${name(
        groupLabel(group),
      )}</h2><span class="badge late">${icon("late")}corrupt</span></div>
    <p class="sentence">No slot is granted: ${fault}.</p><p class="detail">${hint}</p>${waiting.length > 0 &&
      html`<p class="detail">${waiting.length} waiting</p>`}</section>
  `;
}

function restTable(groups: readonly GroupView[], { now, pauseOfAll }: FleetView): Html {
  const rows = groups.slice(0, ROWS_MOST).map((view) => {
    const { group, holders, waiting, seen } = view;
    return html`
      <tr>
        <th scope="row"><a href="${groupLink(group)}">${name(groupLabel(group))}</a></th>
        <td>${String(holders.length)} of ${seen.semaphore.max}</td>
        <td>${waiting.length}</td>
        <td>${groupBadges(view, pauseOfAll, now)}</td>
      </tr>
    `;
  });
  return html`<section class="card" aria-labelledby="rest-h"><div class="head"><h2 id="rest-h">More groups</h2></div>
<table><thead><tr><th scope="col">Group</th><th scope="col">Slots in use</th><th scope="col">Waiting</th><th scope="col">State</th></tr></thead><tbody>${rows}</tbody></table>${
    groups.length > ROWS_MOST &&
    html`<p class="none">and ${groups.length - ROWS_MOST} more: <a href="/api/v1/groups">all as JSON</a></p>`
  }</section>`;
}

/** What to do where nobody has asked for a slot yet. */
function firstSteps({ origin }: Audience): Html {
  const zincati = `[updates]\nstrategy = "fleet_lock"\n\n[updates.fleet_lock]\nbase_url = "${origin}/"`;
  return html`
    <section class="card start" aria-labelledby="start-h">
      <h2 id="start-h">No machine has asked for a slot yet</h2>
      <p>A group appears here as soon as its first machine asks. Until somebody changes that, one machine of a group may reboot at a time.</p>
      <h3>A host with locksmith</h3>
      <pre><code>locksmith daemon --reboot-strategy fleet-lock --fleet-lock-url ${shellWord(
        origin,
      )} --group web</code></pre>
      <h3>A host with Zincati (Fedora CoreOS)</h3>
      <pre><code>${zincati}</code></pre>
      <h3>Two at a time</h3>
      <pre><code>locksmith set-max 2 --group web --server ${shellWord(origin)}</code></pre>
    </section>
  `;
}
