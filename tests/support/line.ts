/**
 * A group's line in virtual time: the store, an administrator who needs no connection, and the machines that wait.
 * Everything that ever was in the document is looked at: nobody may be granted a slot that is not there.
 */

import { assert } from "@std/assert";
import { describeWait, type WaitDescription } from "../../lib/description.ts";
import { ALL_KEY } from "../../lib/group.ts";
import { Lock } from "../../lib/lock.ts";
import { type Place, queueRange, readQueue } from "../../lib/queue.ts";
import {
  FRESH,
  GRANTED,
  type Hold,
  type NewHold,
  type Pause,
  type Semaphore,
  SemaphoreError,
  unlock,
} from "../../lib/semaphore.ts";
import { Memory } from "../../lib/simulation/memory.ts";
import { exactly } from "../../lib/store.ts";
import { Waiter } from "../../lib/waiter.ts";
import { BEGIN_MS, Connection, Virtual } from "./virtual.ts";
import { parseSemaphore, serializeSemaphore } from "../../lib/document.ts";
import { LOOK_INTERVAL_MS, type WaitNews, type WaitRequest } from "../../lib/wait.ts";

export const GROUP = "web";
export const HOUR_MS = 3_600_000;
/** What is to happen at once has happened after this. */
export const SOON_MS = 50;
/** The longest that a waiter relies on a watch, with the chance of the tests. */
export const LOOK_MS = LOOK_INTERVAL_MS * 1.25;
/** What the first in line says of a group whose only slot is held. */
export const FULL = "first in line, all slots are held (available: 0)";
/** What everybody else in line says. */
export const BEHIND = "in line behind another machine";

/** A hold that somebody took by hand, at the beginning of time. */
export const BY_HAND: Hold = {
  since: new Date(BEGIN_MS).toISOString(),
  by: "anna@desk",
  reason: "a new disk",
  grant: "by hand",
  extra: {},
};

export class Line {
  readonly memory = new Memory();
  readonly members: Member[] = [];
  /** Who was granted a slot, in this order, by the document. */
  readonly granted: string[] = [];
  /** How many commits changed the document. */
  changes = 0;
  readonly key: string;

  constructor(readonly time: Virtual = new Virtual()) {
    this.key = new Lock(new Connection(this.memory, time), GROUP, time, "the test").key;
    let before: Semaphore = FRESH;
    this.memory.watch(exactly(this.key), (change) => {
      if (change.kind !== "changed" || change.entry === null) return;
      this.changes++;
      const now = readable(change.entry.value);
      if (now === undefined) return;
      const fresh = now.holders.filter((id) => !before.holders.includes(id));
      assert(fresh.length === 0 || now.holders.length <= now.max, `${now.holders.length} hold ${now.max}`);
      this.granted.push(...fresh);
      before = now;
    }, "0");
  }

  get semaphore(): Semaphore {
    const entry = this.memory.read(this.key);
    return entry === null ? FRESH : parseSemaphore(entry.value);
  }

  /** The places in line, the first first. */
  get places(): Place[] {
    const [entries = []] = this.memory.view([{ range: queueRange(GROUP) }]).found;
    return readQueue(GROUP, entries);
  }

  /** The machines in line, the first first. */
  get queue(): string[] {
    return this.places.map(({ machine }) => machine);
  }

  /** An administrator changes the document. */
  change(rule: (semaphore: Semaphore) => Semaphore): void {
    this.write(serializeSemaphore(rule(this.semaphore)));
  }

  /** Puts a text into the key of the document, sound or not. */
  write(value: string): void {
    this.memory.commit({ expect: [], put: [{ key: this.key, value }] });
  }

  hold(id: string, hold: Hold = BY_HAND): void {
    this.change((semaphore) => ({
      ...semaphore,
      holders: [...semaphore.holders, id].sort(),
      holds: new Map(semaphore.holds).set(id, hold),
    }));
  }

  unlock(id: string): void {
    this.change((semaphore) => {
      const decision = unlock(semaphore, id);
      assert(decision.kind === "released", `${id} holds no slot`);
      return decision.next;
    });
  }

  /** Writes the document as it is: who read it before loses the swap. */
  touch(): void {
    this.change((semaphore) => semaphore);
  }

