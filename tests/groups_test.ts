import { assert, assertEquals, assertLess } from "@std/assert";
import { ALL_KEY, semaphoreKey } from "../lib/group.ts";
import { readDocuments, readGroups } from "../lib/groups.ts";
import { LockError } from "../lib/lock.ts";
import { placeKey, serializePlace } from "../lib/queue.ts";
import { FRESH } from "../lib/semaphore.ts";
import { Line } from "./support/line.ts";

Deno.test("readGroups() gives every group by name, the broken ones as such, and nothing that is no semaphore", async () => {
  const line = new Line();
  const { store } = line.client();
  const put = (key: string, value: string) => line.memory.commit({ expect: [], put: [{ key, value }] });
  put(semaphoreKey("web"), '{"semaphore":2,"max":2,"holders":[]}');
  put(semaphoreKey("prod/db"), "garbage");
  put(semaphoreKey(""), '{"semaphore":1,"max":1,"holders":[]}');
  put(`${semaphoreKey("web")}/else`, "{}");
  put("coreos.com/updateengine/rebootlock/groups/%zz/semaphore", "{}");
  put("coreos.com/updateengine/rebootlock/groups/../semaphore", "{}");
  const { groups } = await line.time.ended(readGroups(store));
  assertEquals(groups.map(({ group, key }) => [group, key]), [
    ["", semaphoreKey("")],
    ["prod/db", semaphoreKey("prod/db")],
    ["web", semaphoreKey("web")],
  ]);
  const [first, broken, last] = groups.map(({ semaphore }) => semaphore);
  assertEquals([first, last], [FRESH, { ...FRESH, max: 2 }]);
  assert(broken instanceof LockError);
  assertEquals(broken.hint, "see what a repair would do: locksmith repair --dry-run --group prod/db");
});

Deno.test("readGroups() shows who waits in a group, the first in line first, by one call", async () => {
  const line = new Line();
  line.hold("anna");
  await line.lined("b", "a");
  const { store } = line.client();
  const { groups: [web] } = await line.time.ended(readGroups(store));
  assertEquals([web?.group, web?.queue.map(({ machine }) => machine)], ["web", ["b", "a"]]);
  assertEquals(store.takeCalls(), ["list"]);
});

Deno.test("readGroups() finds every queue beside its document, whatever its machines are called", async () => {
  const line = new Line();
  const put = (key: string, value: string) => line.memory.commit({ expect: [], put: [{ key, value }] });
  put(semaphoreKey("prod/db"), '{"semaphore":0,"max":1,"holders":["A"]}');
  put(placeKey("prod/db", 0, "b/c"), serializePlace({ host: "web1" }));
  put(placeKey("prod/db", 5, "D"), "garbage");
  put(placeKey("new", 0, "E"), serializePlace({}));
  put(placeKey("", 0, "F"), serializePlace({}));
  const { groups: readings } = await line.time.ended(readGroups(line.client().store));
  assertEquals(readings.map(({ group, semaphore, queue }) => [group, semaphore === FRESH, queue]), [
    ["", true, [{ machine: "F", priority: 0 }]],
    ["new", true, [{ machine: "E", priority: 0 }]],
    ["prod/db", false, [
      { machine: "D", priority: 5 },
      { machine: "b/c", priority: 0, host: "web1" },
    ]],
  ]);
});

Deno.test("readDocuments() gives every sound document by calls that do not grow with the line", async () => {
  const line = new Line();
  const put = (key: string, value: string) => line.memory.commit({ expect: [], put: [{ key, value }] });
  const held = '{"semaphore":0,"max":1,"holders":["A"]}';
  for (const group of ["", "prod/db", "web", "web-2", "web0"]) put(semaphoreKey(group), held);
  for (let machine = 0; machine < 50; machine++) put(placeKey("web", 0, `m${machine}`), serializePlace({}));
  put(placeKey("new", 0, "E"), serializePlace({}));
  put(semaphoreKey("broken"), "garbage");
  for (const key of ["a", "web", "%zz/semaphore", "../semaphore", "web/semaphore/else"]) {
    put(`coreos.com/updateengine/rebootlock/groups/${key}`, held);
  }
  const { store } = line.client();
  const documents = await line.time.ended(readDocuments(store));
  assertEquals(documents.map(({ group, semaphore }) => [group, semaphore.holders]), [
    ["", ["A"]],
    ["prod/db", ["A"]],
    ["web-2", ["A"]],
    ["web", ["A"]],
    ["web0", ["A"]],
  ]);
  assertLess(store.takeCalls().length, 12);
});

Deno.test("readGroups() tells what counts for all groups, and takes it for no group", async () => {
  const line = new Line();
  const read = () => line.time.ended(readGroups(line.client().store));
  assertEquals(await read(), { groups: [], all: FRESH });
  const paused = { reason: "a fair", extra: {} };
  line.pauseAll(paused);
  assertEquals(await read(), { groups: [], all: { ...FRESH, paused } });
  line.memory.commit({ expect: [], put: [{ key: ALL_KEY, value: "garbage" }] });
  const { all } = await read();
  assert(all instanceof LockError);
});
