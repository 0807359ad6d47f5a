/**
 * Opens the store that the configuration names. Each is loaded only when it is used: a command that needs no etcd
 * does not pay for its client.
 */

import { readRegularFile } from "../host/regular_file.ts";
import { tokenIn } from "./server_config.ts";
import type { StoreConfig } from "./together.ts";
import type { Store } from "../store.ts";

/** Opens a store. It connects at its first call. */
export async function openStore(config: StoreConfig): Promise<Store> {
  if (config.kind === "sqlite") {
    const { openSqlite } = await import("../sqlite/store.ts");
    return openSqlite(config.path);
  }
  if (config.kind === "http") {
    const { openHttp } = await import("../http/store.ts");
    const { kind: _, files, ...options } = config;
    return openHttp({ ...options, reload: () => ({ ...options, ...serverFiles(files) }) });
  }
  const { openEtcd } = await import("../etcd/store.ts");
  const { kind: _, files, ...options } = config;
  return openEtcd(files === undefined ? options : { ...options, reload: () => contents(files) });
}

/** The same for a server, whose token is a text. */
function serverFiles({ token, ...certificates }: Readonly<Record<string, string>>) {
  return {
    ...contents(certificates),
    ...token === undefined ? {} : { token: tokenIn(readRegularFile(token)) },
  };
}

/** What stands in the files now. Throws where one cannot be read. */
function contents(files: Readonly<Record<string, string>>): Record<string, Uint8Array> {
  return Object.fromEntries(Object.entries(files).map(([part, path]) => [part, readRegularFile(path)]));
}
