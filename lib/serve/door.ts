/**
 * A door of the server: some paths, who may use them, and what answers. The server in front of all doors reads the
 * credential, holds callers to their rates and bodies to their limits, and logs; a door knows none of that.
 */

/** What a credential allows. Each may do what those after it may, except that only a host speaks for itself. */
export type Role = "operator" | "viewer" | "host";

/** Who asks. */
export interface Caller {
  /** `undefined`: nobody was asked for a credential, or there is none; such a caller may what {@linkcode Access} says. */
  readonly role: Role | undefined;
  /** For the log and the record: the name of the token, of the certificate, or `anonymous`. */
  readonly name: string;
  /** The groups that it may ask for; absent: all. */
  readonly groups?: ReadonlySet<string>;
  /** The only id that it may speak for; absent: any. */
  readonly id?: string;
}

/** One request, when its body has been read. */
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
  /** What a person did by it, for the audit line: `pause group web: storage maintenance`. */
  readonly audit?: string;
}

/** A path and what answers there. */
export interface Route {
  /** The whole path; one that ends in `*` is a prefix. */
  readonly path: string;
  /** Absent: the door answers every method itself. */
  readonly methods?: readonly string[];
  /** Who may; `anyone` also without a credential. What it may for is the door's to judge: see {@linkcode Caller}. */
  readonly who: readonly Role[] | "anyone";
  /** The longest body, in bytes; default: none. */
  readonly bodyLimit?: number;
  answer(asked: Asked): Answer | Promise<Answer>;
  /** How a refusal of the server itself is worded here: FleetLock wants `kind` and `value`. Default: a line of text. */
  refusal?(status: number, kind: string, value: string): Answer;
}

export interface Door {
  readonly routes: readonly Route[];
  /** Ends what it keeps open: requests that wait, streams. */
  close?(): void | Promise<void>;
}
