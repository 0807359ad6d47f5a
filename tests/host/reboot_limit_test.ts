/** How many reboots a day there may be, and what is made of clocks and disks that are wrong. */

import { assertEquals, assertMatch } from "@std/assert";
import { lately, RebootLimit, REBOOTS_FILE } from "../../lib/host/reboot_limit.ts";

const HOUR_MS = 3_600_000;
const T0 = Date.UTC(2026, 10, 30, 2);

/** A machine whose boots are `b0`, `b1` and so on, an hour apart. */
class Rebooter implements AsyncDisposable {
  readonly log: string[] = [];
  now = T0;
  boot = 0;

  private constructor(readonly root: string) {}

  static async make(): Promise<Rebooter> {
    const root = await Deno.makeTempDir();
    await Deno.mkdir(`${root}/var/lib/locksmith`, { recursive: true });
    return new Rebooter(root);
  }

  limit(max: number): RebootLimit {
    return new RebootLimit({
      root: this.root,
      boot: `b${this.boot}`,
      max,
      uptimeMs: () => Promise.resolve(60_000),
      surroundings: { now: () => this.now },
      zone: "UTC",
      log: (level, text) => void this.log.push(`${level}: ${text}`),
    });
  }

  async reboots(max: number): Promise<void> {
    assertEquals(await this.limit(max).rebooting(), null);
    this.boot++;
    this.now += HOUR_MS;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}

Deno.test("a machine stops after so many reboots a day, and stays so the next day, until its record is gone", async () => {
  await using machine = await Rebooter.make();
  for (let i = 0; i < 3; i++) {
    assertEquals(await machine.limit(3).weigh(), null, `${i}`);
    await machine.reboots(3);
  }
  assertEquals(await machine.limit(3).stopped(), null, "nothing has asked for another one yet");
  const why =
    "this machine has rebooted 3 times within 24 hours (the last one Mon 2026-11-30 04:00:00 +00:00), " +
    "the most that --max-reboots allows: not rebooting again; look why it needs so many, then run 'locksmith reset'";
  assertEquals(await machine.limit(3).weigh(), why);
  machine.now += 48 * HOUR_MS;
  assertEquals(await machine.limit(3).stopped(), why);
  assertEquals(await machine.limit(3).weigh(), why);
  assertEquals(await machine.limit(0).weigh(), null, "without a limit nothing is stopped");
  await Deno.remove(machine.root + REBOOTS_FILE);
  assertEquals(await machine.limit(3).stopped(), null);
  assertEquals(await machine.limit(3).weigh(), null);
  assertEquals(machine.log, []);
});

Deno.test("only reboots within a day count, and only those that came", async () => {
  await using machine = await Rebooter.make();
  await machine.reboots(1);
  machine.now += 24 * HOUR_MS;
  assertEquals(await machine.limit(1).weigh(), null, "that was yesterday");
  assertEquals(await machine.limit(1).rebooting(), null);
  await machine.limit(1).refused();
  machine.boot++;
  assertEquals(await machine.limit(1).weigh(), null, "the call was refused, and somebody else rebooted");
  assertEquals(await machine.limit(1).rebooting(), null);
  assertEquals(await machine.limit(1).rebooting(), null);
  assertEquals(await machine.limit(1).weigh(), null, "a call is no reboot in its own boot");
});

Deno.test("a clock that is wrong neither hides reboots nor stops a machine for ever", () => {
  const reboots = [{ boot: "b0", at: new Date(T0).toISOString() }];
  const count = (now: number, uptimeMs: number, boot = "b1") =>
    lately(reboots, { boot, now, uptimeMs }).length;
  assertEquals(count(T0 + HOUR_MS, 60_000), 1);
  assertEquals(count(T0 - 365 * 24 * HOUR_MS, 60_000), 1, "a dead battery: it seems to lie in the future");
  assertEquals(count(T0 - 365 * 24 * HOUR_MS, 25 * HOUR_MS), 0, "and yet it was before this boot");
  assertEquals(count(T0 + HOUR_MS, 25 * HOUR_MS, "b0+1"), 1, "after a soft reboot the uptime says nothing");
});

Deno.test("a reboot that cannot be recorded is none: too many would go unnoticed; room on the disk makes it good", async () => {
  await using machine = await Rebooter.make();
  await Deno.mkdir(machine.root + REBOOTS_FILE);
  const limit = machine.limit(3);
  assertEquals(await limit.weigh(), null);
  assertMatch(await limit.rebooting() ?? "", /^cannot write .*; make room, or set --max-reboots to 0$/);
  assertMatch(await limit.weigh() ?? "", /^cannot write /, "so that it takes no slot from others");
  assertEquals(await machine.limit(0).rebooting(), null, "whoever wants no limit needs no record");
  await Deno.remove(machine.root + REBOOTS_FILE);
  assertEquals(await limit.weigh(), null);
  assertEquals(await limit.rebooting(), null);
});

Deno.test("a damaged record is set aside with a warning, and the count begins anew", async () => {
  await using machine = await Rebooter.make();
  const path = machine.root + REBOOTS_FILE;
  for (const text of ["", "{", "[]", '{"reboots":[{"boot":1}]}', '{"reboots":[{"boot":"b","at":"once"}]}']) {
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    assertEquals(await machine.limit(1).weigh(), null, text);
    assertEquals(await Deno.readTextFile(`${path}.damaged`), text);
    assertEquals(
      machine.log.splice(0),
      [`warning: ${path} is damaged and was renamed to reboots.damaged: the number of reboots begins anew`],
    );
  }
});
