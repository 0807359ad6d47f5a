/** What turns promise, in virtual time: one after the other in a crowd, and nobody waits for ever for one that is gone. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { turnRange } from "../lib/group.ts";
import { Turn } from "../lib/turn.ts";
import { daemonHold, GROUP, Line } from "./support/line.ts";

const CALL_MS = 2_000;

async function take(line: Line, machine: string) {
  const { store } = line.client();
  const turn = await line.time.ended(Turn.take(store, GROUP, machine, CALL_MS));
  assert(turn !== undefined);
  return { turn, store };
}

function turns(line: Line): string[] {
  const [found = []] = line.memory.view([{ range: turnRange(GROUP) }]).found;
  return found.map(({ key }) => key.slice(turnRange(GROUP).from.length));
}

Deno.test("Turn.come() waits for the one before, and for nobody else", async () => {
  const line = new Line();
  const [a, b, c] = [await take(line, "a"), await take(line, "b"), await take(line, "c")];
  await line.time.ended(a.turn.come(line.time, 60_000));
  const came: string[] = [];
  const waiting = [
    c.turn.come(line.time, 60_000).then(() => came.push("c")),
    b.turn.come(line.time, 60_000).then(() => came.push("b")),
  ];
  await line.time.advance(1_000);
  assertEquals(came, []);
  await line.time.ended(a.turn.giveUp());
  await line.time.advance(100);
  assertEquals(came, ["b"]);
  await line.time.ended(b.turn.giveUp());
  await line.time.ended(Promise.all(waiting));
  assertEquals(came, ["b", "c"]);
});

Deno.test("Turn of one that died ends with its lease, and the next one's comes", async () => {
  const line = new Line();
  const dead = await take(line, "dead");
  const { turn } = await take(line, "next");
  dead.store.down = true;
  const from = line.time.elapsed();
  await line.time.ended(turn.come(line.time, 60_000));
  assertLess(line.time.elapsed() - from, 6_000);
});

Deno.test("Turn.come() ends after ten seconds, whoever is before", async () => {
  const line = new Line();
  await take(line, "slow");
  const { turn } = await take(line, "next");
  const from = line.time.elapsed();
  await line.time.ended(turn.come(line.time, 60_000));
  assertEquals(line.time.elapsed() - from, 10_000);
});

Deno.test("Turn.take() gives none where the machine has one, and where the store is away", async () => {
  const line = new Line();
  await take(line, "a");
  const { store } = line.client();
  assertEquals(await line.time.ended(Turn.take(store, GROUP, "a", CALL_MS)), undefined);
  store.down = true;
  assertEquals(await line.time.ended(Turn.take(store, GROUP, "b", CALL_MS)), undefined);
  assertEquals(turns(line), ["a"]);
});

Deno.test("Lock.release() in a crowd takes a turn after a lost swap, and leaves none behind, whether it is given back or not", async () => {
  const line = new Line();
  line.setMax(20);
  for (let id = 0; id < 20; id++) line.hold(`m${id}`, daemonHold(`m${id}`));
  for (const gone of [false, true]) {
    const { lock, store } = line.client();
    const seen: string[][] = [];
    store.fates.push({ kind: "overtaken", by: () => line.touch() }, undefined, {
      kind: "overtaken",
      by: () => {
        seen.push(turns(line));
        if (gone) line.unlock("m1");
        else line.touch();
      },
    });
    const id = gone ? "m1" : "m0";
    const { kind } = await line.time.ended(
      lock.release({ id, bootId: "after the boot", hostname: `host ${id}` }),
    );
    assertEquals([kind, seen], [gone ? "not-held" : "released", [[id]]]);
    assertEquals(turns(line), []);
  }
});

Deno.test("Lock.release() in a crowd of fifty takes its turn before it tries: of all that come at once none is refused", async () => {
  const line = new Line();
  const ids = Array.from({ length: 55 }, (_, index) => `m${index}`);
  line.setMax(ids.length);
  for (const id of ids) line.hold(id, daemonHold(id));
  const came = ids.slice(0, 5);
  const outcomes: string[] = [];
  await line.time.ended(Promise.all(came.map((id) => {
    const { lock, store } = line.client();
    const commit = store.commit.bind(store);
    store.commit = async (transaction, options) => {
      const outcome = await commit(transaction, options);
      if (transaction.put.some(({ key }) => key === lock.key)) outcomes.push(outcome.kind);
      return outcome;
    };
    return lock.release({ id, bootId: "after the boot", hostname: `host ${id}` });
  })));
  assertEquals([outcomes, turns(line)], [came.map(() => "committed"), []]);
});
