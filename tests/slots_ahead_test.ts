/** A server of slots on the embedded store: what it decides builds on what does not last yet, and what it says does last. */

import { assertEquals, assertMatch } from "@std/assert";
import { parseSemaphore } from "../lib/document.ts";
import { EVERYTHING, semaphoreKey } from "../lib/group.ts";
import { StoreMirror } from "../lib/mirror.ts";
import { queueRange } from "../lib/queue.ts";
import type { SlotAnswer } from "../lib/slot_server.ts";
import { Slots } from "../lib/slots.ts";
import { openSqlite } from "../lib/sqlite/store.ts";
import { REAL } from "../lib/surroundings.ts";
import { ableAgain, unableToKeep } from "./support/failing_disk.ts";

const GROUP = "web";
const CALL = { timeoutMs: 5_000 };

/** A server on a store in a file of its own. */
async function serving() {
  const dir = await Deno.makeTempDir({ prefix: "locksmith-slots-" });
  const file = `${dir}/store.db`;
  const store = openSqlite(file);
  const mirror = new StoreMirror(store, EVERYTHING, REAL);
  await mirror.ready();
  const told: string[] = [];
  const slots = new Slots({
    store,
    mirror,
    surroundings: REAL,
    by: "locksmith serve",
    observer: {
      granted: (_, id) => told.push(`granted ${id}`),
      released: (_, id) => told.push(`released ${id}`),
    },
    failed: (error) => told.push(String(error)),
  });
  const gone = new AbortController();
  const request = (id: string) => ({ id, group: GROUP });
  return {
    file,
    told,
    poll: (id: string) => slots.preReboot(request(id), { waitMs: 0, gone: gone.signal }),
    wait: (id: string) => slots.preReboot(request(id), { waitMs: 60_000, gone: gone.signal }),
    steady: (id: string) => slots.steadyState(request(id)),
    /** Who holds a slot for everybody who looks. */
    async holders() {
      const entry = await store.read(semaphoreKey(GROUP), CALL);
      return entry === null ? [] : parseSemaphore(entry.value).holders;
    },
    /** Resolves when a host stands in the queue. */
    async queued() {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => mirror.entries(queueRange(GROUP)).length > 0 && resolve();
      const subscription = mirror.subscribe(look);
      look();
      await promise;
      subscription.close();
    },
    async [Symbol.asyncDispose]() {
      slots.close();
      mirror.close();
      await store.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

Deno.test("Slots tells a host of its slot, or of its return, once that lasts, also when the slot goes from one to the next in the same moment", async () => {
  await using server = await serving();
  assertEquals(await server.poll("a"), { kind: "granted" });
  assertEquals(await server.holders(), ["a"]);
  const next = server.wait("b");
  await server.queued();
  const seen: (readonly [string, readonly string[]])[] = [];
  const look = async ({ kind }: SlotAnswer) => {
    seen.push([kind, await server.holders()]);
  };
  await Promise.all([server.steady("a").then(look), next.then(look)]);
  assertEquals(seen.sort(), [["granted", ["b"]], ["released", ["b"]]]);
  assertEquals(server.told, ["granted a", "released a", "granted b"]);
});

Deno.test("Slots forgets a grant that does not come to last: nobody hears of it, and the host asks again and keeps its place", async () => {
  await using server = await serving();
  assertEquals(await server.poll("a"), { kind: "granted" });
  const next = server.wait("doomed");
  await server.queued();
  unableToKeep(server.file, '"doomed"');
  const answers = await Promise.all([server.steady("a"), next]);
  for (const answer of answers) {
    assertEquals(answer.kind, "unavailable");
    assertMatch("value" in answer ? answer.value : "", /^cannot commit in sqlite:.*: FOREIGN KEY/);
  }
  // what does not last for one lasts for none: the return was undone with the grant
  assertEquals(await server.holders(), ["a"]);
  ableAgain(server.file);
  assertEquals((await server.poll("c")).kind, "full");
  assertEquals(await server.steady("a"), { kind: "released" });
  // its place outlives the loss, as it would outlive the server
  assertEquals((await server.poll("c")).kind, "full");
  assertEquals(await server.poll("doomed"), { kind: "granted" });
  assertEquals(await server.holders(), ["doomed"]);
  assertEquals(server.told, ["granted a", "released a", "granted doomed"]);
});
