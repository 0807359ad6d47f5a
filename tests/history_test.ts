/**
 * The past of a group, told from its documents: those that the lock commits, and those that other programs write. What
 * the command prints is in cli/history.txt; here is what a real etcd drops, and whom it lets look.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { startEtcd } from "./support/etcd.ts";
import { CACHE_DIR, locksmith } from "./support/executable.ts";
import { eventsSince, type PastEvent, pastEvents, withEventsOfAll } from "../lib/history.ts";
import { historyText } from "../lib/cli/history_command.ts";
import { historyReport, readHistory } from "../lib/group_history.ts";
import { semaphoreKey } from "../lib/group.ts";
import { Lock } from "../lib/lock.ts";
import { parseSemaphore } from "../lib/document.ts";
import type { PastChange } from "../lib/store.ts";
import { Memory, openMemory } from "../lib/simulation/memory.ts";
import { REAL } from "../lib/surroundings.ts";
import { Waiter } from "../lib/waiter.ts";

const KEY = semaphoreKey("");
const START_MS = Date.parse("2026-05-21T23:00:00Z");

/** A group whose clock moves on by a second with every look at it. */
class Group {
  readonly memory = new Memory();
  #seconds = 0;

  lock(by: string): Lock {
    const now = () => START_MS + 1000 * this.#seconds++;
    return new Lock(openMemory(this.memory), "", { ...REAL, now }, by);
  }

  /** Puts a text into the key past the rules, as another program would. */
  write(value: string): void {
    this.memory.commit({ expect: [], put: [{ key: KEY, value }] });
  }

  document(): Record<string, unknown> {
    return JSON.parse(this.memory.read(KEY)?.value ?? "{}");
  }

  /** The events without their revisions. */
  events(): Omit<PastEvent, "revision">[] {
    const { changes, complete } = this.memory.history(KEY);
    return pastEvents(changes, complete).map(({ revision: _, ...event }) => event);
  }
}

const time = (second: number) => new Date(START_MS + 1000 * second).toISOString();

Deno.test("a reboot is told from its grant over its confirm to its release, with machine, host and reason", async () => {
  const group = new Group();
  const lock = group.lock("locksmithd");
  const hold = { host: "web1", boot: "b1", by: "locksmithd", reason: "new kernel", grant: "g1", extra: {} };
  const news: string[] = [];
  const machine = { id: "A", bootId: "b1", hostname: "web1" };
  const request = { waits: machine, hold, priority: 0, overdueMs: 3_600_000, lookMs: 300_000 };
  await new Waiter(lock, request, ({ kind }) => news.push(kind)).start();
  assertEquals(news, ["granted"]);
  await lock.confirm({ holder: "A", boot: "b1", grant: "g1" }, "m1");
  await lock.release({ ...machine, bootId: "b2" });
  const told = group.events();
  const of = { by: "locksmithd", machine: "A", host: "web1" };
  assertEquals(told.map(({ at: _, ...event }) => event), [
    { what: "grant", ...of, reason: "new kernel" },
    { what: "confirm", ...of },
    { what: "release", ...of },
  ]);
  const times = told.map(({ at = "" }) => at);
  assertEquals(times, times.toSorted());
  assertEquals(new Set(times).size, 3);
});

Deno.test("what an administrator does is told as such: lock, unlock, set-max, pause, resume, repair", async () => {
  const group = new Group();
  const lock = group.lock("anna@desk");
  await lock.setMax(2);
  await lock.acquire("A", { grant: "g1", by: "anna@desk", reason: "disk swap", extra: {} });
  await lock.pause({ by: "anna@desk", since: time(3), reason: "storage", extra: {} });
  await lock.resume();
  await lock.unlock("A");
  await lock.replace(await lock.entry(), parseSemaphore('{"semaphore":2,"max":2,"holders":[]}'));
  assertEquals(group.events().map(({ at: _, ...event }) => event), [
    { what: "set-max", by: "anna@desk", max: 2, oldMax: 1 },
    { what: "lock", by: "anna@desk", machine: "A", reason: "disk swap" },
    { what: "pause", by: "anna@desk", reason: "storage" },
    { what: "resume", by: "anna@desk" },
    { what: "unlock", by: "anna@desk", machine: "A" },
    { what: "repair", by: "anna@desk" },
  ]);
});

