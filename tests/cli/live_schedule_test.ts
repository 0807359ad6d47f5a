/** A daemon's schedule follows its calendar files: what they say now, or what they said while they could be used. */

import { assertEquals, assertRejects } from "@std/assert";
import { UsageError } from "../../lib/cli/config.ts";
import { LiveSchedule } from "../../lib/cli/live_schedule.ts";
import { REAL, type Surroundings } from "../../lib/surroundings.ts";

const NOW = Date.parse("2026-12-01T12:00:00Z");
/** Near enough that nothing is looked up anew for it. */
const TOMORROW = NOW + 20 * 3_600_000;

/** One event of whole days, from `from` to the day before `to`. */
function calendar(name: string, from: string, to: string): string {
  const event = [`UID:${name}`, `DTSTART;VALUE=DATE:${from}`, `DTEND;VALUE=DATE:${to}`, `SUMMARY:${name}`];
  const lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", ...event, "END:VEVENT", "END:VCALENDAR"];
  return `${lines.join("\r\n")}\r\n`;
}

/** The timer of a watch, which goes off when a test says so. */
class Looks implements Surroundings {
  #next = Promise.withResolvers<() => void>();
  readonly random = REAL.random;
  readonly elapsed = REAL.elapsed;
  readonly now = () => NOW;

  after(_ms: number, run: () => void) {
    this.#next.resolve(run);
    return { cancel() {} };
  }

  /** Looks at the files once; resolves when what follows from it has been done. */
  async look(): Promise<void> {
    const run = await this.#next.promise;
    this.#next = Promise.withResolvers();
    run();
    await this.#next.promise;
  }
}

async function open(path: string): Promise<LiveSchedule> {
  const files = [{ path, origin: "--freeze-file" }];
  return await LiveSchedule.open(
    { schedule: { windows: [], freezes: [] }, zone: "UTC", origin: undefined, files, spreadMs: 0 },
    0,
    NOW,
  );
}

Deno.test("LiveSchedule reads a changed calendar again, and keeps the last good one in force when it is damaged or gone", async () => {
  const path = await Deno.makeTempFile({ suffix: ".ics" });
  try {
    await Deno.writeTextFile(path, calendar("stocktaking", "20261201", "20261202"));
    const live = await open(path);
    const looks = new Looks();
    const log: string[] = [];
    const frozen = () => [NOW, TOMORROW].map((at) => !live.windowAt(at).open);
    const watch = await live.follow(
      looks,
      (level, text) => log.push(`${level}: ${text.replace(path, "FILE")}`),
    );
    await looks.look();
    assertEquals([frozen(), log], [[true, false], []]);

    await Deno.writeTextFile(path, calendar("stocktaking, put off", "20261202", "20261203"));
    await looks.look();
    assertEquals(frozen(), [false, true]);
    await Deno.writeTextFile(path, "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n");
    await looks.look();
    assertEquals(frozen(), [false, true]);
    await Deno.remove(path);
    await looks.look();
    await looks.look();
    assertEquals(frozen(), [false, true]);
    await Deno.writeTextFile(path, calendar("stocktaking again", "20261201", "20261202"));
    await looks.look();
    assertEquals(frozen(), [true, false]);
    watch.close();
    assertEquals(log, [
      "info: FILE: read again, 1 freeze ahead",
      "warning: cannot use FILE: it is no calendar that can be read: invalid ical body. component began but did " +
      "not end; what it said before stays in force",
      "warning: cannot use FILE: no such file or directory; what it said before stays in force",
      "info: FILE: read again, 1 freeze ahead",
    ]);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("LiveSchedule finds the freezes of years that were far ahead when its file was read", async () => {
  const path = await Deno.makeTempFile({ suffix: ".ics" });
  try {
    const yearly = calendar("Christmas", "20001224", "20001227")
      .replace("SUMMARY", "RRULE:FREQ=YEARLY\r\nSUMMARY");
    await Deno.writeTextFile(path, yearly);
    const live = await open(path);
    const days = [2026, 2027, 2028, 2029].map((year) => Date.UTC(year, 11, 24, 12));
    assertEquals(days.map((at) => live.windowAt(at).open), [false, false, false, false]);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("LiveSchedule does not begin with a calendar that cannot be used", async () => {
  const path = await Deno.makeTempFile({ suffix: ".ics" });
  try {
    const { faults } = await assertRejects(() => open(path), UsageError);
    assertEquals(faults, [
      `--freeze-file: cannot use '${path}': it is no calendar: it does not begin with BEGIN:VCALENDAR`,
    ]);
  } finally {
    await Deno.remove(path);
  }
});
