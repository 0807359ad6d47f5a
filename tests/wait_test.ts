/** The next move of a machine that waits, from what it knows: a rule without a store. `waiter_test.ts` carries it out. */

import { assert, assertEquals } from "@std/assert";
import { ALL_KEY } from "../lib/group.ts";
import { FRESH, GRANTED, type Hold, pause, REBOOTING, type Semaphore, setMax } from "../lib/semaphore.ts";
import type { Entry } from "../lib/store.ts";
import { type Known, type Move, nextMove, type Standing, type WaitRequest } from "../lib/wait.ts";

const NOW = Date.UTC(2026, 0, 1);
const HOLD = {
  host: "web1",
  boot: "b2",
  by: "locksmithd",
  reason: "a new kernel",
  phase: GRANTED,
  grant: "g2",
};
const MACHINE = { id: "m", bootId: "b2", hostname: "web1" };
const REQUEST: WaitRequest = {
  waits: MACHINE,
  hold: { ...HOLD, extra: {} },
  priority: 0,
  overdueMs: 3_600_000,
  lookMs: 300_000,
};
const BY_HAND: WaitRequest = { ...REQUEST, waits: { id: "m" }, hold: { grant: "g2", extra: {} } };

const entry = (key: string, revision: string): Entry => ({ key, value: "", revision, created: revision });
const OURS = entry("queue/m", "7");
const ANOTHER = entry("queue/a", "5");

/** Max 1, and these holders. */
function held(holds: Readonly<Record<string, Partial<Hold>>> = {}, max = 1): Semaphore {
  return {
    ...FRESH,
    max,
    holders: Object.keys(holds),
    holds: new Map(Object.entries(holds).map(([id, hold]) => [id, { extra: {}, ...hold }])),
  };
}

const FULL = held({ anna: {} });

function move(
  known: Partial<Known>,
  standing: Partial<Standing> = {},
  request: WaitRequest = REQUEST,
): Move {
  return nextMove(
    {
      revision: "9",
      document: null,
      semaphore: FRESH,
      all: null,
      allGroups: FRESH,
      place: null,
      before: undefined,
      ...known,
    },
    { place: undefined, asked: false, ...standing },
    request,
    NOW,
  );
}

Deno.test("nextMove() of who comes first asks for a free slot at once, where nobody stands in line", () => {
  const next = move({});
  assert(next.kind === "grant");
  assertEquals([next.place, next.next.holders], [null, ["m"]]);
  assertEquals(next.next.holds.get("m"), { ...HOLD, since: "2026-01-01T00:00:00.000Z", extra: {} });
});

Deno.test("nextMove() without a place lines up: behind others, for a full or paused group, and after it asked once", () => {
  assertEquals(move({ before: ANOTHER }), { kind: "line-up" });
  assertEquals(move({ semaphore: FULL }), { kind: "line-up" });
  assertEquals(move({ semaphore: pause(FRESH, { extra: {} }) }), { kind: "line-up" });
  assertEquals(move({}, { asked: true }), { kind: "line-up" }, "many came at once, and another won");
});

Deno.test("nextMove() lines up again where its place is one that an earlier process made", () => {
  assertEquals(move({ place: OURS }), { kind: "line-up" });
  assertEquals(move({ place: OURS }, { place: entry("queue/m", "6") }), { kind: "line-up" });
});

Deno.test("nextMove() in line behind another stays, and watches that one alone", () => {
  for (const semaphore of [FRESH, FULL]) {
    assertEquals(move({ semaphore, place: OURS, before: ANOTHER }, { place: OURS }), {
      kind: "stay",
      watch: ANOTHER.key,
      obstacle: { kind: "behind" },
    });
  }
});

Deno.test("nextMove() of the first in line takes the slot with its place, or stays and watches the document", () => {
  const stands = (semaphore: Semaphore) => move({ semaphore, place: OURS }, { place: OURS, asked: true });
  const next = stands(FRESH);
  assert(next.kind === "grant");
  assertEquals([next.place, next.next.holders], [OURS, ["m"]]);
  assertEquals(stands(FULL), { kind: "stay", watch: null, obstacle: { kind: "full", available: 0 } });
  assertEquals(stands(setMax(FULL, 0)), {
    kind: "stay",
    watch: null,
    obstacle: { kind: "full", available: -1 },
  });
  const fair = { reason: "a fair", extra: {} };
  assertEquals(stands(pause(FRESH, fair)), {
    kind: "stay",
    watch: null,
    obstacle: { kind: "paused", pause: fair, all: false },
  });
  const all = move({ allGroups: pause(FRESH, fair), place: OURS }, { place: OURS });
  assertEquals(all, { kind: "stay", watch: ALL_KEY, obstacle: { kind: "paused", pause: fair, all: true } });
});

Deno.test("nextMove() is over where the machine has the slot: by this request, or by another of this boot", () => {
  for (const [phase, called] of [[GRANTED, false], [REBOOTING, true]] as const) {
    for (const grant of ["g2", "of an earlier request"]) {
      assertEquals(
        move({ semaphore: held({ m: { boot: "b2", host: "web1", grant, phase } }), place: OURS }),
        {
          kind: "finish",
          news: { kind: "granted", grant, called },
        },
      );
    }
  }
});

Deno.test("nextMove() gives back what an earlier boot of this machine holds", () => {
  const semaphore = held({ m: { boot: "b1", host: "web1", grant: "g1" } });
  assertEquals(move({ semaphore, place: OURS }), { kind: "give-back", machine: MACHINE });
});

Deno.test("nextMove() stands aside for a hand, and for another machine of its id", () => {
  const aside = (hold: Partial<Hold>) => {
    const next = move({ semaphore: held({ m: hold }), place: OURS }, { place: OURS });
    return next.kind === "stand-aside" ? next.obstacle.kind : next.kind;
  };
  assertEquals(aside({ by: "anna", grant: "g1" }), "by-hand");
  assertEquals(
    aside({ boot: "b2", host: "web1" }),
    "by-hand",
    "of this boot, without a grant to prove it by",
  );
  assertEquals(aside({ boot: "b1", host: "web2", grant: "g1" }), "other-host");
});

Deno.test("nextMove() by hand ends with what the holder has already, whoever took it", () => {
  for (const hold of [{ by: "anna" }, { boot: "b1", host: "web1", grant: "g1" }]) {
    const semaphore = held({ m: hold });
    assertEquals(move({ semaphore }, {}, BY_HAND), {
      kind: "finish",
      news: { kind: "held", hold: { extra: {}, ...hold } },
    });
  }
  assertEquals(move({ semaphore: held({ m: { grant: "g2" } }) }, {}, BY_HAND), {
    kind: "finish",
    news: { kind: "granted", grant: "g2", called: false },
  }, "its own, though it had not heard of it");
});
