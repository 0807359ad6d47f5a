import { assertEquals } from "@std/assert";
import { KERNEL, readNeedrestart } from "../../lib/need/kernel.ts";
import { TestGround } from "./ground.ts";

const HOUR_S = 3600;

/** A machine that runs `running` since an hour ago, or an hour from now: then all of its kernels are older than the boot. */
async function machine(running: string, kernels: readonly string[], booted: "before" | "after") {
  const ground = await TestGround.make();
  const now = Math.floor(Date.now() / 1000);
  await ground.write("/proc/sys/kernel/osrelease", `${running}\n`);
  await ground.write(
    "/proc/stat",
    `cpu 1 2 3\nbtime ${booted === "before" ? now - HOUR_S : now + HOUR_S}\nprocesses 1\n`,
  );
  for (const kernel of kernels) {
    await ground.write(`/lib/modules/${kernel}/modules.dep`);
    await ground.write(`/boot/vmlinuz-${kernel}`);
  }
  return ground;
}

Deno.test("kernel: the kernel of this machine is told by the runtime, and needs no file of /proc", async () => {
  const ran: string[] = [];
  const opened: string[] = [];
  const answer = await KERNEL.ask({
    path: (path) => {
      opened.push(path);
      return path;
    },
    run: (program) => Promise.reject(ran.push(program)),
  });
  assertEquals([opened.filter((path) => path.startsWith("/proc")), ran], [[], []], answer.kind);
});

const said = async (ground: TestGround) => {
  const answer = await KERNEL.ask(ground);
  return answer.kind === "needed" ? answer.reasons.join() : answer.kind;
};

Deno.test("kernel: a reboot is needed for a newer one that was installed since the boot, and for nothing that was there before", async () => {
  const kernels = ["6.1.0-18-amd64", "6.1.0-20-amd64"];
  await using newer = await machine("6.1.0-18-amd64", kernels, "before");
  assertEquals(await said(newer), "kernel 6.1.0-20-amd64 is installed, 6.1.0-18-amd64 is running");
  await using pinned = await machine("6.1.0-18-amd64", kernels, "after");
  assertEquals(await said(pinned), "not-needed");
  await using older = await machine("6.1.0-20-amd64", ["6.1.0-20-amd64", "6.1.0-9-amd64"], "after");
  assertEquals(await said(older), "not-needed");
});

Deno.test("kernel: the same version in a new package counts, another flavour does not", async () => {
  await using same = await machine("6.1.0-18-amd64", ["6.1.0-18-amd64"], "before");
  assertEquals(await said(same), "kernel 6.1.0-18-amd64 was replaced since the boot");
  await using cloud = await machine(
    "6.1.0-18-cloud-amd64",
    ["6.1.0-18-cloud-amd64", "6.1.0-20-amd64"],
    "after",
  );
  await cloud.write("/boot/vmlinuz-6.1.0-20-amd64", "new");
  assertEquals(await said(cloud), "not-needed");
});

Deno.test("kernel: versions compare by their numbers, as distributions write them", async () => {
  for (
    const [older, newer] of [
      ["5.14.0-362.8.1.el9_3.x86_64", "5.14.0-362.18.1.el9_3.x86_64"],
      ["6.6.9-200.fc39.x86_64", "6.6.13-200.fc39.x86_64"],
      ["5.15.0-91-generic", "5.15.0-100-generic"],
      ["6.4.0-150600.23.7-default", "6.4.0-150600.23.14-default"],
    ] as const
  ) {
    await using up = await machine(older, [older, newer], "before");
    assertEquals(await said(up), `kernel ${newer} is installed, ${older} is running`);
    await using down = await machine(newer, [newer], "after");
    await down.write(`/lib/modules/${older}/modules.dep`);
    assertEquals(await said(down), "not-needed");
  }
});

