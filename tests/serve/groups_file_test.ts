/** The file that lists the groups of a server. */

import { assertEquals, assertThrows } from "@std/assert";
import { GroupsFileError, ListedGroups, parseGroups } from "../../lib/serve/groups_file.ts";
import { Service } from "../support/service.ts";

const FILE = "groups.toml";

function faults(text: string): readonly string[] {
  return assertThrows(() => parseGroups(text, FILE), GroupsFileError).faults;
}

Deno.test("parseGroups() reads max, windows, freezes and who may", () => {
  const groups = parseGroups(
    `# the fleet
[default]

[web]
max = 3
zone = "Europe/Berlin"
windows = ["02:00 1h", "Sun 14:00 3h"]
freezes = ["2026-12-20 2027-01-06 Christmas week", "2027-05-01"]
who = ["web-hosts", "web*.example.net"]
`,
    FILE,
  );
  assertEquals([...groups.keys()], ["", "web"]);
  assertEquals(groups.get(""), { windows: [], freezes: [] });
  const web = groups.get("web");
  assertEquals([web?.max, web?.windows.length, web?.windows[1]?.zone, web?.windows[1]?.window.start], [
    3,
    2,
    "Europe/Berlin",
    "every Sun at 14:00",
  ]);
  assertEquals(
    web?.freezes.map(({ from, until, name }) => [
      new Date(from).toISOString(),
      new Date(until).toISOString(),
      name,
    ]),
    [
      ["2026-12-19T23:00:00.000Z", "2027-01-06T23:00:00.000Z", "Christmas week"],
      ["2027-04-30T22:00:00.000Z", "2027-05-01T22:00:00.000Z", undefined],
    ],
  );
});

Deno.test("parseGroups() names every fault, with its line and group", () => {
  assertEquals(
    faults(`max = 1

[web]
max = -1
windos = ["02:00 1h"]

["web/1"]
windows = ["02:00", "25:00 1h"]
zone = "Berlin"
freezes = ["soon", "2026-12-20 2026-12-01"]
who = "anna"
`),
    [
      "groups.toml:1: max is outside of any group; start one: [web]",
      "groups.toml:5: group web: unknown setting \"windos\", did you mean 'windows'?",
      "groups.toml:4: group web: max is -1, not a whole number from 0 to 2147483647",
      "groups.toml:7: group web/1: FleetLock allows letters, digits, '.' and '-' in a group",
      "groups.toml:9: group web/1: time zone \"Berlin\" is unknown; give a name such as Europe/Berlin or UTC, did you mean 'Europe/Berlin'?",
      'groups.toml:8: group web/1: window "02:00" is not a start and a length such as "Sun 02:00 1h30m"',
      'groups.toml:8: group web/1: window start "25:00" is not a time of day; hours run from 00 to 23, minutes from 00 to 59',
      'groups.toml:10: group web/1: freeze "soon" cannot be read; give two days and a name such as ' +
      "'2026-12-20..2027-01-02 Christmas', or two moments such as 2026-12-20T18:00..2027-01-02T06:00",
      'groups.toml:10: group web/1: freeze "2026-12-20 2026-12-01" ends before it begins',
      'groups.toml:11: group web/1: who is "anna", not a list of texts such as ["a", "b"]',
    ],
  );
  assertEquals(faults("[web]\nmax = \n")[0]?.startsWith("groups.toml:2: "), true);
});

Deno.test("ListedGroups refuses what is not listed, and applies max and rules as they are read again", async () => {
  const listed = new ListedGroups(parseGroups("[web]\nmax = 2\nwho = ['a*z']\n", FILE));
  const service = new Service(1);
  const server = await service.server(listed);
  assertEquals([await server.poll("a"), await server.poll("b")], ["granted", "full"]);
  assertEquals(await server.poll("a", { group: "db" }), "unknown_group");
  const done: unknown[] = [];
  const apply = () =>
    service.time.ended(listed.applyMax(() => service.lock("serve"), (...what) => done.push(what)));
  await apply();
  await apply();
  assertEquals([done, service.semaphore.max, service.semaphore.changed?.reason], [
    [["web", 2, 1]],
    2,
    "as the groups file says",
  ]);
  assertEquals(await server.poll("b"), "granted");
  assertEquals(["az", "a-z", "a", "baz"].map((name) => listed.mayAsk(name, "web")), [
    true,
    true,
    false,
    false,
  ]);
  const day = new Date(service.time.now()).toISOString().slice(0, 10);
  listed.replace(parseGroups(`[web]\nfreezes = ["${day}"]\n[db]\n`, FILE));
  assertEquals([await server.poll("c"), await server.poll("a", { group: "db" })], ["closed", "granted"]);
});
