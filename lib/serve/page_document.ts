/**
 * The documents of the page: the frame around its parts, and the few forms by which an operator signs in and acts. They
 * work without JavaScript; with it the parts of the fleet are exchanged as they change. Pure.
 */

import { createHash } from "node:crypto";
import { groupPhrase } from "../group.ts";
import { machineName } from "../machine.ts";
import type { PlannedFreeze } from "../pause.ts";
import { REASON_LENGTH_LIMIT } from "../plain_text.ts";
import type { Answer } from "./door.ts";
import { clock } from "./clock.ts";
import { type Html, html, name, type Part } from "./html.ts";
import { markOf, type PageView } from "./page_view.ts";
import { type Action, icon, iconSymbols, type Subject } from "./page_links.ts";
import type { Session } from "./sessions.ts";
import SCRIPT from "./page.js" with { type: "text" };
import STYLE from "./page.css" with { type: "text" };

const ICON =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#2058c0"/>` +
  `<path d="M11.5 4.5v3h-3M11.5 7.5a3.8 3.8 0 1 0 .2 2" fill="none" stroke="#fff" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/></svg>`;

/** What the page loads beside itself: by an address that is another when it is. */
export const FILES: ReadonlyMap<
  string,
  { readonly type: string; readonly text: string; readonly mark: string }
> = new Map([
  file("/page.css", "text/css; charset=utf-8", STYLE),
  file("/page.js", "text/javascript; charset=utf-8", SCRIPT),
  file("/icon.svg", "image/svg+xml", ICON),
]);

function file(path: string, type: string, source: string) {
  // what indents its lines is for those who write it
  const text = source.replace(/^ +/gm, "");
  const mark = createHash("sha256").update(text).digest("hex").slice(0, 12);
  return [path, { type, text, mark }] as const;
}

function address(path: string): string {
  return `${path}?v=${FILES.get(path)?.mark ?? ""}`;
}

/** What every answer of the page says to the browser: nothing from elsewhere, nothing inline, and in nobody's frame. */
export const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types locksmith",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  // a form would otherwise send no origin by which it is known again
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** What stands around every document. */
export interface Frame {
  readonly title: string;
  readonly now: number;
  readonly session: Session | undefined;
  /** Where the events of this document come from; absent: it does not change. */
  readonly events?: string;
  /** Links beside the session's. */
  readonly links?: Part;
}

/** A document of the page as an answer. */
export function documentAnswer(status: number, frame: Frame, main: Html): Answer {
  return {
    status,
    headers: { ...HEADERS, "content-type": "text/html; charset=utf-8", "cache-control": "no-store" },
    body: document(frame, main).text,
  };
}

