/** The client of a FleetLock server, against servers in this process that keep the protocol, know another, or break it. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createServer as createHttp, type RequestListener, type Server } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo } from "node:net";
import { FleetLockClient } from "../../lib/fleetlock/client.ts";
import type { FleetLockOptions } from "../../lib/fleetlock/http.ts";
import type { TlsFiles } from "../../lib/fleetlock/tls_fault.ts";
import { type SlotAnswer, SlotServerError } from "../../lib/slot_server.ts";
import { makeCertificates, type Pair } from "../support/certificates.ts";

const REQUEST = { id: "Web-1", group: "", host: "web1", boot: "b1", reason: "kernel" };
const NEVER = new AbortController().signal;
const LIMITS = { connectMs: 1_000, answerMs: 300 };

/** A server that answers each path by a function of this test; the last request that it saw. */
class Site implements AsyncDisposable {
  readonly seen: { path: string; method: string; headers: Record<string, unknown>; body: string }[] = [];
  constructor(private readonly server: Server, private readonly scheme: string) {}

  static async start(answers: Readonly<Record<string, RequestListener>>, tls?: object): Promise<Site> {
    const listener: RequestListener = (request, response) => {
      let body = "";
      request.on("data", (bytes) => body += bytes);
      request.on("end", () => {
        const path = request.url ?? "";
        site.seen.push({ path, method: request.method ?? "", headers: request.headers, body });
        const answer = answers[path.replace(/\/v1\/.*$/, "")];
        if (answer === undefined) response.writeHead(404).end("<html>not found</html>");
        else answer(request, response);
      });
    };
    const server = tls === undefined ? createHttp(listener) : createHttps(tls, listener);
    const site = new Site(server, tls === undefined ? "http" : "https");
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    return site;
  }

  url(path = "", host = "127.0.0.1"): string {
    return `${this.scheme}://${host}:${(this.server.address() as AddressInfo).port}${path}`;
  }

  client(path = "", options: Partial<FleetLockOptions> = {}): FleetLockClient {
    return new FleetLockClient({ url: this.url(path), limits: LIMITS, ...options });
  }

