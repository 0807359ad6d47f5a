/** A store over HTTP keeps the contract of every store, whatever store is behind the door. */

import { openHttp } from "../../lib/http/store.ts";
import { storeDoor } from "../../lib/serve/store_door.ts";
import { Memory, openMemory } from "../../lib/simulation/memory.ts";
import { openSqlite } from "../../lib/sqlite/store.ts";
import type { Store } from "../../lib/store.ts";
import { storeContract } from "../contract/contract.ts";
import { startDoorServer } from "../support/door_server.ts";

for (
  const [kind, openBehind] of [
    ["memory", () => openMemory(new Memory())],
    ["the embedded store", (dir: string) => openSqlite(`${dir}/locks.db`)],
  ] as const satisfies [string, (dir: string) => Store][]
) {
  storeContract(`openHttp() to a door before ${kind}`, async () => {
    const dir = await Deno.makeTempDir();
    const store = openBehind(dir);
    const server = await startDoorServer(storeDoor({ store, within: "" }));
    return {
      open: () => Promise.resolve(openHttp({ url: server.url, token: "operator" })),
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]();
        await store.close();
        await Deno.remove(dir, { recursive: true });
      },
    };
  });
}
