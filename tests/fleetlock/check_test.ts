import { assertEquals, assertMatch } from "@std/assert";
import {
  checkServer,
  type Exchange,
  type Finding,
  type RawAnswer,
  type RawRequest,
} from "../../lib/fleetlock/check.ts";
import { HttpServer } from "../../lib/fleetlock/http.ts";
import { locksmith, TestLock } from "../support/daemon_process.ts";
import { TestServer } from "../support/test_server.ts";
import { TinyFleetLock } from "../support/tiny_fleet_lock.ts";

const OK: RawAnswer = { status: 200, body: "" };
const refused = (status: number, kind: string): RawAnswer => ({
  status,
  body: JSON.stringify({ kind, value: "for a reason" }),
});

/** A server that keeps the protocol, in this process, and what can be changed to break it. */
class Server {
  readonly holders = new Set<string>();
  max = 2;
  /** What is done in place of keeping the protocol; `undefined`: this request is treated as it should be. */
  faulty: (request: RawRequest, server: Server) => RawAnswer | undefined = () => undefined;

  readonly exchange: Exchange = async (request) => {
    // the others get their turn
    await Promise.resolve();
    return this.faulty(request, this) ?? this.answer(request);
  };

  answer({ method, path, headers, body }: RawRequest): RawAnswer {
    if (method !== "POST") return refused(405, "method");
    if (headers["fleet-lock-protocol"] !== "true") return refused(400, "header");
    const { id, group } = paramsOf(body);
    if (typeof id !== "string" || id === "") return refused(400, "id");
    if (typeof group !== "string" || !/^[a-zA-Z0-9.-]+$/.test(group)) return refused(400, "group");
    if (path === "/v1/steady-state") {
      this.holders.delete(id);
      return OK;
    }
    if (!this.holders.has(id) && this.holders.size >= this.max) return refused(409, "full");
    this.holders.add(id);
    return OK;
  }
}

function paramsOf(body: string): { id?: unknown; group?: unknown } {
  try {
    return JSON.parse(body).client_params ?? {};
  } catch {
    return {};
  }
}

async function broken(server: Server): Promise<string[]> {
  const findings = await findingsOf(server.exchange);
  assertEquals([...server.holders].filter((id) => id !== "another"), [], "everything was given back");
  return findings.filter(({ verdict }) => verdict === "broken").map(({ rule }) => rule);
}

function findingsOf(exchange: Exchange): Promise<Finding[]> {
  return Array.fromAsync(checkServer(exchange, { group: "spare", mark: "m" }));
}

Deno.test("a server that keeps the protocol breaks no rule, whatever its max", async () => {
  for (const max of [1, 2, 30]) {
    const server = new Server();
    server.max = max;
    assertEquals(await broken(server), [], `max ${max}`);
  }
});

/** Faults of servers in the field, and the rules that name them. */
const FAULTS: readonly (readonly [string, Server["faulty"], readonly string[]])[] = [
  ["it does not look at the header", (request, server) => {
    return server.answer({ ...request, headers: { "fleet-lock-protocol": "true" } });
  }, ["header-missing", "header-value"]],
  [
    "it takes GET for POST",
    (request, server) =>
      server.answer({
        ...request,
        method: "POST",
        ...(request.body === ""
          ? { body: '{"client_params":{"id":"x","group":"g"}}', path: "/v1/steady-state" }
          : {}),
      }),
    ["method", "body-empty"],
  ],
  ["a full group is answered with 202, to wait for", ({ path, body }, { holders, max }) => {
    const { id } = paramsOf(body);
    return path === "/v1/pre-reboot" && !holders.has(String(id)) && holders.size >= max &&
        typeof id === "string"
      ? { status: 202, body: JSON.stringify({ kind: "waiting", value: "drain" }) }
      : undefined;
  }, ["full", "id-case", "counts"]],
  ["steady-state of who holds nothing is refused while another holds", ({ path, body }, { holders }) => {
    const { id } = paramsOf(body);
    return path === "/v1/steady-state" && holders.size > 0 && !holders.has(String(id))
      ? refused(423, "locked")
      : undefined;
  }, ["release-idempotent"]],
  ["a holder that asks again is refused", ({ path, body }, { holders }) => {
    return path === "/v1/pre-reboot" && holders.has(String(paramsOf(body).id))
      ? refused(409, "locked")
      : undefined;
  }, ["recursive", "race-same-host", "race-first"]],
  [
    "ids are the same in any case",
    (request, server) => server.answer({ ...request, body: request.body.toLowerCase() }),
    ["id-case"],
  ],
  ["it looks at the Content-Type", ({ headers }) => {
    return headers["content-type"]?.includes("form") ? refused(415, "content_type") : undefined;
  }, ["content-type-form"]],
  ["a refusal says nothing", ({ path, body }, { holders, max }) => {
    const { id } = paramsOf(body);
    return path === "/v1/pre-reboot" && !holders.has(String(id)) && holders.size >= max
      ? { status: 503, body: "<html>busy" }
      : undefined;
  }, ["refusal-body"]],
  ["a redirect to a login page", ({ path, headers }) => {
    return path === "/v1/pre-reboot" && headers["fleet-lock-protocol"] !== "true"
      ? { status: 302, body: "" }
      : undefined;
  }, ["header-missing", "header-value"]],
];

