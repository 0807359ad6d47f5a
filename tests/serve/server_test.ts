import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Access, CredentialAccess } from "../../lib/serve/access.ts";
import type { Answer, Asked, Door, Route } from "../../lib/serve/door.ts";
import { healthDoor } from "../../lib/serve/health_door.ts";
import { serveDoors, type ServerOptions } from "../../lib/serve/server.ts";
import { type Credential, makeToken } from "../../lib/serve/tokens.ts";
import { REAL } from "../../lib/surroundings.ts";

interface Running extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly log: readonly string[];
  stop(): Promise<void>;
}

async function start(doors: readonly Door[], options: Partial<ServerOptions> = {}): Promise<Running> {
  const log: string[] = [];
  const server = serveDoors(doors, {
    access: new CredentialAccess({ kind: "none" }, { certificates: false }),
    surroundings: REAL,
    log: (level, text) => log.push(`${level}: ${text.replace(/\[[0-9a-f]{8}-\w+\]$/, "[ID]")}`),
    ...options,
  });
  const bound = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const port = bound.kind === "tcp" ? bound.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    log,
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

/** A door of one route, which answers with what it was asked. */
function echo(route: Partial<Route> = {}): Door {
  const answer = ({ method, path, query, body, caller, requestId }: Asked): Answer => ({
    status: 200,
    body: JSON.stringify({
      method,
      path,
      query: `${query}`,
      body: new TextDecoder().decode(body),
      name: caller.name,
      requestId,
    }),
  });
  return {
    routes: [{ path: "/echo", methods: ["GET", "POST"], who: "anyone", bodyLimit: 100, answer, ...route }],
  };
}

/** The refusals of FleetLock. */
const WORDING: Pick<Route, "refusal"> = {
  refusal: (status, kind, value) => ({
    status,
    kind,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ kind, value }),
  }),
};

/** Sends texts over one connection, each after what it waits for, and gives what came until the server closed it. */
async function exchange(port: number, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(text));
  return await new Response(connection.readable).text();
}

Deno.test("a request is answered with its id; one that the caller gave is kept if it is a sane one", async () => {
  await using server = await start([echo()]);
  const ask = async (id?: string) => {
    const reply = await fetch(
      `${server.url}/echo?a=b%20c`,
      id === undefined ? {} : { headers: { "x-request-id": id } },
    );
    const { requestId, query } = await reply.json();
    assertEquals(query, "a=b+c");
    assertEquals(reply.headers.get("x-request-id"), requestId);
    return requestId;
  };
  const [first, second] = [await ask(), await ask()];
  assertMatch(first, /^[0-9a-f]{8}-\w+$/);
  assert(first !== second);
  assertEquals(await ask("trace-1/2:3"), "trace-1/2:3");
  for (const insane of ["a b", "x".repeat(129), "<script>"]) {
    assertMatch(await ask(insane), /^[0-9a-f]{8}-\w+$/);
  }
});

Deno.test("what no route answers is refused: by path, by method, by size, in the words of the route", async () => {
  await using server = await start([echo(WORDING)]);
  const ask = async (path: string, init: RequestInit = {}) => {
    const reply = await fetch(server.url + path, init);
    return [reply.status, await reply.text(), reply.headers.get("allow") ?? ""];
  };
  assertEquals(await ask("/nope"), [404, "there is nothing here\n", ""]);
  const kind = (kind: string, value: string) => JSON.stringify({ kind, value });
  const allow = "GET, POST, HEAD, OPTIONS";
  assertEquals(await ask("/echo", { method: "DELETE" }), [
    405,
    kind("method_not_allowed", "use GET or POST or HEAD or OPTIONS"),
    allow,
  ]);
  assertEquals(await ask("/echo", { method: "OPTIONS" }), [204, "", allow]);
  assertEquals((await ask("/echo", { method: "HEAD" })).slice(0, 2), [200, ""]);
  const tooLarge = [413, kind("too_large", "the body is longer than 100 bytes"), ""];
  assertEquals(await ask("/echo", { method: "POST", body: "x".repeat(101) }), tooLarge);
  const chunked = new ReadableStream({
    start(controller) {
      controller.enqueue(new Uint8Array(60));
      controller.enqueue(new Uint8Array(60));
      controller.close();
    },
  });
  assertEquals(await ask("/echo", { method: "POST", body: chunked }), tooLarge);
  assertEquals((await ask("/echo", { method: "POST", body: "x".repeat(100) }))[0], 200);
});

