import { assert, assertEquals, assertMatch } from "@std/assert";
import { violations } from "../support/chronicle.ts";
import { capture } from "./command.ts";
import { Fleet } from "./fleet.ts";
import type { Host } from "./host.ts";
import { CONFIGURATION } from "./image.ts";
import { Site, type SiteHostOptions } from "./site.ts";
import { hostTest } from "./story.ts";

const UNITS = new URL("../../dist/systemd", import.meta.url).pathname;
const UNIT = `${UNITS}/locksmithd.service`;
const WIDER = await Deno.readTextFile(`${UNITS}/reboot-command.conf`);
const LIMIT_MS = 10_000;
/** systemd counts in tenths. */
const EXPOSURE_MAX = 50;

interface Assessment {
  readonly name: string;
  /** `null`: it does not matter. */
  readonly set: boolean | null;
}

Deno.test("the unit is closed so far that systemd-analyze counts no more than 5.0", async () => {
  const words = [
    "systemd-analyze",
    "security",
    "--offline=true",
    "--no-pager",
    `--threshold=${EXPOSURE_MAX}`,
    UNIT,
  ];
  const { code, stdout, stderr } = await capture(words, LIMIT_MS);
  assertEquals(code, 0, stdout.split("\n").at(-2) ?? stderr);
});

Deno.test("the unit names all that it leaves open, and says why", async () => {
  const words = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--json=short", UNIT];
  const assessments: Assessment[] = JSON.parse((await capture(words, LIMIT_MS)).stdout);
  const settings = assessments.filter(({ set }) => set === false).map(({ name }) =>
    /^\w+=/.exec(name)?.[0] ?? name
  );
  const comments = (await Deno.readTextFile(UNIT)).split("\n").filter((line) => line.startsWith("#")).join(
    "\n",
  );
  assertEquals(settings.filter((setting) => !comments.includes(setting)), []);
});

let site: Promise<Site> | undefined;
/** One site for all of these; each has a group and a host of its own. */
async function oneHost(group: string, options: SiteHostOptions = {}): Promise<{ fleet: Fleet; host: Host }> {
  const fleet = await Fleet.start(await (site ??= Site.open("units")), {
    group,
    names: [group],
    max: 1,
    ...options,
  });
  const [host] = fleet.hosts;
  assert(host);
  return { fleet, host };
}

Deno.test.afterAll(async () => {
  await (await site)?.[Symbol.asyncDispose]();
});

hostTest(
  "systemctl start fails while the configuration is at fault, says why, and is not tried again",
  async () => {
    const { fleet, host } = await oneHost("faulty", {
      settings: { REBOOT_STRATEGY: "best" },
    });
    await using _fleet = fleet;
    const { code, stderr } = await host.capture("systemctl", "start", "locksmithd");
    assertEquals(code, 1);
    assertMatch(stderr, /^Job for locksmithd\.service failed because the control process exited/);
    const properties = ["--property=ActiveState,ExecMainStatus,NRestarts", "locksmithd"];
    assertEquals(
      await host.run("systemctl", "show", ...properties),
      "NRestarts=0\nExecMainStatus=2\nActiveState=failed\n",
    );
    await host.journal.line(/best/);
    const { code: config } = await host.capture("locksmith", "config");
    assertEquals(config, 2);
    await host.write(
      CONFIGURATION,
      (await host.read(CONFIGURATION)).replace("best", "etcd-lock"),
    );
    await host.run("systemctl", "start", "locksmithd");
    assertEquals(await host.run("systemctl", "is-active", "locksmithd"), "active\n");
  },
);

hostTest("systemctl start succeeds with the strategy off, and the daemon has nothing to do", async () => {
  const { fleet, host } = await oneHost("off", { settings: { REBOOT_STRATEGY: "off" } });
  await using _fleet = fleet;
  await host.run("systemctl", "start", "locksmithd");
  const properties = ["--property=Result,ExecMainStatus", "locksmithd"];
  assertEquals(await host.run("systemctl", "show", ...properties), "Result=success\nExecMainStatus=0\n");
});

hostTest(
  "the unit stands systemd-analyze verify, alone and with the wider rules, and nothing is logged of it",
  async () => {
    const { fleet, host } = await oneHost("verified");
    await using _fleet = fleet;
    const verify = () => host.capture("systemd-analyze", "verify", "--man=yes", "locksmithd.service");
    assertEquals(await verify(), { code: 0, stdout: "", stderr: "" });
    await host.write("/etc/systemd/system/locksmithd.service.d/reboot-command.conf", WIDER);
    assertEquals(await verify(), { code: 0, stdout: "", stderr: "" });
    const { stdout } = await host.capture(
      "journalctl",
      "--boot",
      "--no-pager",
      "--output=cat",
      "--grep=locksmithd.service:",
    );
    assertEquals(stdout.split("\n").filter((line) => !/^$|^-- /.test(line)), []);
  },
);

hostTest(
  "under the unit's rules the first run unpacks, the boot id is the host's own, and the disk cannot be written",
  async () => {
    const { fleet, host } = await oneHost("closed");
    await using _fleet = fleet;
    await host.run("sh", "-c", "rm -r /var/cache/locksmith/*");
    await host.run("systemctl", "restart", "locksmithd");
    const inside = (...command: string[]) =>
      host.capture(
        "sh",
        "-c",
        'exec nsenter --mount --target "$(systemctl show -P MainPID locksmithd)" "$@"',
        "sh",
        ...command,
      );
    assertEquals((await inside("cat", "/proc/sys/kernel/random/boot_id")).stdout, `${host.life.boot}\n`);
    for (const place of ["/usr/x", "/etc/x", "/boot/x", "/var/x", "/proc/sys/kernel/domainname"]) {
      assertMatch((await inside("sh", "-c", `: >${place}`)).stderr, /Read-only file system/);
    }
    const { stdout: status } = await host.capture(
      "grep",
      "-E",
      "^(CapBnd|NoNewPrivs|Seccomp):",
      await processOf(host),
    );
    assertEquals(status, "CapBnd:\t0000000000000002\nNoNewPrivs:\t1\nSeccomp:\t2\n");
  },
);

async function processOf(host: Host): Promise<string> {
  const pid = await host.run("systemctl", "show", "-P", "MainPID", "locksmithd");
  return `/proc/${pid.trim()}/status`;
}

hostTest(
  "with the wider rules a reboot command of the operator's chooses the next boot in /boot, and reboots",
  async () => {
    const { fleet, host } = await oneHost("command", {
      settings: { LOCKSMITHD_REBOOT_COMMAND: "date >/boot/next && systemctl reboot" },
      files: { "/etc/systemd/system/locksmithd.service.d/reboot-command.conf": WIDER },
    });
    await using _fleet = fleet;
    await fleet.round();
    assert(await host.read("/boot/next") !== "");
    await fleet.chronicle.read();
    assertEquals(violations(fleet.chronicle.snapshots, fleet.reboots), []);
  },
);

hostTest("a daemon that is stopped by a shutdown says nothing of a bus that went away", async () => {
  const { fleet, host } = await oneHost("quiet");
  await using _fleet = fleet;
  await fleet.round();
  await host.run("systemctl", "poweroff", "--no-wall");
  await host.off();
  const stopped = host.journal.lines.filter(({ text }) => /^SIGTERM: stopping$/.test(text));
  assertEquals(stopped.length, 2);
  for (const { boot, atMs } of stopped) {
    const after = host.journal.lines.filter((line) =>
      line.boot === boot && line.by === "locksmithd" && line.atMs > atMs
    );
    assertEquals(after.map(({ text }) => text), []);
  }
});
