/**
 * `deno task test`: sets up what the tests need, runs them, and ends with one line, `N passed, N failed`.
 *
 * The tests use real servers from Debian's packages. What is missing is installed where that is possible (as root, with
 * apt-get); elsewhere it is said, and counts as a failure: a test that did not run has shown nothing.
 *
 *     deno task test                  all of them
 *     deno task test tests/lock_test.ts --filter reply
 */

/** A program that tests run, and the package of Debian that has it. */
const NEEDED: readonly { readonly program: string; readonly package: string }[] = [
  { program: "etcd", package: "etcd-server" },
  { program: "etcdctl", package: "etcd-client" },
  { program: "dbus-daemon", package: "dbus" },
  { program: "busctl", package: "systemd" },
  { program: "openssl", package: "openssl" },
  { program: "ip", package: "iproute2" },
  { program: "strace", package: "strace" },
  { program: "wall", package: "bsdutils" },
  { program: "bindfs", package: "bindfs" },
];

const MOCK = { module: "dbusmock", package: "python3-dbusmock" };

async function main(args: readonly string[]): Promise<number> {
  const missing = await missingPackages();
  if (missing.length > 0 && !await install(missing)) {
    console.error(`the tests need these packages of Debian, and cannot install them: ${missing.join(" ")}`);
    console.error(`as root: apt-get install ${missing.join(" ")}`);
    console.log("0 passed, 1 failed");
    return 1;
  }
  const targets = args.some((arg) => !arg.startsWith("-") && arg.startsWith("tests/")) ? [] : ["tests/"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--quiet", "--no-check", ...targets, ...args],
    stdout: "piped",
    stderr: "inherit",
    stdin: "null",
  }).spawn();
  const report = await passOn(child.stdout);
  const { code } = await child.status;
  const { passed, failed } = count(report);
  // a run that broke down before it could count has failed
  const failures = code !== 0 ? Math.max(failed, 1) : failed + (passed === 0 ? 1 : 0);
  console.log(`${passed} passed, ${failures} failed`);
  return failures === 0 ? 0 : 1;
}

async function missingPackages(): Promise<string[]> {
  const missing: string[] = [];
  for (const needed of NEEDED) {
    if (!await succeeds("sh", ["-c", 'command -v "$1"', "sh", needed.program])) missing.push(needed.package);
  }
  if (!await succeeds("/usr/bin/python3", ["-c", `import ${MOCK.module}`])) missing.push(MOCK.package);
  return missing;
}

async function install(packages: readonly string[]): Promise<boolean> {
  if (Deno.uid() !== 0 || !await succeeds("sh", ["-c", "command -v apt-get"])) return false;
  console.error(`installing ${packages.join(" ")}`);
  const env = {
    DEBIAN_FRONTEND: "noninteractive",
    // a package that starts its service on installation would take ports that tests want to find free
    RUNLEVEL: "1",
  };
  const get = ["apt-get", "-y", "-q", "--no-install-recommends"];
  return await succeeds("apt-get", ["update", "-q"], env) &&
    await succeeds("sh", ["-c", `${get.join(" ")} install "$@"`, "sh", ...packages], env) &&
    (await missingPackages()).length === 0;
}

async function succeeds(program: string, args: string[], env: Record<string, string> = {}): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(program, {
      args,
      env,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Shows the output as it comes, and keeps its end for counting. */
async function passOn(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let kept = "";
  for await (const chunk of stream) {
    Deno.stdout.writeSync(chunk);
    kept = (kept + decoder.decode(chunk, { stream: true })).slice(-20_000);
  }
  return kept;
}

/** The figures of the last line of `deno test`; a test that was ignored counts as failed. */
function count(report: string): { passed: number; failed: number } {
  // deno-lint-ignore no-control-regex -- the colours of a terminal
  const plain = report.replace(/\u001b\[[0-9;]*m/g, "");
  const [, passed = "0", failed = "0", rest = ""] =
    [...plain.matchAll(/(\d+) passed[^|\n]*\| (\d+) failed([^\n]*)/g)].at(-1) ?? [];
  const ignored = Number(/(\d+) ignored/.exec(rest)?.[1] ?? 0);
  return { passed: Number(passed), failed: Number(failed) + ignored };
}

if (import.meta.main) Deno.exit(await main(Deno.args));
