import { assertEquals, assertNotEquals } from "@std/assert";
import type { Answer } from "../../lib/need.ts";
import { DEBIAN, DNF, readDnf5, readDnfText, ZYPPER } from "../../lib/need/packages.ts";
import { exited, TestGround } from "./ground.ts";

const fingerprintOf = (answer: Answer | null) =>
  answer?.kind === "needed" ? answer.fingerprint : answer?.kind;

Deno.test("debian: the file is a need; its absence is none only where something would write it", async () => {
  await using ground = await TestGround.make();
  assertEquals(await DEBIAN.isHere(ground), false);
  await ground.write("/var/lib/dpkg/status");
  assertEquals(await DEBIAN.isHere(ground), true);
  assertEquals(await DEBIAN.ask(ground), {
    kind: "silent",
    why: "nothing on this machine writes /run/reboot-required",
  });
  await ground.write("/usr/share/update-notifier/notify-reboot-required");
  assertEquals((await DEBIAN.ask(ground)).kind, "not-needed");
  await ground.write("/run/reboot-required", "*** System restart required ***\n");
  await ground.write("/run/reboot-required.pkgs", "linux-image-6.1.0-20-amd64\nlibc6\n");
  const answer = await DEBIAN.ask(ground);
  assertEquals(
    answer.kind === "needed" ? answer.reasons.map((reason) => reason.replace(ground.root, "")) : answer,
    ["/run/reboot-required exists (2 packages: linux-image-6.1.0-20-amd64, libc6)"],
  );
  assertEquals(answer.kind === "needed" && answer.packages, ["linux-image-6.1.0-20-amd64", "libc6"]);
  await ground.write("/run/reboot-required.pkgs", "snap:core22\nlibc6\nsnap:core22\n");
  const snaps = await DEBIAN.ask(ground);
  assertEquals(snaps.kind === "needed" && snaps.packages, ["snap:core22", "libc6"]);
});

Deno.test("zypper: the file says which kind, an empty one means a reboot, 'none' means none, and other words are not understood", async () => {
  await using ground = await TestGround.make();
  const said = async (text: string | null) => {
    if (text === null) await Deno.remove(ground.path("/run/reboot-needed")).catch(() => {});
    else await ground.write("/run/reboot-needed", text);
    const answer = await ZYPPER.ask(ground);
    if (answer.kind !== "needed") return answer.kind;
    return answer.reasons.join() + (answer.level === undefined ? "" : `; ${answer.level}`);
  };
  assertEquals(await said(null), "not-needed");
  assertEquals(await said(""), "/run/reboot-needed exists");
  assertEquals(await said("reboot\n"), "/run/reboot-needed exists");
  assertEquals(await said("soft-reboot\n"), "/run/reboot-needed asks for a soft-reboot; soft-reboot");
  assertEquals(await said("kexec"), "/run/reboot-needed asks for a kexec; kexec");
  assertEquals(await said("none\n"), "not-needed");
  assertEquals(await said("perhaps"), "unknown");
  await ground.write("/boot/do_purge_kernels");
  assertEquals(await said("none\n"), "/boot/do_purge_kernels: a kernel was installed");
  assertEquals(
    await said("soft-reboot"),
    "/run/reboot-needed asks for a soft-reboot,/boot/do_purge_kernels: a kernel was installed",
  );
});

const NEEDED = `Core libraries or services have been updated since boot-up:
  * glibc
  * kernel

Reboot is required to fully utilize these updates.
More information: https://access.redhat.com/solutions/27943
`;
/** yum-utils 1.1.31 on RHEL 7. */
const YUM_NEEDED = `Core libraries or services have been updated:
  gnutls -> 3.3.29-9.el7_6
  kernel -> 3.10.0-1160.119.1.el7

Reboot is required to ensure that your system benefits from these updates.

More information:
https://access.redhat.com/solutions/27943
`;
const NONE = `No core libraries or services have been updated since boot-up.
Reboot should not be necessary.
`;

