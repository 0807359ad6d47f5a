/**
 * The configuration: what the settings mean, checked before anything starts.
 *
 * A resolver gives a value or adds to the list of faults, so that one run tells all of them; each fault names the
 * option or variable as the administrator wrote it, and the file and line if it is in a file.
 */

import { parseDuration } from "../duration.ts";
import { groupFault } from "../group.ts";
import { DEFAULT_PRIORITY, isPriority, PRIORITY_LIMIT } from "../queue.ts";
import {
  DEFAULT_ENDPOINT,
  DEFAULT_HOLD_OVERDUE_MS,
  DEFAULT_SESSION_GRACE_MS,
  type Settings,
} from "./settings.ts";
import { STRATEGIES, type Strategy } from "../strategy.ts";
import { didYouMean } from "../suggest.ts";
import { parseWindow, parseZone, type Window, WindowError } from "../window.ts";

/** Where the semaphores are kept. */
export type StoreConfig =
  | {
    readonly kind: "etcd";
    readonly endpoints: readonly string[];
    readonly ca?: Uint8Array;
    readonly cert?: Uint8Array;
    readonly key?: Uint8Array;
    readonly username?: string;
    readonly password?: string;
    /** Whether somebody named the endpoint, or it is the default. */
    readonly configured: boolean;
  }
  | { readonly kind: "sqlite"; readonly path: string; readonly configured: true };

/** Reads a file of credentials. Throws where it cannot be read. */
export type ReadFile = (path: string) => Uint8Array;

/** The store, or `undefined` after adding to the faults. */
export function resolveStore({ values, faults }: Settings, readFile: ReadFile): StoreConfig | undefined {
  const before = faults.length;
  const setting = values.get("endpoint");
  const origin = setting?.origin ?? "the default endpoint";
  const written = (setting?.values ?? [DEFAULT_ENDPOINT]).flatMap((value) => value.split(",")).map((value) =>
    value.trim()
  );
  const files = written.filter((value) => value.startsWith("sqlite:"));
  const access = resolveAccess({ values, faults }, readFile);
  if (files.length > 0) {
    if (written.length > 1) {
      faults.push(`${origin}: sqlite:PATH stands alone, not beside other endpoints: '${written.join(",")}'`);
    }
    if (Object.keys(access).length > 0) {
      faults.push(`${origin}: the --etcd-... options are of no use with sqlite:PATH`);
    }
    const path = files[0]?.slice("sqlite:".length) ?? "";
    if (path === "" || path.includes("\0")) {
      faults.push(`${origin}: sqlite: needs the path of a file: sqlite:/var/lib/locksmith.db`);
    }
    return faults.length > before ? undefined : { kind: "sqlite", path, configured: true };
  }
  const endpoints = written.map((value) => parseEndpoint(value, origin, faults)).filter((url) =>
    url !== undefined
  );
  const secure = endpoints.filter((url) => url.startsWith("https:")).length;
  if (secure > 0 && secure < endpoints.length) {
    faults.push(`${origin}: http:// and https:// endpoints do not mix`);
  }
  if (secure === 0 && endpoints.length > 0 && (access.ca ?? access.cert ?? access.key) !== undefined) {
    const option = ["etcd-cafile", "etcd-certfile", "etcd-keyfile"].map((name) => values.get(name)?.origin)
      .find((o) => o);
    faults.push(
      `${option}: is of no use with http:// endpoints, the connection would be in the clear; say https://`,
    );
  }
  if (faults.length > before) return undefined;
  return { kind: "etcd", endpoints: [...new Set(endpoints)], ...access, configured: setting !== undefined };
}

function parseEndpoint(text: string, origin: string, faults: string[]): string | undefined {
  const refuse = (why: string) => {
    faults.push(`${origin}: '${text.replace(/\/\/[^@/]*@/, "//...@")}' ${why}`);
    return undefined;
  };
  if (text === "") return refuse("is empty; an endpoint is http(s)://HOST:PORT or sqlite:PATH");
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return refuse(`is no endpoint, did you mean 'http://${text}'?`);
  if (scheme !== "http" && scheme !== "https") {
    return refuse(
      `has the scheme ${scheme}, allowed are http, https and sqlite${didYouMean(scheme, ["http", "https"])}`,
    );
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse("is no endpoint: host or port cannot be read; it is http(s)://HOST:PORT");
  }
  if (url.username !== "" || url.password !== "") {
    return refuse("has a user in it; use --etcd-username and --etcd-password");
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    return refuse("has more than host and port");
  }
  // URL drops a port that is the scheme's own
  const port = url.port !== "" ? url.port : /:(80|443)\/?$/.exec(text)?.[1] ?? "2379";
  return `${scheme}://${url.hostname}:${port}`;
}

/** The credentials that were given, files read. */
function resolveAccess({ values, faults }: Settings, readFile: ReadFile) {
  const file = (name: string) => {
    const setting = values.get(name);
    const path = setting?.values.at(-1);
    if (setting === undefined || path === undefined) return undefined;
    try {
      return readFile(path);
    } catch (error) {
      faults.push(`${setting.origin}: cannot read '${path}': ${whyUnreadable(error)}`);
      return undefined;
    }
  };
  const together = (a: string, b: string) => {
    const [given, missing] = values.has(a) ? [a, b] : [b, a];
    if (values.has(given) && !values.has(missing)) {
      faults.push(`${values.get(given)?.origin}: needs --${missing} beside it`);
    }
  };
  together("etcd-certfile", "etcd-keyfile");
  together("etcd-username", "etcd-password");
  const [ca, cert, key] = [file("etcd-cafile"), file("etcd-certfile"), file("etcd-keyfile")];
  const username = values.get("etcd-username")?.values.at(-1);
  const password = values.get("etcd-password")?.values.at(-1);
  return {
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(username !== undefined ? { username } : {}),
    ...(password !== undefined ? { password } : {}),
  };
}

