/**
 * What operators do to a group through the server, from the page and from the API alike: pause, resume, unlock, set max,
 * plan a freeze and remove it. Each is one change of the document by the lock, recorded under the name of the credential.
 */

import { flat } from "../document.ts";
import { parseFreeze } from "../freeze.ts";
import { ALL_GROUPS, groupFault, groupPhrase, semaphoreKey } from "../group.ts";
import { Lock, LockError } from "../lock.ts";
import { caughtUp, type Mirror } from "../mirror.ts";
import { machineName } from "../machine.ts";
import { quoted, reasonFault } from "../plain_text.ts";
import { FREEZES_LIMIT, planFreeze, takeFreezeBack } from "../planned_freezes.ts";
import { isCount, MAX_LIMIT } from "../semaphore.ts";
import { type Store, StoreError } from "../store.ts";
import { didYouMean } from "../suggest.ts";
import type { Surroundings } from "../surroundings.ts";
import { parseZone, WindowError } from "../window.ts";
import type { Caller } from "./door.ts";

/** What a person wants. */
export type Wish =
  & {
    /** {@linkcode ALL_GROUPS} for a pause or a freeze of all. */
    readonly group: string;
    /** Why: kept in the record. Of a freeze its name, which is that. */
    readonly reason: string;
  }
  & (
    | { readonly action: "pause"; readonly forMs: number | undefined }
    | { readonly action: "resume" }
    /** `since`: of the hold that the person saw; absent: whichever there is. */
    | { readonly action: "unlock"; readonly holder: string; readonly since?: string | undefined }
    | { readonly action: "max"; readonly max: number }
    /** `dates` as for `locksmith freeze add`, on the clock of `zone`. */
    | { readonly action: "freeze"; readonly dates: string; readonly zone: string }
    | { readonly action: "unfreeze" }
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

/** How long what was done may take to be shown before its answer leaves without that, in milliseconds. */
const SHOWN_MS = 1_000;
/** The longest pause that ends by itself, in milliseconds. */
const PAUSE_MOST_MS = 366 * 24 * 3_600_000;

export class Operations {
  constructor(
    private readonly store: Store,
    private readonly surroundings: Surroundings,
    /** Whether there is such a group where groups are listed; absent: every name is one. */
    private readonly isListed: (group: string) => boolean = () => true,
    /** What is shown next: who did something sees it there. Absent: nothing is waited for. */
    private readonly mirror?: Mirror,
  ) {}

  /** Does what `caller` wants, if it may. Does not throw for a store that is away. */
  async carryOut(caller: Caller, wish: Wish): Promise<Outcome> {
    const refusal = this.#refusal(caller, wish);
    if (refusal !== undefined) return refusal;
    try {
      const outcome = await this.#do(new Lock(this.store, wish.group, this.surroundings, caller.name), wish);
      const { store, surroundings, mirror } = this;
      if (outcome.kind === "done" && mirror !== undefined) {
        await caughtUp(mirror, store, semaphoreKey(wish.group), { surroundings, mostMs: SHOWN_MS });
      }
      return outcome;
    } catch (error) {
      if (error instanceof StoreError) return { kind: "unavailable", status: 503, why: error.message };
      if (error instanceof WindowError) return badRequest(error.faults.join("; "));
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
    if (fault !== undefined) return badRequest(fault);
    if (group !== ALL_GROUPS && !this.isListed(group)) {
      return { kind: "unknown_group", status: 404, why: `there is no ${phrase}` };
    }
    return undefined;
  }

  async #do(lock: Lock, wish: Wish): Promise<Outcome> {
    const { group, reason } = wish;
    const phrase = groupPhrase(group);
    const json = { group: group === ALL_GROUPS ? null : group };
    const done: Done = (what, told, details) => {
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
      case "freeze":
        return await this.#freeze(lock, wish, done);
      case "unfreeze": {
        const { before, names } = await takeFreezeBack(lock, reason);
        if (before === undefined) {
          const why = `${phrase}: there is no freeze '${reason}'${didYouMean(reason, names)}`;
          return { kind: "no_freeze", status: 409, why };
        }
        return done(`removed a freeze of ${phrase}`, `Removed the freeze ${reason} of ${phrase}.`, {
          removed: flat(before),
        });
      }
    }
  }

  async #freeze(
    lock: Lock,
    { reason: name, dates, zone }: Extract<Wish, { action: "freeze" }>,
    done: Done,
  ): Promise<Outcome> {
    const phrase = groupPhrase(lock.group);
    const now = this.surroundings.now();
    const span = parseFreeze(dates, parseZone(zone));
    if (span.name !== undefined) return badRequest(`${quoted(dates)} is more than dates`);
    if (span.until <= now) return badRequest("the freeze is over already");
    const [from, until, since] = [span.from, span.until, now].map((ms) => new Date(ms).toISOString());
    const freeze = { from: from ?? "", until: until ?? "", name, by: lock.by, since: since ?? "", extra: {} };
    const { before, full } = await planFreeze(lock, freeze);
    if (full) {
      const why = `${phrase} has ${FREEZES_LIMIT} freezes ahead, and takes no more; remove one first`;
      return { kind: "too_many", status: 409, why };
    }
    const what = `planned a freeze of ${phrase} from ${from} until ${until}`;
    return done(what, `Planned the freeze ${name} of ${phrase}.`, {
      freeze: flat(freeze),
      replaced: before === undefined ? null : flat(before),
    });
  }

  async #unlock(
    lock: Lock,
    { holder, since, reason }: Extract<Wish, { action: "unlock" }>,
    done: Done,
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

/** Words what was done: for the audit, for whoever did it, and as JSON. */
type Done = (what: string, told: string, details: Readonly<Record<string, unknown>>) => Outcome;

function badRequest(why: string): Outcome {
  return { kind: "bad_request", status: 400, why };
}

function wishFault(wish: Wish): string | undefined {
  const ofOne = wish.action === "unlock" || wish.action === "max";
  if (wish.group === ALL_GROUPS && ofOne) return "name a group";
  if (wish.action === "max" && !isCount(wish.max)) return `max must be a whole number from 0 to ${MAX_LIMIT}`;
  if (wish.action !== "pause" || wish.forMs === undefined) return undefined;
  return wish.forMs > 0 && wish.forMs <= PAUSE_MOST_MS
    ? undefined
    : "a pause must last longer than 0s and at most 8784h";
}
