/**
 * Opens the store that the configuration names. Each is loaded only when it is used: a command that needs no etcd
 * does not pay for its client.
 */

import type { StoreConfig } from "./together.ts";
import type { Store } from "../store.ts";

/** Opens a store. It connects at its first call. */
export async function openStore(config: StoreConfig): Promise<Store> {
  if (config.kind === "sqlite") {
    const { openSqlite } = await import("../sqlite/store.ts");
    return openSqlite(config.path);
  }
  const { openEtcd } = await import("../etcd/store.ts");
  const { kind: _, files: __, ...options } = config;
  return openEtcd(options);
}