function whyUnreadable(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotCapable) {
    return "the program may read nothing below /dev, /proc and /sys";
  }
  return error instanceof Error ? error.message : String(error);
}

/** The group, or `undefined` after adding to the faults. */
export function resolveGroup({ values, faults }: Settings): string | undefined {
  const setting = values.get("group");
  const group = setting?.values.at(-1) ?? "";
  const fault = groupFault(group);
  if (fault === undefined) return group;
  faults.push(`${setting?.origin}: ${JSON.stringify(group)}: ${fault}`);
  return undefined;
}

/** The strategy, or `undefined` where none is configured or after adding to the faults. */
export function resolveStrategy({ values, faults }: Settings): Strategy | undefined {
  const setting = values.get("reboot-strategy");
  const name = setting?.values.at(-1);
  const strategy = STRATEGIES.find((strategy) => strategy === name);
  if (setting !== undefined && name !== undefined && strategy === undefined) {
    faults.push(
      `${setting.origin}: '${name}' is no strategy, allowed are ${STRATEGIES.join(", ")}${
        didYouMean(name, STRATEGIES)
      }`,
    );
  }
  return strategy;
}

/** A window and the zone in which its start is meant. */
export interface WindowConfig {
  readonly window: Window;
  readonly zone: string;
}

/**
 * The window; `null` where none is configured; `undefined` after adding to the faults. `localZone` is asked for this machine's
 * zone where a window needs it, and may throw an `Error` that becomes a fault.
 */
export function resolveWindow(
  { values, faults }: Settings,
  localZone: () => string,
): WindowConfig | null | undefined {
  const before = faults.length;
  const [start, length, zoneSetting] = ["reboot-window-start", "reboot-window-length", "zone"].map((name) =>
    values.get(name)
  );
  let zone: string | undefined;
  if (zoneSetting !== undefined) {
    zone = guard(faults, zoneSetting.origin, () => parseZone(zoneSetting.values.at(-1) ?? ""));
  } else if (start !== undefined || length !== undefined) {
    zone = guard(faults, "time zone", localZone);
  }
  if ((start === undefined) !== (length === undefined)) {
    const [given, missing] = start === undefined ? [length, "start"] : [start, "length"];
    faults.push(
      `${given?.origin}: needs --reboot-window-${missing} beside it: a window has a start and a length`,
    );
  }
  if (start === undefined || length === undefined) return faults.length > before ? undefined : null;
  try {
    const window = parseWindow(start.values.at(-1) ?? "", length.values.at(-1) ?? "");
    return faults.length > before || zone === undefined ? undefined : { window, zone };
  } catch (error) {
    if (!(error instanceof WindowError)) throw error;
    for (const fault of error.faults) {
      faults.push(`${fault.startsWith("window length") ? length.origin : start.origin}: ${fault}`);
    }
    return undefined;
  }
}

/** The grace for people who are logged in, in milliseconds. */
export function resolveSessionGrace(settings: Settings): number | undefined {
  return resolveDuration(settings, "session-grace", DEFAULT_SESSION_GRACE_MS);
}

/** From how long on a hold is overdue, in milliseconds. */
export function resolveHoldOverdue(settings: Settings): number | undefined {
  return resolveDuration(settings, "hold-overdue", DEFAULT_HOLD_OVERDUE_MS);
}

/** The priority in the queue. */
export function resolvePriority({ values, faults }: Settings): number | undefined {
  const setting = values.get("priority");
  if (setting === undefined) return DEFAULT_PRIORITY;
  const text = setting.values.at(-1) ?? "";
  const priority = /^[+-]?[0-9]{1,3}$/.test(text) ? Number(text) : NaN;
  if (isPriority(priority)) return priority;
  faults.push(
    `${setting.origin}: '${text}' is no priority; it is a whole number from -${PRIORITY_LIMIT} to ${PRIORITY_LIMIT}`,
  );
  return undefined;
}

function resolveDuration({ values, faults }: Settings, name: string, fallback: number): number | undefined {
  const setting = values.get(name);
  if (setting === undefined) return fallback;
  const text = setting.values.at(-1) ?? "";
  const ms = guard(faults, setting.origin, () => parseDuration(text));
  if (ms === undefined || ms >= 0) return ms;
  faults.push(`${setting.origin}: '${text}' is negative`);
  return undefined;
}

/** A text that may be anything: the reboot command, the sentinel's path. */
export function resolveText({ values }: Settings, name: string): string | undefined {
  return values.get(name)?.values.at(-1);
}

/** A path that must be absolute. */
export function resolvePath(
  { values, faults }: Settings,
  name: string,
  fallback: string,
): string | undefined {
  const setting = values.get(name);
  const path = setting?.values.at(-1) ?? fallback;
  if (path.startsWith("/") && !path.includes("\0")) return path;
  faults.push(`${setting?.origin}: '${path}' is not an absolute path`);
  return undefined;
}

/** A switch that may come from the environment. */
export function resolveSwitch({ values, faults }: Settings, name: string): boolean {
  const setting = values.get(name);
  const value = setting?.values.at(-1) ?? "false";
  if (["true", "1", "yes", "on"].includes(value.toLowerCase())) return true;
  if (!["false", "0", "no", "off"].includes(value.toLowerCase())) {
    faults.push(`${setting?.origin}: '${value}' is neither true nor false`);
  }
  return false;
}

function guard<T>(faults: string[], origin: string, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    faults.push(`${origin}: ${error.message}`);
    return undefined;
  }
}