Deno.test("what is no request, or too long a one, or comes too slowly, is cut with an answer", async () => {
  await using server = await start([echo({ ...WORDING })], {
    limits: { headerBytes: 2048, headerMs: 50, requestMs: 100 },
  });
  const head = "POST /echo HTTP/1.1\r\nhost: localhost\r\n";
  const [garbage, long, slowHead, slowBody, smuggled] = await Promise.all([
    exchange(server.port, "HELLO\r\n\r\n"),
    exchange(server.port, `${head}x: ${"y".repeat(5000)}\r\n\r\n`),
    exchange(server.port, head),
    exchange(server.port, `${head}content-length: 10\r\n\r\nslow`),
    exchange(server.port, `${head}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`),
  ]);
  assertMatch(garbage, /^HTTP\/1.1 400 Bad Request\r\n[^]*\r\n\r\nthis is not HTTP\n$/);
  assertMatch(long, /^HTTP\/1.1 431 /);
  assertMatch(slowHead, /^HTTP\/1.1 408 /);
  assertMatch(
    slowBody,
    /^HTTP\/1.1 408 [^]*\r\n\r\n\{"kind":"timeout","value":"the request took too long"\}$/,
  );
  assertMatch(smuggled, /^HTTP\/1.1 400 /);
});

Deno.test("a request may wait longer than any deadline of what is sent, and who goes away is noticed", async () => {
  const waits = Promise.withResolvers<Asked>();
  const answer = Promise.withResolvers<Answer>();
  await using server = await start([echo({
    answer(asked) {
      waits.resolve(asked);
      return answer.promise;
    },
  })], { limits: { headerMs: 50, requestMs: 100 } });
  const leave = new AbortController();
  const left = fetch(`${server.url}/echo`, { signal: leave.signal }).catch(() => "left");
  const { gone } = await waits.promise;
  const stays = fetch(`${server.url}/echo`, { method: "POST", body: "x" });
  // the looks for what is late come once a second
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assertEquals(gone.aborted, false);
  const noticed = new Promise((resolve) => gone.addEventListener("abort", resolve));
  leave.abort();
  await noticed;
  assertEquals(await left, "left");
  answer.resolve({ status: 200, body: "at last" });
  assertEquals(await (await stays).text(), "at last");
});

Deno.test("a bug of a door is a 500 with the request's id: the log has what it was, the caller has not", async () => {
  await using server = await start([
    echo({
      answer({ method }) {
        if (method === "GET") throw new TypeError("secret");
        return Promise.reject(new TypeError("secret"));
      },
    }),
  ]);
  for (const method of ["GET", "POST"]) {
    const reply = await fetch(`${server.url}/echo`, { method });
    const text = await reply.text();
    assertEquals(reply.status, 500);
    assertEquals(text, `internal error; the log has it as request ${reply.headers.get("x-request-id")}\n`);
  }
  assertEquals(
    server.log,
    ["GET", "POST"].map((method) =>
      `error: anonymous (127.0.0.1): ${method} /echo: 500: this is a bug: TypeError: secret [ID]`
    ),
  );
});

