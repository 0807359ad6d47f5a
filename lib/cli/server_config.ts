/**
 * Whether a command goes through a server in place of etcd or a file, and with which credential.
 *
 * A server is for people. What acts on this host (the daemon, `reboot`, the server itself) must find its slot again after the boot with what
 * the host has, and an operator's credential does not belong on hosts: they leave the setting aside.
 */

import type { OptionName } from "./options.ts";
import { type Composer, FAULTY, type Faulty, present } from "./composer.ts";
import { parseToken } from "./values.ts";
import { reasonOf } from "../system_error.ts";

/** A server that keeps the semaphores, and who asks it. */
export interface ServerConfig {
  readonly kind: "http";
  readonly url: string;
  readonly token?: string;
  readonly ca?: Uint8Array;
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
  /** The files that the others came from: they are renewed. */
  readonly files: { readonly [F in "token" | "ca" | "cert" | "key"]?: string };
}

/** Commands that act on this host, or serve from it. */
const ON_HOST: readonly string[] = ["daemon", "reboot", "serve"];
const FILES = {
  token: "server-token-file",
  ca: "server-cafile",
  cert: "server-certfile",
  key: "server-keyfile",
} as const;
const CREDENTIALS: readonly OptionName[] = ["server-token", ...Object.values(FILES)];
const ETCD: readonly OptionName[] = [
  "etcd-cafile",
  "etcd-certfile",
  "etcd-keyfile",
  "etcd-username",
  "etcd-password",
];

/** The server, where the command goes through one; `undefined` where it does not. */
export function composeServer(composer: Composer): ServerConfig | undefined | Faulty {
  const { command, part, faults } = composer;
  const before = faults.length;
  const [server, endpoint] = [part("server"), part("endpoint")];
  const needless = (names: readonly OptionName[], why: string) => {
    for (const name of names) {
      const { origin } = part(name);
      if (isTyped(origin)) faults.push(`${origin}: has no effect ${why}`);
    }
  };
  if (server.origin === undefined) {
    needless(CREDENTIALS, "without --server");
  } else if (ON_HOST.includes(command)) {
    if (isTyped(server.origin)) {
      faults.push(`${server.origin}: '${command}' belongs to this host, which does not go through a server`);
    }
  } else if (command === "config") {
    // it shows what the daemon would do, and judges all the same
    readServer(composer);
  } else {
    const nearer = endpoint.origin === undefined ? 1 : rank(server.origin) - rank(endpoint.origin);
    if (nearer === 0) faults.push(`${server.origin}: cannot be combined with ${endpoint.origin}`);
    if (nearer > 0) {
      needless(ETCD, "with --server");
      return readServer(composer);
    }
  }
  return faults.length > before ? FAULTY : undefined;
}

/** What a command line says beats the environment, and that beats the files of this host. */
function rank(origin: string): number {
  return isTyped(origin) ? 2 : origin.startsWith("/") ? 0 : 1;
}

function isTyped(origin: string | undefined): boolean {
  return origin !== undefined && origin.startsWith("--");
}

/** The server with its credential. */
function readServer({ part, readFile, faults }: Composer): ServerConfig | Faulty {
  const before = faults.length;
  const { value: url } = part("server");
  const [token, file] = [part("server-token"), part(FILES.token)];
  const nearer = token.origin === undefined || file.origin === undefined
    ? undefined
    : rank(token.origin) - rank(file.origin);
  if (nearer === 0) faults.push(`${token.origin}: cannot be combined with ${file.origin}`);
  const isFiled = file.origin !== undefined && (nearer === undefined || nearer < 0);
  const [cert, key] = [part(FILES.cert), part(FILES.key)];
  if ((cert.origin === undefined) !== (key.origin === undefined)) {
    const [given, missing] = cert.origin === undefined ? [key, FILES.cert] : [cert, FILES.key];
    faults.push(`${given.origin}: needs --${missing} too`);
  }
  const read = <T>(name: OptionName, use: (bytes: Uint8Array) => T): T | undefined => {
    const { value, origin } = part(name);
    if (typeof value !== "string") return undefined;
    try {
      return use(readFile(value));
    } catch (error) {
      faults.push(`${origin}: cannot read '${value}': ${reasonOf(error)}`);
      return undefined;
    }
  };
  const fields = {
    token: isFiled ? read(FILES.token, tokenIn) : token.value,
    ca: read(FILES.ca, (bytes) => bytes),
    cert: read(FILES.cert, (bytes) => bytes),
    key: read(FILES.key, (bytes) => bytes),
  };
  const paths = Object.entries(FILES).filter(([field]) => field !== "token" || isFiled);
  const files = paths.map(([field, name]) => [field, part(name).value] as const);
  const certificates = [FILES.ca, FILES.cert, FILES.key].map(part).find(({ origin }) => origin !== undefined);
  if (url?.startsWith("http:") && certificates !== undefined) {
    faults.push(
      `${certificates.origin}: has no effect with an http:// server, which is not encrypted; use https://`,
    );
  }
  if (faults.length > before || url === undefined) return FAULTY;
  return { kind: "http", url, ...present(fields), files: present(Object.fromEntries(files)) };
}

/** The token in a file, which may end in a line break. Throws {@linkcode ValueError} for what can be none. */
export function tokenIn(bytes: Uint8Array): string {
  return parseToken(new TextDecoder().decode(bytes).trim());
}
