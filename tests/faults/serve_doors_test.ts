import { assertEquals, assertMatch } from "@std/assert";
import { TestLock } from "../support/daemon_process.ts";
import { TestServer } from "../support/test_server.ts";

/** Every door that is not for hosts, and one request that would get something out of it. */
const OTHER_DOORS: readonly (readonly [string, string, unknown?])[] = [
  ["GET", "/api/v1/status"],
  ["GET", "/api/v1/groups"],
  ["GET", "/api/v1/groups/web"],
  ["GET", "/api/v1/groups/web/history"],
  ["POST", "/api/v1/pause", { reason: "mine" }],
  ["POST", "/api/v1/resume", {}],
  ["POST", "/api/v1/groups/web/pause", { reason: "mine" }],
  ["POST", "/api/v1/groups/web/unlock", { machine: "a" }],
  ["POST", "/api/v1/groups/web/max", { max: 9 }],
  ["GET", "/metrics"],
  ["POST", "/store/v1/view", {}],
  ["POST", "/store/v1/commit", {}],
  ["POST", "/store/v1/watch", {}],
  ["POST", "/store/v1/lease", {}],
];

Deno.test("a host's credential opens no other door, and no slot of another id or group; each try is in the log", async () => {
  await using server = await TestServer.make();
  const token = await server.token("add", "--role=host", "--group=web", "--id=a", "--name=web-a");
  await server.start();
  const headers = { authorization: `Bearer ${token}` };
  assertEquals(await server.fleetlock("/v1/pre-reboot", token, "a", "web"), [200, ""]);
  for (const [method, path, body] of OTHER_DOORS) {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
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
  const { holders, paused, max } = await lock.read();
  assertEquals({ holders, paused, max }, { holders: ["a"], paused: undefined, max: 1 });
});
