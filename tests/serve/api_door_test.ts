/** The API, and that its description is true. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import Ajv from "ajv/dist/2020.js";
import { semaphoreKey } from "../../lib/group.ts";
import { readGroups } from "../../lib/groups.ts";
import { FRESH, overdueHolders } from "../../lib/semaphore.ts";
import { statusJson } from "../../lib/status.ts";
import { LockError } from "../../lib/lock.ts";
import { ApiDoor } from "../../lib/serve/api_door.ts";
import type { Answer, Caller } from "../../lib/serve/door.ts";
import OPENAPI from "../../lib/serve/openapi.json" with { type: "json" };
import { ask, HOUR_MS, type Request, type Site } from "./site.ts";
import { busySite, machineId, NOW_MS } from "./story.ts";

const ANNA: Caller = { role: "operator", name: "anna" };
const ajv = new Ajv.default({ strict: false, formats: { "date-time": isInstant } });
ajv.addSchema({ $id: "openapi", ...OPENAPI });

function isInstant(text: string): boolean {
  return /Z$/.test(text) && !Number.isNaN(Date.parse(text));
}

type Operation = { readonly responses: Readonly<Record<string, unknown>>; readonly requestBody?: object };
const PATHS = OPENAPI.paths as unknown as Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** Asks, and holds the answer to what the description says of it. */
async function checked(door: ApiDoor, template: string, target: string, request: Request = {}) {
  const { method = "GET" } = request;
  const answer = await ask(door, target, { caller: ANNA, ...request });
  const pointer = [template, method.toLowerCase()].map((part) =>
    part.replaceAll("~", "~0").replaceAll("/", "~1")
  );
  const responses = PATHS[template]?.[method.toLowerCase()]?.responses ?? {};
  assert(String(answer.status) in responses, `${method} ${target}: ${answer.status} is not described`);
  const own = `openapi#/paths/${pointer.map(encodeURIComponent).join("/")}/responses/${answer.status}`;
  const ref = (responses[String(answer.status)] as { $ref?: string }).$ref;
  const validate = ajv.compile({
    $ref: `${ref === undefined ? own : `openapi${ref}`}/content/application~1json/schema`,
  });
  const value = JSON.parse(String(answer.body));
  const isValid: boolean = validate(value);
  assert(isValid, `${method} ${target}: ${ajv.errorsText(validate.errors)}`);
  return { answer, value };
}

