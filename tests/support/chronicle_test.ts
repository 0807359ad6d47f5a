import { assertEquals } from "@std/assert";
import { type Reboot, type Snapshot, violations } from "./chronicle.ts";
import {
  acquire,
  confirm,
  FRESH,
  type LastChange,
  type Semaphore,
  setMax,
  unlock,
} from "../../lib/semaphore.ts";

const A = "a".repeat(32);
const B = "b".repeat(32);
const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

/** Documents that follow each other, one a second. */
class Past {
  readonly snapshots: Snapshot[] = [{ revision: 0, semaphore: FRESH, line: [] }];

  get now(): Semaphore {
    return this.snapshots.at(-1)?.semaphore ?? FRESH;
  }

  add(semaphore: Semaphore, changed?: Partial<LastChange>, line: readonly string[] = []): this {
    const revision = this.snapshots.length;
    const change = changed === undefined ? {} : { changed: { extra: {}, at: at(revision), ...changed } };
    this.snapshots.push({ revision, semaphore: { ...semaphore, ...change }, line });
    return this;
  }

  grant(machine: string, line: readonly string[] = []): this {
    const hold = { boot: `boot of ${machine}`, grant: machine, phase: "granted", extra: {} };
    const { paused, max, ...free } = this.now;
    // whether it may is what is judged
    const decision = acquire({ ...free, max: 9 }, { holder: machine, hold, all: FRESH, now: 0 });
    if (decision.kind !== "granted") throw new Error(`no slot for ${machine}`);
    const next = { ...decision.next, max, ...(paused === undefined ? {} : { paused }) };
    return this.add(next, { what: "grant", machine }, line);
  }

  confirm(machine: string): this {
    const decision = confirm(
      this.now,
      { holder: machine, boot: `boot of ${machine}`, grant: machine },
      "mark",
      { all: FRESH, now: 0 },
    );
    if (decision.kind !== "confirmed") throw new Error(`no hold of ${machine}`);
    return this.add(decision.next, { what: "confirm", machine });
  }

  release(machine: string, what = "release"): this {
    const decision = unlock(this.now, machine);
    if (decision.kind !== "released") throw new Error(`no hold of ${machine}`);
    return this.add(decision.next, { what, machine });
  }
}

/** `machine` was down between these seconds. */
function down(machine: string, from: number, to: number): Reboot {
  return { machine, boot: `boot of ${machine}`, fromMs: Date.parse(at(from)), toMs: Date.parse(at(to)) };
}

Deno.test("violations() finds none in two turns, one after the other", () => {
  const past = new Past().add(FRESH, undefined, [A, B]).grant(A, [B]).confirm(A).release(A);
  past.grant(B).confirm(B).release(B);
  assertEquals(violations(past.snapshots, [down(A, 3, 4), down(B, 6, 7)]), []);
});

Deno.test("violations() names a grant past max, past the line and past a pause", () => {
  const full = new Past().grant(A).grant(B).release(A, "unlock").release(B, "unlock");
  assertEquals(violations(full.snapshots, []), [`revision 2: ${B} got a slot, and none was free`]);
  const passed = new Past().add(FRESH, undefined, [A, B]).grant(B, [A]).release(B, "unlock").add(FRESH);
  assertEquals(violations(passed.snapshots, []), [
    `revision 2: ${B} got a slot, and ${A} was the first in line`,
  ]);
  const paused = new Past().add({ ...FRESH, paused: { extra: {} } }).grant(A).release(A, "unlock");
  assertEquals(violations(paused.snapshots, []), [`revision 2: ${A} got a slot of a paused group`]);
});

Deno.test("violations() names a hold that vanishes, one that is given back too early, and one that stays", () => {
  const vanished = new Past().grant(A).add(FRESH, { what: "set-max" });
  assertEquals(violations(vanished.snapshots, []), [
    `revision 2: the hold of ${A} is gone, and recorded is set-max of undefined`,
    `revision 2: the hold of ${A} ended by set-max`,
  ]);
  const early = new Past().grant(A).confirm(A).release(A);
  assertEquals(violations(early.snapshots, [down(A, 2, 4)]), [
    `revision 3: ${A} gave its slot back before it was up again`,
  ]);
  assertEquals(violations(early.snapshots, []), [
    `revision 3: ${A} gave back a slot of a boot that never ended`,
  ]);
  assertEquals(violations(new Past().grant(A).snapshots, []), [`held for ever by ${A}`]);
});

Deno.test("violations() names machines that are down without a confirm, or too many at once", () => {
  const unconfirmed = new Past().grant(A).release(A);
  assertEquals(violations(unconfirmed.snapshots, [down(A, 1, 2)]), [
    `${A} went down in boot boot of ${A} without a confirmed slot`,
  ]);
  const both = new Past().grant(A).confirm(A).release(A).grant(B).confirm(B).release(B);
  const [, ...late] = violations(both.snapshots, [down(A, 2, 6), down(B, 5, 6)]);
  assertEquals(late, ["2 machines were down at once, where 1 may"]);
});

Deno.test("violations() names a hold that became another one", () => {
  const past = new Past().add(setMax(FRESH, 2)).grant(A);
  const holds = new Map([[A, { boot: "another boot", grant: A, phase: "granted", extra: {} }]]);
  past.add({ ...past.now, holds }, { what: "set-max" }).release(A, "unlock");
  assertEquals(violations(past.snapshots, []), [`revision 3: the hold of ${A} became another one`]);
});
