/**
 * The slots that this machine still has where its daemon does not look: in another group, at another endpoint, or under
 * a strategy without a lock. They are of an earlier boot, under another configuration, or of `locksmith reboot`; and
 * nobody else would give them back.
 *
 * Looked through are all groups of the configured store, once, and whatever the ledger knows of. What cannot be reached is
 * said and tried again; nothing else waits for it, and a machine may reboot again meanwhile. Whose a hold is, is decided as
 * everywhere: one that was taken by hand, or by another machine with this id, is said and left alone.
 */

import { backoffMs } from "./backoff.ts";
import { standing } from "./health.ts";
import { type Clock, describeHold, describeOtherHost, describeTaking } from "./description.ts";
import { DEFAULT_GROUP, groupFlag, groupLabel } from "./group.ts";
import { readDocuments } from "./groups.ts";
import { Account, LATE_MS, type Ledger, type Taken } from "./ledger.ts";
import { Lock, LockError } from "./lock.ts";
import { type Look, worst } from "./look.ts";
import type { Machine } from "./machine.ts";
import { RemoteLeftovers } from "./remote_leftovers.ts";
import { FRESH, type Hold, type Ownership, type Semaphore } from "./semaphore.ts";
import { type Store, StoreError } from "./store.ts";
import type { Log, LogLevel, Surroundings } from "./surroundings.ts";
import { RETRY_MS } from "./next_try.ts";
import { suggestInstead } from "./suggest.ts";

export interface LeftoverOptions {
  readonly machine: Machine;
  readonly ledger: Ledger;
  /**
   * The store or the server, and the group, that the daemon looks after itself; `null`: it has no lock. `machine`: the id
   * under which it asks, where that is another than the machine's.
   */
  readonly own: Pick<Taken, "store" | "group"> & Partial<Pick<Taken, "machine">> | null;
  /** The store that is configured, if one is. */
  readonly configured: string | null;
  /** Does `work` with a store, by today's credentials; with `null` where there is no such store. Throws {@linkcode StoreError}. */
  withStore<T>(store: string, work: (store: Store | null) => Promise<T>): Promise<T>;
  /** What servers were asked for. */
  readonly remote?: RemoteLeftovers;
  /**
   * Whether this machine is known to be well after its boot, which a slot from before it has to wait for; absent: it is not
   * asked for.
   */
  isWell?(): Promise<boolean>;
  readonly surroundings: Surroundings;
  readonly log: Log;
  /** For the record. */
  readonly by: string;
  /** The time zone in which people are told of times; without one as they are stored. */
  readonly zone?: string;
  /** How often it is looked whether a slot came after its asker had gone, in milliseconds. */
  readonly lookMs: number;
}

/** A group, and how it is called in messages. */
interface Whereabouts {
  readonly group: string;
  readonly text: string;
}

export class Leftovers {
  /** Whether all groups of the configured store were looked through. */
  #searched: boolean;
  /** When each grant was first looked for in vain, by the clock that does not leap. */
  readonly #lookedMs = new Map<string, number>();
  /** What was said already, so that it is said once. */
  readonly #said = new Set<string>();

  constructor(private readonly options: LeftoverOptions) {
    this.#searched = options.configured === null;
  }

  /** Gives back what is left. Resolves when there is nothing more to look for, or `signal` aborts; rejects for a bug only. */
  async run(signal: AbortSignal): Promise<void> {
    const { surroundings, lookMs } = this.options;
    let failures = 0;
    while (!signal.aborted) {
      const look = await this.#look();
      if (look === "done") return;
      failures = look === "failed" ? failures + 1 : 0;
      const pauseMs = failures > 0 ? backoffMs(failures, RETRY_MS, surroundings.random()) : lookMs;
      await pause(surroundings, pauseMs, signal);
    }
  }

