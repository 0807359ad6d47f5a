/** What the operators' door lets through, how much of it, and what it tells of it. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Answer, Caller, Door, Role } from "../../lib/serve/door.ts";
import { storeDoor } from "../../lib/serve/store_door.ts";
import { ALL_GROUPS, ROOT, semaphoreKey } from "../../lib/group.ts";
import { placeKey } from "../../lib/queue.ts";
import { Memory, openMemory } from "../../lib/simulation/memory.ts";
import { exactly, type Store } from "../../lib/store.ts";
import { type Questions, STORE_PATH, type StoreCall } from "../../lib/store_wire.ts";
import { CALL } from "../contract/kit.ts";

const ANN: Caller = { role: "operator", name: "ann" };
const BOB: Caller = { role: "operator", name: "bob" };

async function withDoor(work: (door: Door, store: Store) => Promise<void>): Promise<void> {
  const store = openMemory(new Memory());
  const door = storeDoor({ store });
  try {
    await work(door, store);
  } finally {
    await door.close?.();
    await store.close();
  }
}

/** What the door answers to a body, whatever it is. */
async function answerTo(
  door: Door,
  call: StoreCall,
  body: Uint8Array,
  caller: Caller = ANN,
  gone: AbortSignal = new AbortController().signal,
): Promise<Answer> {
  const route = door.routes.find(({ path }) => path === STORE_PATH + call);
  if (route === undefined) throw new Error(`no route for ${call}`);
  return await route.answer({
    method: "POST",
    path: route.path,
    query: new URLSearchParams(),
    header: () => undefined,
    body,
    caller,
    address: "127.0.0.1",
    requestId: "1",
    gone,
  });
}

function ask<C extends StoreCall>(
  door: Door,
  call: C,
  question: Questions[C],
  caller = ANN,
): Promise<Answer> {
  return answerTo(door, call, new TextEncoder().encode(JSON.stringify(question)), caller);
}

function bodyOf({ body }: Answer): Record<string, unknown> {
  return JSON.parse(String(body));
}

Deno.test("only operators may change anything, and hosts may nothing here", async () => {
  await withDoor((door) => {
    const who = Object.fromEntries(door.routes.map(({ path, who }) => [path.replace(STORE_PATH, ""), who]));
    const looks: Role[] = ["operator", "viewer"];
    assertEquals(who, {
      view: looks,
      list: looks,
      history: looks,
      watch: looks,
      commit: ["operator"],
      lease: ["operator"],
      "lease/keep": ["operator"],
      "lease/end": ["operator"],
    });
    return Promise.resolve();
  });
});

Deno.test("a change is audited in words: what, in which group, of which machine, by whom and why", async () => {
  await withDoor(async (door) => {
    const record = (what: string, more: object) =>
      JSON.stringify({
        semaphore: 2,
        max: 2,
        holders: [],
        changed: { at: "2026-11-29T10:00:00Z", by: "ann@laptop", what, ...more },
      });
    const audit = async (transaction: Partial<Questions["commit"]["transaction"]>) =>
      (await ask(door, "commit", { transaction: { expect: [], put: [], ...transaction } })).audit;
    const put = (key: string, value: string) => audit({ put: [{ key, value }] });
    const web = semaphoreKey("web");
    assertEquals(
      await put(web, record("set-max", { reason: "more capacity" })),
      "set-max in group web, max 2, by ann@laptop: more capacity",
    );
    assertEquals(
      await put(semaphoreKey(""), record("unlock", { machine: "m1" })),
      "unlock in group (default), machine m1, by ann@laptop",
    );
    assertEquals(
      await put(semaphoreKey(ALL_GROUPS), record("pause", {})),
      "pause in all groups, by ann@laptop",
    );
    assertEquals(await put(web, "rubbish"), "write what is no semaphore to group web");
    assertEquals(await put(placeKey("web", 0, "m1"), "{}"), "queue in group web, place 100/m1");
    assertEquals(await put(`${ROOT}other`, "1\n2"), `write ${ROOT}other`);
    assertEquals(
      await audit({ remove: [web, placeKey("web", 0, "m1")] }),
      "remove group web; leave the queue in group web, place 100/m1",
    );
    // what only proves or is refused changes nothing
    assertEquals(await audit({}), undefined);
    assertEquals(
      await audit({ expect: [{ key: web, revision: "999" }], put: [{ key: web, value: "" }] }),
      undefined,
    );
  });
});

Deno.test("a commit of unknown outcome is audited as such", async () => {
  const behind = openMemory(new Memory());
  const { StoreError } = await import("../../lib/store.ts");
  const cause = new StoreError("timeout", "no answer");
  const door = storeDoor({ store: { ...behind, commit: () => Promise.resolve({ kind: "unknown", cause }) } });
  const transaction = { expect: [], put: [], remove: [semaphoreKey("web")] };
  const { status, audit } = await ask(door, "commit", { transaction });
  assertEquals([status, audit], [200, "remove group web (whether it happened is not known)"]);
  await door.close?.();
  await behind.close();
});