function document({ title, now, session, events, links }: Frame, main: Html): Html {
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>${title} - locksmith</title>
        <link rel="icon" href="${address("/icon.svg")}">
        <link rel="stylesheet" href="${address("/page.css")}">
        <script src="${address("/page.js")}" defer></script>
      </head>
      <body data-now="${now}" data-events="${events ?? ""}">
    <a class="skip" href="#main">Skip to the machines</a>
    ${iconSymbols()}
    <header class="top"><h1><a href="/">${icon("reboot")}locksmith</a></h1>${events !== undefined &&
      html`<p class="link" id="link">as of ${
        clock(now, now)
      } <a href="" class="again">reload</a></p>`}<nav aria-label="Session">${links}${sessionLinks(
        session,
      )}</nav></header>
    <main id="main" tabindex="-1">${main}</main>
    <footer><p>Times are <span id="zone">UTC</span>. <a href="/api/v1/openapi.json">API</a></p></footer>
      </body>
    </html>
  `;
}

function sessionLinks(session: Session | undefined): Html {
  if (session === undefined) return html`<a class="act" href="/sign-in">Sign in</a>`;
  return html`
    <span class="me">${name(session.caller.name)}</span><form method="post"
      action="/sign-out">${hidden(
        "proof",
        session.proof,
      )}<button type="submit" class="act">Sign out</button></form>
  `;
}

/** The parts of the fleet, each where its successor will go. */
export function fleetMain({ parts, spoken }: PageView, told: string | undefined): Html {
  return html`
    ${told !== undefined &&
      html`<div class="note done" role="status">${
        icon("done")
      }<p>${told}</p></div>`}<p id="say" class="unseen" role="status" aria-live="polite">${spoken}</p><div
      id="parts">${[...parts].map(([key, part]) =>
        html`<div data-part="${key}" data-mark="${markOf(part)}">${part}</div>`
      )}</div>
  `;
}

/** A text field for the reason, which is kept in the record. */
function reasonField(): Html {
  return html`<label for="reason">Reason <small>kept in the record, for everybody to read</small></label>
<input id="reason" name="reason" required maxlength="${REASON_LENGTH_LIMIT}" autocomplete="off">`;
}

/** The fields of a freeze: whole days, the last one included. With JavaScript the zone is the reader's. */
function freezeFields(): Html {
  return html`
    <label for="first">First day</label><input id="first" name="first" type="date" required>
    <label for="last">Last day <small>included</small></label><input id="last" name="last" type="date" required>
    <label for="clock">Time zone of these days</label><input id="clock" name="zone" value="UTC" required
      autocomplete="off">
    <label for="name">Name <small>kept in the record, for everybody to read</small></label>
    <input id="name" name="name" required maxlength="${REASON_LENGTH_LIMIT}" autocomplete="off">
  `;
}

function hidden(field: string, value: string): Html {
  return html`<input type="hidden" name="${field}" value="${value}">`;
}

/** What is asked of whoever wants to act. `known`: the name of an operator whom the request shows already. */
export function signInMain(fault: string | undefined, known: string | undefined): Html {
  const token = html`
    <p>A viewer's token lets you look; an operator's also lets you pause, freeze and unlock.</p>
    <form method="post" action="/sign-in">
      <input name="name" type="text" autocomplete="username" value="locksmith" hidden>
      <label for="token">Token</label>
      <input id="token" name="token" type="password" required autocomplete="current-password" spellcheck="false">
      <div class="buttons">
        <button type="submit" class="main">Sign in</button><a class="act" href="/">Back</a>
      </div>
    </form>
    <p class="detail">
      On the server, <code>locksmith token add --role operator</code> makes one. A session ends after 8 hours, or when
      you sign out.
    </p>
  `;
  const button = html`
    <p>The server knows you as ${name(known ?? "")}. Signed in, you can pause, freeze and unlock.</p>
    <form method="post" action="/sign-in">
      <div class="buttons">
        <button type="submit" class="main">Sign in</button><a class="act" href="/">Back</a>
      </div>
    </form>
  `;
  return html`<section class="card form" aria-labelledby="h"><h2 id="h">Sign in</h2>${
    fault !== undefined && html`<div class="note late" role="alert">${icon("late")}<p>${fault}</p></div>`
  }${known === undefined ? token : button}</section>`;
}

/** What a person is about to do, and what it means: named before it is done. */
export interface Question {
  readonly action: Action;
  readonly subject: Subject;
  readonly title: Html;
  readonly consequences: readonly Html[];
  /** What the button says. */
  readonly button: string;
}

/** Asks whether it shall be done, and why. */
export function questionMain(question: Question, session: Session, fault: string | undefined): Html {
  const { action, subject, title, consequences, button } = question;
  const { group, holder, since, name: freeze } = subject;
  return html`
    <section class="card form"
      aria-labelledby="h"><h2 id="h">${title}</h2>${fault !== undefined &&
        html`<div class="note late" role="alert">${
          icon("late")
        }<p>${fault}</p></div>`}<ul class="consequences">${consequences.map((one) =>
          html`<li>${one}</li>`
        )}</ul>
    <form method="post" action="/${action}">${hidden("proof", session.proof)}${group !== undefined &&
      hidden("group", group)}${holder !== undefined && hidden("holder", holder)}${since !== undefined &&
      hidden("since", since)}${action === "pause" &&
      html`
        <label for="for">For how long</label>
        <select id="for"
          name="for"><option value="">until somebody resumes</option><option value="1h">1 hour</option><option value="4h">4 hours</option><option value="24h">24 hours</option><option value="168h">a week</option></select>
      `}
    ${action === "freeze"
      ? freezeFields()
      : action === "unfreeze"
      ? hidden("name", freeze ?? "")
      : reasonField()}
    <div class="buttons"><button type="submit" class="${action === "unlock"
      ? "main grave"
      : "main"}">${button}</button><a class="act" href="/">Back</a></div></form></section>
  `;
}

/** What is about to be paused. */
export function pauseQuestion(subject: Subject, holders: readonly string[], paused: boolean): Question {
  const phrase = subjectPhrase(subject.group);
  return {
    action: "pause",
    subject,
    title: html`Pause ${phrase}?`,
    consequences: [
      html`No machine is granted a slot until somebody resumes, or until the time that you give.`,
      holders.length === 0
        ? html`Nobody holds a slot now.`
        : html`Machines that hold a slot may still reboot: ${named(holders)}.`,
      ...(paused ? [html`It is paused already: yours replaces the earlier pause.`] : []),
    ],
    button: "Pause",
  };
}

/** What is about to be resumed. */
export function resumeQuestion(subject: Subject, waiting: number, free: number): Question {
  return {
    action: "resume",
    subject,
    title: html`Resume ${subjectPhrase(subject.group)}?`,
    consequences: [
      waiting === 0 || free === 0
        ? html`Slots are granted again; nobody gets one at once.`
        : html`Slots are granted again at once: ${Math.min(waiting, free)} of ${waiting} waiting ${
          waiting === 1 ? "machine" : "machines"
        } may reboot now.`,
    ],
    button: "Resume",
  };
}

/** Whose slot is about to be released. */
export function unlockQuestion(
  subject: Required<Omit<Subject, "name">>,
  host: string | undefined,
  facts: readonly Html[],
): Question {
  const who = machineName(subject.holder, host);
  return {
    action: "unlock",
    subject,
    title: html`Release the slot of ${name(who)}?`,
    consequences: [
      ...facts,
      html`<strong>Another machine may reboot at the same time</strong>: this one is no longer counted, whatever it does.`,
      html`Do it if the machine is up and well, or will not come back. A machine that comes back releases its slot itself.`,
    ],
    button: "Release the slot",
  };
}

/** Which freeze is to be planned. */
export function freezeQuestion(subject: Subject): Question {
  return {
    action: "freeze",
    subject,
    title: html`Plan a freeze of ${subjectPhrase(subject.group)}?`,
    consequences: [
      html`From its first day to its last no machine is granted a slot, and none that has one begins to reboot.`,
      html`It begins and ends by itself. Another of the same name is replaced.`,
    ],
    button: "Plan the freeze",
  };
}

/** Which freeze is to be removed; `undefined`: there is none of that name. */
export function unfreezeQuestion(
  subject: Subject,
  freezes: readonly PlannedFreeze[],
  now: number,
): Question | undefined {
  const freeze = freezes.find(({ name }) => name === subject.name);
  if (freeze === undefined) return undefined;
  const [from, until] = [freeze.from, freeze.until].map((text) =>
    clock(Temporal.Instant.from(text).epochMilliseconds, now)
  );
  return {
    action: "unfreeze",
    subject,
    title: html`Remove the freeze ${name(freeze.name)} of ${subjectPhrase(subject.group)}?`,
    consequences: [
      html`It is planned from ${from} to ${until}.`,
      html`Without it slots are granted in that time, unless something else stops them.`,
    ],
    button: "Remove the freeze",
  };
}

function subjectPhrase(group: string | undefined): Html {
  return group === undefined ? html`all groups` : name(groupPhrase(group));
}

function named(holders: readonly string[]): Html {
  const first = holders.slice(0, 5);
  return html`${first.map((holder, index) => html`${index > 0 && ", "}${name(holder)}`)}${
    holders.length > first.length && ` and ${holders.length - first.length} more`
  }`;
}

/** Something that could not be shown or done. */
export function faultMain(title: string, why: string): Html {
  return html`
    <section class="card form" aria-labelledby="h">
      <h2 id="h">${title}</h2>
      <p>${why}</p>
      <div class="buttons"><a class="act" href="/">Back to the groups</a></div>
    </section>
  `;
}
