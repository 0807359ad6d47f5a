import { assertEquals, assertMatch } from "@std/assert";
import type { Answer } from "../../lib/need.ts";
import { fileSource } from "../../lib/need/own.ts";
import { readSentinel } from "../../lib/need/sentinel.ts";
import { Heard } from "../support/bus.ts";
import { detecting } from "./ground.ts";

const NOBODY = 65534;
/** What was heard, without the fingerprint, which has its own test. */
const brief = (need: Answer) => need.kind === "needed" ? need.reasons : need.kind;

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

Deno.test("readSentinel() has the same fingerprint for a file that survived the boot or was made anew, and another for other packages", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/reboot-required`;
    const fingerprint = async () => {
      const need = await readSentinel(path);
      return need.kind === "needed" ? need.fingerprint : need.kind;
    };
    await Deno.writeTextFile(path, "*** System restart required ***\n");
    const bare = await fingerprint();
    assertMatch(bare, /^[0-9a-f]{16}$/);
    await Deno.writeTextFile(`${path}.pkgs`, "dbus\nlinux-base\n");
    const first = await fingerprint();
    assertEquals(await fingerprint(), first);
    await Deno.remove(path);
    await Deno.writeTextFile(path, "*** System restart required ***\n");
    await Deno.utime(path, 1, 1);
    await Deno.writeTextFile(`${path}.pkgs`, "linux-base\ndbus\ndbus\n");
    assertEquals(await fingerprint(), first, "the time, the order and repeats tell nothing");
    await Deno.writeTextFile(`${path}.pkgs`, "linux-base\ndbus\nlinux-image-6.1\n");
    const second = await fingerprint();
    await Deno.writeTextFile(path, "kexec\n");
    assertEquals(new Set([bare, first, second, await fingerprint()]).size, 4);
  });
});

Deno.test("readSentinel() does not count a file that another user can have put there, and names the place (as root)", async () => {
  await inDirectory(async (directory) => {
    await Deno.chmod(directory, 0o1777);
    const path = `${directory}/reboot-required`;
    assertEquals(await readSentinel(path), { kind: "not-needed" });
    const touch = ["--reuid", `${NOBODY}`, "--clear-groups", "touch", path];
    assertEquals(
      (await new Deno.Command("setpriv", { args: touch }).output()).code,
      0,
      "only root becomes another",
    );
    assertEquals(await readSentinel(path), {
      kind: "unknown",
      why: [`${path} exists but cannot be trusted: ${directory} can be written by everybody`],
    });
    await Deno.chmod(directory, 0o755);
    assertEquals(await readSentinel(path), {
      kind: "unknown",
      why: [`${path} exists but cannot be trusted: ${path} belongs to uid ${NOBODY}`],
    });
    await Deno.chown(path, 0, 0);
    assertEquals((await readSentinel(path)).kind, "needed");
  });
});

Deno.test("the sentinel's detector tells when the file comes, changes its packages, and goes", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/reboot-required`;
    const stop = new AbortController();
    const heard = new Heard<string | readonly string[]>();
    const done = detecting(fileSource(path), "")(stop.signal, (need) => heard.take(brief(need)));
    assertEquals(await heard.next(), "not-needed");
    await Deno.writeTextFile(path, "");
    assertEquals(await heard.next(), [`${path} exists`]);
    await Deno.writeTextFile(`${directory}/new`, "bash\n");
    await Deno.rename(`${directory}/new`, `${path}.pkgs`);
    assertEquals(await heard.next(), [`${path} exists (1 package: bash)`]);
    await Deno.remove(path);
    assertEquals(await heard.next(), "not-needed");
    stop.abort();
    await done;
  });
});

Deno.test("the sentinel's detector finds a file in a directory that did not exist, or was made anew", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/run/reboot-required`;
    const stop = new AbortController();
    const heard = new Heard<string | readonly string[]>();
    const done = detecting(fileSource(path), "")(stop.signal, (need) => heard.take(brief(need)));
    for (let round = 0; round < 2; round++) {
      assertEquals(await heard.next(), "not-needed");
      await Deno.mkdir(`${directory}/run`);
      await Deno.writeTextFile(path, "");
      assertEquals(await heard.next(), [`${path} exists`]);
      await Deno.remove(`${directory}/run`, { recursive: true });
    }
    stop.abort();
    await done;
  });
});

Deno.test("the sentinel's detector is not held up by a named pipe in the sentinel's place", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/reboot-required`;
    await new Deno.Command("mkfifo", { args: [path, `${path}.pkgs`] }).output();
    const stop = new AbortController();
    const heard = new Heard<string | readonly string[]>();
    const done = detecting(fileSource(path), "")(stop.signal, (need) => heard.take(brief(need)));
    assertEquals(await heard.next(), [`${path} exists`]);
    stop.abort();
    await done;
  });
});
