import { assertEquals } from "@std/assert";
import { gateAt, openingsOf } from "../lib/schedule.ts";
import { Line } from "../lib/line.ts";
import {
  afterIdling,
  budgetLastsMs,
  comesBefore,
  FULL_BUDGET,
  isDue,
  mayReturn,
  nobodyBefore,
  PASSED_AGE_MS,
  PASSED_LIMIT,
} from "../lib/polling.ts";
import { KEPT, placeKey, rankedKey, readQueue, serializePlace } from "../lib/queue.ts";
import { FRESH } from "../lib/semaphore.ts";
import { Memory } from "../lib/simulation/memory.ts";
import { parseWindow } from "../lib/window.ts";

const GROUP = "web";

/** Puts keys, one commit each; the revisions of their creation. */
function put(memory: Memory, ...keys: string[]): string[] {
  return keys.map((key) => {
    const { revision } = memory.commit({ expect: [], put: [{ key, value: "{}" }] });
    return revision;
  });
}

/** Whether a commit under these expectations happens. */
function holds(memory: Memory, expect: ReturnType<typeof nobodyBefore>): boolean {
  return memory.commit({ expect, put: [] }).kind === "committed";
}

Deno.test("comesBefore() goes by priority, then by rank as a number", () => {
  assertEquals(comesBefore({ priority: 1, rank: "9" }, { priority: 0, rank: "1" }), true);
  assertEquals(comesBefore({ priority: 0, rank: "9" }, { priority: 0, rank: "10" }), true);
  assertEquals(comesBefore({ priority: 0, rank: "10" }, { priority: 0, rank: "10" }), false);
});

Deno.test("isDue() is one who was passed over three times, or at all and waits for ten minutes", () => {
  const since = new Date(0).toISOString();
  assertEquals(isDue({}, PASSED_LIMIT, 0), true);
  assertEquals(isDue({}, PASSED_LIMIT - 1, 0), false);
  assertEquals(isDue({ since }, 1, PASSED_AGE_MS), true);
  assertEquals(isDue({ since }, 1, PASSED_AGE_MS - 1), false);
  assertEquals(isDue({ since }, 0, 10 * PASSED_AGE_MS), false);
});

Deno.test("afterIdling() lets a group's slots stand idle for six minutes, and for one part in 30 of their time", () => {
  const minute = 60_000;
  const first = afterIdling(FULL_BUDGET, 5 * minute, 1, 1);
  assertEquals([first.leftMs, first.spent], [70_000, false]);
  assertEquals(budgetLastsMs(first, 1, 1), 72_414);
  const second = afterIdling(first, 72_414, 1, 1);
  assertEquals(second, { leftMs: 0, spent: true });
  // nothing is owed, and all of it must be there again
  assertEquals(afterIdling(second, 60 * minute, 1, 1), second);
  assertEquals(afterIdling(second, 179 * minute, 0, 1).spent, true);
  assertEquals(afterIdling(second, 180 * minute, 0, 1), FULL_BUDGET);
  assertEquals(budgetLastsMs(FULL_BUDGET, 1, 30), Infinity);
});

Deno.test("rankedKey() stands behind every higher priority, before its own, and among its like by rank", () => {
  const of = (priority: number, machine: string, rank?: string) =>
    rankedKey({ beside: false, priority, machine, ...(rank === undefined ? {} : { rank }) }, GROUP);
  const keys = [
    placeKey(GROUP, 1, "z"),
    of(0, "z", "9"),
    of(0, "a", "10"),
    placeKey(GROUP, 0, "a"),
    of(-1, "a", "1"),
    placeKey(GROUP, -1, "a"),
  ];
  assertEquals([...keys].sort(), keys);
  assertEquals(of(0, "a"), placeKey(GROUP, 0, "a"));
});

