import { assertEquals } from "@std/assert";
import { openStore } from "../../lib/cli/open_store.ts";
import { makeCertificates, type Pem } from "../support/certificates.ts";
import { startEtcd } from "../support/etcd.ts";

const CALL = { timeoutMs: 10_000 };

Deno.test("openStore() reads the certificates again when etcd wants others, as they are replaced in their files", async () => {
  await using before = await makeCertificates();
  await using after = await makeCertificates();
  await using server = await startEtcd({ tls: before, clientCertificates: true });
  const { ca, client: { cert, key } } = before;
  const store = await openStore({
    kind: "etcd",
    endpoints: [server.endpoint],
    ca: ca.bytes,
    cert: cert.bytes,
    key: key.bytes,
    files: { ca: ca.path, cert: cert.path, key: key.path },
  });
  assertEquals(await store.read("a", CALL), null);
  const replaced: [Pem, Pem][] = [
    [ca, after.ca],
    [cert, after.client.cert],
    [key, after.client.key],
    [before.server.cert, after.server.cert],
    [before.server.key, after.server.key],
  ];
  for (const [old, recent] of replaced) await Deno.writeFile(old.path, recent.bytes);
  await server.kill();
  await server.start();
  assertEquals(await store.read("a", CALL), null);
  await store.close();
});
