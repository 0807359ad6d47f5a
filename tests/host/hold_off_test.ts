/** Who holds reboots off: a file that is there counts, whatever is in it. */

import { assertEquals, assertMatch } from "@std/assert";
import { DISABLE_FILE, POSTPONED_FILE, postponedFile, readHoldOff } from "../../lib/host/hold_off.ts";

const NOW = Date.UTC(2026, 10, 28, 1);
const UNTIL = "2026-11-28T02:00:00Z";

async function onHost(
  story: (
    host: { root: string; log: string[]; look: (now?: number) => ReturnType<typeof readHoldOff> },
  ) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir();
  const log: string[] = [];
  try {
    await Deno.mkdir(`${root}/etc/locksmith`, { recursive: true });
    await Deno.mkdir(`${root}/var/lib/locksmith`, { recursive: true });
    const file = postponedFile(root, (level, text) => void log.push(`${level}: ${text}`));
    await story({ root, log, look: (now = NOW) => readHoldOff(root, file, { now, zone: "UTC" }) });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("a postponement holds reboots off until its time, and says who asked for it and why", async () => {
  await onHost(async ({ root, log, look }) => {
    assertEquals(await look(), null);
    await postponedFile(root, () => {}).write({ until: UNTIL, by: "anna@web1", reason: "the fair" });
    const untilMs = Date.parse(UNTIL);
    assertEquals(await look(), {
      why: "reboots are postponed until Sat 2026-11-28 02:00 +00:00 by anna@web1, because: the fair",
      untilMs,
    });
    assertEquals(await look(untilMs), null);
    assertEquals(log, []);
  });
});

Deno.test("the disable file holds reboots off for as long as it is there: its first line says why, and it need not have one", async () => {
  await onHost(async ({ root, look }) => {
    const path = root + DISABLE_FILE;
    const why = `reboots are disabled on this host by ${path}`;
    await Deno.writeTextFile(path, "migration of the \u001b[31mdatabase\nmore\n");
    assertEquals(await look(), { why: `${why}: migration of the  [31mdatabase`, untilMs: null });
    await Deno.writeTextFile(path, "");
    assertEquals(await look(), { why, untilMs: null });
    await Deno.remove(path);
    // nothing is read of what would keep us
    await new Deno.Command("mkfifo", { args: [path] }).output();
    assertEquals(await look(), { why, untilMs: null });
    await Deno.remove(path);
    assertEquals(await look(), null);
  });
});

Deno.test("a postponement that cannot be read holds reboots off; a damaged one is set aside, and does not", async () => {
  await onHost(async ({ root, log, look }) => {
    const path = root + POSTPONED_FILE;
    await Deno.writeTextFile(path, '{"until":"tomorrow","by":"anna"}');
    assertEquals(await look(), null);
    assertEquals(log, [
      `warning: ${path} is damaged and was renamed to postponed.damaged: reboots are no longer postponed`,
    ]);
    await Deno.mkdir(path);
    const held = await look();
    assertMatch(
      held?.why ?? "",
      /^it is not known until when reboots are postponed: cannot trust .*not a regular file$/,
    );
    assertEquals(held?.untilMs, null);
  });
});