Deno.test("a grant that was cancelled, and one that never came to be, are told as cancelled", async () => {
  const group = new Group();
  const lock = group.lock("locksmithd");
  await lock.acquire("A", { boot: "b1", grant: "g1", extra: {} });
  await lock.cancel({ holder: "A", boot: "b1", grant: "g1" });
  await lock.cancel({ holder: "B", boot: "b1", grant: "g2" }, { fence: true });
  assertEquals(group.events().map(({ what, machine }) => [what, machine]), [
    ["grant", "A"],
    ["cancel", "A"],
    ["cancel", "B"],
  ]);
});

Deno.test("a max that is set once more to what it is, on a key that is new, is told", async () => {
  const group = new Group();
  await group.lock("anna@desk").setMax(1);
  assertEquals(group.events(), [{ what: "set-max", at: time(0), by: "anna@desk", max: 1, oldMax: 1 }]);
});

Deno.test("the documents of a program without the field changed are told, their time and author unknown", () => {
  const group = new Group();
  group.write('{"semaphore":1,"max":1,"holders":[]}');
  group.write('{"semaphore":0,"max":1,"holders":["A"]}');
  group.write('{"semaphore":1,"max":3,"holders":["B","C"]}');
  group.write('{"semaphore":1,"max":3,"holders":["B","C"],"rack":7}');
  assertEquals(group.events(), [
    { what: "edited" },
    { what: "lock", machine: "A" },
    { what: "ended", machine: "A" },
    { what: "lock", machine: "B" },
    { what: "lock", machine: "C" },
    { what: "set-max", max: 3, oldMax: 1 },
    { what: "edited" },
  ]);
});

Deno.test("a hold that an older version recorded gives its own time and author, and those of its pause", () => {
  const group = new Group();
  const since = time(0);
  const holds = { A: { host: "web1", boot: "b1", since, by: "locksmithd", phase: "granted" } };
  group.write(JSON.stringify({ semaphore: 0, max: 1, holders: ["A"], holds }));
  const paused = { since: time(9), by: "anna@desk", reason: "storage" };
  group.write(JSON.stringify({ semaphore: 0, max: 1, holders: ["A"], holds, paused }));
  assertEquals(group.events(), [
    { what: "grant", at: since, by: "locksmithd", machine: "A", host: "web1" },
    { what: "pause", at: time(9), by: "anna@desk", reason: "storage" },
  ]);
});

Deno.test("a program that carries the field changed along does not put its deed down to whoever stands in it", async () => {
  const group = new Group();
  await group.lock("anna@desk").acquire("A", { grant: "g1", extra: {} });
  group.write(JSON.stringify({ ...group.document(), semaphore: 1, holders: [], holds: {} }));
  group.write(JSON.stringify({ ...group.document(), semaphore: 3, max: 3 }));
  assertEquals(group.events(), [
    { what: "lock", at: time(1), by: "anna@desk", machine: "A" },
    { what: "ended", machine: "A" },
    { what: "set-max", max: 3, oldMax: 1 },
  ]);
});

Deno.test("one commit that does more than it says is told in full, by the one who made it", () => {
  const group = new Group();
  const changed = { at: time(5), by: "anna@desk", what: "unlock", machine: "A" };
  group.write('{"semaphore":0,"max":2,"holders":["A","B"]}');
  group.write(JSON.stringify({ semaphore: 2, max: 2, holders: [], changed }));
  assertEquals(group.events().slice(-2), [
    { what: "unlock", at: time(5), by: "anna@desk", machine: "A" },
    { what: "ended", at: time(5), by: "anna@desk", machine: "B" },
  ]);
});

Deno.test("a slot that passed from one grant of a machine to its next in one commit ended and was granted", () => {
  const group = new Group();
  const document = (grant: string, boot: string) =>
    JSON.stringify({ semaphore: 0, max: 1, holders: ["A"], holds: { A: { boot, grant, host: "web1" } } });
  group.write(document("g1", "b1"));
  group.write(document("g2", "b2"));
  const of = { machine: "A", host: "web1" };
  assertEquals(group.events(), [
    { what: "grant", ...of },
    { what: "ended", ...of },
    { what: "grant", ...of },
  ]);
});

