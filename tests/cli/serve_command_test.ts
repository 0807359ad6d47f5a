import { assertEquals, assertMatch } from "@std/assert";
import { until } from "../support/daemon_process.ts";
import { TestServer } from "../support/test_server.ts";

Deno.test("a server that is killed has everything when it is back: the tokens, and the slots that hosts were told of", async () => {
  await using server = await TestServer.make();
  const [web, any] = [
    await server.token("add", "--role=host", "--group=web", "--id=a"),
    await server.token("add", "--role=host", "--name=any"),
  ];
  await server.start();
  assertEquals((await Deno.stat(`${server.dir}/locksmith.db`)).mode, 0o100600);
  assertEquals(await server.fleetlock("/v1/pre-reboot", web, "a", "web"), [200, ""]);
  // another's id, another's group, another's door
  for (const [id, group] of [["b", "web"], ["a", "db"]] as const) {
    const [status, text] = await server.fleetlock("/v1/pre-reboot", web, id, group);
    assertEquals([status, JSON.parse(text).kind], [403, "forbidden"]);
  }
  const [status, text] = await server.ask("/v1/pre-reboot", { method: "POST", body: "{}" });
  assertEquals([status, JSON.parse(text).kind], [401, "unauthenticated"]);

  await server.process.stop("SIGKILL");
  await server.start();
  const [full, refusal] = await server.fleetlock("/v1/pre-reboot", any, "b", "web");
  assertEquals([full, JSON.parse(refusal).kind], [409, "full"]);
  assertEquals(await server.fleetlock("/v1/pre-reboot", web, "a", "web"), [200, ""]);
  const shown = JSON.parse(
    await server.command("status", "--json", "--group=web", `--endpoint=${server.store}`),
  );
  assertEquals(shown.holders, ["a"]);
  assertEquals(await server.fleetlock("/v1/steady-state", web, "a", "web"), [200, ""]);

  // a host that waits is answered when the server stops, and the server ends by itself
  assertEquals((await server.fleetlock("/v1/pre-reboot", any, "b", "web"))[0], 200);
  const waiting = fetch(`${server.url}/v1/pre-reboot`, {
    method: "POST",
    headers: { "fleet-lock-protocol": "true", authorization: `Bearer ${any}`, prefer: "wait=600" },
    body: JSON.stringify({ client_params: { id: "c", group: "web" } }),
  });
  const queue = async () =>
    JSON.parse(await server.command("status", "--json", "--group=web", `--endpoint=${server.store}`)).queue;
  await until(queue, (places) => places.length === 1);
  const stopped = server.process.stop();
  const reply = await waiting;
  assertEquals([reply.status, (await reply.json()).kind], [503, "unavailable"]);
  assertEquals((await stopped).code, 0);
});

Deno.test("tokens and groups of a running server change with their files; a list of tokens that cannot be used lets nobody in", async () => {
  await using server = await TestServer.make();
  const groups = `${server.dir}/groups.toml`;
  await Deno.writeTextFile(groups, "[web]\nmax = 2\n");
  await server.start(`--groups=${groups}`);
  await server.process.line(
    /notice: there are no tokens .* anybody who reaches this server may do everything/,
  );
  await server.process.line(/group web: max is 2 now, was 1/);
  assertEquals((await server.fleetlock("/v1/pre-reboot", "x", "a", "web"))[0], 200);
  assertEquals((await server.fleetlock("/v1/pre-reboot", "x", "a", "db"))[0], 404);

  const token = await server.token("add", "--role=host", "--name=host");
  await Deno.writeTextFile(groups, "[web]\nmax = 3\n[db]\n");
  await server.process.line(/tokens: read again|group web: max is 3/);
  await server.process.line(/tokens: read again|group web: max is 3/);
  assertEquals((await server.fleetlock("/v1/pre-reboot", "x", "a", "web"))[0], 401);
  assertEquals((await server.fleetlock("/v1/pre-reboot", token, "b", "db"))[0], 200);

  await Deno.chmod(`${server.dir}/tokens`, 0o666);
  assertMatch(await server.process.line(/^error/), /others can write to it; .*; nobody is let in/);
  assertEquals((await server.fleetlock("/v1/pre-reboot", token, "b", "db"))[0], 503);
  await Deno.chmod(`${server.dir}/tokens`, 0o600);
  await server.process.line(/tokens: read again/);
  assertEquals((await server.fleetlock("/v1/pre-reboot", token, "b", "db"))[0], 200);
  await server.token("remove", "host");
  await server.process.line(/tokens: read again/);
  assertEquals((await server.fleetlock("/v1/pre-reboot", token, "b", "db"))[0], 401);
  await server.process.line(/the token 'host' was removed/);
  // no secret ever gets into the log
  assertEquals(server.process.text.includes(token.slice(-43)), false);
});

Deno.test("a server without credentials answers to the names of its host alone, until it is told that something else keeps strangers out", async () => {
  await using server = await TestServer.make();
  const asked = async (host: string) => {
    using connection = await Deno.connect({ port: server.port });
    const text = `GET /api/v1/status HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`;
    await connection.write(new TextEncoder().encode(text));
    return /^HTTP\/1.1 (\d+)/.exec(await new Response(connection.readable).text())?.[1];
  };
  await server.start();
  assertEquals([await asked("localhost:9053"), await asked("evil.example")], ["200", "403"]);
  await server.process.line(/notice: anonymous .*: 403: asked for as "evil\.example"/);
  await server.process.stop();
  await server.start("--insecure");
  assertEquals(await asked("lock.example.net"), "200");
  await server.token("add", "--role=host", "--name=host");
  await server.process.line(/tokens: read again/);
  assertEquals(await asked("lock.example.net"), "401");
});

Deno.test("a server shows its page to viewers, with its windows, and an operator's sign-in acts on it and is audited", async () => {
  await using server = await TestServer.make();
  const groups = `${server.dir}/groups.toml`;
  await Deno.writeTextFile(groups, '[web]\nwindows = ["Sun 02:00 3h"]\n');
  const operator = await server.token("add", "--role=operator", "--name=anna");
  const viewer = await server.token("add", "--role=viewer", "--name=wall");
  await server.start(`--groups=${groups}`);
  const form = (path: string, fields: Record<string, string>, cookie = "") =>
    fetch(server.url + path, {
      method: "POST",
      redirect: "manual",
      headers: { origin: server.url, cookie },
      body: new URLSearchParams(fields),
    });
  const [, signIn] = await server.ask("/");
  assertMatch(signIn, /<title>sign in - locksmith<\/title>/);
  const [, page] = await server.ask("/", { headers: { authorization: `Bearer ${viewer}` } });
  assertMatch(page, /window opens/);
  assertMatch((await server.ask("/page.css"))[1], /prefers-color-scheme: dark/);
  const reply = await form("/sign-in", { token: operator });
  await reply.body?.cancel();
  const [cookie = ""] = reply.headers.get("set-cookie")?.split(";") ?? [];
  const [, signedIn] = await server.ask("/", { headers: { cookie } });
  const proof = /name="proof" value="([^"]+)"/.exec(signedIn)?.[1] ?? "";
  const paused = await form("/pause", { proof, group: "web", reason: "storage" }, cookie);
  assertEquals([paused.status, await paused.text()], [303, ""]);
  await server.process.line(/notice: audit: anna \(127\.0\.0\.1\): paused group web: storage \[/);
  const [status, text] = await server.ask("/api/v1/groups/web", {
    headers: { authorization: `Bearer ${viewer}` },
  });
  assertEquals([status, JSON.parse(text).paused.by], [200, "anna"]);
});