for (const [fault, faulty, rules] of FAULTS) {
  Deno.test(`the check names it when ${fault}`, async () => {
    const server = new Server();
    server.faulty = faulty;
    assertEquals((await broken(server)).filter((rule) => rules.includes(rule)), rules);
  });
}

Deno.test("the check names a server that counts and takes in two steps, and one that does not try a lost swap again", async () => {
  const counting: Exchange = async (request) => {
    const server = twoSteps;
    const { id } = paramsOf(request.body);
    const free = server.holders.has(String(id)) || server.holders.size < server.max;
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (request.path !== "/v1/pre-reboot" || !free) return server.answer(request);
    const { max } = server;
    server.max = Infinity;
    const answer = server.answer(request);
    server.max = max;
    return answer;
  };
  const twoSteps = new Server();
  const over = (await findingsOf(counting)).find(({ rule }) => rule === "race");
  assertEquals([over?.verdict, over?.seen], ["broken", "12 at once on 2 slots: 12 granted"]);

  const server = new Server();
  server.max = 8;
  let under = 0;
  const conflicting: Exchange = async (request) => {
    const conflict = request.path === "/v1/pre-reboot" && under > 0;
    under++;
    await new Promise((resolve) => setTimeout(resolve, 0));
    under--;
    return conflict ? refused(500, "conflict") : server.answer(request);
  };
  const lost = (await findingsOf(conflicting)).find(({ rule }) => rule === "race");
  assertEquals([lost?.verdict, lost?.seen], [
    "broken",
    "18 at once on 8 slots: 1 granted: 17 with 500 conflict",
  ]);
});

Deno.test("a group that others hold is left alone, and rules that could not be tried are open", async () => {
  const server = new Server();
  server.max = 1;
  server.holders.add("another");
  const findings = await findingsOf(server.exchange);
  assertEquals(findings.find(({ rule }) => rule === "grant"), {
    rule: "grant",
    verdict: "open",
    text: "a free slot is granted",
    seen: "the group has no free slot to try with: answered 409 full",
  });
  assertEquals([...server.holders], ["another"]);
});

Deno.test("over HTTP: a server that keeps the protocol passes, one that is not there is told", async () => {
  await using tiny = await TinyFleetLock.start(3);
  const overHttp = (url: string): Exchange => {
    const server = new HttpServer({ url });
    return async (request) => {
      try {
        return await server.send({ ...request, gone: new AbortController().signal });
      } catch (error) {
        return { status: null, body: "", why: error instanceof Error ? error.message : String(error) };
      }
    };
  };
  const findings = await findingsOf(overHttp(tiny.url));
  const rules = findings.filter(({ verdict }) => verdict === "broken").map(({ rule, seen }) =>
    `${rule}: ${seen}`
  );
  assertEquals(rules, []);
  const { url } = tiny;
  await tiny.stop();
  const [gone, ...more] = await findingsOf(overHttp(url));
  assertEquals([gone?.rule, gone?.verdict, gone?.seen, more], [
    "answers",
    "broken",
    `${url}: connection refused`,
    [],
  ]);
});

Deno.test("the built command finds no rule that the built server breaks, and exits 1 for a server that says yes to everything", async () => {
  await using server = await TestServer.make();
  const token = await server.token("add", "--role=host", "--name=checker", "--group=spare");
  await server.start();
  await using lock = await TestLock.open(server.store, "spare");
  await lock.setMax(3);
  const check = (url: string) =>
    locksmith(["fleetlock-check", url, "--test-group", "spare", "--fleet-lock-token", token], {
      program: server.program,
    });
  const { code, stdout, stderr } = await check(server.url);
  assertEquals([code, stderr], [0, ""], stdout);
  assertMatch(stdout, /\n\n28 rules tried, none broken\n$/);
  assertEquals(stdout.match(/^open /gm), null, "every rule was tried");
  assertEquals((await lock.read()).holders, []);

  await using yes = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response());
  const broken = await check(`http://127.0.0.1:${yes.addr.port}`);
  assertEquals(broken.code, 1);
  assertMatch(
    broken.stdout,
    /^BROKEN +only POST is accepted: answered 200\n[^]*\n\n\d+ rules tried, 12 broken\n$/m,
  );
});
