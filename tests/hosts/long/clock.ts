import { assertEquals } from "@std/assert";
import { until } from "../../support/daemon_process.ts";
import { Fleet } from "../fleet.ts";
import type { Host } from "../host.ts";
import { hostTest, siteOfFile } from "../story.ts";

const site = siteOfFile("clock");
const UNITS = "/etc/systemd/system";
/** Where a daemon with {@linkcode OWN_CLOCK} reads the time. */
const CLOCK = "/etc/clock";
/** The daemon's own clock: libfaketime goes between it and the machine's, for the wall clock alone. */
const OWN_CLOCK = `[Service]
Environment=LD_PRELOAD=${await libfaketime()} FAKETIME_TIMESTAMP_FILE=${CLOCK} FAKETIME_NO_CACHE=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 TZ=UTC
`;
/** A window of which no time of day that a test runs at matters. */
const AT_TWO = {
  LOCKSMITHD_REBOOT_WINDOW_START: "02:00",
  LOCKSMITHD_REBOOT_WINDOW_LENGTH: "1h",
  LOCKSMITHD_ZONE: "UTC",
};
/** Waits for the clock as systemd-time-wait-sync does, which no container may run. */
const WAIT_FOR_CLOCK = `[Unit]
Before=time-sync.target
Wants=time-sync.target
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh -c 'until [ -e /run/clock-is-set ]; do sleep 0.05; done'
`;
/** The daemon looks at the clock twice a minute. */
const LIMIT_MS = 90_000;

hostTest("a clock that is wrong at boot is waited for, where something waits for it", async () => {
  await using fleet = await Fleet.one(await site(), "no-battery");
  const { host } = fleet;
  await host.write(`${UNITS}/wait-for-clock.service`, WAIT_FOR_CLOCK);
  await host.run("systemctl", "add-wants", "time-sync.target", "wait-for-clock.service");
  await host.losePower();
  await host.powerOn();
  await until(() => host.capture("systemctl", "is-active", "dbus"), ({ stdout }) => stdout === "active\n");
  await host.need();
  const jobs = await host.run("systemctl", "list-jobs", "--no-legend");
  assertEquals(/locksmithd\.service +start +(\w+)/.exec(jobs)?.[1], "waiting", jobs);
  assertEquals(said(host), []);
  await host.run("touch", "/run/clock-is-set");
  await host.lived(3);
  // the slot is kept until the daemon of the new boot may start
  assertEquals((await fleet.lock.read()).holders, [host.id]);
  await host.run("touch", "/run/clock-is-set");
  await fleet.lock.until(({ holders }) => holders.length === 0);
});

hostTest("a clock that is set into the window opens it, and one that is set back closes it", async () => {
  await using fleet = await Fleet.one(await site(), "set-later", {
    settings: AT_TWO,
    files: { [CLOCK]: "@2000-01-01 12:00:00\n", [`${UNITS}/locksmithd.service.d/clock.conf`]: OWN_CLOCK },
  });
  const { host, lock } = fleet;
  await host.need();
  await host.journal.line(/waiting for the window/);
  assertEquals([await lock.queue(), (await lock.read()).holders], [[], []]);
  await lock.lock("another");
  await host.write(CLOCK, "@2026-05-21 02:10:00\n");
  await until(() => lock.queue(), (machines) => machines.includes(host.id), LIMIT_MS);
  await host.write(CLOCK, "@2026-05-21 01:10:00\n");
  await until(() => lock.queue(), (machines) => machines.length === 0, LIMIT_MS);
  await lock.unlock("another");
  assertEquals(host.lives.length, 1);
  await host.write(CLOCK, "@2026-05-22 02:10:00\n");
  await host.lived(2, LIMIT_MS);
  await lock.until(({ holders }) => holders.length === 0);
});

/** What the daemon has said in the life that goes on. */
function said({ journal, life }: Host): string[] {
  const boot = life.boot.replaceAll("-", "");
  return journal.lines.filter((line) => line.boot === boot && line.by === "locksmithd").map(({ text }) =>
    text
  );
}

async function libfaketime(): Promise<string> {
  const words = ["-c", "ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null"];
  const { stdout } = await new Deno.Command("sh", { args: words }).output();
  return new TextDecoder().decode(stdout).trim();
}
