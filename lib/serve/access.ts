/**
 * Who asks, told from what a request brings: a token in its `Authorization` header, or the client certificate of its
 * connection. A credential that was given and does not hold is refused, whatever else would do.
 *
 * Why it does not hold is for the log alone: who asks learns no more than that it is not known.
 */

import type { Caller } from "./door.ts";
import { type Credential, type Credentials, findToken } from "./tokens.ts";

/** What a request brings to be known by. */
export interface Presented {
  /** The header `Authorization`. */
  readonly authorization: string | undefined;
  /** The client certificate; `undefined` where there is none. */
  readonly certificate: ClientCertificate | undefined;
}

/** A client certificate as far as it tells who that is. */
export interface ClientCertificate {
  /** What it names: common name, and alternative names of the kinds DNS, URI and email. By these it is listed. */
  readonly names: readonly string[];
  /** The ids that these may stand for. */
  readonly ids: readonly string[];
  /** Why it is not to be believed: another authority signed it, it expired. */
  readonly fault?: string;
}

/** Who it is. */
export type Identity =
  | {
    readonly kind: "known";
    readonly caller: Caller;
    /** It is let in as anybody is, without a credential. */
    readonly anybody?: true;
  }
  /** Nothing was presented, where something must be. */
  | { readonly kind: "nobody"; readonly caller: Caller }
  /** What was presented does not hold; `why` is for the log. */
  | { readonly kind: "refused"; readonly why: string }
  /** Who may cannot be found out now: nobody may. */
  | { readonly kind: "unavailable"; readonly why: string };

/** Tells who asks. */
export interface Access {
  /** Another object whenever the answers may have become others. */
  readonly version: object;
  identify(presented: Presented): Identity;
  /** Calls `listener` when `version` is another. */
  subscribe?(listener: () => void): { close(): void };
}

const NOBODY: Caller = { role: undefined, name: "anonymous" };
const ANYBODY: Caller = { role: "operator", name: "anonymous" };

/** The list of credentials as it was read last. */
export type CredentialList =
  | { readonly kind: "none" }
  | { readonly kind: "sound"; readonly credentials: Credentials }
  | { readonly kind: "broken"; readonly why: string };

/** By a list of credentials, and by certificates where `certificates` are asked for. */
export class CredentialAccess implements Access {
  #list: CredentialList = { kind: "none" };
  #version = {};
  readonly #listeners = new Set<() => void>();
  readonly #callers = new WeakMap<Credential, Caller>();
  readonly #certificates: boolean;
  /** Once there was a list, its absence lets nobody in. */
  #listed = false;

  constructor(list: CredentialList, { certificates }: { readonly certificates: boolean }) {
    this.#certificates = certificates;
    this.update(list);
  }

  get version(): object {
    return this.#version;
  }

  /** The list was read again. */
  update(list: CredentialList): void {
    this.#list = list;
    this.#listed ||= list.kind !== "none";
    this.#version = {};
    for (const listener of this.#listeners) listener();
  }

  subscribe(listener: () => void): { close(): void } {
    this.#listeners.add(listener);
    return { close: () => void this.#listeners.delete(listener) };
  }

  identify({ authorization, certificate }: Presented): Identity {
    const list = this.#list;
    if (list.kind === "broken") return { kind: "unavailable", why: list.why };
    if (!this.#listed && !this.#certificates) return { kind: "known", caller: ANYBODY, anybody: true };
    if (authorization !== undefined) return this.#byHeader(authorization);
    if (certificate !== undefined) return this.#byCertificate(certificate);
    return { kind: "nobody", caller: NOBODY };
  }

  /** By a token alone, as a person types it to sign in. */
  byToken(token: string): Identity {
    const list = this.#list;
    if (list.kind === "broken") return { kind: "unavailable", why: list.why };
    if (list.kind === "none") return { kind: "refused", why: "there are no tokens" };
    const found = findToken(list.credentials, token);
    if (found.kind === "known") return { kind: "known", caller: this.#callerOf(found.credential) };
    const revoked = found.kind === "revoked";
    return {
      kind: "refused",
      why: revoked ? `the token '${found.name}' was removed` : `${found.kind} token`,
    };
  }

  #byHeader(authorization: string): Identity {
    const token = tokenOf(authorization);
    return token === undefined
      ? { kind: "refused", why: "malformed Authorization header" }
      : this.byToken(token);
  }

  #byCertificate({ names, ids, fault }: ClientCertificate): Identity {
    if (fault !== undefined) return { kind: "refused", why: `client certificate: ${fault}` };
    const [name] = names;
    if (name === undefined) return { kind: "refused", why: "the client certificate has no name" };
    const listed = this.#list.kind === "sound" ? this.#list.credentials.list : [];
    const mapped = listed.filter(({ certificate }) =>
      certificate !== undefined && names.includes(certificate)
    );
    const [credential, other] = mapped;
    if (other !== undefined) {
      const both = mapped.map(({ name }) => `'${name}'`).join(", ");
      return { kind: "refused", why: `the client certificate matches several credentials: ${both}` };
    }
    if (credential === undefined) {
      return { kind: "known", caller: { role: "host", name, ids: new Set(ids) } };
    }
    const caller = this.#callerOf(credential);
    // one that is listed without an id still speaks for nobody but whom it names
    if (caller.role !== "host" || caller.ids !== undefined) return { kind: "known", caller };
    return { kind: "known", caller: { ...caller, ids: new Set(ids) } };
  }

  #callerOf(credential: Credential): Caller {
    const known = this.#callers.get(credential);
    if (known !== undefined) return known;
    const { name, role, groups, id } = credential;
    const caller: Caller = {
      role,
      name,
      ...(groups === undefined ? {} : { groups: new Set(groups) }),
      ...(id === undefined ? {} : { ids: new Set([id]) }),
    };
    this.#callers.set(credential, caller);
    return caller;
  }
}

/**
 * The token of an `Authorization` header: behind `Bearer`, or the password of `Basic`, whose user name may be anything
 * (a client that can send no more than `https://USER:PASSWORD@HOST` needs one). `undefined`: it has none.
 */
export function tokenOf(authorization: string): string | undefined {
  const [, scheme = "", text = ""] = /^([A-Za-z]+) +([\x21-\x7e]+) *$/.exec(authorization) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return text;
    case "basic":
      try {
        return /^[^:]*:(.*)$/s.exec(atob(text))?.[1];
      } catch {
        return undefined;
      }
    default:
      return undefined;
  }
}
