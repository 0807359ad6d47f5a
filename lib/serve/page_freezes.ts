/** The freezes of a group or of all on the page: those that are planned, and those in force. Pure. */

import type { PlannedFreeze } from "../pause.ts";
import { ahead, clock, clockAfter } from "./clock.ts";
import { type Html, html, name } from "./html.ts";
import { actionLink } from "./page_links.ts";

/** So many are listed. */
const FREEZES_MOST = 5;

/** Those to come and those in force, each with a way to remove it for an operator. `group`: absent for those of all. */
export function freezeList(
  freezes: readonly PlannedFreeze[],
  { group, operator, now }: { readonly group?: string; readonly operator: boolean; readonly now: number },
): Html {
  return html`<ul class="windows freezes">${
    freezes.slice(0, FREEZES_MOST).map((freeze) => {
      const [fromMs, untilMs] = [freeze.from, freeze.until].map((text) =>
        Temporal.Instant.from(text).epochMilliseconds
      ) as [number, number];
      const subject = { ...(group === undefined ? {} : { group }), name: freeze.name };
      return html`<li><div><b>${name(freeze.name)}</b> ${clock(fromMs, now)} to ${
        clockAfter(untilMs, fromMs, now)
      } <span class="detail">${
        fromMs <= now ? html`in force, ends ${ahead(untilMs, now)}` : ahead(fromMs, now)
      }${freeze.by !== undefined && html`, by ${name(freeze.by)}`}</span></div>${
        operator && actionLink("unfreeze", subject, "Remove", freeze.name)
      }</li>`;
    })
  }</ul>${
    freezes.length > FREEZES_MOST && html`<p class="none">and ${freezes.length - FREEZES_MOST} more</p>`
  }`;
}
