import { assert, assertEquals, assertThrows } from "@std/assert";
import { CredentialAccess } from "../../lib/serve/access.ts";
import type { Door } from "../../lib/serve/door.ts";
import { serveDoors } from "../../lib/serve/server.ts";
import type { Credential } from "../../lib/serve/tokens.ts";
import { REAL } from "../../lib/surroundings.ts";
import { type Certificates, makeCertificates, type Pair, type Pem } from "../support/certificates.ts";

function text({ bytes }: Pem): string {
  return new TextDecoder().decode(bytes);
}

const DOOR: Door = {
  routes: [{
    path: "/who",
    who: ["host"],
    answer: ({ caller: { role, name, ids } }) => ({
      status: 200,
      body: [role, name, ...ids ?? []].join(" "),
    }),
  }],
};

/** Asks over a new connection, with a certificate if one is given. */
async function ask(port: number, { ca }: Certificates, pair?: Pair): Promise<string> {
  const identity = pair === undefined ? {} : { cert: text(pair.cert), key: text(pair.key) };
  using client = Deno.createHttpClient({ caCerts: [text(ca)], ...identity });
  const reply = await fetch(`https://127.0.0.1:${port}/who`, { client });
  return `${reply.status} ${await reply.text()}`;
}

Deno.test("by TLS a client certificate says who asks, one that does not hold is refused, and new certificates of the server hold at once", async () => {
  await using certificates = await makeCertificates();
  const client = "extendedKeyUsage=clientAuth";
  const sign = (name: string, extensions: string, validDays: readonly [number, number] = [0, 2]) =>
    certificates.sign({ name, commonName: name, extensions, validDays });
  // one after the other: the authority keeps books
  const web = await sign("web1", `${client}\nsubjectAltName=DNS:web1.example.net`);
  const alice = await sign("alice", client);
  const expired = await sign("web2", client, [-2, -1]);
  const renewed = await sign("renewed", "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1");
  const stranger = await certificates.selfSigned();
  const listed: Credential = { name: "Alice", role: "operator", certificate: "alice", created: "" };
  const log: string[] = [];
  const clientCa = text(certificates.ca);
  const server = serveDoors([DOOR], {
    access: new CredentialAccess({ kind: "sound", credentials: { list: [listed], revoked: [] } }, {
      certificates: true,
    }),
    surroundings: REAL,
    log: (_, line) => log.push(line.replace(/ \[.*/, "")),
    tls: { cert: text(certificates.server.cert), key: text(certificates.server.key), clientCa },
  });
  try {
    const bound = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
    const port = bound.kind === "tcp" ? bound.port : 0;
    assertEquals(await ask(port, certificates, web), "200 host web1 web1 web1.example.net");
    assertEquals(await ask(port, certificates, alice), "200 operator Alice");
    assertEquals(await ask(port, certificates), "401 a credential is needed\n");
    for (const pair of [expired, stranger]) {
      assertEquals(await ask(port, certificates, pair), "401 the credential is not valid\n");
    }
    assertEquals(log.map((line) => line.replace(/\(\w+\)$/, "(CODE)")), [
      "anonymous (127.0.0.1): GET /who: 401: no credential",
      "unknown (127.0.0.1): GET /who: 401: client certificate: it has expired",
      "unknown (127.0.0.1): GET /who: 401: client certificate: the client CA did not sign it (CODE)",
    ]);

    // a connection that is open goes on over the old certificate, the next one gets the new
    using kept = Deno.createHttpClient({ caCerts: [clientCa], cert: text(web.cert), key: text(web.key) });
    const again = async () => await (await fetch(`https://127.0.0.1:${port}/who`, { client: kept })).text();
    const before = await again();
    assertThrows(() => server.renew({ cert: text(renewed.cert), key: text(alice.key), clientCa }));
    server.renew({ cert: text(renewed.cert), key: text(renewed.key), clientCa });
    assertEquals(await again(), before);
    assertEquals(await commonName(port), "renewed");
    assertEquals(await ask(port, certificates, web), "200 host web1 web1 web1.example.net");
  } finally {
    await server.stop();
  }
});

/** The common name of the certificate that the server shows now. */
async function commonName(port: number): Promise<string> {
  const { connect } = await import("node:tls");
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
  await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  assert(typeof subject.CN === "string");
  return subject.CN;
}
