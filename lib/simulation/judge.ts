/**
 * The judge of a simulation: holds what really happened to what must never break (I1 to I8 of docs/reliability.md).
 *
 * It sees every transaction that reached the store, and every reboot, from outside: what a machine believes counts for
 * nothing. It keeps its own account of who came when, who was proven, and which machines an administrator set loose, and
 * counts how often each invariant was really put to the test; a check that nothing exercised counts as none.
 * One noun: what it knows of the past is one state, by which all of its rules judge.
 */

import { ALL_GROUPS, ALL_KEY, groupOfKey, queuePrefix, semaphoreKey } from "../group.ts";
import { queueRange } from "../queue.ts";
import { type Actor, nameOf, type Own, type Suspect } from "./actor.ts";
import { rebootFault, returnFault, tellsHealth } from "./care.ts";
import { FRESH, type Hold, pauseInForce, REBOOTING, type Semaphore } from "../semaphore.ts";
import type { CommitOutcome, Transaction } from "../store.ts";
import type { Memory } from "./memory.ts";
import { parseSemaphore, serializeSemaphore } from "../document.ts";

/** So long after it was decided a commit may arrive. */
const LATE_MS = 5 * 60_000;

export const INVARIANTS = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8"] as const;
export type Invariant = (typeof INVARIANTS)[number];

/** Something that must never happen, and did. */
export interface Violation {
  readonly invariant: Invariant;
  readonly text: string;
}

/** A request that a machine makes of a server. */
export interface Answered {
  readonly verb: "pre-reboot" | "steady-state";
  /** It is at a server. What is returned is called when it can have no effect any more. */
  arrives(): () => void;
  /** The machine has heard the answer. */
  told(kind: string): void;
}

/** A transaction that the store committed. */
interface Commit {
  readonly actor: Actor;
  readonly group: string;
  readonly before: Semaphore;
  readonly after: Semaphore;
}

/** What a machine has asked of servers. */
interface Visits {
  /** The boots in which it asked for a slot. */
  readonly boots: Set<string>;
  /** How many of its requests to give back are at a server, and whether one came since the last grant. */
  settling: number;
  settled: boolean;
  /** The boot in which it was told that it has a slot, and has not given it back since. */
  granted: string | undefined;
  /** Whether it was told so of the hold that there is. */
  told: boolean;
}

export class Judge {
  readonly violations: Violation[] = [];
  /** How often each invariant was put to the test. */
  readonly exercised: Record<Invariant, number> = { I1: 0, I2: 0, I3: 0, I4: 0, I5: 0, I6: 0, I7: 0, I8: 0 };
  grants = 0;
  releases = 0;
  /** Who has proven a hold, and called no reboot since. */
  readonly #proofs = new Set<Actor>();
  /** Machines whose hold an administrator ended, until they get another. */
  readonly #forced = new Set<string>();
  /** Who came when: the places of each group and priority in the order of their arrival. */
  readonly #arrivals = new Map<string, { readonly keys: string[]; first: number }>();
  readonly #arrivalOf = new Map<string, number>();
  /** The last document of each group. */
  readonly #documents = new Map<string, { readonly value: string; readonly document: Semaphore }>();

  /** What machines have asked of servers, by group and id. */
  readonly #visits = new Map<string, Visits>();

  /** Who was told by a server that it has a slot, and has not given it back since. */
  readonly #told = new WeakSet<Actor>();

  /** Machines that an administrator set loose while a reboot was on its way: whatever they do until that boot is over. */
  readonly #loose = new Map<string, string>();

  /**
   * `machineOf` gives the machine of an id, as it is at the moment; `clockOf` the earliest and the latest that the clock of an
   * actor may show by now, in milliseconds since the epoch: a pause that is over by then binds it no more.
   */
  constructor(
    private readonly memory: Memory,
    private readonly machineOf: (id: string) => Suspect | undefined,
    private readonly clockOf: (actor: Actor) => { readonly earliest: number; readonly latest: number },
  ) {}

