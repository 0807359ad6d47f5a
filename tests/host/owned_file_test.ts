import { assertEquals, assertRejects } from "@std/assert";
import {
  OwnedFileError,
  readOwned,
  removeOwned,
  whoElseWrites,
  writeOwned,
} from "../../lib/host/owned_file.ts";

const NOBODY = 65534;

async function inDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** What `whoElseWrites()` says, with the directory's name taken out. */
async function told(directory: string, path: string): Promise<string | null> {
  return (await whoElseWrites(`${directory}${path}`))?.replaceAll(directory, "") ?? null;
}

Deno.test("whoElseWrites() trusts a file of ours in directories of ours, and what is missing there", async () => {
  await inDirectory(async (directory) => {
    await Deno.mkdir(`${directory}/a/b`, { recursive: true, mode: 0o755 });
    await Deno.writeTextFile(`${directory}/a/b/file`, "", { mode: 0o644 });
    assertEquals(await told(directory, "/a/b/file"), null);
    assertEquals(await told(directory, "/a/b/none"), null);
    assertEquals(await told(directory, "/none/file"), null);
    assertEquals(await told(directory, "/a/../a/./b//file"), null);
  });
});

Deno.test("whoElseWrites() names the file or the directory that somebody else can write to (as root)", async () => {
  await inDirectory(async (directory) => {
    await Deno.mkdir(`${directory}/a/b`, { recursive: true });
    await Deno.chmod(`${directory}/a`, 0o755);
    await Deno.chmod(`${directory}/a/b`, 0o755);
    await Deno.writeTextFile(`${directory}/a/b/file`, "");
    const after = async (change: Promise<void>) => {
      await change;
      return await told(directory, "/a/b/file");
    };
    assertEquals(
      await after(Deno.chmod(`${directory}/a/b/file`, 0o646)),
      "/a/b/file can be written by everybody",
    );
    assertEquals(await after(Deno.chmod(`${directory}/a/b/file`, 0o644)), null);
    assertEquals(
      await after(Deno.chown(`${directory}/a/b/file`, NOBODY, null)),
      `/a/b/file belongs to uid ${NOBODY}`,
    );
    assertEquals(await after(Deno.chown(`${directory}/a/b/file`, Deno.uid(), null)), null);
    assertEquals(await after(Deno.chmod(`${directory}/a/b`, 0o777)), "/a/b can be written by everybody");
    assertEquals(
      await after(Deno.chmod(`${directory}/a/b`, 0o1777)),
      "/a/b can be written by everybody",
      "in a sticky directory a link to any file of root's can be made",
    );
    assertEquals(await after(Deno.chmod(`${directory}/a/b`, 0o755)), null);
    assertEquals(await after(Deno.chmod(`${directory}/a`, 0o777)), "/a can be written by everybody");
    assertEquals(await after(Deno.chmod(`${directory}/a`, 0o1777)), null, "nobody can replace our b there");
    assertEquals(await after(Deno.chown(`${directory}/a/b`, NOBODY, null)), "/a can be written by everybody");
    assertEquals(await after(Deno.chmod(`${directory}/a`, 0o755)), `/a/b belongs to uid ${NOBODY}`);
    assertEquals(await after(Deno.chown(`${directory}/a/b`, Deno.uid(), null)), null);
    await Deno.chown(`${directory}/a/b`, null, NOBODY);
    assertEquals(
      await after(Deno.chmod(`${directory}/a/b`, 0o775)),
      `/a/b can be written by the group ${NOBODY}`,
    );
    await Deno.chown(`${directory}/a/b`, null, Deno.gid());
    assertEquals(await told(directory, "/a/b/file"), null);
  });
});

Deno.test("whoElseWrites() follows links, and looks at the places on both ways", async () => {
  await inDirectory(async (directory) => {
    await Deno.mkdir(`${directory}/open`);
    await Deno.chmod(`${directory}/open`, 0o777);
    await Deno.mkdir(`${directory}/ours`, { mode: 0o755 });
    await Deno.writeTextFile(`${directory}/ours/file`, "", { mode: 0o644 });
    await Deno.writeTextFile(`${directory}/open/file`, "", { mode: 0o644 });
    await Deno.symlink("../open/file", `${directory}/ours/out`);
    await Deno.symlink(`${directory}/ours`, `${directory}/ours/self`);
    await Deno.symlink("../ours/file", `${directory}/open/in`);
    await Deno.symlink("round", `${directory}/ours/round`);
    assertEquals(await told(directory, "/ours/self/self/file"), null);
    assertEquals(await told(directory, "/ours/self/../ours/file"), null);
    assertEquals(await told(directory, "/ours/out"), "/open can be written by everybody");
    assertEquals(await told(directory, "/open/in"), "/open can be written by everybody");
    assertEquals(await told(directory, "/ours/round"), "/ours/round is a link to nowhere");
  });
});

Deno.test("writeOwned() makes directory and file with their modes, whole, and readOwned() reads them", async () => {
  await inDirectory(async (directory) => {
    const [secret, open] = [`${directory}/secret/file`, `${directory}/open/file`];
    assertEquals(await readOwned(secret), null);
    await writeOwned(secret, "1\n", { mode: 0o600, durable: true });
    await writeOwned(open, "2\n", { mode: 0o644, durable: false });
    await writeOwned(open, "3\n", { mode: 0o644, durable: false });
    const modes = [];
    for (const path of [secret, open]) {
      const parent = await Deno.stat(path.replace(/\/file$/, ""));
      modes.push((parent.mode ?? 0) & 0o777, ((await Deno.stat(path)).mode ?? 0) & 0o777);
    }
    assertEquals(modes, [0o700, 0o600, 0o755, 0o644]);
    assertEquals([await readOwned(secret), await readOwned(open)], ["1\n", "3\n"]);
    assertEquals([...Deno.readDirSync(`${directory}/open`)].map(({ name }) => name), ["file"]);
    assertEquals([await removeOwned(open), await removeOwned(open)], [true, false]);
  });
});

Deno.test("writeOwned() and readOwned() refuse a place where others can write, and leave nothing there", async () => {
  await inDirectory(async (directory) => {
    await Deno.mkdir(`${directory}/open`);
    await Deno.chmod(`${directory}/open`, 0o1777);
    const path = `${directory}/open/file`;
    const written = await assertRejects(
      () => writeOwned(path, "", { mode: 0o600, durable: false }),
      OwnedFileError,
    );
    assertEquals([written.kind, written.message], [
      "untrusted",
      `${path} was not written: ${directory}/open can be written by everybody`,
    ]);
    assertEquals([...Deno.readDirSync(`${directory}/open`)], []);
    await Deno.writeTextFile(path, "");
    const read = await assertRejects(() => readOwned(path), OwnedFileError);
    assertEquals(read.message, `cannot trust ${path}: ${directory}/open can be written by everybody`);
  });
});

Deno.test("readOwned() is not held up by a named pipe, and says why it cannot read", async () => {
  await inDirectory(async (directory) => {
    await new Deno.Command("mkfifo", { args: ["-m", "600", `${directory}/pipe`] }).output();
    const pipe = await assertRejects(() => readOwned(`${directory}/pipe`), OwnedFileError);
    assertEquals(pipe.message, `cannot trust ${directory}/pipe: it is not a regular file`);
    await Deno.writeTextFile(`${directory}/file`, "");
    const below = await assertRejects(() => readOwned(`${directory}/file/below`), OwnedFileError);
    assertEquals([below.kind, below.message], [
      "failed",
      `cannot read ${directory}/file/below: a part of its path is not a directory`,
    ]);
  });
});
