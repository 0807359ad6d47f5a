/**
 * What really happened to a group in etcd, revision by revision, and whether it may have happened: seen from outside, by
 * etcd's own JSON interface, and held to the machines' own record of when they were down.
 */

import { FRESH, GRANTED, type Hold, REBOOTING, type Semaphore } from "../../lib/semaphore.ts";
import { groupOfKey, queuePrefix, semaphoreKey } from "../../lib/group.ts";
import { readQueue } from "../../lib/queue.ts";
import { mostAtOnce, type Outage } from "../demo/judge.ts";
import type { EtcdServer } from "./etcd.ts";
import { parseSemaphore } from "../../lib/document.ts";

/** How long one question to one member may take. */
const ASK_MS = 3_000;
const ROUNDS_MAX = 10;

/** A group as one revision of etcd has it. */
export interface Snapshot {
  readonly revision: number;
  readonly semaphore: Semaphore;
  /** The machines in line, the first first. */
  readonly line: readonly string[];
}

/** A machine was down, and came back under another boot. */
export interface Reboot extends Outage {
  /** The boot that ended. */
  readonly boot: string;
}

interface RangeAnswer {
  readonly header: { readonly revision: string };
  readonly kvs?: readonly {
    readonly key: string;
    readonly value?: string;
    readonly mod_revision: string;
    readonly create_revision: string;
  }[];
}

/** Keeps the history of a group. What etcd drops is to be read before. */
export class Chronicle {
  readonly snapshots: Snapshot[] = [];
  #read = 0;
  #keys = 0;

  private constructor(private readonly members: readonly EtcdServer[], private readonly group: string) {}

  /** Begins with what there is now: of a group that nobody used yet, nothing. */
  static async begin(members: readonly EtcdServer[], group: string): Promise<Chronicle> {
    const chronicle = new Chronicle(members, group);
    const now = await chronicle.#range();
    chronicle.#read = Number(now.header.revision);
    chronicle.#keep(now, chronicle.#read);
    return chronicle;
  }

  /** Reads what is new, and returns the last revision there is. */
  async read(): Promise<number> {
    const last = Number((await this.#range()).header.revision);
    for (; this.#read < last; this.#read++) this.#add(await this.#range(this.#read + 1), this.#read + 1);
    return last;
  }

  /** Reads what is new, and has etcd drop what was before. */
  async compact(): Promise<void> {
    const revision = await this.read();
    await this.#ask("kv/compaction", { revision: String(revision), physical: true });
  }

  /** The outcome of `work`; if it fails, with what the store held then. */
  async telling<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new Error(`${text}\nthe store: ${await this.#now()}`, { cause: error });
    }
  }

  async #now(): Promise<string> {
    try {
      await this.read();
    } catch (error) {
      return `etcd cannot be asked: ${error}`;
    }
    const { revision, semaphore: { max, holders, holds }, line } = this.last;
    const held = holders.map((id) => `${id} (${holds.get(id)?.phase ?? "by hand"})`);
    return `revision ${revision}, max ${max}, held by ${held.join(", ") || "nobody"}, in line ${
      line.join(", ") || "nobody"
    }`;
  }

  get last(): Snapshot {
    return this.snapshots.at(-1) ?? { revision: 0, semaphore: FRESH, line: [] };
  }

  #add(answer: RangeAnswer, revision: number): void {
    const { kvs = [] } = answer;
    // most revisions of a shared etcd are of other groups
    if (!kvs.some((kv) => Number(kv.mod_revision) === revision) && kvs.length === this.#keys) return;
    this.#keep(answer, revision);
  }

  #keep({ kvs = [] }: RangeAnswer, revision: number): void {
    this.#keys = kvs.length;
    const entries = kvs.map((kv) => ({
      key: decoded(kv.key),
      value: decoded(kv.value ?? ""),
      revision: kv.mod_revision,
      created: kv.create_revision,
    }));
    const document = entries.find(({ key }) => groupOfKey(key) === this.group);
    this.snapshots.push({
      revision,
      semaphore: document === undefined ? FRESH : parseSemaphore(document.value),
      line: readQueue(this.group, entries).map(({ machine }) => machine),
    });
  }

  #range(revision?: number): Promise<RangeAnswer> {
    const folder = semaphoreKey(this.group).replace(/semaphore$/, "");
    if (!queuePrefix(this.group).startsWith(folder)) throw new Error("the queue lies elsewhere");
    return this.#ask("kv/range", {
      key: encoded(folder),
      range_end: encoded(folder.replace(/\/$/, "0")),
      ...(revision === undefined ? {} : { revision: String(revision) }),
    });
  }

  /** Asks one member after the other. */
  async #ask<Answer>(what: string, question: Record<string, unknown>): Promise<Answer> {
    let cause: unknown;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      for (const { endpoint } of this.members) {
        try {
          const response = await fetch(`${endpoint}/v3/${what}`, {
            method: "POST",
            body: JSON.stringify(question),
            signal: AbortSignal.timeout(ASK_MS),
          });
          const answer = await response.json();
          if (response.ok) return answer;
          cause = JSON.stringify(answer);
        } catch (error) {
          cause = error;
        }
      }
    }
    throw new Error(`no member of etcd answers ${what} ${JSON.stringify(question)}: ${cause}`);
  }
}

