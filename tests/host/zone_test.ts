/** The C library is the oracle: `date`, run with the very `TZ` or zone file, has to show the clock that we compute. */

import { assertEquals, assertThrows } from "@std/assert";
import { localZone, ZoneError } from "../../lib/host/zone.ts";
import { locksmith } from "../support/daemon_process.ts";

const NOW = Date.UTC(2026, 10, 25, 12);
const HINT = "name one with --zone, such as Europe/Berlin";

/** Every 5 days and a bit, for three years: no change of the clock is missed. */
const MOMENTS = Array.from({ length: 220 }, (_, i) => Date.UTC(2026, 0, 1, 12) / 1000 + i * 432_321);

/** What `date` shows at these moments. */
async function byDate(tz: string): Promise<string[]> {
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, MOMENTS.map((at) => `@${at}\n`).join(""));
  const { stdout, success } = await new Deno.Command("date", {
    args: ["-f", file, "+%Y-%m-%dT%H:%M:%S%:z"],
    env: { TZ: tz },
  }).output();
  await Deno.remove(file);
  assertEquals(success, true, tz);
  return new TextDecoder().decode(stdout).trimEnd().split("\n");
}

function byZone(zone: string): string[] {
  return MOMENTS.map((at) =>
    Temporal.Instant.fromEpochMilliseconds(at * 1000).toZonedDateTimeISO(zone).toString({
      timeZoneName: "never",
      fractionalSecondDigits: 0,
    })
  );
}

