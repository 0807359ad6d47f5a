/** What a machine remembers of its last reboot, and what it makes of a memory that it does not have. */

import { assertEquals, assertMatch } from "@std/assert";
import { MEMORY_FILE, RebootMemory } from "../../lib/host/reboot_memory.ts";

async function inFolder(story: (root: string, log: string[]) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/var/lib/locksmith`, { recursive: true });
    await story(root, []);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const memory = (root: string, boot: string, log: string[]) =>
  new RebootMemory(root, boot, (level, text) => void log.push(`${level}: ${text}`));

Deno.test("RebootMemory tells after the boot what the reboot before it was for, and not before", async () => {
  await inFolder(async (root, log) => {
    const before = memory(root, "b1", log);
    assertEquals(await before.served(), null);
    await before.rebootingFor("kernel");
    assertEquals(await before.served(), null, "the machine has not rebooted yet");
    const after = memory(root, "b2", log);
    assertEquals(await after.served(), { fingerprint: "kernel", repeated: false });
    await after.forget();
    assertEquals(await after.served(), null);
    assertEquals(log, []);
  });
});

Deno.test("RebootMemory that cannot be written says so, and stops nothing", async () => {
  await inFolder(async (root, log) => {
    await Deno.mkdir(root + MEMORY_FILE);
    await memory(root, "b1", log).rebootingFor("kernel");
    assertEquals(log.length, 1);
    assertMatch(
      log[0] ?? "",
      /^warning: cannot write .*a reboot that does not help would not be noticed$/,
    );
  });
});

Deno.test("RebootMemory takes a file that says something else for no memory", async () => {
  await inFolder(async (root, log) => {
    for (const text of ["", "{", "[]", '"b1"', '{"boot":"b1","fingerprint":7}']) {
      await Deno.writeTextFile(root + MEMORY_FILE, text, { mode: 0o600 });
      assertEquals(await memory(root, "b2", log).served(), null, text);
    }
  });
});

Deno.test("RebootMemory knows a reboot for the same as the one before it, and a second call in one boot is none", async () => {
  await inFolder(async (root, log) => {
    await memory(root, "b1", log).rebootingFor("kernel libc");
    await memory(root, "b1", log).rebootingFor("kernel libc");
    assertEquals(await memory(root, "b2", log).served(), { fingerprint: "kernel libc", repeated: false });
    await memory(root, "b2", log).rebootingFor("kernel");
    await memory(root, "b2", log).rebootingFor("kernel");
    assertEquals(await memory(root, "b3", log).served(), { fingerprint: "kernel", repeated: true });
    await memory(root, "b3", log).rebootingFor("another");
    assertEquals(await memory(root, "b4", log).served(), { fingerprint: "another", repeated: false });
  });
});
