/** No path ends in a stack: a bug is one line too, wherever it happens, and shows more only to those who ask. */

import { assertEquals, assertMatch } from "@std/assert";

const RUN = new URL("../../lib/cli/run.ts", import.meta.url).href;

/** Runs the command line with a bug that happens while a command is under way. */
async function withBug(bug: string, ...words: string[]) {
  const code = `import { run } from "${RUN}"; ${bug}; Deno.exit(await run(${JSON.stringify(words)}));`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
    cwd: new URL("../..", import.meta.url).pathname,
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(code));
  await input.close();
  const output = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

const LINES =
  /^locksmith: error: this is a bug in locksmith \S+: TypeError: no such thing\nlocksmith: hint: please report it, with the output of --debug\n/;

const BUGS: Record<string, string> = {
  "thrown by a command": 'Deno.stdin.isTerminal = () => { throw new TypeError("no such thing"); }',
  "in a promise that nobody awaits": 'setTimeout(() => Promise.reject(new TypeError("no such thing")), 0)',
  "in a timer": 'setTimeout(() => { throw new TypeError("no such thing"); }, 0)',
};

for (const [where, bug] of Object.entries(BUGS)) {
  Deno.test(`run() tells a bug ${where} in one line with what to do, exit code 1`, async () => {
    // a wait in line goes on for ever
    const dir = await Deno.makeTempDir();
    try {
      const store = `sqlite:${dir}/a.db`;
      await withBug("", "lock", "A", "--endpoint", store);
      const words = ["lock", "B", "--wait", "--endpoint", store];
      const { code, stdout, stderr } = await withBug(bug, ...words);
      assertEquals([code, stdout], [1, ""]);
      assertEquals(stderr.replace(LINES, ""), "");
      const debug = await withBug(bug, ...words, "--debug");
      assertMatch(debug.stderr.replace(LINES, ""), /^TypeError: no such thing\n {4}at /);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}
