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
import { leashedDeno } from "./support/child.ts";
import { install, missing, type Needed } from "./support/packages.ts";
import { Report } from "./support/report.ts";

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
  const targets = args.some((arg) => !arg.startsWith("-") && arg.startsWith("tests/")) ? [] : ["tests/"];
  const child = leashedDeno(["test", "-A", "--quiet", "--no-check", ...targets, ...args], {
    stdout: "piped",
    stderr: "inherit",
    stdin: "null",
  }).spawn();
  const report = new Report();
  await passOn(child.stdout, report);
  const { code } = await child.status;
  const { failures, text } = report.summary(code);
  console.log(text);
  return failures === 0 ? 0 : 1;
}

/** Shows the output as it comes. */
async function passOn(stream: ReadableStream<Uint8Array>, report: Report): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    Deno.stdout.writeSync(chunk);
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) report.take(line);
  }
  report.take(rest);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