Deno.test("readQueue() orders those in the queue and beside it by rank, and says who is away and for whom a slot is kept", () => {
  const entry = (key: string, created: string, value = "{}") => ({ key, created, revision: created, value });
  const away = { priority: 0, beside: true };
  const places = readQueue(GROUP, [
    entry(placeKey(GROUP, 0, "b"), "20"),
    entry(rankedKey({ ...away, machine: "c" }, GROUP), "30"),
    entry(
      rankedKey({ priority: 0, beside: false, machine: "a", rank: "9" }, GROUP),
      "99",
      serializePlace({ host: "web1", state: KEPT }),
    ),
    entry(rankedKey({ ...away, machine: "d", rank: "25" }, GROUP), "98"),
  ]);
  assertEquals(places, [
    { machine: "a", priority: 0, host: "web1", away: true, kept: true },
    { machine: "b", priority: 0 },
    { machine: "d", priority: 0, away: true },
    { machine: "c", priority: 0, away: true },
  ]);
});

Deno.test("nobodyBefore() holds a grant to those in the queue that came earlier, whoever is beside it", () => {
  const memory = new Memory();
  const [older = ""] = put(memory, rankedKey({ priority: 0, beside: true, machine: "older" }, GROUP));
  const [created = ""] = put(memory, placeKey(GROUP, 0, "here"));
  const [younger = ""] = put(memory, rankedKey({ priority: 0, beside: true, machine: "younger" }, GROUP));
  assertEquals(holds(memory, nobodyBefore(GROUP, { priority: 0, rank: older, ordinary: false })), true);
  assertEquals(holds(memory, nobodyBefore(GROUP, { priority: 0, rank: younger, ordinary: false })), false);
  assertEquals(holds(memory, nobodyBefore(GROUP, { priority: 0, rank: null, ordinary: false })), false);
  assertEquals(holds(memory, nobodyBefore(GROUP, { priority: 1, rank: null, ordinary: false })), true);
  // somebody that came back with an older rank
  put(memory, rankedKey({ priority: 0, beside: false, machine: "back", rank: created }, GROUP));
  assertEquals(holds(memory, nobodyBefore(GROUP, { priority: 0, rank: older, ordinary: false })), true);
  assertEquals(holds(memory, nobodyBefore(GROUP, { priority: 0, rank: younger, ordinary: false })), false);
  put(memory, placeKey(GROUP, 5, "urgent"));
  assertEquals(holds(memory, nobodyBefore(GROUP, { priority: 0, rank: older, ordinary: false })), false);
});

Deno.test("mayReturn() lets nobody into the queue before somebody there who came earlier", () => {
  const memory = new Memory();
  const [first = ""] = put(memory, rankedKey({ priority: 0, beside: true, machine: "first" }, GROUP));
  put(memory, placeKey(GROUP, 0, "here"));
  const [last = ""] = put(memory, rankedKey({ priority: 0, beside: true, machine: "last" }, GROUP));
  assertEquals([holds(memory, mayReturn(GROUP, 0, first)), holds(memory, mayReturn(GROUP, 0, last))], [
    true,
    false,
  ]);
});

Deno.test("Line counts who was passed over: those beside the queue that came before who was granted a slot", () => {
  const line = new Line(GROUP);
  const beside = (machine: string, at: string, priority = 0) => {
    const key = rankedKey({ priority, beside: true, machine }, GROUP);
    line.apply(key, { key, value: "{}", revision: at, created: at }, at);
    return key;
  };
  beside("older", "1");
  beside("lower", "2", -1);
  const granted = beside("granted", "3");
  beside("younger", "4");
  const key = placeKey(GROUP, 0, "present");
  line.apply(key, { key, value: "{}", revision: "0", created: "0" }, "4");
  // the place may go before the document is heard of, or after
  line.apply(granted, null, "9");
  line.granted(FRESH, { ...FRESH, holders: ["granted"] }, "9");
  const passed = () => ["older", "lower", "younger", "present"].map((id) => line.passedOver(id));
  assertEquals(passed(), [1, 0, 0, 0]);
  // one that has no place came last
  line.granted(FRESH, { ...FRESH, holders: ["new"] }, "10");
  assertEquals(passed(), [2, 1, 1, 0]);
  line.granted(FRESH, { ...FRESH, holders: ["present"] }, "11");
  assertEquals(passed(), [2, 1, 1, 0]);
  // another server takes the place over
  const taken = rankedKey({ priority: 0, beside: true, machine: "older" }, GROUP);
  line.apply(taken, { key: taken, value: "{}", revision: "12", created: "1" }, "12");
  assertEquals(passed(), [2, 1, 1, 0]);
});

