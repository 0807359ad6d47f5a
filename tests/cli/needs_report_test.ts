import { assertEquals } from "@std/assert";
import { renderNeed, reportOf } from "../../lib/cli/needs_command.ts";
import type { Answer } from "../../lib/need.ts";

const DEADLINE = { until: "2027-10-02", why: "end of Livepatch for kernel 6.8.0-142.142-generic" };
const ANSWERS = new Map<string, Answer>([
  ["debian", { kind: "needed", reasons: ["2 packages"], fingerprint: "f", packages: ["dbus", "libc6"] }],
  ["kernel", { kind: "not-needed" }],
  ["livepatch", { kind: "silent", deadline: DEADLINE }],
]);

Deno.test("needs-reboot --json tells the packages and the deadline of each source that knows them, and the first deadline of all", () => {
  assertEquals(reportOf(ANSWERS), {
    need: "needed",
    reasons: ["2 packages"],
    level: "reboot",
    deadline: DEADLINE,
    sources: [
      { name: "debian", answer: "needed", reasons: ["2 packages"], packages: ["dbus", "libc6"] },
      { name: "kernel", answer: "not-needed", reasons: [] },
      { name: "livepatch", answer: "silent", reasons: [DEADLINE.why], deadline: DEADLINE },
    ],
  });
});

Deno.test("needs-reboot tells a deadline beside the answer, which it does not change", () => {
  const answers = new Map([...ANSWERS].slice(1));
  const told = "; reboot before 2027-10-02, in 9 days: end of Livepatch";
  assertEquals(
    renderNeed(reportOf(answers), { since: "", deadline: told }),
    `no reboot is needed; reboot before 2027-10-02, in 9 days: end of Livepatch

SOURCE     REBOOT             WHY
kernel     not needed
livepatch  before 2027-10-02  end of Livepatch for kernel 6.8.0-142.142-generic
`,
  );
});
