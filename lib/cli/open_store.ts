/**
 * Opens the store that the configuration names. Each is loaded only when it is used: a command that needs no etcd
 * does not pay for its client.
 */

import { readRegularFile } from "../host/regular_file.ts";
import type { StoreConfig } from "./together.ts";
import type { Store } from "../store.ts";

/** Opens a store. It connects at its first call. */
export async function openStore(config: StoreConfig): Promise<Store> {
  if (config.kind === "sqlite") {
    const { openSqlite } = await import("../sqlite/store.ts");
    return openSqlite(config.path);
  }
  const { openEtcd } = await import("../etcd/store.ts");
  const { kind: _, files, ...options } = config;
  return openEtcd(files === undefined ? options : { ...options, reload: () => contents(files) });
}

/** What stands in the files now. Throws where one cannot be read. */
function contents(files: Readonly<Record<string, string>>): Record<string, Uint8Array> {
  return Object.fromEntries(Object.entries(files).map(([part, path]) => [part, readRegularFile(path)]));
}