  /** Lets a transaction happen, and looks at what it did. */
  arrives(actor: Actor, transaction: Transaction, apply: () => CommitOutcome): CommitOutcome {
    const touched = transaction.put.map(({ key }) => groupOfKey(key)).find((group) => group !== undefined);
    const before = touched === undefined ? FRESH : this.document(touched);
    const first = touched === undefined ? undefined : this.#firstInLine(touched);
    const news = transaction.put.filter(({ key }) =>
      groupOfKey(key) === undefined && key !== ALL_KEY && this.memory.read(key) === null
    );
    if (actor.kind !== "administrator" && transaction.put.some(({ key }) => key === ALL_KEY)) {
      this.#violated("I4", `${nameOf(actor)} changed what counts for all groups`);
    }
    const hadPlace = (transaction.remove ?? []).some((key) => this.memory.read(key) !== null);
    const outcome = apply();
    if (outcome.kind !== "committed") return outcome;
    for (const { key } of news) this.#arrived(key);
    if (touched !== undefined) {
      const commit = { actor, group: touched, before, after: this.document(touched) };
      this.#documentChanged(commit);
      this.#order(commit, transaction.remove ?? [], hadPlace, first);
    }
    return outcome;
  }

  /** A machine asks a server. A slot is proven by a grant that was asked for when there had been one already. */
  asks(actor: Own, verb: Answered["verb"], group: string): Answered {
    const { machine, boot } = actor;
    const key = visitKey(group, machine.id);
    const visits: Visits = this.#visits.get(key) ??
      { boots: new Set(), settling: 0, settled: false, granted: undefined, told: false };
    this.#visits.set(key, visits);
    // another process of the machine may have given back meanwhile what this one goes by
    const again = visits.granted === boot || this.#told.has(actor);
    if (verb === "steady-state") {
      visits.granted = undefined;
      this.#told.delete(actor);
      if (group === machine.group) this.#proofs.delete(actor);
    }
    return {
      verb,
      arrives: () => {
        if (verb === "pre-reboot") {
          visits.boots.add(boot);
          return () => {};
        }
        visits.settling++;
        visits.settled = true;
        let over = false;
        return () => {
          if (!over) visits.settling--;
          over = true;
        };
      },
      told: (kind) => {
        if (verb !== "pre-reboot" || kind !== "granted") return;
        if (again) this.#proofs.add(actor);
        visits.granted = boot;
        visits.told = true;
        this.#told.add(actor);
      },
    };
  }

  /** The document of a group as it lies in the store; one that cannot be read is a violation by itself. */
  document(group: string): Semaphore {
    const value = this.memory.read(semaphoreKey(group))?.value;
    if (value === undefined) return FRESH;
    const known = this.#documents.get(group);
    if (known?.value === value) return known.document;
    try {
      const document = parseSemaphore(value);
      this.#documents.set(group, { value, document });
      return document;
    } catch (error) {
      this.#violated("I7", `group ${group}: ${value} cannot be read: ${error}`);
      return FRESH;
    }
  }

  /** A process calls the reboot of its machine. `open`: whether its window is, by the clock of the machine. */
  rebootCalled(actor: Own, open: boolean): void {
    const { kind, machine, boot } = actor;
    this.exercised.I2++;
    const proven = this.#proofs.delete(actor) && boot === machine.boot;
    const document = this.document(machine.group);
    const byHand = document.holders.includes(machine.id) &&
      document.holds.get(machine.id)?.boot === undefined;
    if (!proven && !(kind === "person" && byHand)) {
      this.#violated("I2", `${machine.id} calls the reboot without a confirm of boot ${machine.boot}`);
    }
    if (kind === "person") return;
    this.exercised.I6++;
    if (!open) this.#violated("I6", `${machine.id} calls the reboot while its window is closed`);
    if (machine.config.care !== undefined) this.exercised.I8++;
    const fault = rebootFault(machine);
    if (fault !== undefined) this.#violated("I8", fault);
  }