  ask(path: string, options: Partial<FleetLockOptions> = {}): Promise<SlotAnswer> {
    return this.client(path, options).preReboot(REQUEST, { waitMs: 0, gone: NEVER });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const says =
  (status: number, body = "", headers: Record<string, string> = {}): RequestListener => (_, response) =>
    response.writeHead(status, headers).end(body);

Deno.test("FleetLockClient takes exactly 200 for a grant, and tells every other answer in the server's own words", async () => {
  await using site = await Site.start({
    "/granted": says(200),
    "/ours": says(409, `{"kind":"full","value":"held by web2; you are next in line"}`, {
      "preference-applied": "wait=30",
      "retry-after": "7",
    }),
    "/airlock": says(
      500,
      `{"kind":"failed_lock","value":"semaphore currently full, all slots are locked already"}`,
    ),
    "/heathcliff": says(202, `{"kind":"waiting_for_node_drain","value":"draining"}`),
    "/no-content": says(204),
    "/login": says(302, "", { location: "/granted/v1/pre-reboot" }),
    "/gateway": says(504, "<html>timeout</html>"),
    "/unauthenticated": says(401, `{"kind":"unauthenticated","value":"who are you?"}`),
    "/hostile": says(409, JSON.stringify({ kind: "full", value: "a\u001b[31m\nb" })),
    "/array": says(409, `["kind"]`),
  });
  assertEquals(await site.ask("/granted"), { kind: "granted" });
  assertEquals(await site.ask("/ours"), {
    kind: "full",
    value: "held by web2; you are next in line",
    waits: true,
    retryMs: 7_000,
  });
  const full = "semaphore currently full, all slots are locked already";
  assertEquals(await site.ask("/airlock"), { kind: "refused", called: "failed_lock", value: full });
  assertEquals(await site.ask("/heathcliff"), {
    kind: "refused",
    called: "waiting_for_node_drain",
    value: "draining",
  });
  assertEquals(await site.ask("/no-content"), {
    kind: "refused",
    called: "HTTP 204",
    value: "only 200 is a grant",
  });
  assertEquals(await site.ask("/login"), {
    kind: "refused",
    called: "HTTP 302",
    value: "a redirect to another page is no grant and not followed; give the URL of the server itself",
  });
  assertEquals(site.seen.filter(({ path }) => path.startsWith("/granted")).length, 1);
  assertEquals(await site.ask("/gateway"), { kind: "unavailable", value: "a gateway answers 504" });
  const unauthenticated = await site.ask("/unauthenticated");
  assert("value" in unauthenticated);
  assertMatch(unauthenticated.value, /^who are you\?; check --fleet-lock-token/);
  assertEquals(await site.ask("/hostile"), { kind: "full", value: "a [31m b" });
  assertEquals(await site.ask("/array"), { kind: "refused", called: "HTTP 409", value: "" });
  const elsewhere = await site.ask("/nowhere");
  assertEquals(elsewhere, {
    kind: "refused",
    called: "HTTP 404",
    value: "is --fleet-lock-url the base URL, without /v1/pre-reboot?",
  });
});

Deno.test("FleetLockClient asks as the protocol says, below a base URL with a path, with either credential", async () => {
  await using site = await Site.start({ "/fleet": says(200) });
  await site.client("/fleet/").preReboot({ ...REQUEST, group: "web" }, { waitMs: 30_500, gone: NEVER });
  const login = { kind: "password", user: "host", password: "p\u00e4ss:word" } as const;
  await site.client("/fleet", { login }).steadyState(REQUEST, { gone: NEVER });
  await site.ask("/fleet", { login: { kind: "token", token: "t0ken" } });
  const [first, second, third] = site.seen;
  assertEquals([first?.method, first?.path, second?.path], [
    "POST",
    "/fleet/v1/pre-reboot",
    "/fleet/v1/steady-state",
  ]);
  assertEquals([first?.headers["fleet-lock-protocol"], first?.headers["prefer"]], ["true", "wait=30"]);
  assertEquals(JSON.parse(first?.body ?? ""), {
    client_params: { id: "Web-1", group: "web" },
    locksmith: { host: "web1", boot: "b1", reason: "kernel" },
  });
  assertEquals(JSON.parse(second?.body ?? "").client_params, { id: "Web-1", group: "default" });
  assertEquals(
    second?.headers["authorization"],
    `Basic ${new TextEncoder().encode("host:p\u00e4ss:word").toBase64()}`,
  );
  assertEquals([third?.headers["authorization"], third?.headers["prefer"]], ["Bearer t0ken", undefined]);
});

Deno.test("FleetLockClient throws for what is no answer, in bounded time, and never names a credential", async () => {
  const broken: Record<string, RequestListener> = {
    "/hangs": () => {},
    "/slow": (_, response) => void response.writeHead(409).write("{"),
    "/huge": (_, response) => void response.writeHead(409).end("x".repeat(100_000)),
    "/breaks-off": (_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("x");
      setTimeout(() => response.destroy(), 20);
    },
  };
  await using site = await Site.start(broken);
  const login = { kind: "password", user: "anna", password: "secret" } as const;
  const failing = async (url: string) => {
    const client = new FleetLockClient({ url, login, limits: LIMITS });
    const error = await assertRejects(
      () => client.preReboot(REQUEST, { waitMs: 0, gone: NEVER }),
      SlotServerError,
    );
    assert(!/anna|secret/.test(error.message + error.hint), error.message);
    return [error.kind, error.message.replace(url, "URL")];
  };
  assertEquals(await failing(site.url("/hangs")), ["timeout", "URL: no answer within 0.3 s"]);
  assertEquals(await failing(site.url("/slow")), ["timeout", "URL: no answer within 0.3 s"]);
  assertEquals(await failing(site.url("/huge")), ["protocol", "URL: its answer is longer than 64 KiB"]);
  assertEquals(await failing(site.url("/breaks-off")), ["protocol", "URL: its answer breaks off"]);
  assertEquals(await failing("http://127.0.0.1:1"), ["unreachable", "URL: connection refused"]);
  assertEquals(await failing("http://nowhere.invalid"), [
    "unreachable",
    "URL: the host name cannot be resolved",
  ]);
});

Deno.test("FleetLockClient ends a request that nobody waits for any more, and the server sees it go", async () => {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  await using site = await Site.start({
    "": (_, response) => {
      response.once("close", () => resolve());
      arrive();
    },
  });
  const gone = new AbortController();
  const asked = site.client().preReboot(REQUEST, { waitMs: 60_000, gone: gone.signal });
  await arrived;
  gone.abort();
  const error = await assertRejects(() => asked, SlotServerError);
  assertMatch(error.message, /the request was given up$/);
  await closed;
});

Deno.test("FleetLockClient goes through no proxy that the environment names", async () => {
  await using site = await Site.start({ "": says(200) });
  const names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"];
  names.forEach((name) => Deno.env.set(name, "http://127.0.0.1:1"));
  try {
    assertEquals(await site.ask(""), { kind: "granted" });
  } finally {
    names.forEach((name) => Deno.env.delete(name));
  }
});

Deno.test("FleetLockClient trusts and shows the certificates that it is given, as they are now, and says what is wrong with one", async () => {
  await using certificates = await makeCertificates();
  const { ca, client, server, elsewhere } = certificates;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const files = ({ cert, key }: Pair) => ({ cert: text(cert.bytes), key: text(key.bytes) });
  const expired = await certificates.sign({
    name: "expired",
    extensions: "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1",
    validDays: [-3, -1],
  });
  const trusted = { ca: text(ca.bytes) };
  const failing = async (site: Site, tls: TlsFiles, url = site.url()) => {
    const error = await assertRejects(
      () => new FleetLockClient({ url, tls: () => tls }).preReboot(REQUEST, { waitMs: 0, gone: NEVER }),
      SlotServerError,
    );
    return `${error.kind}: ${error.message.replace(url, "URL")}`;
  };
  const answers = { "": says(200) };
  await using good = await Site.start(answers, files(server));
  await using other = await Site.start(answers, files(elsewhere));
  await using old = await Site.start(answers, files(expired));
  await using strict = await Site.start(answers, { ...files(server), ...trusted, requestCert: true });
  await using plain = await Site.start(answers);
  assertEquals(await good.ask("", { tls: () => trusted }), { kind: "granted" });
  assertEquals(await good.ask("", { url: good.url("", "localhost"), tls: () => trusted }), {
    kind: "granted",
  });
  assertMatch(
    await failing(good, {}),
    /^tls: URL: its certificate is not signed by a CA that this machine trusts$/,
  );
  assertMatch(
    await failing(other, trusted),
    /^tls: URL: its certificate is for another name.* \(IP:127\.0\.0\.9\)$/,
  );
  assertMatch(await failing(old, trusted), /^tls: URL: its certificate expired on \d{4}-/);
  assertMatch(await failing(strict, trusted), /^tls: URL: it requires a client certificate$/);
  assertMatch(
    await failing(good, trusted, plain.url().replace("http", "https")),
    /^tls: URL: what answers does not speak TLS$/,
  );
  assertMatch(
    await failing(good, {}, good.url().replace("https", "http")),
    /^protocol: URL: what answers does not speak HTTP$/,
  );
  // renewed while it runs, and broken after that
  let now: () => TlsFiles = () => trusted;
  const renewing = new FleetLockClient({ url: strict.url(), tls: () => now() });
  await assertRejects(() => renewing.steadyState(REQUEST, { gone: NEVER }), SlotServerError);
  now = () => ({ ...trusted, ...files(client) });
  assertEquals(await renewing.steadyState(REQUEST, { gone: NEVER }), { kind: "released" });
  now = () => {
    throw new Error("just being replaced");
  };
  assertEquals(await renewing.steadyState(REQUEST, { gone: NEVER }), { kind: "released" });
});