  setMax(max: number): void {
    this.change((semaphore) => ({ ...semaphore, max }));
  }

  member(id: string, request: Partial<WaitRequest> = {}): Member {
    const member = new Member(this, id, request);
    this.members.push(member);
    return member;
  }

  /** Members that have taken their places, in this order: one for each id. */
  async lined<const Ids extends readonly string[]>(...ids: Ids): Promise<{ [Id in keyof Ids]: Member }>;
  async lined(...ids: string[]): Promise<Member[]> {
    const members: Member[] = [];
    for (const id of ids) {
      members.push(this.member(id).start());
      await this.time.advance(10);
    }
    return members;
  }

  /** A machine that was just granted a slot, and its proof; what that asked of the store is not counted. */
  async grantTo(id: string) {
    const member = this.member(id).start();
    await this.time.advance(10);
    assert(member.last === "granted", `${id} is ${member.last}`);
    member.store.takeCalls();
    const { lock, store, grant } = member;
    return { lock, store, proof: { holder: id, boot: `boot of ${id}`, grant } };
  }

  /** An administrator pauses all groups, or resumes them where nothing is said. */
  pauseAll(paused?: Pause): void {
    const value = serializeSemaphore({ ...FRESH, ...(paused === undefined ? {} : { paused }) });
    this.memory.commit({ expect: [], put: [{ key: ALL_KEY, value }] });
  }

  /** A lock on the group for whoever makes changes, and what it asks of the store. */
  client(by = "anna@desk"): { readonly lock: Lock; readonly store: Connection } {
    const store = new Connection(this.memory, this.time);
    return { lock: new Lock(store, GROUP, this.time, by), store };
  }
}

/** `undefined`: somebody wrote what is no semaphore. */
function readable(text: string): Semaphore | undefined {
  try {
    return parseSemaphore(text);
  } catch (error) {
    if (error instanceof SemaphoreError) return undefined;
    throw error;
  }
}

let requests = 0;

/** A machine that waits for a slot. */
export class Member {
  readonly store: Connection;
  readonly lock: Lock;
  readonly waiter: Waiter;
  readonly news: WaitNews[] = [];
  readonly grant: string;
  /** Rejects for a bug. */
  ended: Promise<void> | undefined;

  constructor(readonly line: Line, readonly id: string, request: Partial<WaitRequest>) {
    this.store = new Connection(line.memory, line.time);
    this.lock = new Lock(this.store, GROUP, line.time, "locksmithd");
    const hold = request.hold ?? daemonHold(id);
    this.grant = hold.grant;
    const { boot: bootId, host: hostname = "" } = hold;
    this.waiter = new Waiter(this.lock, {
      waits: bootId === undefined ? { id } : { id, bootId, hostname },
      priority: 0,
      overdueMs: HOUR_MS,
      lookMs: LOOK_INTERVAL_MS,
      ...request,
      hold,
    }, (news) => this.news.push(news));
  }

  start(): this {
    this.ended = this.waiter.start();
    return this;
  }

  /** What it told last: `granted`, `left`, or why it waits, without what changes meanwhile. */
  get last(): string {
    const news = this.news.at(-1);
    return news === undefined
      ? ""
      : news.kind === "waiting" || news.kind === "failing"
      ? this.describe(news).why
      : news.kind;
  }

  /** The same with all that it would be told with. */
  get told(): string {
    const news = this.news.at(-1);
    if (news?.kind !== "waiting" && news?.kind !== "failing") return this.last;
    const { level, why, details } = this.describe(news);
    return `${level}: ${why}${details}`;
  }

  private describe(news: Parameters<typeof describeWait>[0]): WaitDescription {
    const waits = { id: this.id, group: GROUP };
    return describeWait(news, waits, { now: this.line.time.now(), zone: "Europe/Berlin" });
  }

  /** Its machine boots anew, and gives the slot back. */
  done(): void {
    this.line.unlock(this.id);
  }

  /** It loses its power. */
  die(): void {
    this.store.dead = true;
  }
}

/** What a daemon asks to be recorded. */
export function daemonHold(id: string, boot = `boot of ${id}`): NewHold {
  return {
    host: `host ${id}`,
    boot,
    by: "locksmithd",
    reason: "a new kernel",
    phase: GRANTED,
    grant: `g${++requests}`,
    extra: {},
  };
}
