/** Programs that tests start end with the tests, and find what is in the caches. */

import { assert, assertEquals } from "@std/assert";
import { caches, leashed, leashedDeno, lives } from "./child.ts";
import { until } from "./daemon_process.ts";
import { startEtcd } from "./etcd.ts";

const RUN = new URL("../run.ts", import.meta.url).pathname;
const ENDLESS = new URL("./endless.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const TESTS = new URL("../..", import.meta.url).pathname;

/** The children of a process of one thread. */
async function childrenOf(pid: number): Promise<number[]> {
  return (await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`)).split(" ").filter(Boolean).map(
    Number,
  );
}

Deno.test("leashed() servers, daemons and buses of a test run end with it, though it is killed", async () => {
  const dir = await Deno.makeTempDir({ prefix: "locksmith-endless-" });
  try {
    const run = leashedDeno(["run", "-A", "--quiet", RUN, ENDLESS.slice(TESTS.length)], {
      cwd: TESTS,
      // what it leaves behind lies here
      env: { PIDS: `${dir}/pids`, TMPDIR: dir },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const told = await until(
      () => Deno.readTextFile(`${dir}/pids`).catch(() => ""),
      (text) => text !== "",
    );
    const pids: Record<string, number> = JSON.parse(told);
    assertEquals(Object.keys(pids), ["test", "etcd", "daemon", "bus"]);
    const all = [...Object.values(pids), ...await childrenOf(pids["bus"] ?? NaN)];
    assertEquals(all.length, 5, "with dbus-daemon, a child of its own");
    assertEquals(await Promise.all(all.map(lives)), all.map(() => true));
    run.kill("SIGKILL");
    await run.status;
    await until(() => Promise.all(all.map(lives)), (alive) => !alive.includes(true));

    // what etcd had written is in the way of nobody but the next server, which removes it
    await using _next = await startEtcd();
    const left = [...Deno.readDirSync("/dev/shm")].map(({ name }) => name);
    assertEquals(left.filter((name) => name.startsWith(`locksmith-etcd-${pids["test"]}-`)), []);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("leashed() is the program itself, by its pid and its exit code", async () => {
  const child = leashed("sh", { args: ["-c", "echo $$; exit 7"], stdout: "piped" }).spawn();
  const { code, stdout } = await child.output();
  assertEquals([code, new TextDecoder().decode(stdout)], [7, `${child.pid}\n`]);
});

Deno.test("leashedDeno() finds what is in the caches of this process, with nothing else in its environment", async () => {
  const program = 'import { parseArgs } from "@std/cli/parse-args"; console.log(typeof parseArgs)';
  const home = await Deno.makeTempDir({ prefix: "locksmith-home-" });
  try {
    const { code, stdout, stderr } = await leashedDeno(
      ["eval", "--cached-only", `--config=${CONFIG}`, program],
      { clearEnv: true, env: { HOME: home }, stdin: "null" },
    ).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals([code, text(stdout), text(stderr)], [0, "function\n", ""]);
    assertEquals([...Deno.readDirSync(home)], [], "it made no caches of its own");
    assert(caches().DENO_DIR.startsWith("/"));
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
