/** The FleetLock protocol at the door: what is asked for, what is answered, and to whom. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BODY_LIMIT, parseRequest, serializeRequest } from "../../lib/fleetlock/protocol.ts";
import type { Access } from "../../lib/serve/access.ts";
import type { Answer, Asked, Caller } from "../../lib/serve/door.ts";
import { ANSWERS, APIS, hostsDoor } from "../../lib/serve/hosts_door.ts";
import { serveDoors } from "../../lib/serve/server.ts";
import type { SlotAnswer, SlotRequest, SlotServer } from "../../lib/slot_server.ts";
import { REAL } from "../../lib/surroundings.ts";

const HOST: Caller = { role: "host", name: "web1" };
const ONCE = { perSecond: 0.1, burst: 1 };
/** As Zincati asks: pretty JSON, and no word of its type. */
const ZINCATI = JSON.stringify({ client_params: { id: "e2c8", group: "web" } }, null, 2);

/** A server that says what it was asked. */
class Told implements SlotServer {
  readonly heard: { readonly api: string; readonly request: SlotRequest; readonly waitMs: number }[] = [];

  constructor(private readonly answer: SlotAnswer = { kind: "granted" }) {}

  preReboot(request: SlotRequest, { waitMs }: { readonly waitMs: number }): Promise<SlotAnswer> {
    this.heard.push({ api: "pre-reboot", request, waitMs });
    return Promise.resolve(this.answer);
  }

  steadyState(request: SlotRequest): Promise<SlotAnswer> {
    this.heard.push({ api: "steady-state", request, waitMs: 0 });
    return Promise.resolve({ kind: "released" });
  }
}

interface Asking {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly caller?: Caller;
}

async function ask(slots: SlotServer, asking: Asking = {}, answered: unknown[] = []): Promise<Answer> {
  const { path = "/v1/pre-reboot", method = "POST", body = ZINCATI, caller = HOST } = asking;
  const headers: Record<string, string> = asking.headers ?? { "fleet-lock-protocol": "true" };
  const door = hostsDoor({
    slots,
    mayAsk: ({ name }, group) => name !== "stranger" || group !== "web",
    answered: (...said) => answered.push(said),
  });
  const route = door.routes.find((route) => route.path === path);
  assert(route !== undefined && route.bodyLimit === BODY_LIMIT);
  const asked: Asked = {
    method,
    path,
    query: new URLSearchParams(),
    header: (name) => headers[name],
    body: typeof body === "string" ? new TextEncoder().encode(body) : body,
    caller,
    address: "127.0.0.1",
    requestId: "r1",
    gone: new AbortController().signal,
  };
  return await route.answer(asked);
}

function refusalIn({ body }: Answer): { readonly kind: string; readonly value: string } {
  assert(typeof body === "string");
  return JSON.parse(body);
}

Deno.test("hostsDoor() answers exactly 200 for granted and released", async () => {
  const slots = new Told();
  const answered: unknown[] = [];
  assertEquals((await ask(slots, {}, answered)).status, 200);
  assertEquals((await ask(slots, { path: "/v1/steady-state" }, answered)).status, 200);
  const request = { id: "e2c8", group: "web" };
  assertEquals(slots.heard, [
    { api: "pre-reboot", request, waitMs: 0 },
    { api: "steady-state", request, waitMs: 0 },
  ]);
  assertEquals(answered, [["pre-reboot", "granted", 200], ["steady-state", "released", 200]]);
});

Deno.test("hostsDoor() refuses with a kind and a value, and never with 2xx", async () => {
  const codes: Record<string, number> = {
    full: 409,
    paused: 409,
    closed: 409,
    held_by_hand: 409,
    unknown_group: 404,
    unavailable: 503,
    corrupt: 500,
  };
  for (const [kind, status] of Object.entries(codes)) {
    const answer = await ask(new Told({ kind, value: "why" } as SlotAnswer));
    assertEquals([answer.status, answer.kind, refusalIn(answer)], [status, kind, { kind, value: "why" }]);
  }
});

