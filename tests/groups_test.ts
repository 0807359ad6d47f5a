import { assert, assertEquals } from "@std/assert";
import { semaphoreKey } from "../lib/group.ts";
import { readGroups } from "../lib/groups.ts";
import { LockError } from "../lib/lock.ts";
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
  const groups = await line.time.ended(readGroups(store));
  assertEquals(groups.map(({ group, key }) => [group, key]), [
    ["", semaphoreKey("")],
    ["prod/db", semaphoreKey("prod/db")],
    ["web", semaphoreKey("web")],
  ]);
  const [first, broken, last] = groups.map(({ semaphore }) => semaphore);
  assertEquals([first, last], [FRESH, { ...FRESH, max: 2 }]);
  assert(broken instanceof LockError);
  assertEquals(broken.hint, "see what a repair would do: locksmith repair --dry-run --group 'prod/db'");
});

Deno.test("readGroups() shows who waits in a group, the first in line first, by one call", async () => {
  const line = new Line();
  line.hold("anna");
  await line.lined("b", "a");
  const { store } = line.client();
  const [web] = await line.time.ended(readGroups(store));
  assertEquals([web?.group, web?.queue.map(({ machine }) => machine)], ["web", ["b", "a"]]);
  assertEquals(store.takeCalls(), ["list"]);
});

Deno.test("readGroups() shows a group that has a queue and no document yet", async () => {
  const line = new Line();
  line.hold("anna");
  await line.lined("a");
  line.memory.commit({ expect: [], put: [], remove: [line.key] });
  const { store } = line.client();
  const [web] = await line.time.ended(readGroups(store));
  assertEquals([web?.group, web?.semaphore, web?.queue.length], ["web", FRESH, 1]);
});
