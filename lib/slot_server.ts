/**
 * A server that keeps slots for hosts which have no access to a store: what a host asks of it, and what it answers. The
 * answers are those of the FleetLock protocol, in words of ours; how they travel is not known here.
 *
 * The server keeps all of the state: a host may crash and ask again at any time, and gets the same answer as before.
 */

/** Who asks for which group, and what the host tells of itself. */
export interface SlotRequest {
  /** Names the host, exactly as it came: case counts. */
  readonly id: string;
  /** The name of a group as everywhere in the core: the empty one is the default group's. */
  readonly group: string;
  /** The host name, for people. */
  readonly host?: string;
  /** The boot id of the host. */
  readonly boot?: string;
  readonly reason?: string;
  /** Who comes first in the queue: the higher. Default: 0. */
  readonly priority?: number;
}

/** How long an answer may take. */
export interface Patience {
  /** So long, in milliseconds, a request may be kept until a slot is free; 0: it is answered at once. */
  readonly waitMs: number;
  /** Aborts when nobody waits for the answer any more. */
  readonly gone: AbortSignal;
}

/** Why a server did not do what it was asked, for programs. New kinds may come. */
export type RefusalKind =
  /** Every slot is taken, or others come first. */
  | "full"
  /** The group, or all, are paused. */
  | "paused"
  /** No reboot at this time: a window of the group is closed, or its reboots are frozen. */
  | "closed"
  /** The slot of this very host was taken by hand, and is given back by hand only. */
  | "held_by_hand"
  /** The request breaks the protocol. */
  | "bad_request"
  /** No such group, where groups are listed. */
  | "unknown_group"
  /** Who are you? */
  | "unauthenticated"
  /** Not with this credential. */
  | "forbidden"
  /** Too many requests of this credential or address. */
  | "rate_limited"
  /** The store cannot be reached, or does not know whether it did it. Ask again. */
  | "unavailable"
  /** The document of the group is corrupt. */
  | "corrupt";

/** Not what was asked for, and why. */
export type Refusal =
  & (
    | { readonly kind: RefusalKind }
    /** In the words of a server that has others; `called`: its own kind. */
    | { readonly kind: "refused"; readonly called: string }
  )
  & {
    /** For people: who holds the slots, the place in line, what is wrong. */
    readonly value: string;
    /** The server keeps a request until a slot is free, for as long as it was told to: it may be asked again at once. */
    readonly waits?: true;
    /** Not to be asked again before, in milliseconds from now. */
    readonly retryMs?: number;
  };

/** What a server answers. Only `granted` lets a host reboot. */
export type SlotAnswer =
  | { readonly kind: "granted" }
  /** The host holds no slot any more. */
  | { readonly kind: "released" }
  | Refusal;

/** Asked by hosts; by a connection to a server, or by the server itself. */
export interface SlotServer {
  /**
   * A slot for the host: `granted` if it has one now, or had one before. Asked by the holder again it is the proof, right
   * before the reboot, that it still holds it. Throws {@linkcode SlotServerError} if no answer came.
   */
  preReboot(request: SlotRequest, patience: Patience): Promise<SlotAnswer>;
  /**
   * What a host is refused with that asks again, where it is known at once and nothing is to be done for it; `undefined`: the
   * server has to be asked.
   */
  refusedAgain?(request: SlotRequest): SlotAnswer | undefined;
  /** The host is up and well: gives its slot back. `released` also if it held none. Throws {@linkcode SlotServerError}. */
  steadyState(request: SlotRequest, patience: Pick<Patience, "gone">): Promise<SlotAnswer>;
}

/**
 * There was no answer that could be read. Whether the server did what it was asked is not known; asking again is safe.
 */
export class SlotServerError extends Error {
  override readonly name = "SlotServerError";
  constructor(
    readonly kind: "unreachable" | "timeout" | "tls" | "protocol",
    message: string,
    readonly hint?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
