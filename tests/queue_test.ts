/**
 * The queue as keys: who stands before whom, and what a commit can be held to.
 */

import { assert, assertEquals } from "@std/assert";
import { queuePrefix } from "../lib/group.ts";
import {
  arrivalQueries,
  firstInLine,
  placeKey,
  predecessor,
  predecessorQueries,
  PRIORITY_LIMIT,
  queueRange,
  readQueue,
  serializePlace,
} from "../lib/queue.ts";
import { type Entry, exactly } from "../lib/store.ts";
import { Memory } from "../lib/simulation/memory.ts";

const GROUP = "web";

class Queue {
  readonly memory = new Memory();

  /** Takes a place; its entry. */
  take(machine: string, priority = 0, value = "{}"): Entry {
    const key = placeKey(GROUP, priority, machine);
    this.memory.commit({ expect: [], put: [{ key, value }] });
    const entry = this.memory.read(key);
    assert(entry !== null);
    return entry;
  }

  leave(machine: string, priority = 0): void {
    this.memory.commit({ expect: [], put: [], remove: [placeKey(GROUP, priority, machine)] });
  }

  get entries(): readonly Entry[] {
    return this.memory.view([{ range: queueRange(GROUP) }]).found[0] ?? [];
  }

  get order(): string[] {
    return readQueue(GROUP, this.entries).map(({ machine }) => machine);
  }

  /** Who stands before a place, by the answers of the store. */
  before(entry: Entry, priority = 0): string | undefined {
    const { found } = this.memory.view(predecessorQueries(GROUP, priority, entry.created));
    const { same, higher } = predecessor(found, entry.key, entry.created);
    return (same ?? higher)?.key;
  }

  /** Whether a commit that is held to this place's being the first happens. */
  isFirst(entry: Entry, priority = 0): boolean {
    return this.memory.commit({ expect: firstInLine(GROUP, priority, entry), put: [] }).kind === "committed";
  }
}

Deno.test("placeKey() lies in the queue of its group and nowhere else, whatever machine and group are called", () => {
  const odd = ["a", "a/b", "\u00e9", "100%", "a b", "+", "..", "\uffff"];
  for (const group of ["", "web", "web/1", "queue"]) {
    const { from, to } = queueRange(group);
    for (const machine of odd) {
      for (const priority of [-PRIORITY_LIMIT, 0, PRIORITY_LIMIT]) {
        const key = placeKey(group, priority, machine);
        assert(from <= key && key < to, key);
        const entry = { key, value: "{}", revision: "1", created: "1" };
        assertEquals(readQueue(group, [entry]), [{ machine, priority }]);
      }
    }
  }
  assertEquals(placeKey("web", 7, "a/b"), `${queuePrefix("web")}093/a%2Fb`);
  assertEquals(placeKey("web", 7, "a/b", "9@9"), `${queuePrefix("web")}093/a%2Fb@9%409`);
});

Deno.test("readQueue() has the higher priority first, and within one the order of arrival", () => {
  const queue = new Queue();
  queue.take("z");
  queue.take("low", -100);
  queue.take("a");
  queue.take("top", 100);
  queue.take("high", 5);
  assertEquals(queue.order, ["top", "high", "z", "a", "low"]);
  queue.take("z"); // writing over a place does not move it
  assertEquals(queue.order, ["top", "high", "z", "a", "low"]);
  queue.leave("z");
  queue.take("z");
  assertEquals(queue.order, ["top", "high", "a", "z", "low"]);
});

Deno.test("readQueue() orders by number, beyond the revisions that a text would order rightly", () => {
  const at = (machine: string, created: string) => ({
    key: placeKey(GROUP, 0, machine),
    value: "{}",
    revision: created,
    created,
  });
  const places = readQueue(GROUP, [at("c", "100"), at("a", "9"), at("b", "10")]);
  assertEquals(places.map(({ machine }) => machine), ["a", "b", "c"]);
});

