import { assertEquals } from "@std/assert";
import {
  BOOTC,
  FLATCAR,
  NIXOS,
  readBootc,
  readRpmOstree,
  RPM_OSTREE,
  SYSUPDATE_SOURCE,
} from "../../lib/need/images.ts";
import { exited, TestGround } from "./ground.ts";

const deployment = (more: Record<string, unknown>) => ({
  booted: false,
  staged: false,
  version: "39.1",
  checksum: "c".repeat(64),
  ...more,
});

Deno.test("rpm-ostree: a staged deployment is a need, unless its finalization is locked", () => {
  const said = (deployments: unknown) => {
    const answer = readRpmOstree(exited(0, JSON.stringify({ deployments })));
    return answer.kind === "needed"
      ? answer.reasons.join()
      : answer.kind === "unknown"
      ? answer.why.join()
      : answer.kind;
  };
  const booted = deployment({ booted: true, version: "39.0", checksum: "b".repeat(64) });
  assertEquals(said([deployment({ staged: true }), booted]), "rpm-ostree: 39.1 is staged, 39.0 is running");
  assertEquals(
    said([deployment({ staged: true, "finalization-locked": true }), booted]),
    "rpm-ostree: the staged deployment is locked; a reboot would not apply it",
  );
  assertEquals(said([booted, deployment({})]), "not-needed", "the one before is kept to go back to");
  assertEquals(said([deployment({}), booted]), "rpm-ostree: 39.1 is staged, 39.0 is running");
  assertEquals(said("none"), "rpm-ostree printed JSON of another shape than expected");
  assertEquals(readRpmOstree(exited(1, "", "error: Loading sysroot\n")), {
    kind: "unknown",
    why: ["rpm-ostree exited with 1: error: Loading sysroot"],
  });
});

Deno.test("bootc: what is staged is a need, what is only downloaded is none", () => {
  const said = (status: unknown) => {
    const answer = readBootc(
      exited(0, JSON.stringify({ apiVersion: "org.containers.bootc/v1", kind: "BootcHost", status })),
    );
    return answer.kind === "needed" ? answer.reasons.join() : answer.kind;
  };
  const image = { image: { version: "41.20251101", imageDigest: `sha256:${"d".repeat(64)}` } };
  assertEquals(said({ booted: image, staged: image, rollbackQueued: false }), "bootc: 41.20251101 is staged");
  assertEquals(said({ booted: image, staged: { ...image, downloadOnly: true } }), "not-needed");
  assertEquals(said({ booted: image, staged: null, rollbackQueued: false }), "not-needed");
  assertEquals(said({ booted: image, staged: null, rollbackQueued: true }), "bootc: a rollback is queued");
  assertEquals(said({ booted: null, staged: null }), "silent", "a machine with bootc on it that is no image");
  const bare = { staged: null, booted: null, rollback: null, rollbackQueued: false, type: null };
  assertEquals(said(bare), "silent", "the whole status of such a machine");
  assertEquals(said("?"), "unknown");
  assertEquals(
    readBootc(exited(1, "", "ERROR Status: This command must be executed as the root user\n")).kind,
    "unknown",
  );
  assertEquals(readBootc(exited(0, "<html>")).kind, "unknown");
});

/** What systemd-sysupdate says on stderr, on systemd 252 as on 257. */
const SYSUPDATE_SAYS = (how: string) =>
  `Determining installed update sets...\nNewest installed version '42' ${how} booted version '41'.`;

Deno.test("sysupdate: exit 0 of 'pending' is a need; 1 is none only with the words for it, for a failure has it too", async () => {
  await using ground = await TestGround.make();
  await ground.write("/usr/lib/systemd/systemd-sysupdate");
  assertEquals(await SYSUPDATE_SOURCE.isHere(ground), false, "nothing to update is configured");
  await ground.write("/etc/sysupdate.d/50-root.conf");
  assertEquals(await SYSUPDATE_SOURCE.isHere(ground), true);
  const said = async (code: number, stderr = "") => {
    ground.answers.set("/usr/lib/systemd/systemd-sysupdate pending", exited(code, "", stderr));
    return await SYSUPDATE_SOURCE.ask(ground);
  };
  assertEquals(await said(0, `${SYSUPDATE_SAYS("is newer than")} Reboot recommended.\n`), {
    kind: "needed",
    reasons: ["systemd-sysupdate: 42 is installed, 41 is running"],
    fingerprint: "41>42",
  });
  for (const how of ["matches", "is older than"]) {
    assertEquals((await said(1, `${SYSUPDATE_SAYS(how)}\n`)).kind, "not-needed");
  }
  for (
    const fault of [
      "",
      "No transfer definitions found.\n",
      "Determining installed update sets...\nCouldn't find any suitable installed versions.\n",
      "Determining installed update sets...\n/etc/os-release lacks IMAGE_VERSION field.\n",
    ]
  ) assertEquals((await said(1, fault)).kind, "unknown", fault);
  assertEquals((await said(2)).kind, "unknown");
});

Deno.test("nixos: another kernel, initrd or modules than those booted is a need", async () => {
  await using ground = await TestGround.make();
  await ground.write("/etc/NIXOS");
  assertEquals(await NIXOS.isHere(ground), true);
  assertEquals((await NIXOS.ask(ground)).kind, "unknown", "without a profile nothing can be compared");
  const link = async (at: string, part: string, to: string) => {
    await Deno.mkdir(ground.path(at), { recursive: true });
    await Deno.remove(ground.path(`${at}/${part}`)).catch(() => {});
    await Deno.symlink(to, ground.path(`${at}/${part}`));
  };
  for (const at of ["/run/booted-system", "/nix/var/nix/profiles/system"]) {
    for (const part of ["kernel", "initrd", "kernel-modules"]) await link(at, part, `/nix/store/a-${part}`);
  }
  assertEquals((await NIXOS.ask(ground)).kind, "not-needed");
  await link("/nix/var/nix/profiles/system", "kernel", "/nix/store/b-kernel");
  const answer = await NIXOS.ask(ground);
  assertEquals(answer, {
    kind: "needed",
    reasons: ["NixOS: another kernel than the booted one"],
    fingerprint: "/nix/store/b-kernel",
  });
});

Deno.test("flatcar: the mark of a completed update is a need", async () => {
  await using ground = await TestGround.make();
  await ground.write("/etc/os-release", 'NAME="Flatcar Container Linux by Kinvolk"\nID=flatcar\n');
  assertEquals(await FLATCAR.isHere(ground), true);
  assertEquals((await FLATCAR.ask(ground)).kind, "not-needed");
  await ground.write("/run/update_engine_autoupdate_completed");
  assertEquals((await FLATCAR.ask(ground)).kind, "needed");
});

Deno.test("a system that is not there is not asked", async () => {
  await using ground = await TestGround.make();
  for (const source of [RPM_OSTREE, BOOTC, SYSUPDATE_SOURCE, NIXOS, FLATCAR]) {
    assertEquals(await source.isHere(ground), false, source.name);
  }
});
