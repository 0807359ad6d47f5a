/** Programs that behave as nobody should, each run by its own small script. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { runChild } from "../../lib/host/child.ts";
import { ownEnvironment, runOwn, SPOKEN_LIMIT } from "../../lib/host/own_program.ts";

/** Runs a script as a program of the administrator's: how it ended, and what was told of it. */
async function run(script: string, { timeoutMs = 20_000, stdin, env = {} }: {
  readonly timeoutMs?: number;
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
} = {}) {
  const path = await Deno.makeTempFile({ prefix: "locksmith-own-" });
  await Deno.writeTextFile(path, `#!/bin/sh\n${script}\n`);
  await Deno.chmod(path, 0o755);
  const lines: string[] = [];
  const startedMs = performance.now();
  const end = await runOwn({ name: "it", path }, {
    env,
    timeoutMs,
    ...(stdin === undefined ? {} : { stdin }),
    tell: (line) => lines.push(line),
  });
  await Deno.remove(path);
  return { end, lines, tookMs: performance.now() - startedMs };
}

/** The process that has this word on its command line; `null`: there is none. */
async function pidOf(word: string): Promise<number | null> {
  const { success, stdout } = await new Deno.Command("pgrep", { args: ["-f", word] }).output();
  return success ? Number(new TextDecoder().decode(stdout).split("\n")[0]) : null;
}

Deno.test("runOwn() tells each line of both streams in their order, and the last one is why it failed", async () => {
  const { end, lines } = await run("echo one; echo two >&2; printf 'three\\033[2J\\n\\n'; exit 3");
  assertEquals(lines, ["one", "two", "three [2J"]);
  assertEquals(end, { kind: "failed", why: "three [2J" });
  assertEquals((await run("exit 3")).end, { kind: "failed", why: "exit code 3" });
  assertEquals((await run("kill -9 $$")).end, { kind: "failed", why: "it was ended by SIGKILL" });
  assertEquals((await run("echo fine")).end, { kind: "done" });
});

Deno.test("runOwn() gives a program its variables, what it reads, and the operator's environment", async () => {
  const owner = {
    root: "/r",
    group: "web",
    machine: { id: "b".repeat(32), bootId: "x", hostname: "web1" },
  };
  const env = { ...ownEnvironment(owner, "granted", ["a", "b\nc"]), DENO_NODE_SHIM_ACTIVE: "1" };
  const script =
    'read -r word; echo "$word $LOCKSMITH_PHASE $LOCKSMITH_GROUP $LOCKSMITH_HOST $LOCKSMITH_REASON"; ' +
    'echo "$LOCKSMITH_MACHINE_ID $LOCKSMITH_ROOT ${DENO_NODE_SHIM_ACTIVE-unset}"';
  const { lines } = await run(script, { env, stdin: "hello\n" });
  assertEquals(lines, ["hello granted web web1 a; b c", `${"b".repeat(32)} /r unset`]);
});

Deno.test("runOwn() of a program that prints 100 MB tells its first lines and its last, in seconds", async () => {
  const { end, lines, tookMs } = await run(
    "head -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 999; echo; echo the end; exit 1",
  );
  assertEquals(lines.length, SPOKEN_LIMIT.lines + 1);
  assertEquals(lines.at(-1), "(further output is not shown)");
  assert(lines.every((line) => line.length <= SPOKEN_LIMIT.length));
  assertEquals(end, { kind: "failed", why: "the end" });
  assertLess(tookMs, 15_000);
});

Deno.test("runOwn() of a line without an end keeps its beginning", async () => {
  const { lines } = await run("head -c 5000000 /dev/zero | tr '\\0' 'x'");
  assertEquals(lines.map(({ length }) => length), [SPOKEN_LIMIT.length]);
});

Deno.test("runOwn() ends a program at its deadline with all that it has started, and lets it clean up first", async () => {
  const word = `locksmith-fork-${crypto.randomUUID()}`;
  const script = `trap 'echo cleaned up; exit 0' TERM
sh -c 'trap "" TERM; : ${word}; while :; do sleep 1; done' &
echo started; while :; do sleep 0.05; done`;
  const { end, lines, tookMs } = await run(script, { timeoutMs: 1000 });
  assertEquals(end, { kind: "failed", why: "it did not end within 1 s" });
  assertEquals([lines.at(0), lines.at(-1)], ["started", "cleaned up"]);
  assertLess(tookMs, 4_000);
  assertEquals(await pidOf(word), null);
});

Deno.test("runOwn() ends at its deadline what has left the program's group too, and nothing of another program's", async () => {
  const word = `locksmith-left-${crypto.randomUUID()}`;
  const other = run(`setsid -f sh -c ': other ${word}; while :; do sleep 0.1; done'`);
  assertEquals((await other).end, { kind: "done" });
  const script = `setsid -f sh -c 'trap "" TERM; : mine ${word}; while :; do sleep 0.1; done'
while :; do sleep 0.1; done`;
  const { end } = await run(script, { timeoutMs: 1000 });
  const [mine, theirs] = [await pidOf(`mine ${word}`), await pidOf(`other ${word}`)];
  for (const pid of [mine, theirs]) if (pid !== null) Deno.kill(pid, "SIGKILL");
  assertEquals(end, { kind: "failed", why: "it did not end within 1 s" });
  assertEquals([mine, theirs !== null], [null, true]);
});

Deno.test("runChild() kills what ignores SIGTERM", async () => {
  const end = await runChild("sh", ["-c", "trap '' TERM; while :; do sleep 0.05; done"], {
    timeoutMs: 100,
    termMs: 100,
    ownGroup: true,
  });
  assertEquals(end.kind, "timeout");
});

Deno.test("runOwn() waits for no background process of a program that has ended", async () => {
  const { end, tookMs } = await run("sleep 30 & echo off");
  assertEquals(end, { kind: "done" });
  assertLess(tookMs, 5_000);
});

Deno.test("runOwn() does not run what is refused, and that is a failure", async () => {
  const part = { name: "it", path: "/bin/true", refused: "/bin can be written by everybody" };
  const end = await runOwn(part, { env: {}, timeoutMs: 1000, tell: () => {} });
  assertEquals(end, { kind: "failed", why: "not run: /bin can be written by everybody" });
});
