import { assertEquals, assertRejects } from "@std/assert";
import { Coordinator, CoordinatorError, lockHolder } from "../../lib/host/coordinator.ts";
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
    const error = await assertRejects(() => Coordinator.open(path), CoordinatorError);
    assertEquals(error.message, `another locksmithd runs (process ${holder.pid}): it holds ${path}`);
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
    const error = await assertRejects(() => coordinator.set("off", "disabled"), CoordinatorError);
    assertEquals(error.message, `cannot write ${path}: it is closed`);
  });
});

Deno.test("Coordinator.open() says why it cannot have the file", async () => {
  await withPath(async (path, directory) => {
    await Deno.mkdir(path, { recursive: true });
    const error = await assertRejects(() => Coordinator.open(path), CoordinatorError);
    assertEquals([error.kind, error.message], ["failed", `cannot open ${path}: it is a directory`]);
    await Deno.writeTextFile(`${directory}/file`, "");
    const other = await assertRejects(() => Coordinator.open(`${directory}/file/c.conf`), CoordinatorError);
    assertEquals(other.kind, "failed");
  });
});

Deno.test("lockHolder() finds the holder of an flock by device and inode, and does not guess", () => {
  const device = 0xfe00; // major 254, minor 0
  const line = "5: FLOCK  ADVISORY  WRITE 4400 fe:00:2146934 0 EOF";
  assertEquals(
    lockHolder(`1: POSIX  ADVISORY  READ 9 fe:00:2146934 128 128\n${line}\n`, 2146934, device),
    4400,
  );
  assertEquals(lockHolder(line, 2146935, device), null);
  const elsewhere = "6: FLOCK  ADVISORY  WRITE 7 00:2a:2146934 0 EOF";
  assertEquals(lockHolder(`${elsewhere}\n${line}`, 2146934, device), 4400);
  assertEquals(lockHolder(elsewhere, 2146934, device), 7);
  assertEquals(lockHolder(`${elsewhere}\n${elsewhere.replace(" 7 ", " 8 ")}`, 2146934, device), null);
  assertEquals(lockHolder("6: -> FLOCK  ADVISORY  WRITE 8 fe:00:2146934 0 EOF", 2146934, device), null);
  assertEquals(lockHolder("5: FLOCK  ADVISORY  WRITE 0 fe:00:2146934 0 EOF", 2146934, device), null);
});
