/**
 * What hosts asked a FleetLock server for and were told, with when: and whether one counter of slots, asked by one host
 * after the other, could have answered so (linearizability).
 *
 * A host asks one thing at a time. Its slot is surely its own from the answer that grants it to the next steady-state;
 * every other order of the same answers has the slot for longer. So the answers are those of one counter if, and only if,
 * at no moment more than `max` hosts surely had a slot. What was not answered may have happened or not. A refusal proves
 * little, since a server may give it out of a copy of the store that is a moment old; but what it said itself it knows.
 */

import { PRE_REBOOT, STEADY_STATE } from "../../lib/fleetlock/protocol.ts";

/** One question and its answer. Times are of one clock, in milliseconds. */
export interface Asking {
  readonly id: string;
  /** Whom it asked. */
  readonly url: string;
  readonly verb: "pre-reboot" | "steady-state";
  readonly beganMs: number;
  endedMs: number;
  /** `lost`: no answer, or one that says that nobody knows. */
  told: "yes" | "no" | "lost";
  /** Its code and kind. */
  text: string;
}

/** Refusals that promise that nothing was done. */
const NO = new Set(["full", "paused", "closed", "held_by_hand"]);

export class SlotHistory {
  readonly askings: Asking[] = [];

  constructor(private readonly group: string) {}

  /** Asks, and records it. Never throws: a connection that breaks is an answer that was lost. */
  async ask(
    url: string,
    id: string,
    verb: Asking["verb"],
    { waitS, limitMs = 20_000 }: { readonly waitS?: number; readonly limitMs?: number } = {},
  ): Promise<Asking> {
    const asking: Asking = {
      id,
      url,
      verb,
      beganMs: performance.now(),
      endedMs: Infinity,
      told: "lost",
      text: "no answer",
    };
    this.askings.push(asking);
    try {
      const reply = await fetch(url + (verb === "pre-reboot" ? PRE_REBOOT : STEADY_STATE), {
        method: "POST",
        headers: {
          "fleet-lock-protocol": "true",
          ...(waitS === undefined ? {} : { prefer: `wait=${waitS}` }),
        },
        body: JSON.stringify({ client_params: { id, group: this.group } }),
        signal: AbortSignal.timeout(limitMs),
      });
      const text = await reply.text();
      const kind = reply.status === 200 ? "" : JSON.parse(text).kind;
      asking.text = `${reply.status} ${kind}`;
      asking.told = reply.status === 200 ? "yes" : NO.has(kind) ? "no" : "lost";
    } catch (error) {
      asking.text = `${error}`;
    }
    asking.endedMs = performance.now();
    return asking;
  }

  /** Asks until there is an answer, at one server after the other. */
  async insist(urls: readonly string[], id: string, verb: Asking["verb"]): Promise<Asking> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const asking = await this.ask(urls[tries % urls.length] ?? "", id, verb);
      if (asking.told !== "lost") return asking;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`no answer to ${verb} by ${id}: ${this.askings.at(-1)?.text}`);
  }

  /** How many were told so. */
  count(verb: Asking["verb"], told: Asking["told"]): number {
    return this.askings.filter((asking) => asking.verb === verb && asking.told === told).length;
  }
}

const TRIES_MAX = 500;

/**
 * What one counter with `max` slots cannot have answered, or cannot have left behind as `holders`, once nothing runs any
 * more: nothing, if all is well.
 */
export function slotFaults(askings: readonly Asking[], max: number, holders: readonly string[]): string[] {
  const faults: string[] = [];
  const events: { readonly atMs: number; readonly step: 1 | -1; readonly id: string }[] = [];
  if (new Set(holders).size < holders.length) faults.push(`one holds two slots: ${holders.join(", ")}`);
  if (holders.length > max) faults.push(`${holders.length} hold a slot, and there are ${max}`);
  for (const [id, own] of Map.groupBy(askings, ({ id }) => id)) {
    /** Whether it surely has a slot, surely has none, or may have one. */
    let has: boolean | "perhaps" = false;
    let by = "";
    for (const { verb, told, beganMs, endedMs, text, url } of own) {
      if (verb === "pre-reboot") {
        if (told === "no" && has === true && url === by) {
          faults.push(`${id} was refused (${text}), and had a slot`);
        }
        if (told === "yes") {
          if (has !== true) events.push({ atMs: endedMs, step: 1, id });
          [has, by] = [true, url];
        } else if (told === "lost" && has === false) has = "perhaps";
      } else {
        if (has === true) events.push({ atMs: beganMs, step: -1, id });
        // one that was lost may not have come about
        has = told === "yes" ? false : has === false ? false : "perhaps";
      }
    }
    if (has === true && !holders.includes(id)) faults.push(`${id} was granted a slot, which is lost`);
    if (has === false && holders.includes(id)) {
      faults.push(`${id} holds a slot that it gave back or never got`);
    }
  }
  for (const id of holders) {
    if (!askings.some((asking) => asking.id === id)) faults.push(`${id} holds a slot, and never asked`);
  }
  // at the same moment somebody's end may have come before somebody's grant
  events.sort((a, b) => a.atMs - b.atMs || a.step - b.step);
  const now = new Set<string>();
  for (const { step, id, atMs } of events) {
    if (step === 1) now.add(id);
    else now.delete(id);
    if (step === 1 && now.size > max) {
      faults.push(`${now.size} had one of ${max} slots at ${Math.round(atMs)} ms: ${[...now].join(", ")}`);
    }
  }
  return faults;
}
