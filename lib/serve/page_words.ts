/** The sentences of the page: how a group stands, why, and for how long. Pure. */

import type { Pause } from "../semaphore.ts";
import { ahead, clock, estimate } from "./clock.ts";
import type { FleetView, GroupView } from "./fleet.ts";
import { type Html, html, name } from "./html.ts";
import { icon } from "./page_links.ts";

/** `2 of 3 slots in use, 14 waiting, done in about 40 min (at 14:43 UTC)` */
export function groupSentence(view: GroupView, pauseOfAll: Pause | undefined, now: number): Html {
  const { holders, waiting, seen: { semaphore: { max } } } = view;
  const slots = `${holders.length} of ${max} ${max === 1 ? "slot" : "slots"} in use`;
  const line = waiting.length === 0 ? "nobody waiting" : `${waiting.length.toLocaleString("en-US")} waiting`;
  const end = ending(view, pauseOfAll, now);
  return html`${slots}, ${line}${end !== undefined && html`, ${end}`}`;
}

function ending(
  { forecast, pause, waiting }: GroupView,
  pauseOfAll: Pause | undefined,
  now: number,
): Html | undefined {
  const stop = waiting.length > 0 ? pauseOfAll ?? pause : undefined;
  switch (forecast.kind) {
    case "idle":
      return undefined;
    case "unknown":
      return html`no estimate until the first reboot is over`;
    case "done":
      return stop !== undefined
        ? html`${estimate(forecast.atMs, now)} to go once ${stop.frozen ? "the freeze is over" : "resumed"}`
        : html`done in ${estimate(forecast.atMs, now)} (at ${clock(forecast.atMs, now)})`;
    case "never":
      return {
        "no-slots": html`and the group has no slots`,
        "stuck": html`and every slot is overdue or taken by hand: the queue does not move`,
        "closed": html`not done within the windows of the next days`,
      }[forecast.why];
  }
}

/** What stands out of a group, each with its icon and its word. */
export function groupBadges(view: GroupView, pauseOfAll: Pause | undefined, now: number): Html {
  const { holders, pause, openings, waiting } = view;
  const late = holders.filter(({ overdue }) => overdue).length;
  const [first] = openings ?? [];
  const stop = pauseOfAll ?? pause;
  const badges = [
    late > 0 && html`<span class="badge late">${icon("late")}${late} overdue</span>`,
    stop !== undefined &&
    html`<span class="badge paused">${icon("pause")}${stop.frozen ? "frozen" : "paused"}</span>`,
    first !== undefined &&
    (first.startMs <= now
      ? html`<span class="badge open">${icon("open")}window open</span>`
      : html`<span class="badge">${icon("shut")}window opens ${ahead(first.startMs, now)}</span>`),
    holders.length === 0 && waiting.length === 0 &&
    html`<span class="badge">${icon("done")}nothing to do</span>`,
  ];
  return html`<span class="badges">${badges}</span>`;
}

/** Since when, until when, by whom and why. */
export function pauseNote({ since, until, by, reason, frozen }: Pause, now: number): Html {
  const at = (instant: string) => clock(Temporal.Instant.from(instant).epochMilliseconds, now);
  const parts = [
    ...(since === undefined ? [] : [html`since ${at(since)}`]),
    ...(by === undefined ? [] : [html`by ${name(by)}`]),
    until === undefined ? html`until somebody resumes` : html`until ${at(until)}`,
  ];
  return html`${parts.map((part, index) => html`${index > 0 && ", "}${part}`)}${
    reason !== undefined && reason !== "" && html`, ${frozen ? "frozen" : "because"}: ${name(reason)}`
  }. No slot is granted.`;
}

/** What is to be said of the store: nothing where it answers. */
export function stateNote({ state, now }: FleetView): Html {
  switch (state.kind) {
    case "current":
      return html``;
    case "empty":
      return state.error === undefined
        ? html`<div class="note">${icon("wait")}<p>Reading the store for the first time.</p></div>`
        : html`
          <div
            class="note late">${icon(
              "away",
            )}<p><strong>The store cannot be reached</strong>, and nothing is known about the groups yet: ${state
              .error.message}. No slot is granted meanwhile.</p></div>
        `;
    case "behind":
      return html`
        <div
          class="note late">${icon("away")}<p><strong>The store has not answered since ${clock(
            state.since,
            now,
          )}.</strong> What is shown is from then. No slot is granted meanwhile: ${state.error
            .message}</p></div>
      `;
  }
}
