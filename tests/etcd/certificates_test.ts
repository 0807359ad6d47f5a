/** Certificates: who is trusted, what is told of each that is not, and what happens when they are replaced. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type EtcdOptions, openEtcd } from "../../lib/etcd/store.ts";
import { StoreError } from "../../lib/store.ts";
import { CALL, make, watching } from "../contract/kit.ts";
import { type Certificates, makeCertificates, type Pair } from "../support/certificates.ts";
import { type EtcdServer, startEtcd } from "../support/etcd.ts";

const KEY = "coreos.com/key";
const SERVER = "extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=IP:127.0.0.1";
const CLIENT = "extendedKeyUsage=clientAuth";

let shared: Certificates | undefined;
let wanting: EtcdServer | undefined;
Deno.test.afterAll(async () => {
  await wanting?.[Symbol.asyncDispose]();
  await shared?.[Symbol.asyncDispose]();
});

async function theCertificates(): Promise<Certificates> {
  return shared ??= await makeCertificates();
}

/** An etcd that wants client certificates. */
async function theWanting(): Promise<EtcdServer> {
  return wanting ??= await startEtcd({ tls: await theCertificates(), clientCertificates: true });
}

/** Certificates of servers that are not to be trusted. */
const SERVERS: readonly {
  readonly name: string;
  readonly certificate: (certificates: Certificates) => Promise<Pair>;
  readonly why: RegExp;
  readonly hint: string;
}[] = [
  {
    name: "expired",
    certificate: ({ sign }) => sign({ name: "old", extensions: SERVER, validDays: [-3, -1] }),
    why: /^its certificate expired on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
    hint: "renew it, or correct the clock of this machine",
  },
  {
    name: "is not valid yet",
    certificate: ({ sign }) => sign({ name: "new", extensions: SERVER, validDays: [1, 3] }),
    why: /^its certificate is not valid before \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
    hint: "is the clock of this machine right?",
  },
  {
    name: "is one of a client",
    certificate: ({ sign }) => sign({ name: "usage", extensions: `${CLIENT}\nsubjectAltName=IP:127.0.0.1` }),
    why: /^its certificate is not a server certificate \(extended key usage\)$/,
    hint: "give etcd a certificate with serverAuth",
  },
  {
    name: "is for another address",
    certificate: ({ elsewhere }) => Promise.resolve(elsewhere),
    why: /^its certificate is for another name or address \(IP:127\.0\.0\.9\)$/,
    hint: "use a name or an address that is in the certificate",
  },
  {
    name: "is for other names",
    certificate: ({ sign }) =>
      sign({ name: "names", extensions: "subjectAltName=DNS:etcd1.example,DNS:etcd2.example" }),
    why: /^its certificate is for another name or address \(DNS:etcd1\.example, DNS:etcd2\.example\)$/,
    hint: "use a name or an address that is in the certificate",
  },
  {
    name: "names nobody",
    certificate: ({ sign }) => sign({ name: "nameless", extensions: "extendedKeyUsage=serverAuth" }),
    why: /^its certificate is for another name or address \(it names none\)$/,
    hint: "use a name or an address that is in the certificate",
  },
  {
    name: "is signed by itself",
    certificate: ({ selfSigned }) => selfSigned(),
    why: /^its certificate is not signed by the CA in --etcd-cafile$/,
    hint: "name the CA that signed etcd's certificate",
  },
];

for (const { name, certificate, why, hint } of SERVERS) {
  Deno.test(`read() from an etcd whose certificate ${name} says so`, async () => {
    const certificates = await theCertificates();
    await using server = await startEtcd({ tls: certificates, certificate: await certificate(certificates) });
    const error = await failedRead({ endpoints: [server.endpoint], ca: certificates.ca.bytes });
    assertEquals([error.kind, error.hint], ["tls", hint]);
    const before = `cannot read "coreos.com/key": ${server.endpoint}: `;
    assert(error.message.startsWith(before), error.message);
    assert(why.test(error.message.slice(before.length)), error.message);
  });
}

