/**
 * The values of single options: what a text means, or what is wrong with it and what is allowed. What several options
 * mean together is in `config.ts`.
 */

import { formatDuration, parseDuration } from "../duration.ts";
import { groupFault } from "../group.ts";
import { parseLength, parsePath, ValueError, wholeNumber } from "./option.ts";
import type { Limit } from "../simulation/least_max.ts";
import { LENGTH_LIMIT_MS, type RolloutPlan } from "../simulation/plan.ts";
import { quoted, reasonFault } from "../plain_text.ts";
import { AUTO, STRATEGIES, type StrategySetting } from "../strategy.ts";
import { credentialNameFault, type Role, ROLES } from "../serve/door.ts";
import { formatListenAddress, parseListenAddress } from "../serve/listen_address.ts";
import { holderFault } from "../semaphore.ts";
import { SESSION_MODES, type SessionMode } from "../session_mode.ts";
import { didYouMean } from "../suggest.ts";
import { hostZone } from "./process.ts";
import { parseInstant } from "./window_report.ts";

const ENDPOINT = "an endpoint is http(s)://HOST:PORT or sqlite:PATH";

/** An endpoint with its port, `http://etcd1:2379`; or `sqlite:PATH` as it is. */
export function parseEndpoint(text: string): string {
  const shown = withoutUser(text);
  const refuse = (why: string) => new ValueError(`'${shown}' ${why}`);
  if (text === "") throw refuse(`is empty; ${ENDPOINT}`);
  if (text.startsWith("sqlite:")) {
    if (text.length > "sqlite:".length && !text.includes("\0")) return text;
    throw new ValueError("sqlite: needs the path of a file: sqlite:/var/lib/locksmith.db");
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) throw refuse(`is not an endpoint, did you mean 'http://${shown}'?`);
  if (scheme !== "http" && scheme !== "https") {
    const meant = didYouMean(scheme, ["http", "https"]);
    throw refuse(`has the scheme ${scheme}; allowed: http, https and sqlite${meant}`);
  }
  const url = URL.parse(text);
  if (url === null || url.port === "0") {
    throw refuse(`is not an endpoint: host or port cannot be read; ${ENDPOINT}`);
  }
  if (url.username !== "" || url.password !== "") {
    throw refuse("contains a user; use --etcd-username and --etcd-password");
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw refuse(`has more than a host and a port; ${ENDPOINT}`);
  }
  // URL drops a port that is the scheme's own
  const port = url.port !== "" ? url.port : /:(80|443)\/?$/.exec(text)?.[1] ?? "2379";
  return `${scheme}://${url.hostname}:${port}`;
}

const SERVER = "a server is https://HOST or https://HOST:PORT, with a path if there is one before it";

