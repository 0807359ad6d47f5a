import { assertEquals, assertRejects } from "@std/assert";
import { Coordinator } from "../../lib/host/coordinator.ts";
import { LockedFileError } from "../../lib/host/locked_file.ts";
import { leashed } from "../support/child.ts";

async function withPath(test: (path: string, directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(`${directory}/run/update-engine/coordinator.conf`, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Another process that holds the lock, as a shell script would take it. */
async function holdLock(path: string): Promise<Deno.ChildProcess> {
  const child = leashed("flock", {
    args: ["--exclusive", "--no-fork", path, "sh", "-c", "echo held; exec sleep 600"],
    stdout: "piped",
  }).spawn();
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    if (text.includes("held")) break;
  }
  return child;
}

Deno.test("Coordinator.open() makes the file, and set() writes the three lines", async () => {
  await withPath(async (path) => {
    using coordinator = await Coordinator.open(path);
    assertEquals(await Deno.readTextFile(path), "");
    await coordinator.set("etcd-lock", "starting");
    assertEquals(await Deno.readTextFile(path), "NAME=locksmithd\nSTRATEGY=etcd-lock\nSTATE=starting\n");
  });
});

Deno.test("Coordinator.set() leaves nothing of a longer text, and keeps the inode", async () => {
  await withPath(async (path) => {
    using coordinator = await Coordinator.open(path);
    const { ino } = await Deno.stat(path);
    await coordinator.set("etcd-lock", "reboot-planned");
    await coordinator.set("reboot", "running");
    assertEquals(await Deno.readTextFile(path), "NAME=locksmithd\nSTRATEGY=reboot\nSTATE=running\n");
    assertEquals((await Deno.stat(path)).ino, ino);
  });
});

Deno.test("Coordinator.set() leaves nothing of what a former daemon wrote", async () => {
  await withPath(async (path) => {
    (await Coordinator.open(path)).close();
    await Deno.writeTextFile(
      path,
      "NAME=locksmithd\nSTRATEGY=something-longer-than-ours\nSTATE=reboot-planned\n",
    );
    using coordinator = await Coordinator.open(path);
    await coordinator.set("off", "disabled");
    assertEquals(await Deno.readTextFile(path), "NAME=locksmithd\nSTRATEGY=off\nSTATE=disabled\n");
  });
});

Deno.test("Coordinator.open() refuses while another process holds the lock, names it, and leaves its file alone", async () => {
  await withPath(async (path) => {
    using first = await Coordinator.open(path);
    await first.set("etcd-lock", "running");
    first.close();
    const holder = await holdLock(path);
    const error = await assertRejects(() => Coordinator.open(path), LockedFileError);
    assertEquals(error.message, `another locksmithd is running (process ${holder.pid}): it holds ${path}`);
    assertEquals(error.kind, "held");
    assertEquals(await Deno.readTextFile(path), "NAME=locksmithd\nSTRATEGY=etcd-lock\nSTATE=running\n");
    holder.kill("SIGKILL");
    await holder.status;
    (await Coordinator.open(path)).close();
  });
});

Deno.test("Coordinator.open() locks so that other programs see it, and close() gives the lock back", async () => {
  await withPath(async (path) => {
    const tryLock = () => new Deno.Command("flock", { args: ["--nonblock", path, "true"] }).output();
    const coordinator = await Coordinator.open(path);
    assertEquals((await tryLock()).code, 1);
    coordinator.close();
    coordinator.close();
    assertEquals((await tryLock()).code, 0);
    const error = await assertRejects(() => coordinator.set("off", "disabled"), LockedFileError);
    assertEquals(error.message, `cannot write ${path}: it is closed`);
  });
});

Deno.test("Coordinator.open() says why it cannot have the file", async () => {
  await withPath(async (path, directory) => {
    await Deno.mkdir(path, { recursive: true });
    const error = await assertRejects(() => Coordinator.open(path), LockedFileError);
    assertEquals([error.kind, error.message], ["failed", `cannot open ${path}: it is a directory`]);
    await Deno.writeTextFile(`${directory}/file`, "");
    const other = await assertRejects(() => Coordinator.open(`${directory}/file/c.conf`), LockedFileError);
    assertEquals(other.kind, "failed");
  });
});
