/**
 * `deno task test`: sets up what the tests need, runs them, and ends with one line, `N passed, N failed`, and
 * `, N skipped` where some were.
 *
 * The tests use real servers from Debian's packages. What is missing is installed where that is possible (as root, with
 * apt-get); elsewhere it is said, and counts as a failure: a test that did not run has shown nothing. Only the tests of
 * real hosts may be skipped, since few machines let them boot any.
 *
 *     deno task test                  all of them
 *     deno task test tests/lock_test.ts --filter reply
 */

import { HOST_PACKAGES } from "./hosts/requirements.ts";
import { leashed } from "./support/child.ts";
import { install, missing, type Needed } from "./support/packages.ts";
import { Report, type Summary, total } from "./support/report.ts";

const NEEDED: readonly Needed[] = [
  { program: "etcd", package: "etcd-server" },
  { program: "etcdctl", package: "etcd-client" },
  { program: "dbus-daemon", package: "dbus" },
  { program: "busctl", package: "systemd" },
  { program: "openssl", package: "openssl" },
  { program: "ip", package: "iproute2" },
  { program: "strace", package: "strace" },
  { program: "wall", package: "bsdutils" },
  { program: "bindfs", package: "bindfs" },
  { program: "chromium", package: "chromium" },
  { program: "promtool", package: "prometheus" },
  { file: "/usr/lib/*/faketime/libfaketime.so.1", package: "libfaketime" },
  { file: "/usr/lib/python3/dist-packages/dbusmock", package: "python3-dbusmock" },
];

async function main(args: readonly string[]): Promise<number> {
  const lacking = await missing(NEEDED);
  if (!await install(lacking) || (await missing(NEEDED)).length > 0) {
    console.error(`the tests need these packages of Debian, and cannot install them: ${lacking.join(" ")}`);
    console.error(`as root: apt-get install ${lacking.join(" ")}`);
    console.log("0 passed, 1 failed");
    return 1;
  }
  await install(await missing(HOST_PACKAGES));
  const targets = args.some((arg) => arg.startsWith("tests/")) ? [] : ["tests/"];
  const summary = args.length > 0 ? await run([...targets, ...args], {}) : await runAll();
  // once more at the end: before it come thousands of lines
  if (summary.faults) console.log(summary.faults);
  console.log(summary.text);
  return summary.failures === 0 ? 0 : 1;
}

/**
 * What is run apart, the longest first, by as many lanes as {@linkcode LANES}: each takes the next part when it is done
 * with one. Most tests wait for servers, hosts and clocks. The simulation only computes, promises nothing about time, and
 * gets the time that others leave. The rest of the tests is the last part.
 */
const PARTS: readonly Part[] = [
  { paths: ["tests/simulation/"], nice: true },
  { paths: ["tests/cli/"] },
  { paths: ["tests/hosts/", "tests/host/", "tests/need/"] },
  { paths: ["tests/etcd/"] },
  { paths: ["tests/faults/"] },
];
const LANES = 3;

interface Part {
  readonly paths: readonly string[];
  readonly nice?: boolean;
}

/** All tests. What the tests of a file printed is shown as a whole once they have ended. */
async function runAll(): Promise<Summary> {
  const apart = PARTS.flatMap(({ paths }) => paths);
  const parts = [...PARTS, { paths: ["tests/", `--ignore=${apart.join(",")}`] }];
  const summaries: Summary[] = [];
  const lane = async () => {
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      summaries.push(await run(part.paths, { ...part, byFile: true }));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return total(summaries);
}

interface RunOptions {
  /** It gets the time that others leave. */
  readonly nice?: boolean;
  /** Shows the lines of each file together, since other runs show theirs too; else each as it comes. */
  readonly byFile?: boolean;
}

async function run(args: readonly string[], { nice = false, byFile = false }: RunOptions): Promise<Summary> {
  const deno = ["test", "-A", "--quiet", "--no-check", ...args];
  const options = { stdout: "piped", stderr: "inherit", stdin: "null" } as const;
  const command = nice
    ? leashed("nice", { args: ["-n", "19", Deno.execPath(), ...deno], ...options })
    : leashed(Deno.execPath(), { args: deno, ...options });
  const child = command.spawn();
  const report = new Report();
  const decoder = new TextDecoder();
  let [rest, kept] = ["", ""];
  const take = (line: string) => {
    const before = report.file;
    report.take(line);
    if (byFile && report.file !== before) {
      show(kept);
      kept = "";
    }
    kept += `${line}\n`;
  };
  for await (const chunk of child.stdout) {
    const text = decoder.decode(chunk, { stream: true });
    if (!byFile) show(text);
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(take);
  }
  if (rest !== "") take(rest);
  if (byFile) show(kept);
  return report.summary((await child.status).code);
}

function show(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += Deno.stdout.writeSync(bytes.subarray(written));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
