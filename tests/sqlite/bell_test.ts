import { assertEquals } from "@std/assert";
import { Ear, ring } from "../../lib/sqlite/bell.ts";
import { openSqlite } from "../../lib/sqlite/store.ts";
import { Heard } from "../support/bus.ts";
import { below, CALL, make, put, remove, watching } from "../contract/kit.ts";

async function withFile(test: (path: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "locksmith-sqlite-" });
  const path = `${folder}/store.db`;
  await Deno.writeTextFile(path, "");
  try {
    await test(path, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function ear(path: string, key: string | null): { ear: Ear; heard: Heard<string> } {
  const heard = new Heard<string>();
  return { ear: new Ear(path, key, () => heard.take(key ?? "ranges")), heard };
}

/** Runs `work` where no timer ever fires. */
async function withoutTimers<T>(work: () => Promise<T>): Promise<T> {
  const timers = { setTimeout: globalThis.setTimeout, setInterval: globalThis.setInterval };
  const never = () => 0;
  Object.assign(globalThis, { setTimeout: never, setInterval: never });
  try {
    return await work();
  } finally {
    Object.assign(globalThis, timers);
  }
}

Deno.test("an ear hears the ring of its key, and not that of another", async () => {
  await withFile(async (path) => {
    const [one, other] = [ear(path, "q/1"), ear(path, "q/2")];
    assertEquals([one.ear.begin(), one.ear.begin(), other.ear.begin()], [true, false, true]);
    ring(path, ["q/1"], []);
    assertEquals(await one.heard.next(), "q/1");
    ring(path, ["q/2"], []);
    assertEquals(await other.heard.next(), "q/2");
    assertEquals(other.heard.all, ["q/2"]);
    one.ear.close();
    other.ear.close();
  });
});

Deno.test("an ear at the bell of ranges hears of every key that is written or removed, and of nothing else", async () => {
  await withFile(async (path) => {
    const { ear: listening, heard } = ear(path, null);
    assertEquals(listening.begin(), true);
    ring(path, [], []);
    assertEquals(heard.all, []);
    ring(path, ["q/1"], []);
    await heard.next();
    ring(path, [], ["q/2"]);
    await heard.next();
    assertEquals(listening.listens, true);
    listening.close();
  });
});

Deno.test("the bell of a key that is removed rings, goes, and can be there anew", async () => {
  await withFile(async (path) => {
    const { ear: listening, heard } = ear(path, "q/1");
    listening.begin();
    ring(path, [], ["q/1"]);
    await heard.next();
    assertEquals([...Deno.readDirSync(`${path}-bells`)], []);
    while (listening.listens) await heard.next();
    assertEquals(listening.begin(), true);
    const before = heard.all.length;
    ring(path, ["q/1"], []);
    while (heard.all.length === before) await heard.next();
    listening.close();
  });
});

Deno.test("an ear does not begin without a database, nor where there can be no bell", async () => {
  await withFile(async (path, folder) => {
    assertEquals(ear(`${folder}/none.db`, "q/1").ear.begin(), false);
    assertEquals([...Deno.readDirSync(folder)].length, 1);
    await Deno.writeTextFile(`${path}-bells`, "");
    const { ear: deaf } = ear(path, "q/1");
    assertEquals([deaf.begin(), deaf.listens], [false, false]);
    ring(path, ["q/1"], ["q/2"]);
  });
});

Deno.test("a bell of another user's is rung too (as root)", async () => {
  await withFile(async (path, folder) => {
    await Deno.chmod(folder, 0o777);
    const { ear: listening, heard } = ear(path, "q/1");
    listening.begin();
    const [bell] = [...Deno.readDirSync(`${path}-bells`)].map(({ name }) => `${path}-bells/${name}`);
    await Deno.chmod(`${bell}`, 0o666);
    const module = new URL("../../lib/sqlite/bell.ts", import.meta.url).pathname;
    await Deno.copyFile(module, `${folder}/bell.ts`);
    await Deno.writeTextFile(
      `${folder}/ring.ts`,
      `import { ring } from "./bell.ts"; ring("${path}", ["q/1"], []);`,
    );
    const { success, stderr } = await new Deno.Command("setpriv", {
      args: [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        Deno.execPath(),
        "run",
        "-A",
        "--no-config",
        "ring.ts",
      ],
      cwd: folder,
      env: { DENO_DIR: `${folder}/deno`, HOME: folder },
    }).output();
    assertEquals([success, new TextDecoder().decode(stderr)], [true, ""]);
    await heard.next();
    listening.close();
  });
});

Deno.test("watch() hears of a change by the bell alone, and of a key that goes with its lease", async () => {
  await withFile(async (path) => {
    const [store, other] = [openSqlite(path), openSqlite(path)];
    const made = await make(other, "a/key", "1");
    await withoutTimers(async () => {
      await using watch = watching(store, "a/key", made);
      // the first look comes with the watch; no other without the bell
      for (const value of ["2", "3", "4"]) {
        await put(other, "a/key", value, (await other.read("a/key", CALL))?.revision ?? null);
        assertEquals((await watch.changed()).entry?.value, value);
      }
      await remove(other, "a/key");
      assertEquals((await watch.changed()).entry, null);
    });
    const lease = await other.lease(60_000, () => {}, CALL);
    const place = await make(other, "q/1", "1", lease.id);
    await withoutTimers(async () => {
      await using watch = watching(store, "q/1", place);
      await Promise.resolve(); // its first look
      await lease.end(CALL);
      assertEquals((await watch.changed()).entry, null);
    });
    await withoutTimers(async () => {
      const { revision } = await other.view([], CALL);
      await using watch = watching(store, below("q/"), revision);
      await Promise.resolve(); // its first look
      const made = await make(other, "q/2", "1");
      assertEquals((await watch.changed()).revision, made);
      const removed = await remove(other, "q/2");
      assertEquals((await watch.changed()).revision, removed);
    });
    await store.close();
    await other.close();
  });
});