/** The address of a server, `https://lock.example.net`, without a slash at its end. */
export function parseServer(text: string): string {
  const refuse = (why: string) => new ValueError(`'${withoutUser(text)}' ${why}`);
  if (text === "") throw refuse(`is empty; ${SERVER}`);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) throw refuse(`is not a server, did you mean 'https://${withoutUser(text)}'?`);
  if (scheme !== "http" && scheme !== "https") {
    throw refuse(`has the scheme ${scheme}; allowed: http and https${didYouMean(scheme, ["http", "https"])}`);
  }
  const url = URL.parse(text);
  if (url === null || url.port === "0") {
    throw refuse(`is not a server: host or port cannot be read; ${SERVER}`);
  }
  if (url.username !== "" || url.password !== "") throw refuse("contains a user; use --server-token-file");
  if (url.search !== "" || url.hash !== "") {
    throw refuse(`has more than a host, a port and a path; ${SERVER}`);
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

/** A token of a server. What is wrong with it is said without it. */
export function parseToken(text: string): string {
  if (/^[\x21-\x7e]{1,4096}$/.test(text)) return text;
  throw new ValueError(text === "" ? "the value is empty" : "the value is not a token: one word of ASCII");
}

/** A password in a URL is not to be shown. */
function withoutUser(text: string): string {
  return text.replace(/^([a-z]+:\/\/)?.*@/is, "$1...@");
}

/** The base URL of a server, and who asks there if that stands in it. */
export interface ServerUrl {
  /** Without a user and a last slash. */
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
}

const FLEET_LOCK_SERVER = "a FleetLock server is http(s)://HOST[:PORT][/PATH]";

/** `https://lock.example.net/fleet`, with `USER:PASSWORD@` where that is how this machine shows who it is. */
export function parseServerUrl(text: string): ServerUrl {
  const refuse = (why: string) => new ValueError(`'${withoutUser(text)}' ${why}; ${FLEET_LOCK_SERVER}`);
  const url = URL.parse(text);
  if (!/^https?:\/\//i.test(text) || url === null || url.port === "0") {
    throw refuse("is not a URL of a server");
  }
  if (url.search !== "" || url.hash !== "") throw refuse("has more than a host, a port and a path");
  if (/\/v1\/(?:pre-reboot|steady-state)\/*$/.test(url.pathname)) {
    throw refuse("goes too far: leave out /v1/ and what follows");
  }
  const base = `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, "")}`;
  if (url.username === "" && url.password === "") return { url: base };
  if (url.username === "" || url.password === "") {
    throw refuse("has a user without a password, or a password without a user");
  }
  try {
    const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    return { url: base, user, password };
  } catch {
    throw refuse("has a user or a password that cannot be read: write % as %25");
  }
}

/** By which id a server knows a machine. */
const ID_KINDS = ["machine-id", "zincati"] as const;
export type IdKind = typeof ID_KINDS[number];

export function parseIdKind(text: string): IdKind {
  const kind = ID_KINDS.find((kind) => kind === text);
  if (kind !== undefined) return kind;
  throw new ValueError(`unknown id '${text}'; allowed: ${ID_KINDS.join(", ")}`);
}

/** The name of a group; the empty one is the default group's. */
export function parseGroup(text: string): string {
  const fault = groupFault(text);
  if (fault === undefined) return text;
  throw new ValueError(`${quoted(text)}: ${fault}`);
}

/** Where a server listens, as {@linkcode parseListenAddress} reads it again. */
export function parseListen(text: string): string {
  const address = parseListenAddress(text);
  if (address !== undefined) return formatListenAddress(address);
  throw new ValueError(`'${text}' is not an address to listen at: HOST:PORT, [::]:PORT or unix:/PATH`);
}

/** A file that the textfile collector of node_exporter reads: others it passes over. */
export function parseTextfile(text: string): string {
  const path = parsePath(text);
  if (path.endsWith(".prom")) return path;
  throw new ValueError(`'${text}' does not end in .prom, so node_exporter would not read it`);
}

/** What a credential is for. */
export function parseRole(text: string): Role {
  const role = ROLES.find((role) => role === text);
  if (role !== undefined) return role;
  const meant = didYouMean(text, ROLES);
  throw new ValueError(
    `unknown role '${text}'${meant === "" ? "; " : `${meant} `}allowed: ${ROLES.join(", ")}`,
  );
}

/** The id of a host. */
export function parseHolder(text: string): string {
  const fault = holderFault(text);
  if (fault === undefined) return text;
  throw new ValueError(`${quoted(text)}: ${fault}`);
}

/** The name of a credential. */
export function parseCredentialName(text: string): string {
  const fault = credentialNameFault(text);
  if (fault === undefined) return text;
  throw new ValueError(`${quoted(text)}: ${fault}`);
}

/** A reason for people, one line. */
export function parseReason(text: string): string {
  const fault = reasonFault(text);
  if (fault === undefined) return text;
  throw new ValueError(fault);
}

/** How long a pause lasts, in milliseconds. */
export function parsePauseLength(text: string): number {
  const ms = parseDuration(text);
  if (ms >= PAUSE_MS.least && ms <= PAUSE_MS.most) return ms;
  throw new ValueError(
    `'${text}' is not between ${formatDuration(PAUSE_MS.least)} and ${
      formatDuration(PAUSE_MS.most)
    } (a year)`,
  );
}

const PAUSE_MS = { least: 1_000, most: 365 * 24 * 3_600_000 };

/** What people who are logged in mean for a reboot. */
export function parseSessions(text: string): SessionMode {
  const mode = SESSION_MODES.find((mode) => mode === text);
  if (mode !== undefined) return mode;
  const meant = didYouMean(text, SESSION_MODES);
  throw new ValueError(
    `unknown mode '${text}'${meant === "" ? "; " : `${meant} `}allowed: ${SESSION_MODES.join(", ")}`,
  );
}

/** Names of users, separated by commas. */
export function parseUsers(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim()).filter((name) => name !== "");
  // as systemd allows them
  const strange = names.find((name) => !/^[A-Za-z0-9_][A-Za-z0-9_.@$-]{0,255}$/.test(name));
  if (strange !== undefined) throw new ValueError(`${quoted(strange)} is not the name of a user`);
  return names;
}

/** A strategy, or `auto`. */
export function parseStrategy(text: string): StrategySetting {
  const known: readonly StrategySetting[] = [...STRATEGIES, AUTO];
  const strategy = known.find((strategy) => strategy === text);
  if (strategy !== undefined) return strategy;
  if (text === "best-effort") throw new ValueError(`unknown strategy '${text}'; it is now called '${AUTO}'`);
  const meant = didYouMean(text, known);
  throw new ValueError(
    `unknown strategy '${text}'${meant === "" ? "; " : `${meant} `}allowed: ${known.join(", ")}`,
  );
}

/** How long `lock --wait` waits, in milliseconds: for as long as it takes where nothing stands behind it. */
export function parseWait(text: string): number {
  return text === "" ? Infinity : parseLength(text);
}

/** The moment of `--since`: a time of this machine's clock, or how long ago it was. In milliseconds. */
export type Past = { readonly at: number } | { readonly ago: number };

export function parsePast(text: string): Past {
  if (/^[0-9]{4}-/.test(text)) return { at: parseInstant(text, hostZone()).epochMilliseconds };
  try {
    const ago = parseDuration(text);
    if (ago >= 0) return { ago };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new ValueError(`${error.message}; or a time such as '2015-05-21 23:00'`);
  }
  throw new ValueError(`'${text}' is negative; 24h means the last 24 hours`);
}

/** `90s`, or `60s..180s` for something between the two. */
export function parseRebootTime(text: string): RolloutPlan["rebootMs"] {
  const range = /^([^-]+)-([^-]+)$/.exec(text);
  if (range !== null) throw new ValueError(`'${text}': write a range as ${range[1]}..${range[2]}`);
  const [first = "", second, ...more] = text.split("..");
  if (more.length > 0) throw new ValueError(`'${text}' has more than a shortest and a longest: 60s..180s`);
  const from = parseDay(first, 1);
  const to = second === undefined ? from : parseDay(second, 1);
  if (from <= to) return { from, to };
  throw new ValueError(`'${text}' has the longest first: write ${second}..${first}`);
}

/** How long people who are logged in get in a simulation, in milliseconds. */
export function parseGrace(text: string): number {
  return parseDay(text, 0);
}

/** A length of at most a day, in milliseconds. */
function parseDay(text: string, leastMs: number): number {
  const ms = parseDuration(text);
  if (ms >= leastMs && ms <= LENGTH_LIMIT_MS) return ms;
  throw new ValueError(`'${text}' is not between ${leastMs === 0 ? "0s" : `${leastMs}ms`} and 24h`);
}

/** What `--within` asks for: `2` windows, or a time such as `48h`. */
export function parseWithin(text: string): Limit {
  if (/^[0-9]+$/.test(text)) return { windows: wholeNumber(1, 1000)(text) };
  const ms = parseDuration(text);
  if (ms > 0) return { ms };
  throw new ValueError(`'${text}' must be more than 0s`);
}

/** A share, such as `1%` or `0.5%`, from 0 to 1. */
export function parseShare(text: string): number {
  const [, number] = /^([0-9]{1,3}(?:\.[0-9]{1,6})?)%$/.exec(text) ?? [];
  if (number !== undefined && Number(number) <= 100) return Number(number) / 100;
  throw new ValueError(`'${text}' is not a share from 0% to 100%`);
}
