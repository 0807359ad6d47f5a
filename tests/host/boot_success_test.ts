import { assertEquals } from "@std/assert";
import { BootSuccess } from "../../lib/host/boot_success.ts";
import type { Verdict } from "../../lib/agent.ts";
import { OwnHost } from "../support/own_host.ts";

/** A clock that jumps as far as anybody wants to wait. */
function leaping() {
  let elapsed = 0;
  return {
    now: () => elapsed,
    elapsed: () => elapsed,
    random: () => 0.5,
    after(ms: number, run: () => void) {
      elapsed += ms;
      queueMicrotask(run);
      return { cancel: () => {} };
    },
  };
}

/** What is made of a systemd that answers by this script; `$1` is systemctl's command. */
async function verdict(host: OwnHost, script: string, waitMs = 10_000): Promise<Verdict> {
  await Deno.mkdir(`${host.root}/run/systemd/system`, { recursive: true });
  await host.program("systemctl", `root=${host.root}\ncase $1 in ${script} esac`);
  const { root, log } = host;
  const boot = new BootSuccess({ root, waitMs, surroundings: leaping(), log });
  return await host.withPrograms(() => boot.verdict());
}

const WELL = { kind: "well" } as const;
const NO_GATE =
  "show) printf 'ActiveState=inactive\\nRequires=sysinit.target\\nRequiredBy=\\nWantedBy=\\n';;";
const GATE = (state: string) =>
  `show) printf 'ActiveState=${state}\\nRequires=sysinit.target greenboot-healthcheck.service\\nRequiredBy=\\nWantedBy=multi-user.target\\n';;`;

Deno.test("a boot is complete once systemd says that it runs, and one that does not by then is not well", async () => {
  await using host = await OwnHost.make();
  assertEquals(await verdict(host, `${NO_GATE} is-system-running) echo running;;`), WELL);
  const later =
    `${NO_GATE} is-system-running) echo >>$root/asked; [ $(wc -l <$root/asked) -gt 2 ] && echo running || { echo starting; exit 1; };;`;
  assertEquals(await verdict(host, later), WELL);
  const stuck =
    `${NO_GATE} is-system-running) echo starting; exit 1;; list-jobs) echo '  12 db.service start running';;`;
  assertEquals(await verdict(host, stuck), {
    kind: "ill",
    why: "the boot is not complete after 10 s: it is starting; it waits for db.service (systemctl list-jobs)",
  });
  assertEquals(host.lines, []);
});

Deno.test("a boot with units that failed is complete, and they are told once", async () => {
  await using host = await OwnHost.make();
  const degraded =
    `${NO_GATE} is-system-running) echo degraded; exit 1;; list-units) echo 'x.service loaded failed failed X';;`;
  assertEquals(await verdict(host, degraded), WELL);
  assertEquals(host.lines, ["warning: the boot is complete, with units that failed: x.service"]);
});

Deno.test("a system in rescue mode, or that does not answer, is not well", async () => {
  await using host = await OwnHost.make();
  assertEquals(await verdict(host, `${NO_GATE} is-system-running) echo maintenance;;`), {
    kind: "ill",
    why: "systemd is in rescue or emergency mode",
  });
  assertEquals(await verdict(host, "*) echo 'no bus' >&2; exit 1;;"), {
    kind: "ill",
    why: "the boot is not complete after 10 s: systemctl does not answer: no bus",
  });
});

Deno.test("where units are required by boot-complete.target it is to be reached, and a test that failed is named at once", async () => {
  await using host = await OwnHost.make();
  // a system that is degraded all the same
  assertEquals(await verdict(host, `${GATE("active")} is-system-running) echo degraded; exit 1;;`), WELL);
  const failed = `${
    GATE("inactive")
  } list-units) echo 'greenboot-healthcheck.service loaded failed failed G';;`;
  assertEquals(await verdict(host, failed), {
    kind: "ill",
    why: "boot-complete.target is not reached: greenboot-healthcheck.service failed",
  });
  assertEquals(await verdict(host, `${GATE("inactive")}`), {
    kind: "ill",
    why:
      "the boot is not complete after 10 s: boot-complete.target is inactive, it requires greenboot-healthcheck.service",
  });
});

Deno.test("nobody waits for a boot without systemd, or where it is not wanted", async () => {
  await using host = await OwnHost.make();
  const { root, log } = host;
  const boot = new BootSuccess({ root, waitMs: 1000, surroundings: leaping(), log });
  assertEquals(await boot.verdict(), WELL);
  assertEquals(await verdict(host, "*) exit 1;;", 0), WELL);
});

Deno.test("a machine has been up since its kernel started, or its last soft reboot, or at least as long as this program", async () => {
  await using host = await OwnHost.make();
  const surroundings = leaping();
  const { root, log } = host;
  const boot = new BootSuccess({ root, waitMs: 0, surroundings, log });
  surroundings.after(7_000, () => {});
  assertEquals(await boot.upMs(), 7_000);
  await Deno.mkdir(`${root}/proc`);
  await Deno.writeTextFile(`${root}/proc/uptime`, "3600.25 7000.00\n");
  assertEquals(await boot.upMs(), 3_600_250);
  await Deno.mkdir(`${root}/run/systemd/system`, { recursive: true });
  await host.program("systemctl", "echo UnitsLoadStartTimestampMonotonic=3000250000");
  assertEquals(await host.withPrograms(() => boot.upMs()), 600_000);
});
