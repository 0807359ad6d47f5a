import { assert, assertEquals, assertMatch } from "@std/assert";
import { Lock } from "../../lib/lock.ts";
import { REAL } from "../../lib/surroundings.ts";
import { openSqlite } from "../../lib/sqlite/store.ts";
import { parseOptions } from "./demo.ts";
import { deadlineMs, exitCode, mostAtOnce, type Outcome, summary } from "./judge.ts";
import { frame, type Picture } from "./view.ts";
import { startEtcd } from "../support/etcd.ts";
import { leashed } from "../support/child.ts";

const DEMO = new URL("./demo.ts", import.meta.url).pathname;
/** The demo ends by itself long before this. */
const END_MS = 120_000;
/** The picture of a run, where no other place is named. */
const PICTURE_FILE = /^locksmith-demo-[^/]+\.svg$/;

/** A run of the demo in a pipe, with a place of its own for temporary files. */
class Run implements AsyncDisposable {
  readonly lines: string[] = [];
  stderr = "";
  #changed = () => {};
  readonly code: Promise<number>;

  private constructor(readonly child: Deno.ChildProcess, readonly place: string) {
    const out = collect(child.stdout, (text) => {
      this.#text += text;
      this.lines.splice(0, Infinity, ...this.#text.split("\n").slice(0, -1));
      this.#changed();
    });
    const err = collect(child.stderr, (text) => this.stderr += text);
    this.code = Promise.all([child.status, out, err]).then(([{ code }]) => code);
  }

  #text = "";

  get text(): string {
    return this.#text;
  }

  static async start(...args: string[]): Promise<Run> {
    return await Run.command(Deno.execPath(), "run", "-A", "--no-check", DEMO, ...args);
  }

  static async command(program: string, ...args: string[]): Promise<Run> {
    const place = await Deno.makeTempDir();
    const child = leashed(program, {
      args,
      // a host's own configuration is none of the demo's
      env: {
        TMPDIR: place,
        LOCKSMITHD_GROUP: "of-this-host",
        REBOOT_STRATEGY: "off",
        LANG: "C",
        TERM: "xterm",
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(END_MS),
    }).spawn();
    return new Run(child, place);
  }

  /** The first line that fits, once it is there. */
  async line(pattern: RegExp): Promise<string> {
    while (true) {
      const found = this.lines.find((line) => pattern.test(line));
      if (found !== undefined) return found;
      const more = new Promise<boolean>((resolve) => this.#changed = () => resolve(true));
      const goesOn = await Promise.race([more, this.code.then(() => false)]);
      if (!goesOn && !this.lines.some((line) => pattern.test(line))) {
        throw new Error(`the demo ended without ${pattern}:\n${this.#text}${this.stderr}`);
      }
    }
  }

  /** What it left behind beside its picture: files, and processes that know its place. */
  async remains(): Promise<string[]> {
    const files = await Array.fromAsync(Deno.readDir(this.place), ({ name }) => name);
    return [...files.filter((name) => !PICTURE_FILE.test(name)), ...await this.processes()];
  }

  /** The daemons of the demo, by their command lines. */
  async processes(): Promise<string[]> {
    const found: string[] = [];
    for await (const { name } of Deno.readDir("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      const words = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
      if (words.includes(this.place)) found.push(words.replaceAll("\0", " "));
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGTERM");
    } catch {
      // it has ended, as it should
    }
    await this.code;
    await Deno.remove(this.place, { recursive: true });
  }
}

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
}

/** What the lines say of one machine, in order. */
function storyOf(name: string, lines: readonly string[]): string[] {
  return lines.flatMap((line) => new RegExp(`^ +[0-9.]+ s  ${name} +(\\w+)`).exec(line)?.[1] ?? []);
}

Deno.test("mostAtOnce() counts those who are down at one moment", () => {
  const outage = (machine: string, fromMs: number, toMs: number) => ({ machine, fromMs, toMs });
  assertEquals(mostAtOnce([], []), 0);
  assertEquals(mostAtOnce([outage("a", 0, 10)], []), 1);
  assertEquals(mostAtOnce([outage("a", 0, 10), outage("b", 5, 15)], []), 2);
  assertEquals(mostAtOnce([outage("b", 5, 15), outage("a", 0, 10), outage("c", 12, 20)], []), 2);
  assertEquals(mostAtOnce([outage("a", 0, Infinity), outage("b", 5, Infinity)], []), 2);
  // one after the other, without a gap
  assertEquals(mostAtOnce([outage("a", 0, 10), outage("b", 10, 20)], []), 1);
  assertEquals(mostAtOnce([outage("a", 0, 10), outage("b", 0, 10), outage("c", 0, 10)], []), 3);
});

Deno.test("mostAtOnce() counts holders in a reading together with those who are down all through it", () => {
  const down = [{ machine: "a", fromMs: 10, toMs: 20 }];
  const reading = (fromMs: number, toMs: number, ...holders: string[]) => ({ fromMs, toMs, holders });
  assertEquals(mostAtOnce([], [reading(0, 1, "a", "b")]), 2);
  assertEquals(mostAtOnce(down, [reading(12, 14, "a")]), 1);
  assertEquals(mostAtOnce(down, [reading(12, 14, "b")]), 2);
  // the answer may be from before it went down, or from after it came back
  assertEquals(mostAtOnce(down, [reading(8, 14, "b")]), 1);
  assertEquals(mostAtOnce(down, [reading(18, 20, "b")]), 1);
});

Deno.test("exitCode() is 1 when max was exceeded, a machine is missing, or one went down without a slot", () => {
  const good: Outcome = { machines: 5, max: 2, rebooted: 5, mostAtOnce: 2, elapsedMs: 9_876, unlisted: [] };
  assertEquals(exitCode(good), 0);
  assertEquals(exitCode({ ...good, mostAtOnce: 1 }), 0);
  assertEquals(exitCode({ ...good, mostAtOnce: 3 }), 1);
  assertEquals(exitCode({ ...good, rebooted: 4 }), 1);
  assertEquals(exitCode({ ...good, unlisted: ["m2"] }), 1);
});

Deno.test("summary() says how many rebooted, the most at once against max, and the time", () => {
  const outcome: Outcome = {
    machines: 5,
    max: 1,
    rebooted: 5,
    mostAtOnce: 1,
    elapsedMs: 17_234,
    unlisted: [],
  };
  assertEquals(summary(outcome), ["5 of 5 machines rebooted in 17.2 s; at most 1 at once, max 1"]);
  assertEquals(summary({ ...outcome, rebooted: 3, mostAtOnce: 2, unlisted: ["m4"] }), [
    "3 of 5 machines rebooted in 17.2 s; at most 2 at once, max 1",
    "max was exceeded: 2 at once where 1 may",
    "went down without a slot: m4",
  ]);
});

Deno.test("deadlineMs() bounds a run by its machines and the turns that they take", () => {
  assertEquals(deadlineMs(5, 1), 90_000);
  assertEquals(deadlineMs(5, 2), 70_000);
  assertEquals(deadlineMs(3, 7), 46_000);
});

const PICTURE: Picture = {
  startedMs: 0,
  nowMs: 3_000,
  max: 1,
  holders: ["m2"],
  mostAtOnce: 1,
  trouble: undefined,
  real: false,
  rows: [
    {
      name: "m1",
      bootId: "77ab01cd-0000-4000-8000-000000000000",
      changes: [
        { atMs: 0, state: "starts" },
        { atMs: 200, state: "holds" },
        { atMs: 400, state: "reboots" },
        { atMs: 1_800, state: "returns" },
        { atMs: 2_200, state: "done" },
      ],
    },
    {
      name: "m2",
      bootId: "9c1f2e00-0000-4000-8000-000000000000",
      changes: [
        { atMs: 0, state: "starts" },
        { atMs: 200, state: "waits" },
        { atMs: 2_200, state: "holds" },
        { atMs: 2_400, state: "reboots" },
      ],
    },
  ],
};

Deno.test("frame() shows who waits, holds and reboots, and what was when", () => {
  assertEquals(frame(PICTURE, { color: false, unicode: false, columns: 80 }).map((line) => line.trimEnd()), [
    "machine  state    boot      . waits  = holds  # reboots",
    "m1       done     77ab01cd   =#######==",
    "m2       reboots  -          ..........=###",
    "",
    "3.0 s, slots: 1 of 1 held by m2",
    "1 of 2 machines rebooted, at most 1 at once so far (max 1)",
    "",
  ]);
});

Deno.test("frame() is never wider than the terminal, and as high with trouble as without", () => {
  for (const columns of [1, 20, 40, 200]) {
    const trouble = "cannot read: \x1b[2J nobody answers ".repeat(9);
    const lines = frame({ ...PICTURE, nowMs: 600_000, trouble }, { color: false, unicode: true, columns });
    assertEquals(lines.length, frame(PICTURE, { color: false, unicode: true, columns }).length);
    for (const line of lines) {
      assert(line.length < Math.max(columns, 1), `${columns} columns: ${JSON.stringify(line)}`);
    }
  }
});

Deno.test("parseOptions() takes what the demo can do and tells every fault at once", () => {
  assertEquals(parseOptions([]), { machines: 5, max: 1, hosts: false, hold: false, store: null });
  assertEquals(parseOptions(["--machines", "50", "-max=7"]), {
    machines: 50,
    max: 7,
    hosts: false,
    hold: false,
    store: null,
  });
  assertEquals(parseOptions(["--machines", "0", "--help"]), "help");
  assertEquals(parseOptions(["--machines", "51", "--max=0"]), {
    faults: [
      "--machines: '51' is not a whole number from 1 to 50",
      "--max: '0' is not a whole number from 1 to 2147483647",
    ],
  });
  assertEquals(parseOptions(["--machines=1.5", "--max", "-1", "--endpoint", "ftp://x"]), {
    faults: [
      "--machines: '1.5' is not a whole number from 1 to 50",
      "--max: '-1' is not a whole number from 1 to 2147483647",
      "--endpoint: 'ftp://x' has the scheme ftp; allowed: http, https and sqlite",
    ],
  });
  assertEquals(parseOptions(["--hosts", "--machines", "30", "--endpoint", "http://127.0.0.1:2379"]), {
    faults: [
      "--machines: '30' is not a whole number from 1 to 20",
      "--hosts has an etcd of its own, and takes no --endpoint",
    ],
  });
  assertEquals(parseOptions(["--machine", "3"]), {
    faults: ["unknown option --machine, did you mean '--machines'?"],
  });
  assertEquals(parseOptions(["3"]), { faults: ["unexpected argument '3'"] });
});

Deno.test("demo exits with 2 for words that it cannot use, before anything starts", async () => {
  await using run = await Run.start("--machines", "many");
  assertEquals(await run.code, 2);
  assertEquals(run.lines, []);
  assertEquals(
    run.stderr,
    "demo: error: --machines: 'many' is not a whole number from 1 to 50\n" +
      "demo: hint: 'deno task demo --help' shows the options\n",
  );
  assertEquals(await run.remains(), []);
});

Deno.test("demo tells in a pipe and on its page how each of three machines waits, holds, reboots and is done, two at once", async () => {
  await using run = await Run.start("--machines", "3", "--max", "2", "--hold");
  // the page stays when all is over, and so does the picture
  const url = (await run.line(/^the page stays at /)).replace(/^.* at (\S+) until.*$/, "$1");
  const page = await (await fetch(url)).text();
  assertMatch(page, /0 of 2 slots in use, nobody waiting/);
  assertMatch(page, /aria-label="The last 24 hours: 3 reboots/);
  const picture = (await run.line(/^what happened, as a picture: /)).replace(/^.*: /, "");
  const svg = await Deno.readTextFile(picture);
  assertMatch(svg, /^<svg [^]*3 of 3 machines rebooted[^]*<\/svg>\n$/);
  run.child.kill("SIGINT");
  assertEquals(await run.code, 0, run.text + run.stderr);
  assertEquals(run.lines[0], "locksmith demo: 3 machines to be rebooted, at most 2 at once");
  assertMatch(
    run.lines.at(-2) ?? "",
    /^3 of 3 machines rebooted in \d+\.\d s; at most [12] at once, max 2$/,
  );
  for (const name of ["m1", "m2", "m3"]) {
    const story = storyOf(name, run.lines).filter((word) => word !== "waits");
    assertEquals(story, ["starts", "holds", "reboots", "returns", "done"], run.text);
  }
  const waiting = ["m1", "m2", "m3"].filter((name) => storyOf(name, run.lines).includes("waits"));
  assert(waiting.length > 0, `three machines on two slots, and nobody waited:\n${run.text}`);
  const boots = run.lines.flatMap((line) => / boot ([0-9a-f]{8})$/.exec(line)?.[1] ?? []);
  assertEquals(new Set(boots).size, 6, "each boot has an id of its own");
  assert(!run.text.includes("\x1b"), "a pipe is no terminal");
  assertEquals(run.stderr, "");
  assertEquals(await run.remains(), []);
});

Deno.test("demo exits with 1 when an administrator's unlock lets a second machine go down beside the first", async () => {
  const file = await Deno.makeTempFile({ suffix: ".db" });
  const store = openSqlite(file);
  try {
    await using run = await Run.start("--machines", "2", "--endpoint", `sqlite:${file}`);
    const group = / group (\S+)$/.exec(await run.line(/ group \S+$/))?.[1] ?? "";
    await run.line(/ reboots:/);
    const lock = new Lock(store, group, REAL, "administrator");
    const [holder = ""] = (await lock.read()).holders;
    assertEquals((await lock.unlock(holder)).kind, "released");
    assertEquals(await run.code, 1, run.text + run.stderr);
    assertMatch(run.lines.at(-2) ?? "", /^2 of 2 machines rebooted in .*; at most 2 at once, max 1$/);
    assertEquals(run.lines.at(-1), "max was exceeded: 2 at once where 1 may");
    assertEquals(await run.remains(), []);
  } finally {
    await store.close();
    for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(file + suffix).catch(() => {});
  }
});

Deno.test("demo stopped by Ctrl-C while a machine is down leaves no process and no file", async () => {
  await using run = await Run.start("--machines", "2");
  await run.line(/ reboots:/);
  run.child.kill("SIGINT");
  assertEquals(await run.code, 130);
  assertMatch(run.lines.at(-1) ?? "", /^0 of 2 machines rebooted in .*; at most 1 at once, max 1$/);
  assertEquals(await run.remains(), []);
});

Deno.test("demo that is killed leaves no daemon", async () => {
  await using run = await Run.start("--machines", "2");
  await run.line(/ reboots:/);
  assert((await run.processes()).length > 0);
  run.child.kill("SIGKILL");
  await run.code;
  const deadline = performance.now() + END_MS;
  while ((await run.processes()).length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertEquals(await run.processes(), []);
});

Deno.test("demo whose terminal goes away leaves no process and no file", async () => {
  const line = `stty rows 24 cols 80; NO_COLOR=1 exec "${Deno.execPath()}" run -A --no-check "${DEMO}"`;
  await using run = await Run.command("script", "-qec", line, "/dev/null");
  await run.line(/reboots +- /);
  // with the program that plays the terminal
  run.child.kill("SIGKILL");
  await run.child.status;
  const deadline = performance.now() + END_MS;
  while ((await run.remains()).length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertEquals(await run.remains(), []);
});

Deno.test("demo runs on an etcd, in a group of its own, and leaves nothing there", async () => {
  await using etcd = await startEtcd();
  await using run = await Run.start("--machines", "2", "--max", "2", "--endpoint", etcd.endpoint);
  await run.line(/ reboots:/);
  assertMatch(
    await etcd.ctl("get", "--prefix", "", "--keys-only"),
    /^coreos\.com\/updateengine\/rebootlock\/groups\/demo-[0-9a-f]{8}\/semaphore\n/,
  );
  assertEquals(await run.code, 0, run.text + run.stderr);
  assertEquals(await etcd.ctl("get", "--prefix", "", "--keys-only"), "");
  assertEquals(await run.remains(), []);
});

Deno.test("demo exits with 1 and says why when nobody answers at the endpoint", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await using run = await Run.start("--endpoint", `http://127.0.0.1:${port}`);
  assertEquals(await run.code, 1);
  assertMatch(run.stderr, /^demo: error: .*\n$/);
  assert(run.stderr.includes(`http://127.0.0.1:${port}`), run.stderr);
  assertEquals(await run.remains(), []);
});

Deno.test("demo redraws its table in place on a terminal, and gives the cursor back", async () => {
  const line = `stty rows 24 cols 80; exec "${Deno.execPath()}" run -A --no-check "${DEMO}" --machines 1`;
  await using run = await Run.command("script", "-qec", line, "/dev/null");
  assertEquals(await run.code, 0, run.text);
  const frames = run.text.split("\x1b[6A");
  assert(frames.length > 5, `${frames.length} frames`);
  assert(
    run.text.includes("\x1b[?25l") && run.text.lastIndexOf("\x1b[?25h") > run.text.lastIndexOf("\x1b[6A"),
  );
  // deno-lint-ignore no-control-regex -- the codes of a terminal
  const last = (frames.at(-1) ?? "").replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").split("\r\n");
  assertMatch(last[1] ?? "", /^m1 +done +[0-9a-f]{8} .*#{5,}/);
  assertMatch(last.at(-2) ?? "", /^1 of 1 machine rebooted in .*; at most 1 at once, max 1$/);
  assertEquals(await run.remains(), []);
});
