/**
 * A door of the server: some paths, who may use them, and what answers. The server in front of all doors reads the
 * credential, holds callers to their rates and bodies to their limits, and logs; a door knows none of that.
 */

import { groupPhrase } from "../group.ts";
import { plainTextFault, quoted } from "../plain_text.ts";

/** What a credential allows: an operator everything, a viewer to look, a host to ask for a slot of its own. */
export type Role = "operator" | "viewer" | "host";
export const ROLES: readonly Role[] = ["operator", "viewer", "host"];

/** Who asks. */
export interface Caller {
  /** `undefined`: it gave no credential, where one is needed. Only a route for `anyone` sees such a caller. */
  readonly role: Role | undefined;
  /** For the log and the record: the name of the token, of the certificate, or `anonymous`. */
  readonly name: string;
  /** The groups that it may ask for, by their names in the core; absent: all. */
  readonly groups?: ReadonlySet<string>;
  /** The ids that it may speak for: those that its certificate names, or the one of its token; absent: any. */
  readonly ids?: ReadonlySet<string>;
}

/** The longest name of a credential. */
const NAME_LENGTH_LIMIT = 64;

/** What is wrong with the name of a credential, or `undefined`. */
export function credentialNameFault(name: string): string | undefined {
  if (name === "" || name !== name.trim()) return "a name must not be empty, or begin or end with a blank";
  return plainTextFault(name, "a name", NAME_LENGTH_LIMIT);
}

/** Why a caller may not ask for a slot of `group` for the host `id`, or `undefined` where it may. */
export function askingFault(
  { name, groups, ids }: Caller,
  { id, group }: { readonly id: string; readonly group: string },
): string | undefined {
  if (ids !== undefined && !ids.has(id)) {
    return `the credential ${quoted(name)} is not for the id ${quoted(id)}`;
  }
  if (groups === undefined || groups.has(group)) return undefined;
  return `the credential ${quoted(name)} is not for ${groupPhrase(group)}`;
}

/** One request, once its body has been read. */
export interface Asked {
  readonly method: string;
  /** Without the query, not decoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** A header by its name in lower case. */
  header(name: string): string | undefined;
  readonly body: Uint8Array;
  readonly caller: Caller;
  /** The caller's address. */
  readonly address: string;
  /** Names the request in the answer and in the log. */
  readonly requestId: string;
  /** Aborts when the connection is gone before the answer. */
  readonly gone: AbortSignal;
}

/** What goes back. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream ends when it is done, or with the connection: then its `return()` is called. */
  readonly body?: string | Uint8Array | AsyncIterable<string>;
  /** Why it was refused, for the log and the metrics. */
  readonly kind?: string;
  /** Where the caller may not (401, 403): what it tried, for the log; default: the kind. */
  readonly why?: string;
  /**
   * What was changed by it, for the log: `paused group web: storage maintenance`. Of an operator it makes an audit line,
   * which names who it was and from where.
   */
  readonly audit?: string;
  /** Who did it, where the door knows and its caller is not known by a credential of the request: a session's. */
  readonly by?: Caller;
}

/** A path and what answers there. */
export interface Route {
  /** The whole path; one that ends in `*` is a prefix. */
  readonly path: string;
  /**
   * Others are refused with 405. One that can be read with GET can be asked with HEAD and OPTIONS too. Absent: the door
   * answers every method itself.
   */
  readonly methods?: readonly string[];
  /**
   * Who may, beside operators, who may everything; `anyone` also without a credential. For which host and group is the
   * door's to judge: {@linkcode askingFault}.
   */
  readonly who: readonly Role[] | "anyone";
  /** The longest body, in bytes; default: none. */
  readonly bodyLimit?: number;
  answer(asked: Asked): Answer | Promise<Answer>;
  /** How a refusal of the server itself is worded here: FleetLock wants `kind` and `value`. Default: a line of text. */
  refusal?(status: number, kind: string, value: string): Answer;
}

export interface Door {
  readonly routes: readonly Route[];
  /**
   * The server stops: what waits is answered at once (503), what runs is finished. Streams are ended by the server.
   * Called before the connections are closed.
   */
  close?(): void | Promise<void>;
}