Deno.test("kernel: modules that are gone need a reboot; a machine without any cannot be judged", async () => {
  await using gone = await machine("6.1.0-18-amd64", ["6.1.0-20-amd64"], "after");
  assertEquals(
    await said(gone),
    "the modules of the running kernel 6.1.0-18-amd64 are gone; installed: 6.1.0-20-amd64",
  );
  await using container = await machine("6.1.0-18-amd64", [], "before");
  assertEquals(await KERNEL.isHere(container), false);
  assertEquals(await said(container), "unknown");
  await using unreadable = await machine("6.1.0-18-amd64", ["6.1.0-18-amd64"], "before");
  await unreadable.write("/proc/stat", "cpu\n");
  assertEquals(await KERNEL.ask(unreadable), {
    kind: "unknown",
    why: ["cannot compare kernels: /proc/stat does not tell when the machine booted"],
  });
});

Deno.test("kernel: the same pair has the same fingerprint, another pair another", async () => {
  const print = async (running: string, installed: string) => {
    await using ground = await machine(running, [running, installed], "before");
    const answer = await KERNEL.ask(ground);
    return answer.kind === "needed" ? answer.fingerprint : answer.kind;
  };
  assertEquals(
    await print("6.1.0-18-amd64", "6.1.0-20-amd64"),
    await print("6.1.0-18-amd64", "6.1.0-20-amd64"),
  );
  assertEquals(await print("6.1.0-18-amd64", "6.1.0-21-amd64"), "6.1.0-18-amd64>6.1.0-21-amd64");
});

const BATCH = (kernel: string) =>
  `NEEDRESTART-VER: 3.6
NEEDRESTART-KCUR: 6.1.0-18-amd64
NEEDRESTART-KEXP: 6.1.0-20-amd64
NEEDRESTART-KSTA: ${kernel}
NEEDRESTART-UCSTA: 1
NEEDRESTART-UCCUR: 0x000000f0
NEEDRESTART-UCEXP: 0x000000f0
`;

Deno.test("readNeedrestart() takes 2 and 3 for a need, 1 for none, and everything else for unknown", () => {
  const pair = "6.1.0-18-amd64>6.1.0-20-amd64";
  const reasons = ["kernel 6.1.0-20-amd64 is installed, 6.1.0-18-amd64 is running"];
  for (const state of ["2", "3"]) {
    assertEquals(readNeedrestart(BATCH(state)), { kind: "needed", reasons, fingerprint: pair });
  }
  const inPlace = readNeedrestart(BATCH("2").replace("KEXP: 6.1.0-20", "KEXP: 6.1.0-18"));
  assertEquals(inPlace.kind === "needed" && inPlace.reasons, [
    "kernel 6.1.0-18-amd64 was replaced since the boot",
  ]);
  assertEquals(readNeedrestart(BATCH("1")).kind, "not-needed");
  for (const text of [BATCH("0"), BATCH("7"), "", "NEEDRESTART-VER: 3.6\n", "garbage\0"]) {
    assertEquals(readNeedrestart(text).kind, "unknown", text);
  }
  // 3.6 where no image is in /boot, and inside a container
  const nothing =
    "NEEDRESTART-VER: 3.6\nNEEDRESTART-KCUR: 6.18.44\nNEEDRESTART-KSTA: 0\nNEEDRESTART-UCSTA: 1\n" +
    "NEEDRESTART-UCCUR: \nNEEDRESTART-UCEXP: \n";
  assertEquals(readNeedrestart(nothing), {
    kind: "unknown",
    why: ["needrestart cannot tell which kernel is installed"],
  });
  assertEquals(readNeedrestart("NEEDRESTART-VER: 3.6\n").kind, "unknown");
  const microcode = readNeedrestart(
    BATCH("1").replace("UCSTA: 1", "UCSTA: 2").replace("UCEXP: 0x000000f0", "UCEXP: 0x000000f4"),
  );
  assertEquals(microcode, {
    kind: "needed",
    reasons: ["microcode 0x000000f4 is installed, 0x000000f0 is in use"],
    fingerprint: "microcode:0x000000f0>0x000000f4",
  });
});