function encoded(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

function decoded(base64: string): string {
  return new TextDecoder().decode(Uint8Array.fromBase64(base64));
}

/** What must not have happened, and did: nothing, if all is well. Reboots are what the machines recorded themselves. */
export function violations(snapshots: readonly Snapshot[], reboots: readonly Reboot[]): string[] {
  const found = snapshots.flatMap((after, index) => {
    const before = snapshots[index - 1];
    return before === undefined
      ? []
      : step(before, after, reboots).map((text) => `revision ${after.revision}: ${text}`);
  });
  const max = Math.max(...snapshots.map(({ semaphore }) => semaphore.max));
  const most = mostAtOnce(reboots, []);
  if (most > max) found.push(`${most} machines were down at once, where ${max} may`);
  const last = snapshots.at(-1);
  if (last && last.semaphore.holders.length > 0) found.push(`held for ever by ${last.semaphore.holders}`);
  if (last && last.line.length > 0) found.push(`still in line: ${last.line}`);
  return [...found, ...reboots.flatMap((reboot) => covered(snapshots, reboot))];
}

/** How often each machine was granted a slot in line or at once; not by hand. */
export function grants(snapshots: readonly Snapshot[]): string[] {
  return snapshots.flatMap(({ semaphore: { holders, changed } }, index) => {
    const before = snapshots[index - 1]?.semaphore.holders ?? [];
    return changed?.what === "grant" ? holders.filter((id) => !before.includes(id)) : [];
  });
}

function step(before: Snapshot, after: Snapshot, reboots: readonly Reboot[]): string[] {
  const [was, is] = [before.semaphore, after.semaphore];
  const found: string[] = [];
  for (const id of is.holders.filter((id) => !was.holders.includes(id))) {
    if (was.holders.length >= was.max) found.push(`${id} got a slot, and none was free`);
    if (was.paused) found.push(`${id} got a slot of a paused group`);
    if (is.changed?.machine !== id) {
      found.push(`the grant of ${id} is recorded as one of ${is.changed?.machine}`);
    }
    if (is.changed?.what !== "grant") continue;
    const [first = id] = before.line;
    if (first !== id) found.push(`${id} got a slot, and ${first} was the first in line`);
    if (after.line.includes(id)) found.push(`${id} got a slot, and still stands in line`);
    if (is.holds.get(id)?.phase !== GRANTED) {
      found.push(`${id} is ${is.holds.get(id)?.phase} when it is granted`);
    }
  }
  for (const id of was.holders.filter((id) => !is.holders.includes(id))) {
    const { what, machine, at = "" } = is.changed ?? {};
    const hold = was.holds.get(id);
    if (machine !== id) found.push(`the hold of ${id} is gone, and recorded is ${what} of ${machine}`);
    const reboot = reboots.find((reboot) => reboot.machine === id && reboot.boot === hold?.boot);
    if (what === "unlock" || (what === "cancel" && reboot === undefined)) continue;
    if (what !== "release") found.push(`the hold of ${id} ended by ${what}`);
    else if (reboot === undefined) found.push(`${id} gave back a slot of a boot that never ended`);
    else if (Date.parse(at) < reboot.toMs) found.push(`${id} gave its slot back before it was up again`);
  }
  for (const id of is.holders.filter((id) => was.holders.includes(id))) {
    const [then, now] = [was.holds.get(id), is.holds.get(id)];
    const { what = "", machine } = is.changed ?? {};
    const told = machine === id && ["back", "unhealthy"].includes(what);
    const essence = (hold: Hold | undefined) => JSON.stringify(told ? untold(hold) : unconfirmed(hold));
    const same = essence(then) === essence(now);
    const confirmed = now?.phase === REBOOTING && is.changed?.what === "confirm" && is.changed.machine === id;
    if (!same || (then?.phase !== now?.phase && !confirmed)) {
      found.push(`the hold of ${id} became another one`);
    }
  }
  return found;
}

/** A machine goes down only under a hold of its own, of that boot, that was confirmed before. */
function covered(snapshots: readonly Snapshot[], { machine, boot, fromMs }: Reboot): string[] {
  const confirmed = snapshots.some(({ semaphore: { holds, changed } }) => {
    const hold = holds.get(machine);
    return hold?.boot === boot && hold.phase === REBOOTING && changed?.what === "confirm" &&
      changed.machine === machine && Date.parse(changed.at ?? "") <= fromMs;
  });
  return confirmed ? [] : [`${machine} went down in boot ${boot} without a confirmed slot`];
}

/** A hold without what a confirm changes. */
function unconfirmed(hold: Hold | undefined): Omit<Hold, "phase" | "confirm"> {
  const { phase: _, confirm: __, ...rest } = hold ?? { extra: {} };
  return rest;
}

/** A hold without what its machine tells after its boot. */
function untold(hold: Hold | undefined): Omit<Hold, "phase" | "confirm" | "back" | "trouble"> {
  const { back: _, trouble: __, ...rest } = unconfirmed(hold);
  return rest;
}
