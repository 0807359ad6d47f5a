import { assertEquals } from "@std/assert";
import { Report, total } from "./report.ts";

function summary(code: number, ...lines: string[]): string {
  const report = new Report();
  for (const line of lines) report.take(line);
  return report.summary(code).text;
}

const HOSTS = "\u001b[38;5;245mrunning 3 tests from ./tests/hosts/fleet_test.ts\u001b[0m";
const OTHERS = "running 2 tests from ./tests/lock_test.ts";
const IGNORED = "eight hosts reboot ... \u001b[33mignored\u001b[0m (0ms)";

Deno.test("a run counts what passed and what failed", () => {
  assertEquals(summary(0, OTHERS, "\u001b[32mok\u001b[0m | 7 passed | 0 failed (2s)"), "7 passed, 0 failed");
  assertEquals(summary(1, OTHERS, "FAILED | 5 passed (2 steps) | 2 failed (2s)"), "5 passed, 2 failed");
});

Deno.test("a test of hosts that was ignored is skipped, and has not passed", () => {
  const end = "ok | 5 passed | 0 failed | 2 ignored (2s)";
  assertEquals(summary(0, HOSTS, IGNORED, IGNORED, OTHERS, end), "5 passed, 0 failed, 2 skipped");
});

Deno.test("any other test that was ignored has failed", () => {
  const end = "ok | 5 passed | 0 failed | 2 ignored (2s)";
  assertEquals(summary(0, HOSTS, IGNORED, OTHERS, IGNORED, end), "5 passed, 1 failed, 1 skipped");
});

Deno.test("a run that broke down before it could count has failed", () => {
  assertEquals(summary(1), "0 passed, 1 failed");
  assertEquals(summary(0), "0 passed, 1 failed");
});

Deno.test("runs side by side count together, and one that broke down is not hidden by the others", () => {
  const run = (code: number, ...lines: string[]) => {
    const report = new Report();
    for (const line of lines) report.take(line);
    return report.summary(code);
  };
  const good = run(0, OTHERS, "ok | 7 passed | 0 failed (2s)");
  const hosts = run(0, HOSTS, IGNORED, "ok | 2 passed | 0 failed | 1 ignored (2s)");
  assertEquals(total([good, hosts]).text, "9 passed, 0 failed, 1 skipped");
  assertEquals(total([good, run(1)]), {
    passed: 7,
    failures: 1,
    skipped: 0,
    text: "7 passed, 1 failed",
    faults: "",
  });
});