Deno.test("read() from an etcd whose certificate another CA signed says which option is wrong or missing", async () => {
  await using others = await makeCertificates();
  await using server = await startEtcd({ tls: await theCertificates() });
  assertEquals(told(await failedRead({ endpoints: [server.endpoint], ca: others.ca.bytes })), [
    "tls",
    `cannot read "coreos.com/key": ${server.endpoint}: its certificate is not signed by the CA in --etcd-cafile`,
    "name the CA that signed etcd's certificate",
  ]);
  assertEquals(told(await failedRead({ endpoints: [server.endpoint] })), [
    "tls",
    `cannot read "coreos.com/key": ${server.endpoint}: its certificate is not signed by a CA that this machine trusts`,
    "name etcd's CA with --etcd-cafile",
  ]);
});

Deno.test("a certificate that signed itself is trusted where it is given as the CA, as by etcdctl", async () => {
  const certificates = await theCertificates();
  const own = await certificates.selfSigned();
  await using server = await startEtcd({ tls: { ...certificates, ca: own.cert }, certificate: own });
  await server.ctl("put", KEY, "1");
  const store = openEtcd({ endpoints: [server.endpoint], ca: own.cert.bytes });
  assertEquals((await store.read(KEY, CALL))?.value, "1");
  await store.close();
});

/** Client certificates that etcd does not accept, or that cannot be used. */
const CLIENTS: readonly {
  readonly name: string;
  readonly files: (certificates: Certificates) => Promise<Partial<EtcdOptions>>;
  readonly why: RegExp;
  readonly hint: string;
}[] = [
  {
    name: "no client certificate",
    files: () => Promise.resolve({}),
    why: /^it requires a client certificate$/,
    hint: "give --etcd-certfile and --etcd-keyfile",
  },
  {
    name: "one of another CA",
    files: async () => {
      await using others = await makeCertificates();
      return bytes(others.client);
    },
    why: /^it refuses the client certificate$/,
    hint: "check --etcd-certfile: is it signed by the CA that etcd trusts?",
  },
  {
    name: "one that expired",
    files: async ({ sign }) =>
      bytes(await sign({ name: "old-client", extensions: CLIENT, validDays: [-3, -1] })),
    why: /^the client certificate expired on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
    hint: "renew --etcd-certfile, or correct the clock of this machine",
  },
  {
    name: "one that is not valid yet",
    files: async ({ sign }) =>
      bytes(await sign({ name: "new-client", extensions: CLIENT, validDays: [1, 3] })),
    why: /^the client certificate is not valid before \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
    hint: "is the clock of this machine right?",
  },
  {
    name: "one of a server",
    files: async ({ sign }) =>
      bytes(await sign({ name: "server-only", extensions: "extendedKeyUsage=serverAuth" })),
    why: /^the client certificate is not valid for clients \(extended key usage\)$/,
    hint: "use a certificate with clientAuth for --etcd-certfile",
  },
  {
    name: "the key of another one",
    files: ({ client, server }) => Promise.resolve({ cert: client.cert.bytes, key: server.key.bytes }),
    why: /^the key does not belong to the client certificate$/,
    hint: "check --etcd-certfile and --etcd-keyfile",
  },
  {
    name: "something that only looks like a certificate",
    files: ({ client }) =>
      Promise.resolve({ cert: encoded(pem("CERTIFICATE", "AAAA")), key: client.key.bytes }),
    why: /^the client certificate or its key cannot be read$/,
    hint: "check --etcd-certfile and --etcd-keyfile",
  },
  {
    name: "something that only looks like a key",
    files: ({ client }) =>
      Promise.resolve({ cert: client.cert.bytes, key: encoded(pem("PRIVATE KEY", "AAAA")) }),
    why: /^the client certificate or its key cannot be read$/,
    hint: "check --etcd-certfile and --etcd-keyfile",
  },
];

for (const { name, files, why, hint } of CLIENTS) {
  Deno.test(`read() with ${name}, where etcd wants a client certificate, says so`, async () => {
    const certificates = await theCertificates();
    const { endpoint } = await theWanting();
    const error = await failedRead({
      endpoints: [endpoint],
      ca: certificates.ca.bytes,
      ...await files(certificates),
    });
    assertEquals([error.kind, error.hint], ["tls", hint]);
    const before = `cannot read "coreos.com/key": ${endpoint}: `;
    assert(error.message.startsWith(before), error.message);
    assert(why.test(error.message.slice(before.length)), error.message);
  });
}

