import { assertEquals } from "@std/assert";
import type { ChildEnd } from "../../lib/host/child.ts";
import type { Answer } from "../../lib/need.ts";
import { LIVEPATCH, readLivepatch } from "../../lib/need/livepatch.ts";
import { exited, TestGround } from "./ground.ts";

const STATUS = ["/snap/bin/canonical-livepatch", "status", "--format", "json"].join(" ");

/** What client 10.8.3 prints, with the kernel that runs and another one. */
const report = (support: Record<string, unknown>) =>
  JSON.stringify({
    "Client-Version": "10.8.3",
    "Machine-Id": "69d27b356a94476da859461d3a3bc6fd",
    "Architecture": "amd64",
    "CPU-Model": "Intel(R) Core(TM) i7-10750H CPU @ 2.60GHz",
    "Last-Check": "2024-08-19T02:16:28.218404Z",
    "Boot-Time": "2024-08-19T02:14:28Z",
    "Uptime": "143",
    "Status": [
      { "Kernel": "5.15.0-91.101-generic", "Running": false, "Supported": "unsupported" },
      {
        "Kernel": "5.15.0-100.110-generic",
        "Running": true,
        "Livepatch": {
          "CheckState": "checked",
          "State": "applied",
          "Version": "104.1",
          "Fixes": [{ "Name": "cve-2023-6270", "Description": "", "Bug": "", "Patched": true }],
        },
        ...support,
      },
    ],
    "tier": "updates",
    "Cloud-Enabled": { "cloud-enabled": true, "cloud": "lxd", "region": "", "az": "" },
  });

const NOT_ENABLED =
  "Machine is not enabled. Please run 'sudo canonical-livepatch enable' with the\ntoken obtained from https://ubuntu.com/livepatch.\n";
const NO_DAEMON =
  "Connection to the daemon failed: Get http://127.0.0.1/status?verbose=false: dial unix /var/snap/canonical-livepatch/15/livepatchd.sock: connect: no such file or directory\n";

const said = (answer: Answer) =>
  answer.kind === "unknown"
    ? `unknown: ${answer.why.join()}`
    : answer.kind !== "silent"
    ? answer.kind
    : answer.deadline === undefined
    ? answer.why
    : `${answer.deadline.until}: ${answer.deadline.why}`;
const read = (support: Record<string, unknown>) => said(readLivepatch(exited(0, report(support))));

Deno.test("livepatch: the date until which the running kernel is covered is a deadline, also when it has passed, and never a need", () => {
  const end = "2025-03-07: end of Livepatch for kernel 5.15.0-100.110-generic";
  for (const Supported of ["supported", "kernel-upgrade-required"]) {
    assertEquals(read({ Supported, UpgradeRequiredDate: "2025-03-07" }), end);
    assertEquals(read({ Supported, UpgradeRequiredDate: "2025-03-07T00:00:00Z" }), end);
  }
});

Deno.test("livepatch: a kernel without such a date has no deadline, and one that is not covered says so", () => {
  for (const UpgradeRequiredDate of [undefined, null, "", "soon", "2025-13-41", 20250307]) {
    assertEquals(
      read({ Supported: "supported", UpgradeRequiredDate }),
      "Livepatch covers kernel 5.15.0-100.110-generic; it names no end",
    );
  }
  assertEquals(
    read({ Supported: "kernel-upgrade-required" }),
    "Livepatch no longer covers kernel 5.15.0-100.110-generic; install the newest one and reboot",
  );
  for (const Supported of ["kernel-end-of-life", "unsupported"]) {
    assertEquals(
      read({ Supported, UpgradeRequiredDate: "2025-03-07" }),
      "Livepatch does not cover kernel 5.15.0-100.110-generic",
    );
  }
  assertEquals(said(readLivepatch(exited(1, "", NOT_ENABLED))), "Livepatch is not enabled on this machine");
  assertEquals(said(readLivepatch(exited(1, NOT_ENABLED))), "Livepatch is not enabled on this machine");
});

Deno.test("livepatch: a client that fails, hangs or prints something else is unknown", () => {
  const faults: [ChildEnd, string][] = [
    [exited(1, "", NO_DAEMON), "canonical-livepatch exited with 1: Connection to the daemon failed: "],
    [
      exited(1, "", "you need to run this command with sudo\n"),
      "canonical-livepatch exited with 1: you need",
    ],
    [exited(0, ""), "canonical-livepatch printed something that is not JSON"],
    [exited(0, "last check: 52 seconds ago\n"), "canonical-livepatch printed something that is not JSON"],
    [exited(0, "null"), "canonical-livepatch says nothing of the running kernel"],
    [exited(0, '{"Status":"none"}'), "canonical-livepatch says nothing of the running kernel"],
    [
      exited(0, '{"Status":[null,{"Running":true}]}'),
      "canonical-livepatch says nothing of the running kernel",
    ],
    [
      exited(0, report({ Supported: "unknown" })),
      "canonical-livepatch cannot tell whether it covers kernel 5.15",
    ],
    [exited(0, report({})), "canonical-livepatch cannot tell whether it covers kernel 5.15"],
    [{ kind: "timeout" }, "canonical-livepatch did not end within 5 minutes"],
    [{ ...exited(0, report({})), signal: "SIGKILL" } as ChildEnd, "canonical-livepatch was ended by SIGKILL"],
    [{ kind: "not-started", why: "permission denied" }, "cannot run canonical-livepatch: permission denied"],
  ];
  for (const [end, why] of faults) {
    const text = said(readLivepatch(end)) ?? "";
    assertEquals(text.slice(0, why.length + 9), `unknown: ${why}`);
  }
});

Deno.test("livepatch: it is asked where its snap is installed", async () => {
  await using ground = await TestGround.make();
  assertEquals(await LIVEPATCH.isHere(ground), false);
  await ground.write("/snap/bin/canonical-livepatch");
  assertEquals(await LIVEPATCH.isHere(ground), true);
  ground.answers.set(
    STATUS,
    exited(0, report({ Supported: "supported", UpgradeRequiredDate: "2025-03-07" })),
  );
  assertEquals((await LIVEPATCH.ask(ground)).kind, "silent");
});
