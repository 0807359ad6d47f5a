/**
 * Runs the scripts in tests/cli/scripts/ on the built file: from another directory, with next to no environment, without Deno
 * on the PATH, each on a real etcd and on the embedded store.
 *
 * A script reads like a terminal. `$ ` a command line for sh; then what it prints on stdout, as it is; `! ` a line on
 * stderr; `? ` its exit code, 0 where none is given. `[..]` stands for anything within a line. `# ` is a remark. The
 * first command begins with a store in which nothing is; FILE is a place for files of its own; `put-document TEXT` and
 * `get-document` reach the default group's key past the program, `until-waiting N [OPTIONS]` returns when N
 * machines stand in the queue. A script with the remark `No store is asked.` or `Any store will do.` runs once, on the
 * embedded store; one with `Only root may.` runs for root alone.
 */

import { assertEquals } from "@std/assert";
import { startServe } from "../support/serve_process.ts";
import { startEtcd } from "../support/etcd.ts";
import { CACHE_DIR, locksmith } from "../support/executable.ts";
import { caches, leashed } from "../support/child.ts";

const SCRIPTS = new URL("./scripts/", import.meta.url);
/** The script of what goes through a server: one stands before the embedded store. */
const THROUGH_A_SERVER = "through_a_server.txt";
/** The remark of a script that is the same with every store: it shows words, and nothing that a store does. */
const ANY_STORE = /^# (No store is asked|Any store will do)\.$/m;
/** The remark of a script that shows what nobody else is told. */
const AS_ROOT = /^# Only root may\.$/m;
const COMMAND_TIMEOUT_MS = 60_000;

const UNTIL_WAITING = `#!/bin/sh
wanted=$1; shift
until [ "$(locksmith status --json "$@" | grep -o waitedSeconds | wc -l)" -eq "$wanted" ]; do sleep 0.02; done
`;

interface Expected {
  readonly line: number;
  readonly command: string;
  readonly stdout: string[];
  readonly stderr: string[];
  exit: number;
}

function parseScript(text: string): Expected[] {
  const steps: Expected[] = [];
  text.split("\n").forEach((content, index) => {
    const step = steps.at(-1);
    if (content.startsWith("$ ")) {
      steps.push({ line: index + 1, command: content.slice(2), stdout: [], stderr: [], exit: 0 });
    } else if (content === "#" || content.startsWith("# ")) return;
    else if (step === undefined) {
      if (content !== "") throw new Error(`line ${index + 1}: text before the first command`);
    } else if (content.startsWith("? ")) step.exit = Number(content.slice(2));
    else if (content === "!" || content.startsWith("! ")) step.stderr.push(content.slice(2));
    else step.stdout.push(content);
  });
  // an empty line between two commands is there for the reader
  for (const { stdout } of steps) while (stdout.at(-1) === "") stdout.pop();
  return steps;
}

/** `actual`, with every line that fits its pattern replaced by the pattern, so that a difference shows as such. */
function fit(expected: readonly string[], actual: readonly string[]): string[] {
  return actual.map((line, index) => {
    const pattern = expected[index];
    if (pattern === undefined) return line;
    const parts = pattern.split("[..]").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    return new RegExp(`^${parts.join(".*")}$`, "s").test(line) ? pattern : line;
  });
}

function lines(bytes: Uint8Array): string[] {
  const text = new TextDecoder().decode(bytes);
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}

/** Runs a script whose commands find the store at `endpoint` by what `settings` say. */
async function runScript(
  name: string,
  endpoint: string,
  settings: Readonly<Record<string, string>> = { LOCKSMITHCTL_ENDPOINT: endpoint },
): Promise<void> {
  const path = await locksmith();
  const dir = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${dir}/bin`);
    for (const link of ["locksmith", "locksmithctl", "locksmithd"]) {
      await Deno.symlink(path, `${dir}/bin/${link}`);
    }
    await writeHelpers(`${dir}/bin`, endpoint);
    const actual: unknown[] = [];
    const wanted: unknown[] = [];
    for (const step of parseScript(await Deno.readTextFile(new URL(name, SCRIPTS)))) {
      const { code, stdout, stderr } = await leashed("/bin/sh", {
        args: ["-c", step.command],
        cwd: dir,
        clearEnv: true,
        env: {
          ...caches(),
          PATH: `${dir}/bin:/usr/bin:/bin`,
          LOCKSMITH_CACHE_DIR: CACHE_DIR,
          ...settings,
          ENDPOINT: endpoint,
          FILE: dir,
          USER: "admin",
        },
        stdin: "null",
        signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS),
      }).output();
      const { line, command, exit } = step;
      const seen = {
        line,
        command,
        exit: code,
        stdout: fit(step.stdout, lines(stdout)),
        stderr: fit(step.stderr, lines(stderr)),
      };
      const promised = { line, command, exit, stdout: step.stdout, stderr: step.stderr };
      // only what differs, so that the report can be read
      if (JSON.stringify(seen) === JSON.stringify(promised)) continue;
      actual.push(seen);
      wanted.push(promised);
    }
    assertEquals(actual, wanted);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Commands of the scripts that are not the program's; Deno is named by its path and stays off the PATH. */
async function writeHelpers(dir: string, endpoint: string): Promise<void> {
  const document = new URL("../support/document.ts", import.meta.url).pathname;
  for (const name of ["put-document", "get-document"]) {
    const text =
      `#!/bin/sh\nexec '${Deno.execPath()}' run -A --quiet --no-check '${document}' '${endpoint}' "$@"\n`;
    await Deno.writeTextFile(`${dir}/${name}`, text, { mode: 0o755 });
  }
  await Deno.writeTextFile(`${dir}/until-waiting`, UNTIL_WAITING, { mode: 0o755 });
}

for (const { name } of [...Deno.readDirSync(SCRIPTS)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  if (!name.endsWith(".txt") || name === THROUGH_A_SERVER) continue;
  const text = Deno.readTextFileSync(new URL(name, SCRIPTS));
  if (AS_ROOT.test(text) && Deno.uid() !== 0) continue;
  if (!ANY_STORE.test(text)) {
    Deno.test(`cli/${name} holds on the built file with etcd`, async () => {
      await using etcd = await startEtcd();
      await runScript(name, etcd.endpoint);
    });
  }
  Deno.test(`cli/${name} holds on the built file with the embedded store`, async () => {
    const dir = await Deno.makeTempDir();
    try {
      await runScript(name, `sqlite:${dir}/locksmith.db`);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}

Deno.test(`cli/${THROUGH_A_SERVER} holds on the built file`, async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/locksmith.db`;
  try {
    await using server = await startServe(path, dir);
    await runScript(THROUGH_A_SERVER, `sqlite:${path}`, {
      LOCKSMITHCTL_SERVER: server.url,
      LOCKSMITHCTL_SERVER_TOKEN: server.tokens.operator,
      VIEWER: server.tokens.viewer,
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