function post(body: unknown): Request {
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

function doorOf(site: Site): ApiDoor {
  return new ApiDoor(site.fleet, site.operations);
}

Deno.test("the description names every path that is served, and no other", () => {
  const described = Object.entries(PATHS).flatMap(([path, item]) =>
    Object.keys(item).filter((key) => key !== "parameters").map((method) => `${method.toUpperCase()} ${path}`)
  );
  const served = doorOf(busySite()).endpoints.map(({ method, path }) => `${method} ${path}`);
  assertEquals(described.sort(), served.sort());
});

Deno.test("every answer is as it is described", async () => {
  const site = busySite();
  const door = doorOf(site);
  const groups = "/api/v1/groups";
  const group = `${groups}/{group}`;
  const reason = "storage maintenance";
  await checked(door, "/api/v1/openapi.json", "/api/v1/openapi.json");
  const { value: status } = await checked(door, "/api/v1/status", "/api/v1/status");
  assertEquals([status.slots, status.held, status.waiting, status.overdue], [5, 5, 15, 1]);
  await checked(door, groups, groups);
  await checked(door, group, `${groups}/web`);
  await checked(door, group, `${groups}/none`);
  const { value: history } = await checked(door, `${group}/history`, `${groups}/web/history?since=3h`);
  assert(history.events.length > 0 && history.complete);
  await checked(door, `${group}/history`, `${groups}/web/history?since=soon`);
  for (
    const [path, target] of [[`${group}/pause`, `${groups}/web/pause`], [
      "/api/v1/pause",
      "/api/v1/pause",
    ]] as const
  ) {
    const { answer, value } = await checked(door, path, target, post({ reason, for: "1h" }));
    assertEquals([value.paused.by, value.paused.reason, value.replaced], ["anna", reason, null]);
    assertStringIncludes(answer.audit ?? "", `: ${reason}`);
    const resume = (text: string) => text.replace("pause", "resume");
    assertEquals(
      (await checked(door, resume(path), resume(target), post({ reason }))).value.ended.reason,
      reason,
    );
    assertEquals(
      (await checked(door, resume(path), resume(target), post({ reason }))).answer.kind,
      "not_paused",
    );
  }
  const unlock = post({ holder: machineId(30), reason });
  assertEquals(
    (await checked(door, `${group}/unlock`, `${groups}/db/unlock`, unlock)).value.hold.host,
    "db-primary",
  );
  assertEquals(
    (await checked(door, `${group}/unlock`, `${groups}/db/unlock`, unlock)).answer.kind,
    "not_held",
  );
  assertEquals(
    (await checked(door, `${group}/max`, `${groups}/db/max`, post({ max: 2, reason }))).value.was,
    1,
  );
  for (const body of [{ reason }, { max: -1, reason }, { max: "2", reason }, { max: 2 }, [], "x"]) {
    assertEquals((await checked(door, `${group}/max`, `${groups}/db/max`, post(body))).answer.status, 400);
  }
  site.put(semaphoreKey("web"), "{}");
  await checked(door, groups, groups);
  assertEquals((await checked(door, group, `${groups}/web`)).answer.kind, "corrupt");
  assertEquals(
    (await checked(door, `${group}/pause`, `${groups}/web/pause`, post({ reason }))).answer.kind,
    "corrupt",
  );
  site.mirror.away = true;
  assertEquals((await checked(door, "/api/v1/status", "/api/v1/status")).value.store.state, "behind");
});

Deno.test("a freeze is planned, replaced by one of its name, shown and removed, of a group and of all; what cannot be one is refused", async () => {
  const site = busySite();
  const door = doorOf(site);
  const groups = "/api/v1/groups";
  for (
    const [template, target] of [[`${groups}/{group}`, `${groups}/web`], ["/api/v1", "/api/v1"]] as const
  ) {
    const go = async (action: string, body: unknown) => {
      const path = `${template}/${action}`;
      const { answer, value } = await checked(door, path, `${target}/${action}`, post(body));
      return { ...value, status: answer.status, audit: answer.audit };
    };
    const name = "Christmas";
    const planned = await go("freeze", { name, dates: "2026-12-20..2027-01-02", zone: "Europe/Berlin" });
    const { from, until, by } = planned.freeze;
    assertEquals([from, until, by], ["2026-12-19T23:00:00.000Z", "2027-01-02T23:00:00.000Z", "anna"]);
    assertStringIncludes(planned.audit, `from ${from} until ${until}: ${name}`);
    const again = await go("freeze", { name, dates: "2026-12-24T18:00..2026-12-26" });
    assertEquals([again.replaced, again.freeze.from], [planned.freeze, "2026-12-24T18:00:00.000Z"]);
    const { value: shown } = await checked(door, `${groups}/{group}`, `${groups}/web`);
    assertEquals(shown[target === "/api/v1" ? "freezesAll" : "freezes"], [again.freeze]);
    for (
      const body of [
        { name, dates: "soon" },
        { name, dates: "2020-01-01..2020-01-02" },
        { name, dates: "2026-12-24..2026-12-20" },
        { name, dates: "2026-12-24 Eve" },
        { name, dates: "2026-12-24", zone: "Berlin" },
        { name: " ", dates: "2026-12-24" },
        { dates: "2026-12-24" },
        { name },
      ]
    ) assertEquals((await go("freeze", body)).status, 400, JSON.stringify(body));
    assertEquals(
      (await go("unfreeze", { name: "Christmsa" })).value,
      `${
        target === "/api/v1" ? "all groups" : "group web"
      }: there is no freeze 'Christmsa', did you mean 'Christmas'?`,
    );
    const removed = await go("unfreeze", { name });
    assertEquals([removed.status, removed.removed], [200, again.freeze]);
    assertEquals((await go("unfreeze", { name })).kind, "no_freeze");
    const { value: history } = await checked(door, `${groups}/{group}/history`, `${groups}/web/history`);
    const told = history.events.map(({ what, by, reason }: Record<string, string>) => [what, by, reason]);
    assertEquals(told.at(-1), [target === "/api/v1" ? "unfreeze-all" : "unfreeze", "anna", name]);
  }
});

Deno.test("a group is told with the very JSON of the commands; the default one is called default", async () => {
  const site = busySite();
  site.grant("", machineId(50), { host: "mail", boot: "b", since: new Date(NOW_MS - 1000).toISOString() });
  const { groups } = await readGroups(site.store);
  const expected = groups.map(({ group, semaphore, queue, stored }) => {
    assert(!(semaphore instanceof LockError));
    const overdue = overdueHolders(semaphore, NOW_MS, HOUR_MS);
    return JSON.parse(
      JSON.stringify(statusJson(group, { semaphore, all: FRESH, stored, queue, overdue }, NOW_MS)),
    );
  });
  const told = JSON.parse(String((await ask(doorOf(site), "/api/v1/groups")).body));
  assertEquals(told, expected);
  const one = JSON.parse(String((await ask(doorOf(site), "/api/v1/groups/default")).body));
  assertEquals(one, expected.find(({ group }) => group === ""));
});

Deno.test("to change anything takes an operator, JSON and a reason; a browser's form from elsewhere does nothing", async () => {
  const site = busySite();
  const door = doorOf(site);
  const target = "/api/v1/groups/web/pause";
  const body = JSON.stringify({ reason: "x" });
  const kinds = async (request: Request) => {
    const answer: Answer = await ask(door, target, { caller: ANNA, method: "POST", ...request });
    return [answer.status, answer.kind];
  };
  const type = { "content-type": "application/json" };
  assertEquals(await kinds({ body, headers: { "content-type": "text/plain" } }), [415, "bad_request"]);
  assertEquals(await kinds({ body }), [415, "bad_request"]);
  assertEquals(await kinds({ body: "{}", headers: type }), [400, "bad_request"]);
  assertEquals(await kinds({ body, headers: type, caller: { role: "viewer", name: "vera" } }), [
    403,
    "forbidden",
  ]);
  const groups = new Set(["db"]);
  assertEquals(await kinds({ body, headers: type, caller: { ...ANNA, groups } }), [403, "forbidden"]);
  assertEquals((await ask(door, "/api/v1/groups/web", { caller: { ...ANNA, groups } })).status, 404);
  assertEquals(site.fleet.view().groups.find(({ group }) => group === "web")?.pause, undefined);
});
