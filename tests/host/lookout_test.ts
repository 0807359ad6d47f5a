/** Looking at files: whatever happens to them is found at the next look, nothing else is, and one timer does for all. */

import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { Lookout } from "../../lib/host/lookout.ts";

/** A clock that the test moves from one look to the next. */
class Looks {
  #nowMs = 0;
  #next: { atMs: number; run: () => void } | undefined;
  /** How many timers were made. */
  timers = 0;

  elapsed = () => this.#nowMs;

  after = (ms: number, run: () => void) => {
    this.timers++;
    const timer = { atMs: this.#nowMs + ms, run };
    this.#next = timer;
    return { cancel: () => void (this.#next === timer && (this.#next = undefined)) };
  };

  get waits(): boolean {
    return this.#next !== undefined;
  }

  /** Goes to the next look, and returns when the work that it gave rise to has been done. */
  async next(): Promise<void> {
    const timer = this.#next;
    if (timer === undefined) throw new Error("nobody looks");
    this.#next = undefined;
    this.#nowMs = timer.atMs;
    timer.run();
    await settled();
  }
}

/** Resolves when every promise that was due has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Somebody who watches, and how often the work was run. */
function watcher(lookout: Lookout, paths: readonly string[] | undefined, work = () => Promise.resolve()) {
  const stop = new AbortController();
  const seen = { works: 0 };
  const done = lookout.watch(paths, stop.signal, async () => {
    seen.works++;
    await work();
  });
  return { seen, stop, done };
}

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What is asked of a path, in the plainest way. */
function plainly(path: string): string {
  try {
    const { dev, ino, size, mtime, ctime } = Deno.statSync(path);
    return [dev, ino, size, mtime?.getTime(), ctime?.getTime()].join();
  } catch {
    return "";
  }
}

const NAMES = ["a", "b", "a/f", "b/f", "link", "link/f"];
const name = fc.constantFrom(...NAMES);
/** What happens to files: they come, change, go, are moved, and are links that lead elsewhere or nowhere. */
const deed = fc.oneof(
  fc.record({ deed: fc.constant("write" as const), name, text: fc.string({ maxLength: 3 }) }),
  fc.record({ deed: fc.constant("folder" as const), name }),
  fc.record({ deed: fc.constant("remove" as const), name }),
  fc.record({ deed: fc.constant("move" as const), name, to: name }),
  fc.record({
    deed: fc.constant("link" as const),
    name: fc.constant("link"),
    to: fc.constantFrom("a", "b", "none"),
  }),
  fc.record({ deed: fc.constant("mode" as const), name }),
  fc.record({ deed: fc.constant("nothing" as const) }),
);
type Deed = typeof deed extends fc.Arbitrary<infer T> ? T : never;

/** Does it as far as it can be done. */
function act(folder: string, what: Deed): void {
  if (what.deed === "nothing") return;
  const path = `${folder}/${what.name}`;
  try {
    if (what.deed === "write") Deno.writeTextFileSync(path, what.text);
    else if (what.deed === "folder") Deno.mkdirSync(path);
    else if (what.deed === "remove") Deno.removeSync(path, { recursive: true });
    else if (what.deed === "move") Deno.renameSync(path, `${folder}/${what.to}`);
    else if (what.deed === "mode") Deno.chmodSync(path, 0o700);
    else Deno.symlinkSync(what.to, path);
  } catch {
    // it was not to be done
  }
}

Deno.test("Lookout.watch() finds exactly what asking for each file would find: whatever comes, changes or goes, in new folders and behind links", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { maxLength: 25 }), (deeds) =>
      inFolder(async (folder) => {
        const looks = new Looks();
        const paths = NAMES.map((name) => `${folder}/${name}`);
        const { seen, stop, done } = watcher(new Lookout(looks), paths);
        await settled();
        for (const what of deeds) {
          const [works, before] = [seen.works, paths.map(plainly).join(" ")];
          act(folder, what);
          const changed = before !== paths.map(plainly).join(" ");
          await looks.next();
          assertEquals(seen.works - works, changed ? 1 : 0);
        }
        stop.abort();
        await done;
      })),
    { numRuns: 60 },
  );
});

Deno.test("Lookout.watch() assumes a change once a minute, for what no file shows", async () => {
  await inFolder(async (folder) => {
    const looks = new Looks();
    const { seen, stop, done } = watcher(new Lookout(looks), [`${folder}/file`]);
    await settled();
    const at: number[] = [];
    for (let works = seen.works; looks.elapsed() < 125_000; works = seen.works) {
      await looks.next();
      if (seen.works > works) at.push(looks.elapsed());
    }
    assertEquals(at, [60_000, 120_000]);
    stop.abort();
    await done;
  });
});

Deno.test("Lookout.watch() looks for all by one timer, and by none when nobody watches any more", async () => {
  await inFolder(async (folder) => {
    const looks = new Looks();
    const lookout = new Lookout(looks);
    const watchers = ["a", "b", "c"].map((name) => watcher(lookout, [`${folder}/${name}`]));
    const always = watcher(lookout, undefined);
    await settled();
    await Deno.writeTextFile(`${folder}/b`, "");
    await looks.next();
    assertEquals(watchers.map(({ seen }) => seen.works), [1, 2, 1]);
    assertEquals(always.seen.works, 2);
    assertEquals(looks.timers, 2);
    for (const { stop, done } of [...watchers, always]) {
      stop.abort();
      await done;
    }
    assertEquals(looks.waits, false);
  });
});

Deno.test("Lookout.watch() never works twice at a time, and finds afterwards what changed meanwhile", async () => {
  await inFolder(async (folder) => {
    const looks = new Looks();
    const lookout = new Lookout(looks);
    const [busy, other] = [Promise.withResolvers<void>(), watcher(lookout, [])];
    const slow = watcher(lookout, [`${folder}/file`], () => busy.promise);
    await settled();
    await Deno.writeTextFile(`${folder}/file`, "");
    await looks.next();
    await looks.next();
    assertEquals(slow.seen.works, 1);
    busy.resolve();
    await settled();
    await looks.next();
    assertEquals(slow.seen.works, 2);
    for (const { stop, done } of [slow, other]) {
      stop.abort();
      await done;
    }
  });
});