Deno.test("what the server refuses before a host comes to its door is in the words of the protocol, counted, and one of the answers that there are", async () => {
  const answered: [string, string, number][] = [];
  const door = hostsDoor({ slots: new Told(), answered: (...said) => answered.push(said) });
  const caller = (name: string): Caller => ({ role: name === "wall" ? "viewer" : "host", name });
  const access: Access = {
    version: {},
    identify: ({ authorization }) =>
      authorization === undefined
        ? { kind: "nobody", caller: { role: undefined, name: "anonymous" } }
        : { kind: "known", caller: caller(authorization) },
  };
  const server = serveDoors([door], { access, surroundings: REAL, log: () => {}, rates: { shared: ONCE } });
  const { port } = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }) as { port: number };
  const ask = async (path: string, init: RequestInit = {}) => {
    const reply = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", ...init });
    const { kind } = await reply.json();
    return [kind, reply.status];
  };
  const as = (authorization: string) => ({ headers: { authorization } });
  const told = [
    await ask("/v1/pre-reboot"),
    await ask("/v1/steady-state", as("wall")),
    await ask("/v1/pre-reboot", { ...as("web"), body: "x".repeat(BODY_LIMIT + 1) }),
    await ask("/v1/steady-state", as("web")),
  ];
  await server.stop();
  assertEquals(told, [["unauthenticated", 401], ["forbidden", 403], ["too_large", 413], [
    "rate_limited",
    429,
  ]]);
  assertEquals(answered.map(([, kind, status]) => [kind, status]), told);
  for (const [api, kind, status] of answered) {
    const there = ANSWERS[api as "pre-reboot"].some(([one, code]) => one === kind && code === status);
    assert(there, `${api}: ${kind} ${status}`);
  }
});

Deno.test("the page of the protocol has every kind with its code, and no other", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/fleetlock.md", import.meta.url));
  const documented = [...page.matchAll(/^\| `(\w+)` +\| ([0-9]{3}(?:, [0-9]{3})*) +\|/gm)].flatMap(
    ([, kind, codes = ""]) => codes.split(", ").map((code) => `${kind} ${code}`),
  );
  const given = APIS.flatMap((api) => ANSWERS[api].map(([kind, code]) => `${kind} ${code}`));
  const refusals = new Set(given.filter((answer) => !answer.endsWith(" 200")));
  assertEquals(documented.sort(), [...refusals].sort());
});

Deno.test("hostsDoor() takes the default group, what a host tells of itself, and ignores what it does not know", async () => {
  const slots = new Told();
  const client_params = { id: "a", group: "default", more: 1 };
  const locksmith = { host: "web1", boot: "b1", reason: "kernel", priority: 3, mood: "good" };
  await ask(slots, { body: JSON.stringify({ client_params, locksmith, other: [] }) });
  const request = { id: "a", group: "", host: "web1", boot: "b1", reason: "kernel", priority: 3 };
  assertEquals(slots.heard[0]?.request, request);
  assertEquals(parseRequest(new TextEncoder().encode(serializeRequest(request))), request);
});

Deno.test("hostsDoor() keeps a request for as long as it prefers, and says so", async () => {
  const slots = new Told();
  const headers = (prefer: string) => ({ "fleet-lock-protocol": "true", prefer });
  const answer = await ask(slots, { headers: headers("respond-async, wait=90") });
  assertEquals(answer.headers, { "preference-applied": "wait=90" });
  await ask(slots, { headers: headers("wait=100000") });
  await ask(slots, { headers: headers("wait=soon") });
  assertEquals(slots.heard.map(({ waitMs }) => waitMs), [90_000, 1_500_000, 0]);
  const steady = await ask(slots, { headers: headers("wait=90"), path: "/v1/steady-state" });
  assertEquals(steady.headers, {});
});

Deno.test("hostsDoor() refuses at once who is known to be refused, and asks for everybody who waits or is well", async () => {
  const slots = new Told();
  const known = Object.assign(slots, { refusedAgain: () => ({ kind: "full", value: "taken" } as const) });
  const answered: unknown[] = [];
  const answer = await ask(known, {}, answered);
  assertEquals([answer.status, refusalIn(answer), slots.heard], [409, { kind: "full", value: "taken" }, []]);
  assertEquals(answered, [["pre-reboot", "full", 409]]);
  await ask(known, { headers: { "fleet-lock-protocol": "true", prefer: "wait=90" } });
  await ask(known, { path: "/v1/steady-state" });
  assertEquals(slots.heard.map(({ api }) => api), ["pre-reboot", "steady-state"]);
  assertEquals((await ask(known, { caller: { ...HOST, name: "stranger" } })).status, 403);
});