Deno.test("openEtcd() refuses a key under a passphrase, and says how to do without", async () => {
  const certificates = await theCertificates();
  const { ca, client } = certificates;
  for (const form of ["pkcs8", "traditional"] as const) {
    const key = await certificates.encrypted(client.key, form);
    const options = {
      endpoints: ["https://127.0.0.1:1"],
      ca: ca.bytes,
      cert: client.cert.bytes,
      key: key.bytes,
    };
    assertEquals(told(assertThrows(() => openEtcd(options), StoreError)), [
      "tls",
      "cannot use the key of the client certificate for etcd: it is encrypted, and nobody can be asked for its passphrase",
      "decrypt it: `openssl pkey -in KEY -out NEW-KEY`, and make the file readable by its owner only",
    ]);
  }
});

Deno.test("openEtcd() says that http and https were mixed up", async () => {
  const certificates = await theCertificates();
  await using secure = await startEtcd({ tls: certificates });
  await using plain = await startEtcd();
  const http = secure.endpoint.replace("https:", "http:");
  assertEquals(told(await failedRead({ endpoints: [http] })), [
    "unreachable",
    `cannot read "coreos.com/key": ${http}: the connection broke`,
    "does it speak TLS? if so, use https://",
  ]);
  const https = plain.endpoint.replace("http:", "https:");
  assertEquals(told(await failedRead({ endpoints: [https], ca: certificates.ca.bytes })), [
    "unreachable",
    `cannot read "coreos.com/key": ${https}: it closed the connection without answering`,
    "does it speak TLS? if not, use http://",
  ]);
});

Deno.test("a store goes on with new certificates when all of them were replaced and etcd was started again", async () => {
  await using before = await makeCertificates();
  await using after = await makeCertificates();
  await using server = await startEtcd({ tls: before, clientCertificates: true });
  const read = () => ({
    ca: Deno.readFileSync(before.ca.path),
    cert: Deno.readFileSync(before.client.cert.path),
    key: Deno.readFileSync(before.client.key.path),
  });
  const store = openEtcd({ endpoints: [server.endpoint], ...read(), reload: read });
  const made = await make(store, KEY, "1");
  await using watch = watching(store, KEY);
  assertEquals(await watch.next(), { kind: "missed" });
  for (
    const [old, recent] of [
      [before.ca, after.ca],
      ...(["server", "client"] as const).flatMap((who) => [
        [before[who].cert, after[who].cert],
        [before[who].key, after[who].key],
      ]),
    ] as const
  ) {
    await Deno.writeFile(old.path, recent.bytes);
  }
  await server.kill();
  await server.start();
  assertEquals(await watch.next(), { kind: "missed" });
  assertEquals((await store.read(KEY, CALL))?.revision, made);
  await server.ctl("put", KEY, "2");
  assertEquals((await watch.changed()).entry?.value, "2");
  await store.close();
});

Deno.test("a store goes on with the certificates that it has while their files are missing or half written", async () => {
  const certificates = await theCertificates();
  await using server = await startEtcd({ tls: certificates });
  let reads = 0;
  const store = openEtcd({
    endpoints: [server.endpoint],
    ca: certificates.ca.bytes,
    reload: () => {
      reads++;
      if (reads === 1) throw new Deno.errors.NotFound();
      return { ca: certificates.ca.bytes.subarray(0, 20) };
    },
  });
  assertEquals(await store.read(KEY, CALL), null);
  assertEquals(reads, 0);
  for (const again of [1, 2]) {
    await server.kill();
    await server.start();
    assertEquals(await store.read(KEY, CALL), null);
    assertEquals(reads, again);
  }
  await store.close();
});

async function failedRead(options: EtcdOptions): Promise<StoreError> {
  const store = openEtcd(options);
  try {
    return await assertRejects(() => store.read(KEY, CALL), StoreError);
  } finally {
    await store.close();
  }
}

function told(error: StoreError): [string, string, string | undefined] {
  return [error.kind, error.message, error.hint];
}

function bytes({ cert, key }: Pair): Partial<EtcdOptions> {
  return { cert: cert.bytes, key: key.bytes };
}

function pem(label: string, content: string): string {
  return `-----BEGIN ${label}-----\n${content}\n-----END ${label}-----\n`;
}

function encoded(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
