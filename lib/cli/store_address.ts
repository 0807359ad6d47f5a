/** Where a store is, as a machine remembers it of the slots that it took, and how it is opened again by today's settings. */

import { resolve } from "node:path";
import { isThere } from "../host/regular_file.ts";
import { openStore } from "./open_store.ts";
import type { StoreConfig } from "./together.ts";
import { type Store, StoreError } from "../store.ts";
import { reasonOf } from "../system_error.ts";

/** What stands before the address of a server. */
const SERVER = "server:";

/** By what a store is found again, without any secret: its endpoints, or its file. */
export function addressOf(config: StoreConfig): string {
  switch (config.kind) {
    case "sqlite":
      return `sqlite:${resolve(config.path)}`;
    case "http":
      return `${SERVER}${config.url}`;
    case "etcd":
      return config.endpoints.join(",");
  }
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
  if (config.kind === "sqlite") {
    const found = await isThere(config.path).catch((cause) => {
      throw new StoreError("failed", `cannot look for ${config.path}: ${reasonOf(cause)}`, undefined, {
        cause,
      });
    });
    if (!found) return await work(null);
  }
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
  if (address.startsWith(SERVER)) {
    const url = address.slice(SERVER.length);
    return today.kind === "http" && today.url === url ? today : { kind: "http", url, files: {} };
  }
  const endpoints = address.split(",");
  if (today.kind !== "etcd") return { kind: "etcd", endpoints };
  const isSecure = (list: readonly string[]) => list.every((endpoint) => endpoint.startsWith("https:"));
  if (isSecure(endpoints)) return { ...today, endpoints };
  const { username, password } = today;
  const login = isSecure(today.endpoints) || username === undefined || password === undefined
    ? {}
    : { username, password };
  return { kind: "etcd", endpoints, ...login };
}
