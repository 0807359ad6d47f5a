import { assertEquals, assertMatch } from "@std/assert";
import { violations } from "../support/chronicle.ts";
import { Fleet } from "./fleet.ts";
import type { Host } from "./host.ts";
import { hostTest, siteOfFile } from "./story.ts";

const site = siteOfFile("own_work");

/** An application that runs until the host is down, and does not come back by itself. */
const APP =
  "[Service]\nExecStart=/bin/sh -c '[ -e /run/well ] && exec sleep infinity'\n[Install]\nWantedBy=multi-user.target\n";
/** How long a host may take until it is up again, in milliseconds. */
const REBOOT_MS = 120_000;
const DRAINED = "/var/lib/locksmith/drained";

async function script(host: Host, path: string, text: string): Promise<void> {
  await host.write(`/etc/locksmith/${path}`, `#!/bin/sh\n${text}\n`);
  await host.run("chmod", "755", `/etc/locksmith/${path}`);
}

hostTest(
  "a machine whose checks say no blocks nobody, and one that is not well after its reboot stops the roll-out until it is",
  async () => {
    await using fleet = await Fleet.start(await site(), {
      group: "care",
      names: ["ready", "unfit", "sick"],
      max: 1,
      settings: { LOCKSMITHD_REQUIRE_UNITS: "app" },
      files: { "/etc/systemd/system/app.service": APP },
    });
    const [ready, unfit, sick] = fleet.hosts;
    if (ready === undefined || unfit === undefined || sick === undefined) throw new Error("no hosts");
    for (const host of fleet.hosts) {
      await host.run("sh", "-c", "mkdir -p /etc/locksmith; touch /run/well; systemctl enable --now app");
      await script(host, "check.d/fit", "[ ! -e /etc/unfit ] || { echo the battery is low; exit 1; }");
      await script(host, "pre-reboot.d/drain", `date >${DRAINED}; echo draining`);
      await script(
        host,
        "post-boot.d/fill",
        `rm ${DRAINED}; echo "$LOCKSMITH_REBOOTED: filled"`,
      );
    }
    // the application of all but one is there again after the boot
    for (const host of [ready, unfit]) await host.write("/etc/tmpfiles.d/well.conf", "f /run/well\n");
    await unfit.write("/etc/unfit", "");

    await fleet.chronicle.telling((async () => {
      await unfit.need();
      await unfit.journal.line(/this machine's checks say no: fit: the battery is low/);
      await ready.need();
      await ready.lived(2, REBOOT_MS);
      await ready.journal.line(/hook post-boot\.d\/fill: yes: filled/);
      await fleet.lock.until(({ holders }) => holders.length === 0);
      assertEquals(await ready.capture("test", "-e", DRAINED), { code: 1, stdout: "", stderr: "" });

      await sick.need();
      await sick.lived(2, REBOOT_MS);
      const { holds } = await fleet.lock.until(({ holds }) => holds.get(sick.id)?.trouble !== undefined);
      assertMatch(holds.get(sick.id)?.trouble ?? "", /^app\.service is (failed|inactive)$/);
      await unfit.run("sh", "-c", "rm /etc/unfit; systemctl restart locksmithd");
      await unfit.journal.line(/waiting for a slot/);
      assertEquals(await fleet.lock.queue(), [unfit.id]);

      await sick.run("sh", "-c", "touch /run/well; systemctl start app");
      await unfit.lived(2, REBOOT_MS);
      await fleet.lock.until(({ holders }) => holders.length === 0);
    })());
    await fleet.chronicle.read();
    assertEquals(violations(fleet.chronicle.snapshots, fleet.reboots), []);
  },
);
