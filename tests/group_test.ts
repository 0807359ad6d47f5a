/** Which names a group may have, and that its key is the old program's. */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  ALL_GROUPS,
  ALL_KEY,
  GROUP_LENGTH_LIMIT,
  groupFault,
  groupFlag,
  groupLabel,
  groupOfKey,
  groupOfPlaceKey,
  ROOT,
  semaphoreKey,
} from "../lib/group.ts";
import { placeKey } from "../lib/queue.ts";

Deno.test("semaphoreKey() is the key of the old program, escaped as in a URL query", () => {
  const keys: [string, string][] = [
    ["", "coreos.com/updateengine/rebootlock/semaphore"],
    ["prod/db", "coreos.com/updateengine/rebootlock/groups/prod%2Fdb/semaphore"],
    ["a b+c", "coreos.com/updateengine/rebootlock/groups/a+b%2Bc/semaphore"],
    ["\u00e9", "coreos.com/updateengine/rebootlock/groups/%C3%A9/semaphore"],
    ["!'()*~", "coreos.com/updateengine/rebootlock/groups/%21%27%28%29%2A~/semaphore"],
    ["-_.AZaz09", "coreos.com/updateengine/rebootlock/groups/-_.AZaz09/semaphore"],
    ["%2F", "coreos.com/updateengine/rebootlock/groups/%252F/semaphore"],
  ];
  for (const [group, key] of keys) assertEquals(semaphoreKey(group), key);
});

Deno.test("what counts for all groups lies beside them, under a name that none of them can have", () => {
  assertEquals(ALL_KEY, "coreos.com/updateengine/rebootlock/all/semaphore");
  assertEquals([groupOfKey(ALL_KEY), groupOfPlaceKey(placeKey(ALL_GROUPS, 0, "m"))], [undefined, undefined]);
  assertEquals(groupFault(ALL_GROUPS), "a group's name must not contain control characters");
  assertEquals(semaphoreKey("all"), "coreos.com/updateengine/rebootlock/groups/all/semaphore");
});

Deno.test("groupFlag() names the group for a shell", () => {
  assertEquals(["", "web", "it's", ALL_GROUPS].map(groupFlag), [
    "",
    " --group web",
    " --group 'it'\\''s'",
    " --all",
  ]);
});

Deno.test("groupFault() refuses names that leave the tree of groups or cannot be shown (fault 8 of the old locksmith: .. was the default group)", () => {
  const refused: [string, string][] = [
    [".", "a group must not be named . or .., which would point outside the tree of groups"],
    ["..", "a group must not be named . or .., which would point outside the tree of groups"],
    ["a\u0000", "a group's name must not contain control characters"],
    ["a\tb", "a group's name must not contain control characters"],
    ["\u009b1m", "a group's name must not contain control characters"],
    [" web", "a group's name must not begin or end with a blank"],
    [" ", "a group's name must not begin or end with a blank"],
    ["\udfff", "a group's name must be well-formed Unicode"],
    ["g".repeat(GROUP_LENGTH_LIMIT + 1), "a group's name must not be longer than 256"],
  ];
  for (const [group, fault] of refused) assertEquals(groupFault(group), fault, JSON.stringify(group));
  for (const group of ["", "web", "...", "../x", "a b", "g".repeat(GROUP_LENGTH_LIMIT)]) {
    assertEquals(groupFault(group), undefined, JSON.stringify(group));
  }
});

Deno.test("groupOfKey() finds the group of every key, and no two groups share one", () => {
  const names = fc.string({ unit: "grapheme" }).filter((name) => groupFault(name) === undefined);
  fc.assert(fc.property(names, names, (one, other) => {
    const key = semaphoreKey(one);
    assertEquals(groupOfKey(key), one);
    assertEquals(key === semaphoreKey(other), one === other);
    // one level of the tree a group, whatever its name has in it
    assertEquals(key.slice(ROOT.length).split("/").length, one === "" ? 1 : 3);
  }));
});

Deno.test("groupOfKey() knows nothing of keys that are no group's semaphore", () => {
  const others = [
    "",
    "semaphore/x",
    "groups/semaphore",
    "groups//semaphore",
    "groups/a/b/semaphore",
    "groups/a/semaphore/",
    "groups/../semaphore",
    "groups/%2e%2e/semaphore",
    "groups/%zz/semaphore",
    "groups/a%20b/semaphore",
    "groups/a/queue/1",
  ];
  for (const key of others) assertEquals(groupOfKey(ROOT + key), undefined, key);
  assertEquals(groupOfKey("semaphore"), undefined);
});

Deno.test("groupLabel() has a word for the group without a name", () => {
  assertEquals([groupLabel(""), groupLabel("web")], ["(default)", "web"]);
});

Deno.test("groupOfPlaceKey() knows the keys of queues and no others", () => {
  for (const group of ["", "web", "prod/db", "queue", "a b+c", "queue/000/x"]) {
    for (const machine of ["A", "queue", "semaphore", "a/b", "queue/100/x"]) {
      assertEquals(groupOfPlaceKey(placeKey(group, 0, machine)), group);
    }
    assertEquals(groupOfPlaceKey(semaphoreKey(group)), undefined);
  }
  const root = "coreos.com/updateengine/rebootlock/";
  for (const key of [`${root}queue/`, `${root}queue/100/`, `${root}groups/../queue/100/A`, "queue/100/A"]) {
    assertEquals(groupOfPlaceKey(key), undefined);
  }
});
