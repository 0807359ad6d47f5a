import { assert, assertEquals } from "@std/assert";
import { agrees, equivalentZone, parsePosixZone, parseTzif } from "../lib/zone_rules.ts";

const NOW = Date.UTC(2026, 10, 25);
const seconds = (text: string) => Date.parse(text) / 1000;

/** The rules of a text that has to be understood. */
function posix(text: string) {
  const rules = parsePosixZone(text);
  assert(rules !== undefined, text);
  return rules;
}

function zoneFile(name: string): Uint8Array {
  return Deno.readFileSync(`/usr/share/zoneinfo/${name}`);
}

Deno.test("parsePosixZone() gives every change of the clock, north and south of the equator", () => {
  assertEquals(
    posix("CET-1CEST,M3.5.0,M10.5.0/3").between(seconds("2026-01-01T00:00Z"), seconds("2027-01-01T00:00Z")),
    {
      first: 3600,
      changes: [
        { at: seconds("2026-03-29T01:00Z"), offset: 7200 },
        { at: seconds("2026-10-25T01:00Z"), offset: 3600 },
      ],
    },
  );
  assertEquals(
    posix("AEST-10AEDT,M10.1.0,M4.1.0/3").between(seconds("2026-01-01T00:00Z"), seconds("2027-01-01T00:00Z")),
    {
      first: 39600,
      changes: [
        { at: seconds("2026-04-04T16:00Z"), offset: 36000 },
        { at: seconds("2026-10-03T16:00Z"), offset: 39600 },
      ],
    },
  );
});

Deno.test("parsePosixZone() counts days as POSIX does: J60 is the first of March, 59 is not in a leap year", () => {
  const starts = (rule: string) =>
    posix(`AAA0BBB,${rule}/0,J300/0`).between(seconds("2027-01-01T00:00Z"), seconds("2029-01-01T00:00Z"))
      .changes
      .filter(({ offset }) => offset === 3600).map(({ at }) =>
        new Date(at * 1000).toISOString().slice(0, 10)
      );
  assertEquals(starts("J60"), ["2027-03-01", "2028-03-01"]);
  assertEquals(starts("59"), ["2027-03-01", "2028-02-29"]);
});

Deno.test("parsePosixZone() refuses what it does not understand as a whole", () => {
  for (
    const text of [
      ..."|Foo/Bar|CET|C1|CET-1CEST,M3.5.0|CET-1CEST,M3.5.0,M10.5.0/3 |CET-1CEST,M13.5.0,M10.5.0|CET-1CEST,M3.6.0,M10.5.0"
        .split("|"),
      ..."CET-1CEST,M3.5.7,M10.5.0|CET-25|CET-1:60|CET-1CEST,J0,J365|CET-1CEST,J1,366|CET-1CEST,M3.5.0/168,M10.5.0|<X>0"
        .split("|"),
    ]
  ) {
    assertEquals(parsePosixZone(text), undefined, text);
  }
});

Deno.test("equivalentZone() finds a zone with the same clock, or none", () => {
  const zones: Record<string, string | undefined> = {
    "JST-9": "+09:00",
    "<+0545>-5:45": "+05:45",
    "UTC+3": "-03:00",
    UTC0: "UTC",
    "CET-1CEST,M3.5.0,M10.5.0/3": "Europe/Berlin",
    "EST5EDT,M3.2.0,M11.1.0": "America/New_York",
    AST4ADT: "America/Halifax",
    "IST-1GMT0,M10.5.0,M3.5.0/1": "Europe/London", // Ireland's winter is its summer time backwards
    "<-02>2<-01>,M3.5.0/-1,M10.5.0/0": "America/Godthab",
    "NZST-12NZDT,M9.5.0,M4.1.0/3": "Pacific/Auckland",
    "XXX3YYY,0/0,J365/25": "-02:00", // summer time all year
    "LMT-0:53:28": undefined,
    "AAA-3BBB,J60/1,J300/2": undefined,
    "CET-1CEST": undefined, // without rules it has those of the United States
  };
  for (const [text, zone] of Object.entries(zones)) {
    assertEquals(equivalentZone(posix(text), NOW), zone, text);
  }
});

Deno.test("equivalentZone() prefers the zone that is named, if it agrees", () => {
  const rules = posix("CET-1CEST,M3.5.0,M10.5.0/3");
  assertEquals(equivalentZone(rules, NOW, "Europe/Paris"), "Europe/Paris");
  assertEquals(equivalentZone(rules, NOW, "Europe/London"), "Europe/Berlin");
  assertEquals(equivalentZone(posix("JST-9"), NOW, "Asia/Tokyo"), "Asia/Tokyo");
});

Deno.test("parseTzif() reads lists and rules of zone files, as far as Temporal knows them too", () => {
  for (
    const name of [
      "Europe/Berlin",
      "America/New_York",
      "Africa/Casablanca",
      "Asia/Tokyo",
      "Australia/Lord_Howe",
      "UTC",
    ]
  ) {
    const rules = parseTzif(zoneFile(name));
    assert(rules !== undefined && agrees(rules, name, NOW), name);
    assert(agrees(rules, name, Date.UTC(2062, 0, 1)), `${name}, by the rules for what comes behind the list`);
    assertEquals(agrees(rules, "Pacific/Chatham", NOW), false);
  }
});

Deno.test("parseTzif() takes the leap seconds of a right/ file back", () => {
  const rules = parseTzif(zoneFile("right/Europe/Berlin"));
  assertEquals(rules?.between(seconds("2024-01-01T00:00Z"), seconds("2025-01-01T00:00Z")), {
    first: 3600,
    changes: [
      { at: seconds("2024-03-31T01:00Z"), offset: 7200 },
      { at: seconds("2024-10-27T01:00Z"), offset: 3600 },
    ],
  });
});

Deno.test("parseTzif() refuses bytes that are no zone file, and one that is cut off anywhere", () => {
  assertEquals(parseTzif(new Uint8Array()), undefined);
  assertEquals(parseTzif(new TextEncoder().encode("Europe/Berlin\n".repeat(20))), undefined);
  const whole = zoneFile("Europe/Berlin");
  for (let length = 0; length < whole.length; length += 7) {
    assertEquals(parseTzif(whole.subarray(0, length)), undefined, `${length} bytes`);
  }
});
