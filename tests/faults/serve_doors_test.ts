import { assert, assertEquals, assertMatch } from "@std/assert";
import OPENAPI from "../../lib/serve/openapi.json" with { type: "json" };
import { ACTIONS } from "../../lib/serve/page_links.ts";
import { storeDoor } from "../../lib/serve/store_door.ts";
import { Memory, openMemory } from "../../lib/simulation/memory.ts";
import { TestLock } from "../support/daemon_process.ts";
import { TestServer } from "../support/test_server.ts";

/** What would do something, if it were let through. */
const WISH = { reason: "mine", name: "mine", dates: "2999-01-01", holder: "a", max: 9 };

/** Every door that is not for hosts: what the API describes, but for the description, the store's calls, and the figures. */
const OTHER_DOORS: readonly (readonly [method: string, path: string])[] = [
  ...Object.entries(OPENAPI.paths).flatMap(([path, item]) =>
    Object.keys(item).filter((key) => key !== "parameters" && !path.endsWith(".json"))
      .map((method) => [method.toUpperCase(), path.replace("{group}", "web")] as const)
  ),
  ...storeDoor({ store: openMemory(new Memory()) }).routes.map(({ path }) => ["POST", path] as const),
  ["GET", "/metrics"],
];

Deno.test("a host's credential opens no other door, and no slot of another id or group; each try is in the log", async () => {
  await using server = await TestServer.make();
  const token = await server.token("add", "--role=host", "--group=web", "--id=a", "--name=web-a");
  await server.start();
  const headers = { authorization: `Bearer ${token}` };
  assertEquals(await server.fleetlock("/v1/pre-reboot", token, "a", "web"), [200, ""]);
  assert(OTHER_DOORS.length > 20);
  for (const [method, path] of OTHER_DOORS) {
    const init = method === "GET" ? {} : { body: JSON.stringify(WISH) };
    const [status, text] = await server.ask(path, { method, headers, ...init });
    assertEquals(status, 403, `${method} ${path}: ${text}`);
    await server.process.line(
      new RegExp(`^notice: web-a \\(127\\.0\\.0\\.1\\): ${method} ${path}: 403: .* \\[`),
    );
  }
  // the page knows nobody but who may look
  const [, page] = await server.ask("/", { headers });
  assertMatch(page, /<title>sign in - locksmith<\/title>/);
  assertEquals((await server.ask("/events", { headers }))[0], 401);
  const forms = { method: "POST", headers: { ...headers, origin: server.url } };
  const signIn = { ...forms, body: new URLSearchParams({ token }) };
  assertEquals((await server.ask("/sign-in", signIn))[0], 403);
  await server.process.line(/^notice: web-a \(127\.0\.0\.1\): POST \/sign-in: 403: /);
  for (const action of ACTIONS) {
    const body = new URLSearchParams({ group: "web", reason: "mine", name: "mine", holder: "a" });
    assertEquals((await server.ask(`/${action}`, { ...forms, body }))[0], 403, action);
    await server.process.line(
      new RegExp(
        `^notice: web-a \\(127\\.0\\.0\\.1\\): POST /${action}: 403: not allowed for the role host \\[`,
      ),
    );
  }

  for (const verb of ["pre-reboot", "steady-state"]) {
    const others = [["b", "web"], ["A", "web"], ["a ", "web"], ["a", "db"], ["a", "default"]] as const;
    for (const [id, group] of others) {
      const [status, text] = await server.fleetlock(`/v1/${verb}`, token, id, group);
      assertEquals(JSON.parse(text).kind, id === "a " ? "bad_request" : "forbidden", `${status} ${text}`);
    }
    await server.process.line(
      new RegExp(
        `^notice: web-a \\(127\\.0\\.0\\.1\\): POST /v1/${verb}: 403: .*"web-a" is not for the id "b" \\[`,
      ),
    );
  }
  // who tries a thousand ids is a line, and not a thousand
  assertEquals(server.process.count(/POST \/v1\/steady-state: 403/), 1);
  await using lock = await TestLock.open(server.store, "web");
  const { holders, paused, freezes, max } = await lock.read();
  assertEquals({ holders, paused, freezes, max }, {
    holders: ["a"],
    paused: undefined,
    freezes: undefined,
    max: 1,
  });
});
