/**
 * What operators do to a group through the server, from the page and from the API alike: pause, resume, unlock, set max.
 * Each is one change of the document by the lock, recorded under the name of the credential.
 */

import { flat } from "../document.ts";
import { ALL_GROUPS, groupFault, groupPhrase } from "../group.ts";
import { Lock, LockError } from "../lock.ts";
import { machineName } from "../machine.ts";
import { reasonFault } from "../plain_text.ts";
import { isCount, MAX_LIMIT } from "../semaphore.ts";
import { type Store, StoreError } from "../store.ts";
import type { Surroundings } from "../surroundings.ts";
import type { Caller } from "./door.ts";

/** What a person wants. */
export type Wish =
  & {
    /** {@linkcode ALL_GROUPS} for a pause of all. */
    readonly group: string;
    readonly reason: string;
  }
  & (
    | { readonly action: "pause"; readonly forMs: number | undefined }
    | { readonly action: "resume" }
    /** `since`: of the hold that the person saw; absent: whichever there is. */
    | { readonly action: "unlock"; readonly holder: string; readonly since?: string | undefined }
    | { readonly action: "max"; readonly max: number }
  );

/** What became of it. `status` and `kind` are those of an answer. */
export type Outcome =
  | {
    readonly kind: "done";
    /** A sentence for whoever did it. */
    readonly told: string;
    readonly audit: string;
    readonly json: Readonly<Record<string, unknown>>;
  }
  | { readonly kind: string; readonly status: number; readonly why: string };

/** The longest pause that ends by itself, in milliseconds. */
const PAUSE_MOST_MS = 366 * 24 * 3_600_000;

export class Operations {
  constructor(
    private readonly store: Store,
    private readonly surroundings: Surroundings,
    /** Whether there is such a group where groups are listed; absent: every name is one. */
    private readonly isListed: (group: string) => boolean = () => true,
  ) {}

  /** Does what `caller` wants, if it may. Does not throw for a store that is away. */
  async carryOut(caller: Caller, wish: Wish): Promise<Outcome> {
    const refusal = this.#refusal(caller, wish);
    if (refusal !== undefined) return refusal;
    try {
      return await this.#do(new Lock(this.store, wish.group, this.surroundings, caller.name), wish);
    } catch (error) {
      if (error instanceof StoreError) return { kind: "unavailable", status: 503, why: error.message };
      if (!(error instanceof LockError)) throw error;
      const why = `${error.message}; ${error.hint}`;
      return error.kind === "document"
        ? { kind: "corrupt", status: 500, why }
        : { kind: "unavailable", status: 503, why };
    }
  }

  #refusal({ role, groups, name }: Caller, wish: Wish): Outcome | undefined {
    const { group, reason } = wish;
    const phrase = groupPhrase(group);
    if (role !== "operator") return { kind: "forbidden", status: 403, why: `${name} is no operator` };
    if (groups !== undefined && !groups.has(group)) {
      return { kind: "forbidden", status: 403, why: `the credential ${name} is not for ${phrase}` };
    }
    const fault = (group === ALL_GROUPS ? undefined : groupFault(group)) ?? reasonFault(reason) ??
      wishFault(wish);
    if (fault !== undefined) return { kind: "bad_request", status: 400, why: fault };
    if (group !== ALL_GROUPS && !this.isListed(group)) {
      return { kind: "unknown_group", status: 404, why: `there is no ${phrase}` };
    }
    return undefined;
  }

  async #do(lock: Lock, wish: Wish): Promise<Outcome> {
    const { group, reason } = wish;
    const phrase = groupPhrase(group);
    const json = { group: group === ALL_GROUPS ? null : group };
    const done = (what: string, told: string, details: Readonly<Record<string, unknown>>): Outcome => {
      return { kind: "done", told, audit: `${what}: ${reason}`, json: { ...json, ...details } };
    };
    switch (wish.action) {
      case "pause": {
        const now = this.surroundings.now();
        const until = wish.forMs === undefined ? {} : { until: new Date(now + wish.forMs).toISOString() };
        const paused = { since: new Date(now).toISOString(), by: lock.by, reason, ...until, extra: {} };
        const { before } = await lock.pause(paused);
        const replaced = before === undefined ? null : flat(before);
        return done(`paused ${phrase}`, `Paused ${phrase}.`, { paused: flat(paused), replaced });
      }
      case "resume": {
        const { before } = await lock.resume(reason);
        if (before === undefined) {
          return {
            kind: "not_paused",
            status: 409,
            why: `${phrase}: not paused, so there is nothing to resume`,
          };
        }
        return done(`resumed ${phrase}`, `Resumed ${phrase}.`, { ended: flat(before) });
      }
      case "unlock":
        return await this.#unlock(lock, wish, done);
      case "max": {
        const { oldMax } = await lock.setMax(wish.max, reason);
        const what = `set max of ${phrase} to ${wish.max}`;
        return done(what, `${what[0]?.toUpperCase()}${what.slice(1)}.`, { max: wish.max, was: oldMax });
      }
    }
  }

  async #unlock(
    lock: Lock,
    { holder, since, reason }: Extract<Wish, { action: "unlock" }>,
    done: (what: string, told: string, details: Readonly<Record<string, unknown>>) => Outcome,
  ): Promise<Outcome> {
    const phrase = groupPhrase(lock.group);
    const notHeld = { kind: "not_held", status: 409, why: `${holder} holds no slot in ${phrase}` } as const;
    if (since !== undefined) {
      const { holders, holds } = await lock.read();
      if (!holders.includes(holder)) return notHeld;
      if ((holds.get(holder)?.since ?? "") !== since) {
        const why = `${
          machineName(holder, holds.get(holder)?.host)
        } gave its slot back and took another since you looked`;
        return { kind: "not_held", status: 409, why };
      }
    }
    const decision = await lock.unlock(holder, reason);
    if (decision.kind !== "released") return notHeld;
    const who = machineName(holder, decision.hold?.host);
    const hold = decision.hold === undefined ? null : flat(decision.hold);
    return done(`released the slot of ${who} in ${phrase}`, `Released the slot of ${who}.`, { holder, hold });
  }
}

function wishFault(wish: Wish): string | undefined {
  if (wish.group === ALL_GROUPS && wish.action !== "pause" && wish.action !== "resume") return "name a group";
  if (wish.action === "max" && !isCount(wish.max)) return `max must be a whole number from 0 to ${MAX_LIMIT}`;
  if (wish.action !== "pause" || wish.forMs === undefined) return undefined;
  return wish.forMs > 0 && wish.forMs <= PAUSE_MOST_MS
    ? undefined
    : "a pause must last longer than 0s and at most 8784h";
}