Deno.test("a document in between that cannot be read is an event, and what it hid is told when it is mended", async () => {
  const group = new Group();
  const lock = group.lock("anna@desk");
  await lock.acquire("A", { grant: "g1", extra: {} });
  group.write("garbage");
  await lock.replace(await lock.entry(), parseSemaphore('{"semaphore":1,"max":1,"holders":[]}'));
  const [first, broken, mended, ended, ...rest] = group.events();
  assertEquals([first?.what, broken?.what, rest], ["lock", "unreadable", []]);
  assertEquals(broken?.fault?.startsWith("it is not JSON ("), true, broken?.fault);
  assertEquals([mended, ended], [
    { what: "repair", at: time(2), by: "anna@desk" },
    { what: "ended", at: time(2), by: "anna@desk", machine: "A" },
  ]);
});

Deno.test("a key that was removed begins anew", async () => {
  const group = new Group();
  const lock = group.lock("anna@desk");
  await lock.acquire("A", { grant: "g1", extra: {} });
  group.memory.commit({ expect: [], put: [], remove: [KEY] });
  await lock.acquire("B", { grant: "g2", extra: {} });
  assertEquals(group.events().map(({ what, machine }) => [what, machine]), [
    ["lock", "A"],
    ["removed", undefined],
    ["lock", "B"],
  ]);
});

Deno.test("what a newer version records is told by its name", () => {
  const group = new Group();
  const changed = { at: time(5), by: "locksmithd", what: "drain", machine: "A", reason: "rack 7" };
  group.write(JSON.stringify({ semaphore: 1, max: 1, holders: [], changed }));
  assertEquals(group.events(), [
    { what: "drain", at: time(5), by: "locksmithd", machine: "A", reason: "rack 7" },
  ]);
});

Deno.test("where the beginning is dropped, the oldest document tells what it says of itself and no more", async () => {
  const group = new Group();
  const lock = group.lock("anna@desk");
  await lock.setMax(2);
  await lock.acquire("A", { grant: "g1", extra: {} });
  await lock.acquire("B", { grant: "g2", extra: {} });
  group.memory.compact();
  await lock.unlock("A");
  const { changes, complete } = group.memory.history(KEY);
  assertEquals(complete, false);
  const events = pastEvents(changes, complete);
  assertEquals(events.map(({ what, machine }) => [what, machine]), [["lock", "B"], ["unlock", "A"]]);
  const text = historyText(historyReport("", { changes, complete }, events, events));
  assertEquals(
    text.split("\n")[0],
    `Known: from revision 3, ${events[0]?.at}; the store has dropped what came before`,
  );
});

Deno.test("of a large group the newest events are read, and more where somebody wants to go further back", async () => {
  const group = new Group();
  const ballast = "x".repeat(1024 * 1024);
  for (let turn = 0; turn < 80; turn++) {
    const changed = { at: time(turn), by: "anna@desk", what: "set-max" };
    group.write(JSON.stringify({ semaphore: turn, max: turn, holders: [], changed, ballast }));
  }
  const store = openMemory(group.memory);
  const read = async (since?: number) => {
    const { past, events } = await readHistory(store, "", since);
    return { report: historyReport("", past, events, events), times: events.map(({ at }) => at) };
  };
  const soon = await read();
  assertEquals(soon.times, Array.from({ length: 16 }, (_, index) => time(64 + index)));
  assertEquals([soon.report.complete, soon.report.leftOut], [false, true]);
  assertEquals(
    historyText(soon.report).split("\n")[0],
    `Known: from revision 65, ${time(64)}; what came before was not read, --since TIME reads it`,
  );
  assertEquals((await read(START_MS + 40_000)).times.length, 64);
  const all = await read(START_MS);
  assertEquals([all.times.length, all.report.complete, all.report.leftOut], [80, true, undefined]);
});

Deno.test("an oldest document that says nothing of itself is what the others are compared to", () => {
  const entry = (revision: string, value: string): PastChange => ({
    revision,
    entry: { key: KEY, value, revision, created: "1" },
  });
  const changes = [
    entry("7", '{"semaphore":0,"max":1,"holders":["A"]}'),
    entry("9", '{"semaphore":1,"max":1,"holders":[]}'),
  ];
  const events = pastEvents(changes, false);
  assertEquals(events, [{ revision: "9", what: "ended", machine: "A" }]);
  assertEquals(
    historyText(historyReport("web", { changes, complete: false }, events, events)),
    `Known: from revision 7; the store has dropped what came before

TIME  WHAT   MACHINE ID  HOST  BY  REASON
-     ended  A           -     -   -
`,
  );
});