Deno.test("Line is not misled by news that come late or twice", () => {
  const line = new Line(GROUP);
  const key = placeKey(GROUP, 0, "a");
  const entry = { key, value: "{}", revision: "5", created: "5" };
  line.apply(key, entry, "5");
  line.apply(key, null, "7");
  line.apply(key, entry, "5");
  assertEquals([line.length, line.of("a")], [0, []]);
  line.forgetBefore("8");
  const again = { ...entry, revision: "9", created: "9" };
  line.apply(key, again, "9");
  line.apply(key, again, "9");
  assertEquals([line.length, line.of("a").length, line.first?.rank], [1, 1, "9"]);
});

Deno.test("gateAt() is open while any window is and no freeze, and says until when it stays as it is", () => {
  const at = (text: string) => Temporal.Instant.from(text).epochMilliseconds;
  const window = (start: string, length: string) => ({ window: parseWindow(start, length), zone: "UTC" });
  const rules = {
    windows: [window("02:00", "1h"), window("14:00", "2h")],
    freezes: [{ from: at("2026-12-20T00:00Z"), until: at("2026-12-22T02:30Z"), reason: "Christmas" }],
  };
  const told = (text: string) => {
    const { open, until } = gateAt(rules, at(text));
    return [open, new Date(until).toISOString().slice(0, 16)];
  };
  assertEquals(told("2026-12-01T02:30Z"), [true, "2026-12-01T03:00"]);
  assertEquals(told("2026-12-01T04:00Z"), [false, "2026-12-01T14:00"]);
  // the freeze ends within a window
  assertEquals(told("2026-12-19T23:00Z"), [false, "2026-12-22T02:30"]);
  assertEquals(told("2026-12-20T02:30Z"), [false, "2026-12-22T02:30"]);
  assertEquals(gateAt({ windows: [], freezes: [] }, 0), { open: true, until: Infinity });
});

Deno.test("openingsOf() gives what is open from a moment on, without what is frozen, and nothing for what is always open", () => {
  const at = (text: string) => Temporal.Instant.from(text).epochMilliseconds;
  const windows = [{ window: parseWindow("22:00", "4h"), zone: "UTC" }];
  const freezes = [{ from: at("2026-12-02T12:00Z"), until: at("2026-12-04T00:30Z") }];
  const told = (openings: ReturnType<typeof openingsOf>) =>
    [...Iterator.from(openings ?? []).take(3)].map(({ startMs, endMs }) =>
      [startMs, endMs].map((ms) => ms === Infinity ? "always" : new Date(ms).toISOString().slice(5, 16))
    );
  assertEquals(told(openingsOf({ windows, freezes }, at("2026-12-01T23:00Z"))), [
    ["12-01T23:00", "12-02T02:00"],
    ["12-04T00:30", "12-04T02:00"],
    ["12-04T22:00", "12-05T02:00"],
  ]);
  assertEquals(told(openingsOf({ windows: [], freezes }, at("2026-12-01T23:00Z"))), [
    ["12-01T23:00", "12-02T12:00"],
    ["12-04T00:30", "always"],
  ]);
  assertEquals(openingsOf({ windows: [], freezes }, at("2026-12-05T00:00Z")), undefined);
});