Deno.test("dnf: exit 1 alone is no need, for a failure has it too", async () => {
  const need = await readDnfText("dnf", exited(1, NEEDED));
  assertEquals(need.kind === "needed" ? need.reasons : need, ["dnf: a reboot is required (glibc, kernel)"]);
  assertEquals(need.kind === "needed" ? need.packages : need, ["glibc", "kernel"]);
  const yum = await readDnfText("needs-restarting", exited(1, YUM_NEEDED));
  assertEquals(yum.kind === "needed" ? [yum.reasons, yum.packages] : yum, [
    ["dnf: a reboot is required (gnutls, kernel)"],
    ["gnutls", "kernel"],
  ]);
  const later = await readDnfText("needs-restarting", exited(1, YUM_NEEDED.replace("29-9", "29-10")));
  assertNotEquals(fingerprintOf(later), fingerprintOf(yum), "the next version is another need");
  assertEquals((await readDnfText("dnf", exited(0, NONE))).kind, "not-needed");
  assertEquals(
    (await readDnfText("dnf", exited(0, `Updating Subscription Management repositories.\n${NONE}`))).kind,
    "not-needed",
  );
  assertEquals(
    await readDnfText("dnf", exited(1, "", "Error: Failed to download metadata for repo 'baseos'\n")),
    {
      kind: "unknown",
      why: ["dnf exited with 1: Error: Failed to download metadata for repo 'baseos'"],
    },
  );
  const notRoot = "error: cannot open Packages database in /root/.rpmdb\nError: Error: rpmdb open failed\n";
  assertEquals((await readDnfText("dnf", exited(1, "", notRoot))).kind, "unknown");
  assertEquals((await readDnfText("dnf", exited(2, NEEDED))).kind, "unknown");
  assertEquals((await readDnfText("dnf", { kind: "timeout" })).kind, "unknown");
  assertEquals(
    (await readDnfText("dnf", { kind: "exited", code: 1, signal: "SIGKILL", stdout: NEEDED, stderr: "" }))
      .kind,
    "unknown",
  );
});

Deno.test("dnf5: JSON where it has it, else its text; the plugin may be missing", async () => {
  const json = (required: boolean, packages: unknown) =>
    JSON.stringify([{
      type: "reboot",
      reboot_required: required,
      packages,
      documentation: "https://access.redhat.com/solutions/27943",
    }]);
  const need = await readDnf5(exited(1, json(true, ["dbus-broker", "kernel"])));
  assertEquals(need?.kind === "needed" ? [need.reasons, need.packages] : need, [
    ["dnf: a reboot is required (dbus-broker, kernel)"],
    ["dbus-broker", "kernel"],
  ]);
  const other = await readDnf5(exited(1, json(true, ["glibc"])));
  assertNotEquals(fingerprintOf(other), fingerprintOf(need), "another update is another need");
  assertEquals((await readDnf5(exited(1, json(true, "?"))))?.kind, "needed");
  assertEquals(await readDnf5(exited(0, json(false, []))), { kind: "not-needed" });
  for (const text of ["", "[]", "{}", "[null]", '[{"type":"reboot"}]', "[{"]) {
    assertEquals(await readDnf5(exited(1, text)), null, text);
  }
  await using ground = await TestGround.make();
  await ground.write("/usr/bin/dnf5");
  await ground.write("/usr/bin/dnf");
  ground.answers.set("dnf5 -C needs-restarting --json", exited(2, "", 'Unknown argument "--json"\n'));
  ground.answers.set("dnf5 -C needs-restarting", exited(1, NEEDED));
  assertEquals((await DNF.ask(ground)).kind, "needed");
  ground.answers.set("dnf5 -C needs-restarting", exited(2, "", 'Unknown argument "needs-restarting"\n'));
  assertEquals(await DNF.ask(ground), {
    kind: "unknown",
    why: ['dnf5 exited with 2: Unknown argument "needs-restarting"'],
  });
});

Deno.test("dnf: each generation is asked in its own way, and one that cannot be run is unknown", async () => {
  await using ground = await TestGround.make();
  assertEquals(await DNF.isHere(ground), false);
  await ground.write("/usr/bin/needs-restarting");
  assertEquals((await DNF.ask(ground)).kind, "unknown");
  await ground.write("/usr/bin/dnf");
  ground.answers.set("dnf -C needs-restarting -r", exited(1, NEEDED));
  assertEquals((await DNF.ask(ground)).kind, "needed");
  assertEquals(ground.ran, ["needs-restarting -r", "dnf -C needs-restarting -r"]);
});
