/** What leads from a place of the page to another, and what marks it: addresses, keys of parts, icons. */

import { createHash } from "node:crypto";
import { type Html, html } from "./html.ts";

/** What an operator can do on the page, and which query names what it is done to. */
export const ACTIONS = ["pause", "resume", "unlock", "freeze", "unfreeze"] as const;
export type Action = (typeof ACTIONS)[number];

/** What an action is about: without `group` all groups. */
export interface Subject {
  readonly group?: string;
  readonly holder?: string;
  /** Of a freeze. */
  readonly name?: string;
  /** Since when the holder that was seen has its slot, as it is stored. */
  readonly since?: string;
}

/** The key of a group's part: the same for the same name, and an id that HTML allows. */
export function groupKey(group: string): string {
  return `g-${createHash("sha256").update(group).digest("hex").slice(0, 16)}`;
}

/** The page of one group. */
export function groupLink(group: string): string {
  return `/?${new URLSearchParams({ group })}`;
}

/** Leads to the question whether it shall be done. `about` tells apart for the ear what the eye sees by its place. */
export function actionLink(action: Action, subject: Subject, label: string, about?: string): Html {
  const query = new URLSearchParams({ ...subject }).toString();
  return html`<a class="act" href="/${action}${query === "" ? "" : `?${query}`}">${label}\u2026${
    about !== undefined && html`<span class="unseen"> ${about}</span>`
  }</a>`;
}

/** Each icon as the paths of a square of 16. */
const ICONS = {
  reboot: "M13 3v4H9M13 7a5.5 5.5 0 1 0 .4 3.5",
  wait: "M8 4.5V8l2.5 1.5M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12z",
  late:
    "M8 5.5v3.5M8 11.4v.1M7.1 2.6 1.5 12.4a1 1 0 0 0 .9 1.5h11.2a1 1 0 0 0 .9-1.5L8.9 2.6a1 1 0 0 0-1.8 0z",
  done: "M3 8.5 6.5 12 13 4.5",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  hand:
    "M5 8.5V4a1 1 0 0 1 2 0v3.5V3a1 1 0 0 1 2 0v4.5V4a1 1 0 0 1 2 0v5.5C11 12 9.8 14 7.8 14S4.6 12.8 3.5 10.5",
  open: "M4 7V5a4 4 0 0 1 7.5-2M3 7h10v6.5H3z",
  shut: "M5 7V5a3 3 0 0 1 6 0v2M3 7h10v6.5H3z",
  away: "M2.5 6a8 8 0 0 1 11 0M5 8.8a4.5 4.5 0 0 1 6 0M8 12v.1M2.5 2.5l11 11",
} as const;

export type IconName = keyof typeof ICONS;

/** An icon, for the eye alone: what it means is said in words beside it. */
export function icon(name: IconName): Html {
  return html`
    <svg class="icon" aria-hidden="true">
      <use href="#i-${name}" />
    </svg>
  `;
}

/** The icons themselves, once in a page. */
export function iconSymbols(): Html {
  return html`<svg class="symbols" aria-hidden="true">${
    Object.entries(ICONS).map(([name, path]) =>
      html`
        <symbol id="i-${name}" viewBox="0 0 16 16">
          <path d="${path}" />
        </symbol>
      `
    )
  }</svg>`;
}