  /** A machine goes down because it was told to. */
  goesDown(machine: Suspect): void {
    this.exercised.I1++;
    if (this.#forced.has(machine.id) || this.#isLoose(machine)) return;
    const { holders, holds } = this.document(machine.group);
    const { boot = machine.boot } = holds.get(machine.id) ?? {};
    if (!holders.includes(machine.id) || boot !== machine.boot) {
      this.#violated("I1", `${machine.id} reboots without a slot`);
    }
  }

  /** A process or a machine dies. */
  dies(machine: Suspect): void {
    if (this.document(machine.group).holders.includes(machine.id)) this.exercised.I4++;
  }

  #documentChanged(commit: Commit): void {
    const { actor, before, after } = commit;
    this.#unknownFields(commit);
    const added = after.holders.filter((id) => !before.holders.includes(id));
    const removed = before.holders.filter((id) => !after.holders.includes(id));
    const altered = after.holders.filter((id) =>
      before.holders.includes(id) && !same(before.holds.get(id), after.holds.get(id))
    );
    for (const id of added) this.#granted(commit, id);
    for (const id of removed) this.#released(commit, id);
    for (const id of altered) this.#confirmed(commit, id);
    if (actor.machine !== undefined && altered.length === 0) {
      this.#confirmedAgain(commit, actor.machine.id);
    }
    const byHand = before.max !== after.max || !same(before.paused, after.paused) ||
      !same(before.freezes, after.freezes);
    if (byHand && actor.kind !== "administrator") {
      this.#violated(
        "I4",
        `${nameOf(actor)} changed max, pause or freezes: ${show(before)} became ${show(after)}`,
      );
    }
    if (added.length + removed.length + altered.length > 1) {
      this.#violated(
        "I4",
        `${nameOf(actor)} did several things at once: ${show(before)} became ${show(after)}`,
      );
    }
  }

  #granted({ actor, group, before, after }: Commit, id: string): void {
    this.grants++;
    if (before.holders.length + 1 === before.max) this.exercised.I1++;
    if (before.holders.length >= before.max) {
      this.#violated("I1", `${nameOf(actor)} got ${id} a slot that was not free: ${show(before)}`);
    }
    const clock = this.clockOf(actor).latest;
    if (pauseInForce(pausesOf(before), clock) !== undefined) {
      this.#violated("I1", `${nameOf(actor)} got ${id} a slot of a paused group`);
    }
    if (pauseInForce(pausesOf(this.document(ALL_GROUPS)), clock) !== undefined) {
      this.#violated("I1", `${nameOf(actor)} got ${id} a slot while all groups are paused`);
    }
    this.#notFrozen(before, actor, `got ${id} a slot`);
    if (actor.machine !== undefined && actor.machine.id !== id) {
      this.#violated("I4", `${actor.machine.id} got a slot for ${id}`);
    }
    if (actor.machine !== undefined && after.holds.get(id)?.boot !== actor.boot) {
      this.#violated("I4", `${id} got a slot for another boot than its own, ${actor.boot}`);
    }
    const visits = this.#visits.get(visitKey(group, id));
    if (actor.kind === "server" && visits?.boots.has(after.holds.get(id)?.boot ?? "") !== true) {
      this.#violated("I4", `a server got ${id} a slot for a boot in which it did not ask`);
    }
    if (visits !== undefined) Object.assign(visits, { settled: false, told: false });
    this.#recorded(after, id, actor.kind === "administrator" || actor.kind === "person" ? "lock" : "grant");
    this.#forced.delete(id);
  }

  #notFrozen(before: Semaphore, actor: Actor, what: string): void {
    const { earliest, latest } = this.clockOf(actor);
    const freezes = [before, this.document(ALL_GROUPS)].flatMap(({ freezes = [] }) => freezes);
    if (
      freezes.some(({ from, until }) => Date.parse(from) + LATE_MS <= earliest && latest < Date.parse(until))
    ) {
      this.#violated("I6", `${nameOf(actor)} ${what} during a freeze`);
    }
  }

  #released({ actor, group, before, after }: Commit, id: string): void {
    this.releases++;
    this.exercised.I3++;
    const hold = before.holds.get(id);
    if (actor.kind === "administrator") {
      this.#forced.add(id);
      const machine = this.machineOf(id);
      if (machine?.goingDown === true) this.#loose.set(id, machine.boot);
      return this.#recorded(after, id, "unlock");
    }
    if (actor.kind === "server") return this.#returned(group, id, hold, after);
    if (actor.machine.id !== id) return this.#violated("I3", `${actor.machine.id} ended the hold of ${id}`);
    if (hold?.boot === undefined) return this.#violated("I3", `${id} ended a hold that was taken by hand`);
    if (hold.boot !== actor.boot) {
      if (actor.kind === "daemon") this.#proven(actor.machine, hold);
      return this.#recorded(after, id, "release");
    }
    const { machine } = actor;
    if (machine.boot === hold.boot && machine.goingDown && !this.#isLoose(machine)) {
      this.#violated("I3", `${id} gave its slot back, and a reboot may still come`);
    }
    this.#recorded(after, id, "cancel");
  }

  /** A server ended a hold because its holder said so. */
  #returned(group: string, id: string, hold: Hold | undefined, after: Semaphore): void {
    const visits = this.#visits.get(visitKey(group, id));
    // a grant of which its host never heard
    const takenBack = after.changed?.what === "cancel" && visits?.told === false;
    if (visits === undefined || !(visits.settled || visits.settling > 0 || takenBack)) {
      return this.#violated("I3", `a server ended the hold of ${id}, which had not asked for that`);
    }
    if (hold?.boot === undefined) {
      return this.#violated("I3", `a server ended the hold of ${id}, taken by hand`);
    }
    const machine = this.machineOf(id);
    if (machine !== undefined && machine.boot !== hold.boot) this.#proven(machine, hold);
    if (machine?.boot === hold.boot && machine.goingDown && !this.#isLoose(machine)) {
      this.#violated("I3", `${id} gave its slot back, and a reboot may still come`);
    }
    if (after.changed?.what !== "cancel") this.#recorded(after, id, "release");
  }

  /** A machine gives back a slot from before its boot. */
  #proven(machine: Suspect, hold: Hold): void {
    if (machine.config.care !== undefined) this.exercised.I8++;
    const fault = returnFault(machine, hold);
    if (fault !== undefined) this.#violated("I8", fault);
  }

  #confirmed({ actor, group, before, after }: Commit, id: string): void {
    if (after.changed?.what === "confirm") this.#notFrozen(before, actor, `confirmed the slot of ${id}`);
    const [was, is] = [before.holds.get(id), after.holds.get(id)];
    if (actor.kind === "daemon" && actor.machine.id === id && tellsHealth(actor.boot, was, is)) return;
    if (actor.kind === "server") {
      const { boot: _, ...rest } = unconfirmed(was);
      const { boot, ...others } = unconfirmed(is);
      const asked = boot !== undefined && this.#visits.get(visitKey(group, id))?.boots.has(boot) === true;
      if (asked && is?.phase === REBOOTING && same(rest, others)) return;
      return this.#violated("I4", `a server changed the hold of ${id}: ${show(was)} became ${show(is)}`);
    }
    const mine = actor.machine !== undefined && actor.machine.id === id && actor.boot === was?.boot;
    if (
      !mine || is?.phase !== REBOOTING ||
      !same(unconfirmed(was), unconfirmed(is))
    ) {
      return this.#violated(
        "I4",
        `${nameOf(actor)} changed the hold of ${id}: ${show(was)} became ${show(is)}`,
      );
    }
    this.#proofs.add(actor);
    this.#recorded(after, id, "confirm");
  }

  #isLoose({ id, boot }: Suspect): boolean {
    return this.#loose.get(id) === boot;
  }

  /** A machine that was not rebooted by the first call proves its hold a second time: nothing of it changes. */
  #confirmedAgain({ actor, before, after }: Commit, id: string): void {
    const hold = after.holds.get(id);
    if (actor.machine === undefined || hold?.phase !== REBOOTING || hold.boot !== actor.boot) return;
    if (after.changed?.what === "confirm" && same(before.holds.get(id), hold)) this.#proofs.add(actor);
  }

  #recorded(after: Semaphore, id: string, what: string): void {
    if (after.changed?.what === what && after.changed.machine === id) return;
    this.#violated("I3", `the ${what} of ${id} is recorded as ${show(after.changed)}`);
  }

  #unknownFields({ group, before, after }: Commit): void {
    // without any, what is written is what was read
    if (Object.keys(before.extra).length === 0) return;
    this.exercised.I7++;
    const [text, again] = [this.memory.read(semaphoreKey(group))?.value ?? "{}", serializeSemaphore(after)];
    // letter for letter, as a rule; else it may differ in order and space
    if (text !== again && !same(unchanged(text), unchanged(again))) {
      this.#violated("I7", `${text} was read and written as ${again}`);
    }
    if (!same(before.extra, after.extra)) {
      this.#violated("I7", `unknown fields: ${show(before.extra)} became ${show(after.extra)}`);
    }
  }

  /** Who got a slot was the first, or nobody was there. People pass over the line. */
  #order(
    { actor, group, before, after }: Commit,
    removed: readonly string[],
    hadPlace: boolean,
    first: string | undefined,
  ): void {
    const granted = after.holders.find((id) => !before.holders.includes(id));
    if (granted === undefined || actor.kind !== "daemon") return;
    if (first === undefined) return;
    this.exercised.I5++;
    if (!hadPlace || !removed.includes(first)) {
      this.#violated("I5", `${granted} got a slot of group ${group} while ${first} was the first in line`);
    }
    const left = this.memory.read(first);
    if (left !== null) this.#violated("I5", `${granted} got a slot and still has its place ${first}`);
  }

  #arrived(key: string): void {
    const rank = key.slice(0, key.lastIndexOf("/"));
    const arrivals = this.#arrivals.get(rank) ?? { keys: [], first: 0 };
    this.#arrivalOf.set(key, arrivals.keys.push(key) - 1);
    this.#arrivals.set(rank, arrivals);
  }

  /** The place that is the first of a group, by the order of arrival that the judge saw. */
  #firstInLine(group: string): string | undefined {
    const prefix = queuePrefix(group);
    // as the keys of their places are ordered
    const ranks = [...this.#arrivals.keys()].filter((rank) => rank.startsWith(prefix))
      .sort((a, b) => `${a}/` < `${b}/` ? -1 : 1);
    for (const rank of ranks) {
      const arrivals = this.#arrivals.get(rank);
      if (arrivals === undefined) continue;
      for (; arrivals.first < arrivals.keys.length; arrivals.first++) {
        const key = arrivals.keys[arrivals.first] ?? "";
        if (this.memory.read(key) !== null && this.#arrivalOf.get(key) === arrivals.first) return key;
      }
    }
    return undefined;
  }

  /** How many wait in a group. */
  waiting(group: string): number {
    return this.memory.view([{ range: queueRange(group) }]).found[0]?.length ?? 0;
  }

  #violated(invariant: Invariant, text: string): void {
    this.violations.push({ invariant, text });
  }
}

function visitKey(group: string, id: string): string {
  return `${group}\0${id}`;
}

function unconfirmed(hold: Hold | undefined): Omit<Hold, "phase" | "confirm"> {
  const { phase: _, confirm: __, ...rest } = hold ?? { extra: {} };
  return rest;
}

/** A document without what was changed last. */
function unchanged(text: string): unknown {
  const { changed: _, ...rest } = JSON.parse(text);
  return rest;
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, inner) => inner instanceof Map ? Object.fromEntries(inner) : inner) ??
    "nothing";
}

/** A freeze is looked at by itself. */
function pausesOf({ paused }: Semaphore): Pick<Semaphore, "paused"> {
  return paused === undefined ? {} : { paused };
}