Deno.test("a stream goes no faster than it is read, and ends when its reader leaves", async () => {
  const progress = { written: 0 };
  const ended = Promise.withResolvers<void>();
  const chunk = "x".repeat(64 * 1024);
  async function* endless() {
    try {
      for (;; progress.written++) yield chunk;
    } finally {
      ended.resolve();
    }
  }
  await using server = await start([echo({ answer: () => ({ status: 200, body: endless() }) })]);
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await connection.write(new TextEncoder().encode("GET /echo HTTP/1.1\r\nhost: localhost\r\n\r\n"));
  await connection.read(new Uint8Array(1000));
  let before = -1;
  while (progress.written > before) {
    before = progress.written;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // what the kernel takes for both ends, and not much more
  assert(progress.written < 400, `${progress.written} chunks of 64 KiB are on their way`);
  connection.close();
  await ended.promise;
});

Deno.test("stopping: what runs is finished, what waits is answered at once, streams end, nobody new is let in", async () => {
  const [waiting, slow, streaming] = [1, 2, 3].map(() => Promise.withResolvers<void>());
  const stopped = Promise.withResolvers<Answer>();
  const finish = Promise.withResolvers<Answer>();
  const route = (path: string, answer: Route["answer"]): Route => ({ path, who: "anyone", answer });
  async function* stream() {
    yield "first\n";
    streaming?.resolve();
    await new Promise(() => {});
  }
  const door: Door = {
    routes: [
      route("/wait", () => {
        waiting?.resolve();
        return stopped.promise;
      }),
      route("/slow", () => {
        slow?.resolve();
        return finish.promise;
      }),
      route("/stream", () => ({ status: 200, body: stream() })),
    ],
    close: () => stopped.resolve({ status: 503, body: "ask again" }),
  };
  const server = await start([door]);
  const replies = ["/wait", "/slow", "/stream"].map(async (path) => {
    const reply = await fetch(server.url + path);
    return `${reply.status} ${await reply.text()}`;
  });
  await Promise.all([waiting?.promise, slow?.promise, streaming?.promise]);
  const stop = server.stop();
  assertEquals(await replies[0], "503 ask again");
  assertEquals(await replies[2], "200 first\n");
  assertEquals(await fetch(`${server.url}/wait`).catch(() => "refused"), "refused");
  finish.resolve({ status: 200, body: "done" });
  assertEquals(await replies[1], "200 done");
  await stop;
});

Deno.test("stopping is bounded, whatever a door does", async () => {
  const asked = Promise.withResolvers<void>();
  const server = await start([echo({
    answer() {
      asked.resolve();
      return new Promise<Answer>(() => {});
    },
  })], { limits: { stopMs: 100 } });
  const reply = fetch(`${server.url}/echo`).then(() => "answered", () => "cut");
  await asked.promise;
  await server.stop();
  assertEquals(await reply, "cut");
});

/** Credentials with a token for each role. */
function tokens(): {
  access: CredentialAccess;
  header(role: string): RequestInit;
  without(role: string): void;
} {
  const made = (["operator", "viewer", "host"] as const).map((role) => {
    const { text, token } = makeToken();
    const credential: Credential = { name: `the ${role}`, role, token, created: "" };
    return { role: role as string, text, credential };
  });
  const listOf = (gone?: string) => ({
    kind: "sound" as const,
    credentials: {
      list: made.filter(({ role }) => role !== gone).map(({ credential }) => credential),
      revoked: [],
    },
  });
  const access = new CredentialAccess(listOf(), { certificates: false });
  return {
    access,
    header: (role) => ({
      headers: { authorization: `Bearer ${made.find((one) => one.role === role)?.text}` },
    }),
    without: (role) => access.update(listOf(role)),
  };
}

Deno.test("each role gets through its own doors and no other; who is turned away is in the log", async () => {
  const { access, header } = tokens();
  const answer = () => ({ status: 200 });
  const door: Door = {
    routes: [
      { path: "/host", who: ["host"], answer },
      { path: "/look", who: ["viewer"], answer },
      { path: "/act", who: ["operator"], answer },
      { path: "/all", who: ["host", "viewer"], answer },
      { path: "/open", who: "anyone", answer },
    ],
  };
  await using server = await start([door], { access });
  const paths = ["/host", "/look", "/act", "/all", "/open"];
  const codes = async (init: RequestInit) => {
    const replies = await Promise.all(paths.map((path) => fetch(server.url + path, init)));
    await Promise.all(replies.map((reply) => reply.body?.cancel()));
    return replies.map(({ status }) => status);
  };
  assertEquals(await codes(header("operator")), [200, 200, 200, 200, 200]);
  assertEquals(await codes(header("viewer")), [403, 200, 403, 200, 200]);
  assertEquals(await codes(header("host")), [200, 403, 403, 200, 200]);
  assertEquals(await codes({}), [401, 401, 401, 401, 200]);
  assertEquals(await codes({ headers: { authorization: "Bearer lsm_secret" } }), [401, 401, 401, 401, 200]);
  assertEquals(server.log.slice(0, 2), [
    "notice: the viewer (127.0.0.1): GET /host: 403: not allowed for the role viewer [ID]",
    "notice: the viewer (127.0.0.1): GET /act: 403: not allowed for the role viewer [ID]",
  ]);
  assertStringIncludes(
    server.log.join("\n"),
    "notice: unknown (127.0.0.1): GET /host: 401: malformed token [ID]",
  );
  assertEquals(server.log.join("\n").includes("lsm_"), false);
});

Deno.test("a token that is removed holds no longer: not on a kept connection, not for what waits, not for a stream", async () => {
  const { access, header, without } = tokens();
  const waits = Promise.withResolvers<Asked>();
  async function* stream() {
    yield "first\n";
    await new Promise(() => {});
  }
  const door: Door = {
    routes: [
      { path: "/now", who: ["viewer"], answer: () => ({ status: 200 }) },
      { path: "/stream", who: ["viewer"], answer: () => ({ status: 200, body: stream() }) },
      {
        path: "/wait",
        who: ["viewer"],
        answer(asked) {
          waits.resolve(asked);
          return new Promise((resolve) =>
            asked.gone.addEventListener("abort", () => resolve({ status: 503 }))
          );
        },
      },
    ],
  };
  await using server = await start([door], { access });
  const ask = (path: string) => fetch(server.url + path, header("viewer"));
  const text = async (reply: Promise<Response>) => `${(await reply).status} ${await (await reply).text()}`;
  assertEquals(await text(ask("/now")), "200 ");
  const [waiting, streaming] = [ask("/wait"), await ask("/stream")];
  await waits.promise;
  without("viewer");
  assertEquals(await text(ask("/now")), "401 the credential is not valid\n");
  assertEquals(await text(waiting), "503 ");
  assertEquals(await streaming.text(), "first\n");
});

Deno.test("who asks too often is refused with the time to wait; who fails does not use up the rate of who does not", async () => {
  const { access, header } = tokens();
  const rate = { perSecond: 0.1, burst: 2 };
  await using server = await start([echo({ who: ["viewer", "host"], ...WORDING })], {
    access,
    rates: { address: rate, person: rate, shared: rate },
  });
  const ask = async (init: RequestInit) => {
    const reply = await fetch(`${server.url}/echo`, init);
    await reply.body?.cancel();
    return `${reply.status} ${reply.headers.get("retry-after") ?? ""}`.trim();
  };
  const thrice = async (init: RequestInit) => [await ask(init), await ask(init), await ask(init)];
  assertEquals(await thrice({}), ["401", "401", "429 10"]);
  assertEquals(await thrice(header("viewer")), ["200", "200", "429 10"]);
  assertEquals(await thrice(header("host")), ["200", "200", "429 10"]);
});

Deno.test("a change by a person is an audit line with who and from where; a host's is told; a refused poll is not", async () => {
  const { access, header } = tokens();
  const door = echo({
    who: ["host"],
    answer: ({ method, caller }) =>
      method === "GET" ? { status: 409, kind: "full" } : {
        status: 200,
        audit: caller.role === "host" ? "granted a slot to web1" : "paused group web: storage",
      },
  });
  await using server = await start([door], { access });
  for (const [role, method] of [["host", "GET"], ["host", "POST"], ["operator", "POST"]] as const) {
    await (await fetch(`${server.url}/echo`, { ...header(role), method })).body?.cancel();
  }
  assertEquals(server.log, [
    "info: the host (127.0.0.1): granted a slot to web1 [ID]",
    "notice: audit: the operator (127.0.0.1): paused group web: storage [ID]",
  ]);
});

Deno.test("health is for anybody to ask: alive as long as it answers, ready while it can serve", async () => {
  const unavailable: Access = { version: {}, identify: () => ({ kind: "unavailable", why: "no list" }) };
  let why: string | undefined = "the store is away";
  await using server = await start([healthDoor(() => why), echo({ who: ["viewer"] })], {
    access: unavailable,
  });
  const ask = async (path: string) => {
    const reply = await fetch(server.url + path);
    return `${reply.status} ${await reply.text()}`;
  };
  assertEquals(await ask("/healthz"), "200 ok\n");
  assertEquals(await ask("/readyz"), "503 the store is away\n");
  why = undefined;
  assertEquals(await ask("/readyz"), "200 ok\n");
  assertEquals(await ask("/echo"), "503 cannot find out who you are at the moment; ask again\n");
  assertEquals(server.log, ["notice: unknown (127.0.0.1): GET /echo: 503: no list [ID]"]);
});

Deno.test("a server that lets everybody in answers to the names and addresses of its host alone: a page whose name was made to lead here gets nothing", async () => {
  const { access } = tokens();
  const asked = async (server: Running, host: string, headers = "") => {
    const text =
      `POST /echo HTTP/1.1\r\nhost: ${host}\r\n${headers}content-length: 0\r\nconnection: close\r\n\r\n`;
    return /^HTTP\/1\.1 (\d+)/.exec(await exchange(server.port, text))?.[1];
  };
  await using open = await start([echo()]);
  const { port } = open;
  for (
    const own of ["localhost", "127.0.0.1", "LOCALHOST.", "[::1]", "web.localhost", "192.0.2.7", "127.1"]
  ) {
    assertEquals(await asked(open, `${own}:${port}`), "200", own);
  }
  const rebound =
    `origin: http://evil.example:${port}\r\nsec-fetch-site: same-origin\r\nfleet-lock-protocol: true\r\n`;
  for (
    const name of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "xn--a", "a b", "@"]
  ) {
    assertEquals(await asked(open, `${name}:${port}`, rebound), "403", name);
  }
  assertEquals(
    open.log[0],
    `notice: anonymous (127.0.0.1): POST /echo: 403: asked for as "evil.example:${port}" [ID]`,
  );
  // an old program says no name at all
  assertMatch(await exchange(port, "GET /echo HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 200 /);
  await using proxied = await start([echo()], { byAnyName: true });
  assertEquals(await asked(proxied, "lock.example.net"), "200");
  // where a credential is needed, a browser that is led here has none
  await using closed = await start([echo({ who: ["viewer"] })], { access });
  assertEquals(await asked(closed, "lock.example.net"), "401");
});

Deno.test("a page of another site changes nothing at a server that lets its browser in by itself", async () => {
  await using server = await start([echo()]);
  const host = `127.0.0.1:${server.port}`;
  const post = async (headers: Record<string, string>) => {
    const lines = Object.entries({ host, ...headers, "content-length": "0", connection: "close" });
    const text = `POST /echo HTTP/1.1\r\n${
      lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")
    }\r\n`;
    return /^HTTP\/1\.1 (\d+)/.exec(await exchange(server.port, text))?.[1];
  };
  assertEquals(await post({}), "200");
  assertEquals(await post({ origin: `http://${host}`, "sec-fetch-site": "same-origin" }), "200");
  for (
    const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site", origin: `http://${host}` },
    ]
  ) assertEquals(await post(headers), "403", JSON.stringify(headers));
  // who sends a credential of its own means it
  assertEquals(await post({ origin: "https://console.example", authorization: "Bearer x" }), "200");
});