  async #look(): Promise<Look> {
    const { ledger, configured, remote } = this.options;
    const found = (await ledger.read() ?? []).filter((entry) => !this.#isOwn(entry));
    const [atServers, elsewhere] = [true, false].map((isRemote) =>
      found.filter((entry) => RemoteLeftovers.covers(entry) === isRemote)
    ) as [Taken[], Taken[]];
    const stores = new Set(elsewhere.map(({ store }) => store));
    if (configured !== null && !this.#searched) stores.add(configured);
    const looks: Look[] = [];
    for (const store of stores) {
      looks.push(await this.#lookAt(store, elsewhere.filter((entry) => entry.store === store)));
    }
    if (remote !== undefined) looks.push(await remote.look(atServers));
    return worst(looks);
  }

  #isOwn({ store, group, machine }: Taken): boolean {
    const { own, machine: { id } } = this.options;
    return store === own?.store && group === own.group && machine === (own.machine ?? id);
  }

  /** Looks at one store: at the groups of `entries`, and at all where it is the configured one. */
  async #lookAt(store: string, entries: readonly Taken[]): Promise<Look> {
    try {
      return await this.options.withStore(store, async (opened) => {
        if (opened === null) return this.#withoutStore(store, entries);
        const searches = store === this.options.configured && !this.#searched;
        const groups = new Set([
          ...entries.map(({ group }) => group),
          ...(searches ? await this.#search(opened, store) : []),
        ]);
        const looks: Look[] = [];
        for (const group of groups) {
          looks.push(
            await this.#lookIn(opened, store, group, entries.filter((entry) => entry.group === group)),
          );
        }
        const look = worst(looks);
        if (searches && look !== "failed") this.#searched = true;
        return look;
      });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // a machine without a lock expects none to answer, unless it remembers having had one
      const level = entries.length === 0 && this.options.own === null ? "debug" : "warning";
      this.#tell(level, `${this.#cannotLook(store, entries)}: ${error.message}${this.#remedy(entries)}`);
      return "failed";
    }
  }

  #withoutStore(store: string, entries: readonly Taken[]): Look {
    if (store === this.options.configured) this.#searched = true;
    if (entries.length === 0) return "done";
    this.#tell("warning", `${this.#cannotLook(store, entries)}: it does not exist${this.#remedy(entries)}`);
    return "failed";
  }

