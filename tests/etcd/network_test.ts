/** Names with several addresses, and addresses that no way leads to: in a network of their own. */

import { assertEquals } from "@std/assert";
import { inNetwork, SILENT, UNREACHABLE } from "../support/network.ts";

/** What every script begins with: an etcd, in the clear or over TLS, and a way to tell how a read from it went. */
const SCRIPT = `
import { openEtcd } from ${module("../../lib/etcd/store.ts")};
import { makeCertificates } from ${module("../support/certificates.ts")};
import { startEtcd } from ${module("../support/etcd.ts")};

async function read(endpoint: string, ca?: Uint8Array): Promise<string> {
  const store = openEtcd({ endpoints: [endpoint], ...ca ? { ca } : {} });
  try {
    await store.commit({ expect: [], put: [{ key: "a", value: "read" }] }, { timeoutMs: 5_000 });
    return (await store.read("a", { timeoutMs: 5_000 }))?.value ?? "nothing";
  } catch (error) {
    return [error.kind, error.message, error.hint].join(" | ");
  } finally {
    await store.close();
  }
}
`;

Deno.test("read() tries the next address of a name when the first ones are silent, refuse, or cannot be reached", async () => {
  const told = await inNetwork(
    `${SCRIPT}
    const plain = await startEtcd();
    for (const name of ["silent", "refusing", "unreachable", "all"]) {
      console.log(name, await read(plain.endpoint.replace("127.0.0.1", name)));
    }
    await plain[Symbol.asyncDispose]();
    const certificates = await makeCertificates();
    const { sign } = certificates;
    const certificate = await sign({ name: "all", extensions: "subjectAltName=DNS:all" });
    const secure = await startEtcd({ tls: certificates, certificate });
    console.log("TLS", await read(secure.endpoint.replace("127.0.0.1", "all"), certificates.ca.bytes));
    await secure[Symbol.asyncDispose]();
    await certificates[Symbol.asyncDispose]();`,
    {
      silent: [SILENT[0], SILENT[1], "127.0.0.1"],
      refusing: ["127.0.0.2", "127.0.0.1"],
      unreachable: [UNREACHABLE, "127.0.0.1"],
      all: ["127.0.0.2", SILENT[0], UNREACHABLE, SILENT[1], "127.0.0.1"],
    },
  );
  assertEquals(told.trim().split("\n"), [
    "silent read",
    "refusing read",
    "unreachable read",
    "all read",
    "TLS read",
  ]);
});

Deno.test("read() of an address that is silent, or that no way leads to, says so and does not wait for its deadline", async () => {
  const told = await inNetwork(
    `${SCRIPT}
    for (const host of ["${SILENT[0]}", "${UNREACHABLE}", "198.51.100.1", "both"]) {
      console.log(await read(\`http://\${host}:2379\`));
    }
    console.log(await read("https://${UNREACHABLE}:2379"));`,
    { both: [UNREACHABLE, "127.0.0.2"] },
  );
  const silent = "etcd there is overloaded, frozen or behind a firewall that drops packets";
  const change = (endpoint: string, why: string) => `cannot change "a": ${endpoint}: ${why}`;
  const network = "check --endpoint and the network";
  assertEquals(told.trim().split("\n"), [
    `timeout | ${change(`http://${SILENT[0]}:2379`, "no answer within 2 s")} | ${silent}`,
    `unreachable | ${change(`http://${UNREACHABLE}:2379`, "no route to host")} | ${network}`,
    `unreachable | ${change("http://198.51.100.1:2379", "no route to host")} | ${network}`,
    `unreachable | ${
      change("http://both:2379", "connection refused")
    } | is etcd running there? check --endpoint`,
    `unreachable | ${change(`https://${UNREACHABLE}:2379`, "no route to host")} | ${network}`,
  ]);
});

function module(path: string): string {
  return JSON.stringify(new URL(path, import.meta.url).href);
}