Deno.test("eventsSince() keeps what is later, and what may be", () => {
  const event = (revision: string, at?: string): PastEvent => ({
    revision,
    what: "lock",
    ...(at === undefined ? {} : { at }),
  });
  const events = [event("1"), event("2", time(1)), event("3"), event("4", time(3)), event("5")];
  const since = (ms: number) => eventsSince(events, ms).map(({ revision }) => revision);
  assertEquals(since(START_MS + 3_000), ["3", "4", "5"]);
  assertEquals(since(START_MS + 3_001), ["5"]);
  assertEquals(since(START_MS), ["1", "2", "3", "4", "5"]);
});

Deno.test("a group without a past says so, and whether there was one", () => {
  const text = (complete: boolean) => historyText(historyReport("", { changes: [], complete }, [], []));
  assertEquals(text(true), "Known: from the beginning\n");
  assertEquals(text(false), "Known: nothing, the store has dropped it\n");
});

Deno.test("nothing that stands in a document steers the terminal of who reads its history", () => {
  const changed = { at: time(0), by: "a\u001b[2Jb", what: "x\ny", reason: "\u0007" };
  const changes = [{
    revision: "1",
    entry: {
      key: KEY,
      value: JSON.stringify({ semaphore: 1, max: 1, holders: [], changed }),
      revision: "1",
      created: "1",
    },
  }];
  const events = pastEvents(changes, true);
  const [, , , line] = historyText(historyReport("", { changes, complete: true }, events, events)).split(
    "\n",
  );
  assertEquals(line, `${time(0)}  x y   -           -     a\\u001b[2Jb  \\u0007`);
});

async function run(...words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await new Deno.Command(await locksmith(), {
    args: words,
    clearEnv: true,
    env: { LOCKSMITH_CACHE_DIR: CACHE_DIR, USER: "admin" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals([code, text(stderr)], [0, ""]);
  return text(stdout).split("\n");
}

Deno.test("after a compaction of etcd history says from when on it knows, and tells the rest", async () => {
  await using etcd = await startEtcd();
  const at = ["--endpoint", etcd.endpoint];
  await run("set-max", "2", ...at);
  await run("lock", "A", ...at);
  const { oldest, events } = JSON.parse((await run("history", "--json", ...at)).join(""));
  const { revision, at: time } = events[1];
  assertEquals(oldest.revision, events[0].revision);
  await etcd.ctl("compact", revision);
  await run("unlock", "A", ...at);
  const [known, empty, , ...rows] = await run("history", ...at);
  assertEquals(known, `Known: from revision ${revision}, ${time}; the store has dropped what came before`);
  assertEquals([empty, rows.map((row) => row.split(/ {2,}/).slice(1, 3))], [
    "",
    [["lock", "A"], ["unlock", "A"], []],
  ]);
});

Deno.test("history writes nothing, and a user who may read etcd alone can see it", async () => {
  await using etcd = await startEtcd({ users: true });
  await etcd.ctl("put", KEY, '{"semaphore":0,"max":1,"holders":["A"]}');
  const user = ["--etcd-username", "reader", "--etcd-password", "reader-secret"];
  const as = ["--endpoint", etcd.endpoint, ...user];
  const lines = await run("history", ...as);
  assertMatch(lines[3] ?? "", /^- +lock +A +- +- +-$/);
  assertEquals(await run("history", ...as), lines);
});

Deno.test("what an administrator does is told with the reason that was given, and a pause with its end", async () => {
  const group = new Group();
  const lock = group.lock("anna@desk");
  await lock.setMax(2, "two racks");
  await lock.acquire("A", { grant: "g1", extra: {} });
  await lock.unlock("A", "gone for good");
  await lock.pause({ reason: "storage", until: time(3_600), extra: {} });
  await lock.resume("storage is back");
  assertEquals(group.events().map(({ what, reason, until }) => [what, reason, until]), [
    ["set-max", "two racks", undefined],
    ["lock", undefined, undefined],
    ["unlock", "gone for good", undefined],
    ["pause", "storage", time(3_600)],
    ["resume", "storage is back", undefined],
  ]);
});

Deno.test("pauses of all groups stand among the events of a group, in the order of the commits", () => {
  const event = (revision: string, what: string): PastEvent => ({ revision, what });
  const told = withEventsOfAll(
    [event("9", "lock"), event("12", "unlock")],
    [event("8", "pause"), event("11", "resume")],
  );
  assertEquals(told.map(({ what }) => what), ["pause-all", "lock", "resume-all", "unlock"]);
});
