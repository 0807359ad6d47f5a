import { assertEquals } from "@std/assert";
import type { Need } from "../../lib/need.ts";
import { readSentinel, watchSentinel } from "../../lib/need/sentinel.ts";
import { Heard } from "../support/bus.ts";

const NOT: Need = { kind: "not-needed" };
const needed = (...reasons: string[]): Need => ({ kind: "needed", reasons });

async function inDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("readSentinel() names each package once, five of them, and counts them", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/reboot-required`;
    const told = async () => {
      const need = await readSentinel(path);
      return need.kind === "needed" ? need.reasons.join().replace(directory, "") : need.kind;
    };
    assertEquals(await told(), "not-needed");
    await Deno.writeTextFile(path, "");
    assertEquals(await told(), "/reboot-required exists");
    await Deno.writeTextFile(`${path}.pkgs`, "\n\n");
    assertEquals(await told(), "/reboot-required exists");
    await Deno.writeTextFile(`${path}.pkgs`, "linux-base\nlinux-base\n");
    assertEquals(await told(), "/reboot-required exists (1 package: linux-base)");
    await Deno.writeTextFile(`${path}.pkgs`, "a\nb\na\nc\x1b\nd\ne\nf\ng\n");
    assertEquals(await told(), "/reboot-required exists (7 packages: a, b, c?, d, e and 2 more)");
  });
});

Deno.test("readSentinel() does not take a path that it cannot look at for an absent file", async () => {
  await inDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/file`, "");
    const need = await readSentinel(`${directory}/file/sentinel`);
    assertEquals(need.kind, "unknown");
  });
});

Deno.test("watchSentinel() tells when the file comes, changes its packages, and goes", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/reboot-required`;
    const stop = new AbortController();
    const heard = new Heard<Need>();
    const done = watchSentinel(path, stop.signal, heard.take, { recheckMs: 10 });
    assertEquals(await heard.next(), NOT);
    await Deno.writeTextFile(path, "");
    assertEquals(await heard.next(), needed(`${path} exists`));
    await Deno.writeTextFile(`${directory}/new`, "bash\n");
    await Deno.rename(`${directory}/new`, `${path}.pkgs`);
    assertEquals(await heard.next(), needed(`${path} exists (1 package: bash)`));
    await Deno.remove(path);
    assertEquals(await heard.next(), NOT);
    stop.abort();
    await done;
  });
});

Deno.test("watchSentinel() finds a file in a directory that did not exist, or was made anew", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/run/reboot-required`;
    const stop = new AbortController();
    const heard = new Heard<Need>();
    const done = watchSentinel(path, stop.signal, heard.take, { recheckMs: 10 });
    for (let round = 0; round < 2; round++) {
      assertEquals(await heard.next(), NOT);
      await Deno.mkdir(`${directory}/run`);
      await Deno.writeTextFile(path, "");
      assertEquals(await heard.next(), needed(`${path} exists`));
      await Deno.remove(`${directory}/run`, { recursive: true });
    }
    stop.abort();
    await done;
  });
});

Deno.test("watchSentinel() is not held up by a named pipe in the sentinel's place", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/reboot-required`;
    await new Deno.Command("mkfifo", { args: [path, `${path}.pkgs`] }).output();
    const stop = new AbortController();
    const heard = new Heard<Need>();
    const done = watchSentinel(path, stop.signal, heard.take, { recheckMs: 10 });
    assertEquals(await heard.next(), needed(`${path} exists`));
    stop.abort();
    await done;
  });
});

Deno.test("watchSentinel() ends at the abort, however long its pauses are", async () => {
  await inDirectory(async (directory) => {
    const stop = new AbortController();
    const heard = new Heard<Need>();
    const done = watchSentinel(`${directory}/none`, stop.signal, heard.take, { recheckMs: 3_600_000 });
    await heard.next();
    stop.abort();
    await done;
  });
});