Deno.test("readQueue() reads what serializePlace() wrote, and leaves out what it cannot read", () => {
  const details = {
    host: "h1",
    boot: "b1",
    since: "2026-01-01T00:00:00.000Z",
    by: "locksmithd",
    reason: "a new kernel",
  };
  const read = (value: string) => readQueue(GROUP, [{ ...queueEntry("m"), value }])[0];
  assertEquals(read(serializePlace(details)), { machine: "m", priority: 0, ...details });
  assertEquals(read(serializePlace({})), { machine: "m", priority: 0 });
  for (const value of ["", "null", "[]", "7", "{", '{"host":1,"since":"soon","more":{}}']) {
    assertEquals(read(value), { machine: "m", priority: 0 }, value);
  }
  const prefix = queuePrefix(GROUP);
  const strange = ["x", "100", "100/", "10/a", "100/a/b", "100/%zz"].map((rest) => `${prefix}${rest}`);
  assertEquals(readQueue(GROUP, strange.map((key) => ({ ...queueEntry("m"), key }))), []);
});

function queueEntry(machine: string): Entry {
  return { key: placeKey(GROUP, 0, machine), value: "{}", revision: "1", created: "1" };
}

Deno.test("predecessor() of a place is the very next before it of its priority, else one of a higher", () => {
  const queue = new Queue();
  const [a, b, c] = [queue.take("a"), queue.take("b"), queue.take("c")];
  const low = queue.take("low", -1);
  assertEquals([queue.before(a), queue.before(b), queue.before(c)], [undefined, a.key, b.key]);
  assert([a.key, b.key, c.key].includes(queue.before(low, -1) ?? ""));
  const high = queue.take("high", 1);
  assertEquals([queue.before(a), queue.before(b), queue.before(high, 1)], [high.key, a.key, undefined]);
  queue.leave("b");
  assertEquals(queue.before(c), a.key);
});

Deno.test("arrivalQueries() tell in the commit that makes a place who stands before it", () => {
  const queue = new Queue();
  const arrive = (machine: string, priority = 0) => {
    const key = placeKey(GROUP, priority, machine);
    const outcome = queue.memory.commit({
      expect: [],
      put: [{ key, value: "{}" }],
      read: [{ range: exactly(key) }, ...arrivalQueries(GROUP, priority)],
    });
    const [own = [], ...answers] = outcome.found;
    const { same, higher } = predecessor(answers, key, own[0]?.created ?? "");
    return (same ?? higher)?.key;
  };
  assertEquals(arrive("a"), undefined);
  assertEquals(arrive("b"), placeKey(GROUP, 0, "a"));
  assertEquals(arrive("high", 3), undefined);
  assertEquals(arrive("c"), placeKey(GROUP, 0, "b"));
  assertEquals(arrive("low", -3), placeKey(GROUP, 3, "high"), "one of a higher priority");
});

Deno.test("firstInLine() holds a commit to a place that is there, as it was made, and the first", () => {
  const queue = new Queue();
  const [a, b, low] = [queue.take("a"), queue.take("b"), queue.take("low", -1)];
  const first = () => [queue.isFirst(a), queue.isFirst(b), queue.isFirst(low, -1)];
  assertEquals(first(), [true, false, false]);
  const high = queue.take("high", 9);
  assertEquals([...first(), queue.isFirst(high, 9)], [false, false, false, true]);
  queue.leave("high", 9);
  assertEquals([...first(), queue.isFirst(high, 9)], [true, false, false, false]);
  queue.leave("a");
  assertEquals(first(), [false, true, false]);
  queue.take("a");
  assertEquals(first(), [false, true, false], "a place that was made again is another");
  queue.leave("a");
  queue.leave("b");
  assertEquals(first(), [false, false, true]);
  const taken = queue.take("low", -1);
  assertEquals([queue.isFirst(low, -1), queue.isFirst(taken, -1)], [false, true], "by another process");
});
