/** What a machine remembers of its last reboot, and what it makes of a memory that it does not have. */

import { assertEquals, assertMatch } from "@std/assert";
import { MEMORY_FILE, RebootMemory } from "../../lib/host/reboot_memory.ts";

async function inFolder(story: (path: string, log: string[]) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/var/lib/locksmith`, { recursive: true });
    await story(`${root}${MEMORY_FILE}`, []);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const memory = (path: string, boot: string, log: string[]) =>
  new RebootMemory(path, boot, (level, text) => void log.push(`${level}: ${text}`));

Deno.test("RebootMemory tells after the boot what the reboot before it was for, and not before", async () => {
  await inFolder(async (path, log) => {
    const before = memory(path, "b1", log);
    assertEquals(await before.served(), null);
    await before.rebootingFor("kernel");
    assertEquals(await before.served(), null, "the machine has not rebooted yet");
    const after = memory(path, "b2", log);
    assertEquals(await after.served(), "kernel");
    await after.forget();
    assertEquals(await after.served(), null);
    assertEquals(log, []);
  });
});

Deno.test("RebootMemory that cannot be written says so, and stops nothing", async () => {
  await inFolder(async (path, log) => {
    await Deno.mkdir(path);
    await memory(path, "b1", log).rebootingFor("kernel");
    assertEquals(log.length, 1);
    assertMatch(
      log[0] ?? "",
      /^warning: cannot write .*a need that a reboot does not meet would not be recognized$/,
    );
  });
});

Deno.test("RebootMemory takes a file that says something else for no memory", async () => {
  await inFolder(async (path, log) => {
    for (const text of ["", "{", "[]", '"b1"', '{"boot":"b1","fingerprint":7}']) {
      await Deno.writeTextFile(path, text, { mode: 0o600 });
      assertEquals(await memory(path, "b2", log).served(), null, text);
    }
  });
});
