/**
 * Puts a document into the default group's key of a store, sound or not, or shows what lies there: what tests need and
 * no command does.
 *
 *     deno run -A tests/support/document.ts ENDPOINT [TEXT]
 */

import { semaphoreKey } from "../../lib/group.ts";
import { openStore } from "../../lib/cli/open_store.ts";

const [endpoint = "", text] = Deno.args;
const store = await openStore(
  endpoint.startsWith("sqlite:")
    ? { kind: "sqlite", path: endpoint.slice("sqlite:".length) }
    : { kind: "etcd", endpoints: [endpoint] },
);
const options = { timeoutMs: 5_000 };
const key = semaphoreKey("");
const entry = await store.read(key, options);
if (text === undefined) {
  console.log(entry?.value);
} else {
  const outcome = await store.commit({
    expect: [{ key, revision: entry?.revision ?? null }],
    put: [{ key, value: text }],
  }, options);
  if (outcome.kind !== "committed") throw new Error(`the document was not put: ${outcome.kind}`);
}
await store.close();
