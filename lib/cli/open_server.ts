/** The FleetLock server that the configuration names, and under which id this machine asks it. */

import { FleetLockClient } from "../fleetlock/client.ts";
import type { TlsFiles } from "../fleetlock/tls_fault.ts";
import { zincatiId } from "../fleetlock/zincati_id.ts";
import { readRegularFile } from "../host/regular_file.ts";
import type { Machine } from "../machine.ts";
import type { SlotServer } from "../slot_server.ts";
import type { FleetLockConfig } from "./fleet_lock_config.ts";
import type { IdKind } from "./values.ts";

/** Opens a server. It connects for each request. */
export function openServer({ url, login, files }: Omit<FleetLockConfig, "id">): SlotServer {
  return new FleetLockClient({ url, ...(login === undefined ? {} : { login }), tls: () => contents(files) });
}

/** The server at a base URL, by today's credentials. What goes over TLS today is not sent without it. */
export function openServerAt(url: string, today: FleetLockConfig | undefined): SlotServer {
  if (today === undefined) return openServer({ url, files: {} });
  const { login, files } = today;
  const mayLogin = login !== undefined && (url.startsWith("https:") || today.url.startsWith("http:"));
  return openServer({ url, files, ...(mayLogin ? { login } : {}) });
}

/** This machine under the id by which a server knows it. */
export async function asKnown(machine: Machine, kind: IdKind): Promise<Machine> {
  return kind === "zincati" ? { ...machine, id: await zincatiId(machine.id) } : machine;
}

/** Every id under which this machine asks servers, whatever is configured today. */
export async function idsOf({ id }: Machine): Promise<readonly string[]> {
  return [id, await zincatiId(id)];
}

/** What stands in the files now. Throws where one cannot be read. */
function contents(files: FleetLockConfig["files"]): TlsFiles {
  const decoder = new TextDecoder();
  return Object.fromEntries(
    Object.entries(files).map(([part, path]) => [part, decoder.decode(readRegularFile(path))]),
  );
}
