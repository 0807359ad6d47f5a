/**
 * Credentials of hosts and people, and the file that lists them. A token is shown once, when it is made; what is kept is a
 * hash of its secret part.
 *
 * The hash is a plain SHA-256: the secret is 256 random bits, which nobody finds by trying, so that a slow or salted hash
 * would protect nothing more and cost every request. What is compared is the hash, in a time that tells nothing.
 */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { groupFault } from "../group.ts";
import { holderFault } from "../semaphore.ts";
import { credentialNameFault, type Role, ROLES } from "./door.ts";

/** One that is listed. It is known by a token, or by a certificate that has the name `certificate`. */
export interface Credential {
  /** Unique; for the log, and to remove it by. */
  readonly name: string;
  readonly role: Role;
  /** The only groups that a host may ask for, by their names in the core; absent: all. */
  readonly groups?: readonly string[];
  /** The only id that a host may speak for; absent: any, or whom its certificate names. */
  readonly id?: string;
  readonly token?: { readonly id: string; readonly sha256: string };
  readonly certificate?: string;
  /** ISO 8601. */
  readonly created: string;
}

/** A token that does not hold any more. It is remembered so that the log can tell it from one that never was. */
export interface Revoked {
  readonly name: string;
  readonly token: string;
  readonly removed: string;
}

export interface Credentials {
  readonly list: readonly Credential[];
  readonly revoked: readonly Revoked[];
}

export const NO_CREDENTIALS: Credentials = { list: [], revoked: [] };
/** So many removed tokens are remembered, the newest. */
const REVOKED_MAX = 1000;
const VERSION = 1;
/** `lsm_`, by which scanners for secrets can know it; which token it is; and its secret, 32 bytes as base64url. */
const TOKEN = /^lsm_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/;

/** A list of credentials cannot be used, or a change of it not be made; the message says why. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
  constructor(message: string, readonly hint?: string) {
    super(message);
  }
}

/** A new token: its text, which is to be shown once, and what is kept of it. */
export function makeToken(): { readonly text: string; readonly token: { id: string; sha256: string } } {
  const id = randomBytes(6).toString("hex");
  const secret = randomBytes(32).toString("base64url");
  return { text: `lsm_${id}_${secret}`, token: { id, sha256: hashOf(secret).toString("hex") } };
}

/** What a list knows of a token. */
export type FoundToken =
  | { readonly kind: "known"; readonly credential: Credential }
  | { readonly kind: "revoked"; readonly name: string }
  | { readonly kind: "unknown" }
  | { readonly kind: "malformed" };

export function findToken({ list, revoked }: Credentials, text: string): FoundToken {
  const [, id, secret] = TOKEN.exec(text) ?? [];
  if (id === undefined || secret === undefined) return { kind: "malformed" };
  const credential = list.find(({ token }) => token?.id === id);
  if (credential?.token !== undefined) {
    const holds = timingSafeEqual(hashOf(secret), hexBytes(credential.token.sha256));
    return holds ? { kind: "known", credential } : { kind: "unknown" };
  }
  const gone = revoked.find(({ token }) => token === id);
  return gone === undefined ? { kind: "unknown" } : { kind: "revoked", name: gone.name };
}

/** The list with one more. Throws {@linkcode CredentialsError} where its name or its certificate is taken. */
export function withCredential(credentials: Credentials, credential: Credential): Credentials {
  const { name, certificate } = credential;
  if (credentials.list.some((other) => other.name === name)) {
    throw new CredentialsError(`there is a credential named '${name}' already`);
  }
  const same = certificate === undefined
    ? undefined
    : credentials.list.find((other) => other.certificate === certificate);
  if (same !== undefined) {
    throw new CredentialsError(`the certificate '${certificate}' is listed as '${same.name}' already`);
  }
  return { ...credentials, list: [...credentials.list, credential] };
}

/** The list without the one of that name; `undefined` where there is none. */
export function withoutCredential(
  { list, revoked }: Credentials,
  name: string,
  removed: string,
): Credentials | undefined {
  const gone = list.find((credential) => credential.name === name);
  if (gone === undefined) return undefined;
  const more = gone.token === undefined ? [] : [{ name, token: gone.token.id, removed }];
  return { list: list.filter((other) => other !== gone), revoked: [...revoked, ...more].slice(-REVOKED_MAX) };
}

export function serializeCredentials({ list, revoked }: Credentials): string {
  return `${JSON.stringify({ version: VERSION, credentials: list, revoked }, null, 2)}\n`;
}

/** Reads the file. Throws {@linkcode CredentialsError}: one entry that is not understood makes all of it unusable. */
export function parseCredentials(text: string): Credentials {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new CredentialsError("it is not JSON");
  }
  if (!isRecord(json)) throw new CredentialsError("it is not a JSON object");
  if (json.version !== VERSION) {
    throw new CredentialsError(
      `it has the version ${JSON.stringify(json.version)}, and this program reads ${VERSION}`,
    );
  }
  const { credentials, revoked } = json;
  if (!Array.isArray(credentials) || !Array.isArray(revoked)) {
    throw new CredentialsError("'credentials' or 'revoked' is missing");
  }
  const list = credentials.map(parseCredential);
  const names = new Set(list.map(({ name }) => name));
  if (names.size < list.length) throw new CredentialsError("two credentials have the same name");
  return { list, revoked: revoked.map(parseRevoked) };
}

function parseCredential(value: unknown, index: number): Credential {
  const refuse = (why: string) => new CredentialsError(`credentials[${index}]: ${why}`);
  if (!isRecord(value)) throw refuse("it is not an object");
  const { name, role, groups, id, token, certificate, created } = value;
  if (typeof name !== "string" || credentialNameFault(name) !== undefined) {
    throw refuse("it has no proper name");
  }
  const known = ROLES.find((known) => known === role);
  if (known === undefined) throw refuse(`unknown role ${JSON.stringify(role)}`);
  const grouped = groups === undefined || Array.isArray(groups) && groups.every(isGroup);
  if (!grouped) throw refuse("'groups' is not a list of groups");
  if (id !== undefined && (typeof id !== "string" || holderFault(id) !== undefined)) {
    throw refuse("'id' is not an id of a host");
  }
  if (typeof created !== "string") throw refuse("'created' is missing");
  const base = {
    name,
    role: known,
    ...(groups === undefined ? {} : { groups: groups as readonly string[] }),
    ...(id === undefined ? {} : { id }),
    created,
  };
  if (typeof certificate === "string" && certificate !== "" && token === undefined) {
    return { ...base, certificate };
  }
  const kept = isRecord(token) && certificate === undefined && typeof token.id === "string" &&
    typeof token.sha256 === "string" && /^[0-9a-f]{64}$/.test(token.sha256);
  if (!kept) throw refuse("it has neither a token nor a certificate");
  return { ...base, token: { id: String(token.id), sha256: String(token.sha256) } };
}

function parseRevoked(value: unknown, index: number): Revoked {
  if (
    isRecord(value) && typeof value.name === "string" && typeof value.token === "string" &&
    typeof value.removed === "string"
  ) return { name: value.name, token: value.token, removed: value.removed };
  throw new CredentialsError(`revoked[${index}]: it is not a removed token`);
}

function isGroup(value: unknown): boolean {
  return typeof value === "string" && groupFault(value) === undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hashOf(secret: string): Uint8Array & { toString(encoding: "hex"): string } {
  return createHash("sha256").update(secret).digest();
}

function hexBytes(text: string): Uint8Array {
  return Uint8Array.fromHex(text);
}