async function withRoot(test: (root: string, localtime: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  await Deno.mkdir(`${root}/etc`);
  try {
    await test(root, `${root}/etc/localtime`);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const byTz = (tz: string, root?: string) =>
  localZone({ tz, nowMs: NOW, ...root === undefined ? {} : { root } });
const byLocaltime = (root: string) => localZone({ tz: undefined, nowMs: NOW, root });

function refusal(of: () => string): string {
  return assertThrows(of, ZoneError).message;
}

/** `TZ`, and the zone that it is. */
const TZ_TABLE: readonly (readonly [string, string])[] = [
  ["", "UTC"],
  [":", "UTC"],
  ["UTC", "UTC"],
  ["UTC0", "UTC"],
  ["Europe/Berlin", "Europe/Berlin"],
  [":Europe/Berlin", "Europe/Berlin"],
  ["posix/Europe/Berlin", "Europe/Berlin"],
  ["EST5EDT", "EST5EDT"],
  ["Etc/GMT+5", "Etc/GMT+5"],
  ["/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"],
  [":/usr/share/zoneinfo/posix/America/New_York", "America/New_York"],
  ["JST-9", "+09:00"],
  ["<+0330>-3:30", "+03:30"],
  ["UTC+3", "-03:00"],
  ["CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Berlin"],
  ["CET-1CEST-2,M3.5.0/02:00:00,M10.5.0/03:00:00", "Europe/Berlin"],
  ["IST-1GMT0,M10.5.0,M3.5.0/1", "Europe/London"],
  ["AST4ADT", "America/Halifax"],
  ["<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "America/Godthab"],
  ["AEST-10AEDT,M10.1.0,M4.1.0/3", "Australia/Sydney"],
  ["XXX3YYY,0/0,J365/25", "-02:00"],
  ["posixrules", "America/New_York"],
];

for (const [tz, zone] of TZ_TABLE) {
  Deno.test(`localZone() is ${zone} where TZ is '${tz}', and date agrees`, async () => {
    assertEquals(byTz(tz), zone);
    assertEquals(byZone(zone), await byDate(tz));
  });
}

Deno.test("localZone() knows every zone that is installed, and date agrees", async () => {
  const list = await Deno.readTextFile("/usr/share/zoneinfo/tzdata.zi");
  const names = list.split("\n").flatMap((line) => {
    const [kind, first, second] = line.split(" ");
    return kind === "Z" ? [first ?? ""] : kind === "L" ? [second ?? ""] : [];
  }).filter((name) => name !== "Factory");
  assertEquals(names.length > 500, true);
  for (let i = 0; i < names.length; i += 20) {
    await Promise.all(
      names.slice(i, i + 20).map(async (name) => {
        assertEquals([byTz(name), byZone(name)], [name, await byDate(name)], name);
      }),
    );
  }
});

Deno.test("localZone() takes a right/ zone for the one that it is but for its leap seconds", async () => {
  assertEquals(byTz("right/Asia/Tokyo"), "Asia/Tokyo");
  const shown = await byDate("right/Asia/Tokyo");
  const late = byZone("Asia/Tokyo").map((time, i) => (Date.parse(time) - Date.parse(shown[i] ?? "")) / 1000);
  assertEquals(new Set(late), new Set([27]));
});

/** The link that `/etc/localtime` is, and the zone. */
const LINKS: readonly (readonly [string, string])[] = [
  ["/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"],
  ["../usr/share/zoneinfo/America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"],
  ["/usr/share/zoneinfo/posix/Europe/Berlin", "Europe/Berlin"],
  ["/usr/share/zoneinfo/right/Europe/Berlin", "Europe/Berlin"],
  ["/etc/zoneinfo/Europe/Berlin", "Europe/Berlin"],
  ["/usr/share/zoneinfo/posixrules", "America/New_York"],
];

for (const [link, zone] of LINKS) {
  Deno.test(`localZone() is ${zone} where /etc/localtime is a link to ${link}`, async () => {
    await withRoot(async (root, localtime) => {
      await Deno.symlink(link, localtime);
      assertEquals(byLocaltime(root), zone);
      assertEquals(byTz(":/etc/localtime", root), zone);
      assertEquals(byTz("/etc/localtime", root), zone);
      if (!/right|\/etc\/zoneinfo|^\.\./.test(link)) {
        assertEquals(byZone(zone), await byDate(`:${localtime}`));
      }
    });
  });
}

Deno.test("localZone() follows a link to a link", async () => {
  await withRoot(async (root, localtime) => {
    await Deno.symlink("/usr/share/zoneinfo/Europe/Berlin", `${root}/etc/zone`);
    await Deno.symlink("zone", localtime);
    assertEquals(byLocaltime(root), "Europe/Berlin");
  });
});

Deno.test("localZone() understands an /etc/localtime that is a copy, by what it holds, and date agrees", async () => {
  for (
    const [name, zone] of [
      ["Europe/Berlin", "Europe/Berlin"],
      ["America/New_York", "America/New_York"],
      ["Asia/Tokyo", "+09:00"],
      ["Africa/Casablanca", "Africa/Casablanca"],
      ["Etc/UTC", "UTC"],
    ] as const
  ) {
    await withRoot(async (root, localtime) => {
      await Deno.copyFile(`/usr/share/zoneinfo/${name}`, localtime);
      assertEquals(byLocaltime(root), zone);
      assertEquals(byZone(zone), await byDate(`:${localtime}`));
      await Deno.writeTextFile(`${root}/etc/timezone`, `${name}\n`);
      assertEquals(byLocaltime(root), name);
      await Deno.writeTextFile(`${root}/etc/timezone`, "Pacific/Chatham\n");
      assertEquals(byLocaltime(root), zone, "what /etc/timezone says does not agree");
    });
  }
});

Deno.test("localZone() understands a file of its own name, made by zic, if a zone has its rules, and refuses it else", async () => {
  const rules = [
    "Rule X 2000 max - Mar lastSun 1:00u 1:00 S",
    "Rule X 2000 max - Oct lastSun 1:00u 0 W",
    "Zone Company/HQ 1:00 X HQ%sT",
    "Zone Company/Moon 1:07 - MOON",
    "Zone Company/Odd 1:00 Y HQ%sT",
    "Rule Y 2000 max - Jan 10 1:00u 1:00 S",
    "Rule Y 2000 max - Feb 10 1:00u 0 W",
  ];
  await withRoot(async (root, localtime) => {
    await Deno.writeTextFile(
      `${root}/rules`,
      `${rules.join("\n")}\n`,
    );
    const { success, stderr } = await new Deno.Command("/usr/sbin/zic", {
      args: ["-b", "fat", "-d", `${root}/zones`, `${root}/rules`],
    }).output();
    assertEquals([success, new TextDecoder().decode(stderr)], [true, ""]);
    await Deno.symlink(`${root}/zones/Company/HQ`, localtime);
    assertEquals(byLocaltime(root), "Europe/Berlin");
    assertEquals(byZone("Europe/Berlin"), await byDate(`:${localtime}`));
    assertEquals(byTz(`${root}/zones/Company/Moon`), "+01:07");
    assertEquals(
      refusal(() => byTz(`${root}/zones/Company/Odd`)),
      `TZ is '${root}/zones/Company/Odd', and ${root}/zones/Company/Odd has rules that no named zone has; ${HINT}`,
    );
  });
});

Deno.test("localZone() is UTC without an /etc/localtime, as localtime(5) has it", async () => {
  await withRoot((root) => {
    assertEquals([byLocaltime(root), byTz(":/etc/localtime", root)], ["UTC", "UTC"]);
    return Promise.resolve();
  });
});

/** `TZ`, and why it is refused. The C library takes each of them for UTC, and says nothing. */
const REFUSED: readonly (readonly [string, string])[] = [
  ["Europe/Berln", "which names no zone, did you mean 'Europe/Berlin'?"],
  ["europe/berlin", "which names no zone, did you mean 'Europe/Berlin'?"],
  ["Foo/Bar", "which names no zone"],
  ["MEZ", "which names no zone"],
  ["/nonexistent", "and there is no such file"],
  ["CET-1CEST,M3.5.0", "which names no zone"],
  ["AAA-3BBB,J60/1,J300/2", "and no named zone has these rules"],
  ["CET-1CEST", "and no named zone has these rules"],
];

for (const [tz, why] of REFUSED) {
  Deno.test(`localZone() refuses TZ='${tz}'`, () => {
    assertEquals(refusal(() => byTz(tz)), `TZ is '${tz}', ${why}; ${HINT}`);
  });
}

Deno.test("localZone() refuses a file that is no zone file, and a link that leads nowhere", async () => {
  await withRoot(async (root, localtime) => {
    assertEquals(
      refusal(() => byTz("/etc/passwd")),
      `TZ is '/etc/passwd', and /etc/passwd is not a time zone file; ${HINT}`,
    );
    assertEquals(
      refusal(() => byTz("Europe")),
      `TZ is 'Europe', which is not a time zone file; ${HINT}`,
    );
    await Deno.writeTextFile(localtime, "Europe/Berlin\n");
    assertEquals(refusal(() => byLocaltime(root)), `${localtime} is not a time zone file; ${HINT}`);
    await Deno.remove(localtime);
    await Deno.symlink("/nonexistent", localtime);
    assertEquals(
      refusal(() => byLocaltime(root)),
      `${localtime} cannot be read: no such file or directory; ${HINT}`,
    );
  });
});

Deno.test("a daemon whose zone cannot be understood does not start, unless it is told one", async () => {
  const window = ["--reboot-window-start", "02:00", "--reboot-window-length", "1h"];
  const daemon = (...args: string[]) =>
    locksmith(["daemon", "--reboot-strategy", "off", "--root", "/nonexistent", ...args], {
      env: { TZ: "Foo/Bar" },
    });
  for (const args of [[], window]) {
    const { code, stderr } = await daemon(...args);
    assertEquals(code, 2);
    assertEquals(
      stderr.split("\n")[0],
      `locksmith: error: the default of --zone: TZ is 'Foo/Bar', which names no zone; ${HINT}`,
    );
  }
  const { stderr } = await daemon(...window, "--zone", "Europe/Berlin");
  assertEquals(stderr.includes("zone"), false, stderr);
});