Deno.test("hostsDoor() refuses what breaks the protocol, and asks nobody", async () => {
  const slots = new Told();
  const body = (client_params: unknown) => JSON.stringify({ client_params });
  const cases: [Asking, number, string][] = [
    [{ method: "GET" }, 405, "pre-reboot takes POST, not GET"],
    [{ method: "PUT", path: "/v1/steady-state" }, 405, "steady-state takes POST, not PUT"],
    [{ headers: {} }, 400, "the header 'fleet-lock-protocol: true' is missing"],
    [
      { headers: { "fleet-lock-protocol": "True" } },
      400,
      "the header 'fleet-lock-protocol: true' is missing",
    ],
    [
      { headers: { "fleet-lock-protocol": "true, true" } },
      400,
      "the header 'fleet-lock-protocol: true' is missing",
    ],
    [{ body: "" }, 400, "the body is not JSON"],
    [{ body: new Uint8Array([0xff]) }, 400, "the body is not JSON"],
    [{ body: "[]" }, 400, "client_params is missing"],
    [{ body: body({ group: "web" }) }, 400, "client_params.id: an id must be a string"],
    [{ body: body({ id: "", group: "web" }) }, 400, "client_params.id: an id must not be empty"],
    [{ body: body({ id: "a", group: "" }) }, 400, "client_params.group: must match ^[a-zA-Z0-9.-]+$"],
    [{ body: body({ id: "a", group: "web/1" }) }, 400, "client_params.group: must match ^[a-zA-Z0-9.-]+$"],
    [
      { body: body({ id: "a", group: ".." }) },
      400,
      "client_params.group: a group must not be named . or .., which would point outside the tree of groups",
    ],
  ];
  for (const [asking, status, value] of cases) {
    const answer = await ask(slots, asking);
    assertEquals([answer.status, refusalIn(answer)], [status, { kind: "bad_request", value }]);
  }
  assertEquals(slots.heard, []);
  assertEquals((await ask(slots, { method: "GET" })).headers?.allow, "POST");
});

Deno.test("hostsDoor() lets a credential speak for its own id and groups only", async () => {
  const slots = new Told();
  const cases: [Caller, string | undefined][] = [
    [{ ...HOST, ids: new Set(["x", "e2c8"]), groups: new Set(["web"]) }, undefined],
    [{ role: "operator", name: "anonymous" }, undefined],
    [{ ...HOST, ids: new Set(["E2C8"]) }, 'the credential "web1" is not for the id "e2c8"'],
    [{ ...HOST, groups: new Set(["db"]) }, 'the credential "web1" is not for group web'],
    [{ ...HOST, name: "stranger" }, 'the credential "stranger" may not ask for group web'],
  ];
  for (const [caller, value] of cases) {
    const answer = await ask(slots, { caller });
    if (value === undefined) assertEquals(answer.status, 200);
    else assertEquals([answer.status, refusalIn(answer)], [403, { kind: "forbidden", value }]);
  }
  assertEquals(slots.heard.length, 2);
});

Deno.test("hostsDoor() answers anything at all with a code, a kind and a value, and grants nothing by mistake", async () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json(),
    fc.record({
      client_params: fc.record({
        id: fc.oneof(fc.string({ unit: "binary" }), fc.anything()),
        group: fc.oneof(fc.constant("web"), fc.string({ unit: "binary" })),
      }, { requiredKeys: [] }),
      locksmith: fc.anything(),
    }).map((value) => JSON.stringify(value) ?? ""),
  );
  await fc.assert(
    fc.asyncProperty(anything, fc.string(), async (body, method) => {
      const slots = new Told();
      const answer = await ask(slots, { body, method: method.length > 5 ? method : "POST" });
      if (answer.status === 200) {
        const { id, group } = slots.heard[0]?.request ?? { id: "", group: "" };
        assert(slots.heard.length === 1 && id.trim() === id && id !== "" && /^[a-zA-Z0-9.-]*$/.test(group));
      } else {
        const { kind, value } = refusalIn(answer);
        assert(answer.status >= 400 && slots.heard.length === 0 && kind !== "" && value !== "");
      }
    }),
    { numRuns: 1000 },
  );
});
