import { assertEquals, assertRejects } from "@std/assert";
import { bootIdentity, MachineError, readBootId, readBootIdentity } from "../../lib/host/identity.ts";
import { type Places, softReboots } from "../../lib/host/soft_reboot.ts";

const BOOT = "c5f0d3b8-7f6a-4c43-9a53-0d5a0d7b4f10";
const NEXT_BOOT = "0d5a0d7b-4f10-4c43-9a53-c5f0d3b87f6a";

/** A systemd that answers what the test says. */
interface FakeSystemd {
  readonly places: Places;
  says(script: string): Promise<void>;
}

async function withSystemd(test: (systemd: FakeSystemd) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  const places = {
    booted: `${directory}/system`,
    record: `${directory}/run/soft-reboots`,
    systemctl: `${directory}/systemctl`,
  };
  await Deno.mkdir(places.booted);
  const says = (script: string) =>
    Deno.writeTextFile(places.systemctl, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  try {
    await test({ places, says });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** What `systemctl show` of this version prints. */
function shown(version: string, startedMicros: number, count?: number): string {
  const line = count === undefined ? "" : `SoftRebootsCount=${count}\n`;
  return `cat <<'END'\nVersion=${version}\nUnitsLoadStartTimestampMonotonic=${startedMicros}\n${line}END`;
}

Deno.test("softReboots() is systemd's count, from 256 on", async () => {
  await withSystemd(async ({ places, says }) => {
    for (const count of [0, 1, 12]) {
      await says(shown("257.9-1~deb13u1", 5_000_000, count));
      assertEquals(await softReboots(BOOT, places), count);
    }
  });
});

Deno.test("softReboots() asks for three properties, in English", async () => {
  await withSystemd(async ({ places, says }) => {
    const want = "show --property=SoftRebootsCount,Version,UnitsLoadStartTimestampMonotonic C.UTF-8";
    await says(`[ "$* $LC_ALL" = '${want}' ] && echo SoftRebootsCount=3`);
    assertEquals(await softReboots(BOOT, places), 3);
  });
});

Deno.test("softReboots() of 254 and 255 counts the moments at which units were loaded in this boot", async () => {
  await withSystemd(async ({ places, says }) => {
    const countAt = async (boot: string, micros: number, version = "255 (255.4-1ubuntu8)") => {
      await says(shown(version, micros));
      return await softReboots(boot, places);
    };
    assertEquals(await countAt(BOOT, 5_000_000), 0);
    assertEquals(await countAt(BOOT, 5_000_000), 0);
    assertEquals(await countAt(BOOT, 900_000_000), 1);
    assertEquals(await countAt(BOOT, 990_000_000), 2);
    assertEquals(await countAt(BOOT, 990_000_000, "254.1"), 2);
    assertEquals(await countAt(BOOT, 900_000_000), 1, "the count of a moment stays");
    assertEquals(await countAt(NEXT_BOOT, 5_000_000), 0);
    assertEquals(await countAt(NEXT_BOOT, 6_000_000), 1);
  });
});

Deno.test("softReboots() is 0 before 254, and where there is no systemd or no systemctl", async () => {
  await withSystemd(async ({ places, says }) => {
    for (const micros of [5_000_000, 6_000_000]) {
      await says(shown("252.39-1~deb12u2", micros));
      assertEquals(await softReboots(BOOT, places), 0);
    }
    assertEquals(await softReboots(BOOT, { ...places, systemctl: "/nonexistent/systemctl" }), 0);
    await says("exit 1");
    assertEquals(await softReboots(BOOT, { ...places, booted: "/nonexistent" }), 0);
  });
});

Deno.test("readBootIdentity() never takes a systemd that does not answer for one without soft reboots", async () => {
  await withSystemd(async ({ places, says }) => {
    await says("echo 'Failed to connect to bus: Connection refused' >&2; exit 1");
    const error = await assertRejects(() => readBootIdentity("/", places), MachineError);
    assertEquals(
      error.message,
      "Cannot tell how often this machine was soft-rebooted: systemctl show: Failed to connect to bus: Connection refused",
    );
  });
});

Deno.test("readBootIdentity() is the kernel's boot id as in documents of earlier versions, and another after each soft reboot", async () => {
  await withSystemd(async ({ places, says }) => {
    const bootId = await readBootId("/");
    await says(shown("257", 1, 0));
    assertEquals(await readBootIdentity("/", places), bootId);
    await says(shown("257", 1, 2));
    assertEquals(await readBootIdentity("/", places), `${bootId}+2`);
  });
  assertEquals(bootIdentity(BOOT, 0), BOOT);
});

Deno.test("readBootIdentity() of a machine that is a directory asks no systemd", async () => {
  await withSystemd(async ({ places, says }) => {
    await says("exit 1");
    const root = await Deno.makeTempDir();
    await Deno.mkdir(`${root}/proc/sys/kernel/random`, { recursive: true });
    await Deno.writeTextFile(`${root}/proc/sys/kernel/random/boot_id`, `${BOOT}\n`);
    assertEquals(await readBootIdentity(root, places), BOOT);
    await Deno.remove(root, { recursive: true });
  });
});