  /** The groups of the configured store in which this machine holds a slot. */
  async #search(opened: Store, store: string): Promise<string[]> {
    const { machine: { id }, own } = this.options;
    try {
      const documents = await readDocuments(opened);
      if (store === own?.store) this.#tellNew(own.group, documents.map(({ group }) => group));
      return documents.flatMap(({ group, semaphore }) => {
        const isOwn = store === own?.store && group === own.group;
        return !isOwn && semaphore.holders.includes(id) ? [group] : [];
      });
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== "permission") throw error;
      this.#tell("info", `not allowed to look for slots of this machine in other groups: ${error.message}`);
      return [];
    }
  }

  /** Says that nothing is stored for the daemon's own group: most likely its name is mistyped, or it is the first. */
  #tellNew(own: string, groups: readonly string[]): void {
    if (groups.includes(own) || own === DEFAULT_GROUP && groups.length === 0) return;
    const near = suggestInstead(own, groups);
    const text = `nothing is stored for group ${groupLabel(own)} yet`;
    if (near !== undefined) this.#tell("warning", `${text}, did you mean '${near}'?`);
    else this.#tell("info", `${text}: the first slot makes it, with a maximum of ${FRESH.max}`);
  }

  /** Looks at one group: gives back what this machine has there, as after every boot. */
  async #lookIn(store: Store, address: string, group: string, entries: readonly Taken[]): Promise<Look> {
    const { machine, ledger, own, surroundings, by } = this.options;
    const lock = new Lock(store, group, surroundings, by);
    const place: Whereabouts = { group, text: `in group ${groupLabel(group)} at ${store.name}` };
    const [ours, renamed] = [true, false].map((isOurs) => {
      return entries.filter((entry) => (entry.machine === machine.id) === isOurs);
    }) as [Taken[], Taken[]];
    try {
      if (renamed.length > 0) await this.#tellRenamed(await lock.read(), renamed, place);
      const account = new Account(ledger, { store: address, group }, machine, surroundings);
      const remembering = await account.remembering();
      if (this.options.isWell !== undefined && (await standing(lock, remembering)).kind === "earlier-boot") {
        if (!await this.options.isWell()) {
          this.#tell("info", `keeping the slot ${place.text} until this machine is known to be well`);
          return "failed";
        }
      }
      const decision = await lock.release(remembering);
      let ended: string | undefined;
      if (decision.kind === "released") {
        ended = await this.#ended(decision.hold ?? { extra: {} }, "this machine has rebooted; ", place);
      } else if (decision.kind === "kept") {
        // the daemon may know the same group of the same store by another endpoint, and go by this very hold
        const mayEnd = own === null || own.store === address;
        if (mayEnd && decision.why.kind === "ours") ended = await this.#cancel(lock, decision.why, place);
        // a slot of the daemon's own is no news
        const isNews = decision.why.kind !== "ours" || mayEnd ||
          ours.some(({ grant }) => grant === decision.hold?.grant);
        if (ended === undefined && isNews) this.#tellKept(decision.why, place);
      }
      const rest = ours.filter(({ grant }) => grant !== ended);
      return await this.#mayStillCome(rest) ? "later" : "done";
    } catch (error) {
      if (!(error instanceof LockError)) throw error;
      this.#tell("warning", `${this.#cannotLook(address, entries)}: ${error.message}; ${error.hint}`);
      return "failed";
    }
  }

  /** Whether a grant of these may still arrive: of this boot, or in some minutes. What cannot is forgotten. */
  async #mayStillCome(entries: readonly Taken[]): Promise<boolean> {
    const { machine, ledger, surroundings } = this.options;
    const nowMs = surroundings.elapsed();
    const over = entries.filter(({ grant, boot }) => {
      const firstMs = this.#lookedMs.get(grant) ?? nowMs;
      this.#lookedMs.set(grant, firstMs);
      return boot !== machine.bootId && nowMs - firstMs >= LATE_MS;
    });
    await ledger.forget(over.map(({ grant }) => grant));
    return over.length < entries.length;
  }

  /** Gives back a slot of this boot that no daemon goes by any more, unless a reboot was called under it: then `undefined`. */
  async #cancel(
    lock: Lock,
    { grant, hold }: Extract<Ownership, { kind: "ours" }>,
    place: Whereabouts,
  ): Promise<string | undefined> {
    const { id: holder, bootId: boot } = this.options.machine;
    const { kind } = await lock.cancel({ holder, boot, grant });
    return kind === "kept" ? undefined : await this.#ended(hold, "", place);
  }

  /** A hold has ended: tells it, forgets its grant, and gives that. */
  async #ended(hold: Hold, why: string, { text }: Whereabouts): Promise<string | undefined> {
    const { ledger, log } = this.options;
    if (hold.grant !== undefined) await ledger.forget([hold.grant]);
    log("info", `${why}gave back the slot ${text}${describeHold(hold, this.#clock())}`);
    return hold.grant;
  }

  #tellKept(
    owner: Extract<Ownership, { kind: "ours" | "by-hand" | "other-host" }>,
    { group, text: where }: Whereabouts,
  ): void {
    const { machine } = this.options;
    const unlock = `'locksmith unlock ${machine.id}${groupFlag(group)}' releases it`;
    switch (owner.kind) {
      case "by-hand":
        return this.#tell(
          "info",
          `a slot of this machine ${where} ${describeTaking(owner.hold)}`,
          `${describeHold(owner.hold, this.#clock())}: left unchanged, only ${unlock}`,
        );
      case "other-host": {
        const { level, why, details } = describeOtherHost(owner.hold, { ...machine, group }, this.#clock());
        return this.#tell(level, `${where}: ${why}`, details);
      }
      case "ours":
        return this.#tell(
          "warning",
          `this machine holds a slot ${where}`,
          `${
            describeHold(owner.hold, this.#clock())
          }, and has not rebooted since: it is given back after the next ` +
            `boot, or ${unlock}`,
        );
    }
  }

  /** A machine whose id has changed does not end what it took: it cannot be told from a copy of the one that did. */
  async #tellRenamed(
    semaphore: Semaphore,
    entries: readonly Taken[],
    { group, text: where }: Whereabouts,
  ): Promise<void> {
    const { machine, ledger } = this.options;
    for (const { grant, machine: former } of entries) {
      const hold = semaphore.holds.get(former);
      if (hold?.grant !== grant) {
        await ledger.forget([grant]);
        continue;
      }
      this.#tell(
        "warning",
        `machine id ${former} holds a slot ${where}`,
        `${
          describeHold(hold, this.#clock())
        }, taken by this machine according to its disk, but its machine ` +
          `id is ${machine.id} now: left unchanged in case the disk is a copy; if not, 'locksmith unlock ${former}` +
          `${groupFlag(group)}' releases it`,
      );
    }
  }

  #cannotLook(store: string, entries: readonly Taken[]): string {
    const groups = [...new Set(entries.map(({ group }) => groupLabel(group)))].sort();
    const names = groups.length === 0 ? "" : ` in group ${groups.join(", ")}`;
    return `cannot look for a slot that this machine may still hold${names} at ${store}, trying again`;
  }

  /** What to do about a store that cannot be reached. */
  #remedy(entries: readonly Taken[]): string {
    const { ledger, machine: { id } } = this.options;
    if (entries.length === 0) return "";
    const files = entries.map(({ grant }) => grant).join(", ");
    return `; from a host that can reach it, 'locksmith unlock ${id}' releases such a slot; if that store is gone permanently, ` +
      `remove its entries in ${ledger.name} (${files})`;
  }

  #clock(): Clock {
    const { surroundings, zone } = this.options;
    return { now: surroundings.now(), zone };
  }

  /** Says something once, whatever became of its details meanwhile. */
  #tell(level: LogLevel, text: string, details = ""): void {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.options.log(level, text + details);
  }
}

/** Resolves after `ms` milliseconds, or when `signal` aborts. */
function pause(surroundings: Surroundings, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      timer.cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = surroundings.after(ms, end);
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
  });
}
