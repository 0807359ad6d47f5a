/** The ledger on the disk: what outlives a boot, and what it makes of files that are not its own or are damaged. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { DiskLedger, LEDGER } from "../../lib/host/ledger.ts";
import type { Taken } from "../../lib/ledger.ts";

const TAKEN: Taken = {
  grant: "9f1c",
  machine: "a",
  boot: "b1",
  since: "2026-05-21T23:00:00.000Z",
  store: "http://etcd1:2379",
  group: "web",
};

async function inFolder(
  story: (ledger: DiskLedger, log: string[], root: string) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir();
  const log: string[] = [];
  try {
    await story(new DiskLedger(root, (level, text) => void log.push(`${level}: ${text}`)), log, root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("DiskLedger has no memory until it begins, and then knows in another process what was taken and not forgotten", async () => {
  await inFolder(async (ledger, log, root) => {
    assertEquals(await ledger.read(), undefined);
    await ledger.begin();
    assertEquals(await ledger.read(), []);
    assert(await ledger.remember(TAKEN));
    assert(await ledger.remember({ ...TAKEN, grant: "9f2d", group: "db" }));
    const other = new DiskLedger(root, () => {});
    assertEquals(await other.read(), [TAKEN, { ...TAKEN, grant: "9f2d", group: "db" }]);
    await other.forget(["9f1c", "unknown", "../../../../etc/passwd"]);
    assertEquals((await ledger.read())?.map(({ grant }) => grant), ["9f2d"]);
    assertEquals(log, []);
  });
});

Deno.test("DiskLedger can be read by root alone", async () => {
  await inFolder(async (ledger) => {
    await ledger.remember(TAKEN);
    const modes = [ledger.name, `${ledger.name}/9f1c.json`].map((path) =>
      (Deno.statSync(path).mode ?? 0) & 0o777
    );
    assertEquals(modes, [0o700, 0o600]);
  });
});

Deno.test("DiskLedger puts a damaged entry aside with a warning, and keeps the others", async () => {
  await inFolder(async (ledger, log, root) => {
    await ledger.remember(TAKEN);
    const folder = root + LEDGER;
    const damaged = ["", "{", "[]", '{"grant":"d"}', JSON.stringify({ ...TAKEN, grant: "another" })];
    for (const [index, text] of damaged.entries()) {
      await Deno.writeTextFile(`${folder}/d${index}.json`, text, { mode: 0o600 });
    }
    await Deno.writeTextFile(`${folder}/9f1c.json.5b2f`, "half a li", { mode: 0o600 });
    assertEquals(await ledger.read(), [TAKEN]);
    assertEquals(await ledger.read(), [TAKEN]);
    assertEquals(log.length, damaged.length, log.join("\n"));
    assertMatch(
      log.toSorted()[0] ?? "",
      /^warning: .*\/d0\.json is damaged and was renamed to d0\.json\.damaged: .*'locksmith groups'$/,
    );
    assertEquals(await Deno.readTextFile(`${folder}/d1.json.damaged`), "{");
  });
});

Deno.test("DiskLedger that cannot be written says so once, and that nothing is remembered", async () => {
  await inFolder(async (ledger, log, root) => {
    await Deno.mkdir(`${root}/var/lib`, { recursive: true });
    await Deno.writeTextFile(`${root}/var/lib/locksmith`, "");
    for (let time = 0; time < 2; time++) {
      assertEquals(await ledger.remember(TAKEN), false);
      await ledger.begin();
    }
    assertEquals(log.filter((line) => line.includes("cannot write")).length, 1, log.join("\n"));
    assertEquals(log.filter((line) => line.includes("cannot create")).length, 1, log.join("\n"));
  });
});

Deno.test("DiskLedger keeps no endless number of entries of one boot in one group, and none is lost for them elsewhere", async () => {
  await inFolder(async (ledger) => {
    await ledger.remember({ ...TAKEN, grant: "elsewhere", group: "db" });
    for (let second = 0; second < 20; second++) {
      const since = new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
      await ledger.remember({ ...TAKEN, grant: `g${second}`, since });
    }
    const grants = (await ledger.read() ?? []).map(({ grant }) => grant);
    assertEquals(
      [grants.length, grants.includes("elsewhere"), grants.includes("g3"), grants.includes("g4")],
      [
        17,
        true,
        false,
        true,
      ],
    );
  });
});