Deno.test("a body that is none of the wire is refused, and says where", async () => {
  await withDoor(async (door) => {
    const refusal = async (call: StoreCall, text: string | Uint8Array) => {
      const body = typeof text === "string" ? new TextEncoder().encode(text) : text;
      const answer = await answerTo(door, call, body);
      return [answer.status, answer.kind, (bodyOf(answer)["error"] as { message: string }).message];
    };
    const unread = (why: string) => [400, "bad_request", `the request cannot be read: ${why}`];
    assertEquals(await refusal("view", ""), unread("the body is not JSON"));
    assertEquals(await refusal("view", new Uint8Array([0xff])), unread("the body is not UTF-8"));
    assertEquals(await refusal("view", "[]"), unread("the body is not an object"));
    assertEquals(await refusal("view", '{"queries":{}}'), unread("queries is not a list"));
    assertEquals(
      await refusal("view", '{"queries":[{"range":{"from":"a"}}]}'),
      unread("queries[0].range.to is not a text"),
    );
    assertEquals(
      await refusal("commit", '{"transaction":{"expect":[{"key":"a","revision":"1x"}],"put":[]}}'),
      unread("expect[0].revision is not a revision"),
    );
    assertEquals(
      await refusal("lease", '{"ttlMs":1e9}'),
      unread("ttlMs is not a whole number from 0 to 3600000"),
    );
    assertEquals(
      await refusal("list", `{"prefix":"${ROOT}","timeoutMs":60001}`),
      unread("timeoutMs is not a whole number from 0 to 60000"),
    );
    assertEquals(await refusal("lease/keep", '{"id":"../x"}'), unread("id is not a lease"));
  });
});

Deno.test("a lease is kept alive and ended by the credential that began it, and by no other", async () => {
  await withDoor(async (door, store) => {
    const { id } = bodyOf(await ask(door, "lease", { ttlMs: 60_000 }));
    if (typeof id !== "string") throw new Error("no lease");
    const put = [{ key: `${ROOT}a`, value: "1", lease: id }];
    await ask(door, "commit", { transaction: { expect: [], put } });
    assertEquals(bodyOf(await ask(door, "lease/keep", { id })), { alive: true });
    assertEquals(bodyOf(await ask(door, "lease/keep", { id }, BOB)), { alive: false });
    await ask(door, "lease/end", { id }, BOB);
    assertEquals((await store.read(`${ROOT}a`, CALL))?.value, "1");
    await ask(door, "lease/end", { id });
    assertEquals(await store.read(`${ROOT}a`, CALL), null);
    assertEquals(bodyOf(await ask(door, "lease/keep", { id })), { alive: false });
  });
});

Deno.test("a credential has so many watches and leases at a time, and gets them back when they end", async () => {
  await withDoor(async (door) => {
    const range = exactly(`${ROOT}a`);
    const watches: Answer[] = [];
    for (let turn = 0; turn < 100; turn++) watches.push(await ask(door, "watch", { range }));
    const over = await ask(door, "watch", { range });
    assertEquals([over.status, over.kind], [429, "rate_limited"]);
    assertStringIncludes(String(over.body), "too many watches at a time (100 a credential)");
    assertEquals((await ask(door, "watch", { range }, BOB)).status, 200);
    await (watches[0]?.body as AsyncIterableIterator<string>).return?.();
    assertEquals((await ask(door, "watch", { range })).status, 200);
    // one whose client was gone before the answer does not count
    const question = new TextEncoder().encode(JSON.stringify({ range }));
    for (let turn = 0; turn < 110; turn++) {
      assertEquals((await answerTo(door, "watch", question, BOB, AbortSignal.abort())).status, 200);
    }

    const ids: string[] = [];
    for (let turn = 0; turn < 100; turn++) {
      ids.push(String(bodyOf(await ask(door, "lease", { ttlMs: 60_000 }))["id"]));
    }
    assertEquals((await ask(door, "lease", { ttlMs: 60_000 })).status, 429);
    await ask(door, "lease/end", { id: ids[0] ?? "" });
    assertEquals((await ask(door, "lease", { ttlMs: 60_000 })).status, 200);
  });
});

Deno.test("a reader of a watch that is too slow is told that it missed something", async () => {
  await withDoor(async (door, store) => {
    const key = `${ROOT}a`;
    const { body } = await ask(door, "watch", { range: exactly(key) });
    for (let turn = 0; turn < 1_500; turn++) {
      await store.commit({ expect: [], put: [{ key, value: String(turn) }] }, CALL);
    }
    const { value } = await (body as AsyncIterableIterator<string>).next();
    const events = String(value).split("\n\n");
    assertEquals(events[0], 'data: {"kind":"missed"}');
    assertStringIncludes(events.at(-2) ?? "", '"value":"1499"');
  });
});

Deno.test("a door that was closed ends its watches, and takes nothing any more", async () => {
  await withDoor(async (door) => {
    const { body } = await ask(door, "watch", { range: exactly(`${ROOT}a`) });
    const events = body as AsyncIterableIterator<string>;
    await events.next();
    const last = events.next();
    await door.close?.();
    assertEquals((await last).done, true);
    const answer = await ask(door, "view", { queries: [] });
    assertEquals([answer.status, bodyOf(answer)["error"]], [
      503,
      { kind: "unreachable", message: "the server is stopping", nothingHappened: true },
    ]);
  });
});
