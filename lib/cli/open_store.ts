/**
 * Opens the store that the configuration names. Each is loaded only when it is used: a command that needs no etcd
 * does not pay for its client.
 */

import { resolve } from "node:path";
import { readRegularFile } from "../host/regular_file.ts";
import type { StoreConfig } from "./together.ts";
import { type Store, StoreError } from "../store.ts";
import { reasonOf } from "../system_error.ts";

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

/** By what a store is found again, without any secret: its endpoints, or its file. */
export function addressOf(config: StoreConfig): string {
  return config.kind === "sqlite" ? `sqlite:${resolve(config.path)}` : config.endpoints.join(",");
}

/**
 * Does `work` with the store at an address, by the credentials of `today`, and closes it whatever comes; with `null` where
 * its file is not there: opening would make one. Throws {@linkcode StoreError}.
 */
export async function withStoreAt<T>(
  address: string,
  today: StoreConfig,
  work: (store: Store | null) => Promise<T>,
): Promise<T> {
  const config = configAt(address, today);
  if (config.kind === "sqlite" && !await isThere(config.path)) return await work(null);
  const store = await openStore(config);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The store at an address. A password that goes over TLS today is not sent without it. */
export function configAt(address: string, today: StoreConfig): StoreConfig {
  if (address.startsWith("sqlite:")) return { kind: "sqlite", path: address.slice("sqlite:".length) };
  const endpoints = address.split(",");
  if (today.kind === "sqlite") return { kind: "etcd", endpoints };
  const isSecure = (list: readonly string[]) => list.every((endpoint) => endpoint.startsWith("https:"));
  if (isSecure(endpoints)) return { ...today, endpoints };
  const { username, password } = today;
  const login = isSecure(today.endpoints) || username === undefined || password === undefined
    ? {}
    : { username, password };
  return { kind: "etcd", endpoints, ...login };
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw new StoreError("failed", `cannot look for ${path}: ${reasonOf(error)}`, undefined, {
      cause: error,
    });
  }
}

/** What stands in the files now. Throws where one cannot be read. */
function contents(files: Readonly<Record<string, string>>): Record<string, Uint8Array> {
  return Object.fromEntries(Object.entries(files).map(([part, path]) => [part, readRegularFile(path)]));
}
