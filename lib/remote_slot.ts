/**
 * The slot of this machine at a server: asked for, proven and given back.
 *
 * A server takes a slot or gives it back, and does not say who holds one; so the machine's ledger has to. What is about to
 * be asked stands there first. A slot of this boot is ours until it is given back, whatever process of this machine asked
 * for it; one of an earlier boot is given back.
 *
 * Two processes of one machine, its daemon and a command, have one slot. One that confirms writes that down before it
 * looks whether another is giving the slot back; one that gives back writes that down before it looks whether another has
 * confirmed. So at least one of them sees the other, and then desists: nothing is given back under a reboot that may come.
 *
 * Where that ends: what the server is asked by somebody else under the same id is not known here.
 */

import { Account, LATE_MS, type Ledger, type Taken } from "./ledger.ts";
import { groupPhrase } from "./group.ts";
import { newMark } from "./lock.ts";
import type { Machine } from "./machine.ts";
import type { Refusal, SlotAnswer, SlotRequest, SlotServer } from "./slot_server.ts";
import type { Surroundings } from "./surroundings.ts";

/** Where slots of a server stand in the ledger: by this and its base URL. */
export const SERVER_PREFIX = "fleet-lock:";

export interface RemoteSlotOptions {
  readonly server: SlotServer;
  /** The base URL of the server, without any secret: for messages, and for the ledger. */
  readonly name: string;
  /** This machine, by the id under which it asks. */
  readonly machine: Machine;
  readonly group: string;
  readonly priority?: number;
  readonly ledger: Ledger;
  readonly surroundings: Surroundings;
  /** A mark that no other request has. */
  newMark?(): string;
}

/** The server did not do what it was asked, or cannot be asked. */
export class RemoteSlotError extends Error {
  override readonly name = "RemoteSlotError";
  constructor(message: string, readonly hint?: string) {
    super(message);
  }
}

/** What this machine knows of its slot. */
export type Standing =
  /** It has one that it asked for in this boot. `called`: a reboot may have been called under it. */
  | { readonly kind: "holds"; readonly grant: string; readonly called: boolean }
  /** Another process of this machine may be asking for one. */
  | { readonly kind: "asking" }
  /** There may be one that is to be given back. `earlier`: one was held in an earlier boot. */
  | { readonly kind: "due"; readonly earlier: boolean }
  | { readonly kind: "none" };

export type ReturnOutcome =
  /** `earlier`: a slot was held in an earlier boot. */
  | { readonly kind: "released"; readonly earlier: boolean }
  /** Another process of this machine has confirmed it, and may have called a reboot. */
  | { readonly kind: "kept" }
  /** `known`: the server has, or may have, a slot of this machine that it was asked for. */
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly known: boolean };

/** How an attempt to prove the slot ended; `called`: another process has confirmed it before. */
export type ProofOutcome = { readonly kind: "confirmed"; readonly called: boolean } | {
  readonly kind: "lost";
};

/** Nobody gives up on these: a process that ends takes its requests with it. */
const NEVER = new AbortController().signal;

export class RemoteSlot {
  readonly #account: Account;
  readonly #newMark: () => string;
  /** The marks of this process. */
  readonly #own = new Set<string>();
  /** When marks of other processes, which may be at work, were first seen, by the clock that does not leap. */
  readonly #seenMs = new Map<string, number>();
  readonly #beganMs: number;
  #askedMs = -Infinity;
  /** When the last request to give back was sent that the server acknowledged. */
  #returnedMs: number | undefined;
  /** Under which mark a slot is being given back that this process did not ask for. */
  #returning: string | undefined;
  /** The mark of this process for a slot that another process of this machine has asked for. */
  #adopted: string | undefined;

  constructor(private readonly options: RemoteSlotOptions) {
    const { ledger, name, group, machine, surroundings } = options;
    this.#account = new Account(ledger, { store: SERVER_PREFIX + name, group }, machine, surroundings);
    this.#newMark = options.newMark ?? newMark;
    this.#beganMs = surroundings.elapsed();
  }

  get name(): string {
    return this.options.name;
  }

  /** What is known without asking the server. */
  async look(): Promise<Standing> {
    const entries = await this.#account.entries() ?? [];
    const here = entries.filter((entry) => this.#isOfThisBoot(entry));
    const confirmed = here.filter(({ phase }) => phase === "confirmed");
    const isReturning = here.some(({ phase }) => phase === "returning");
    const granted = here.filter(({ phase }) => phase === "granted" || phase === "confirming");
    const held = [...confirmed, ...isReturning ? [] : granted];
    const holds = held.find(({ grant }) => this.#own.has(grant)) ?? held[0];
    if (holds !== undefined) return { kind: "holds", grant: holds.grant, called: confirmed.length > 0 };
    if (here.some((entry) => entry.phase === undefined && this.#mayBeAtWork(entry))) {
      return { kind: "asking" };
    }
    if (entries.length === 0 && !this.#mayComeLate()) return { kind: "none" };
    return { kind: "due", earlier: this.#wasHeld(entries) };
  }

  /** Remembers a request that is about to be made: its mark, or `undefined` where it cannot be made to last. */
  async begin(): Promise<string | undefined> {
    const grant = this.#mark();
    return await this.#account.remember(grant) ? grant : undefined;
  }

  /** Nothing was asked under this mark. */
  forget(grant: string): Promise<void> {
    return this.#account.forget(grant);
  }

  /** Asks for a slot. Throws {@linkcode SlotServerError} where nobody knows whether there is one now. */
  async ask(
    grant: string,
    { reason, waitMs = 0, gone = NEVER }: {
      reason?: string | undefined;
      waitMs?: number;
      gone?: AbortSignal;
    },
  ): Promise<SlotAnswer> {
    const answer = await this.#preReboot(reason, waitMs, gone);
    if (answer.kind === "granted") await this.#account.remember(grant, "granted");
    return answer;
  }

  async #preReboot(reason: string | undefined, waitMs: number, gone: AbortSignal): Promise<SlotAnswer> {
    const { server, surroundings } = this.options;
    try {
      return await server.preReboot(
        { ...this.#request(), ...(reason === undefined ? {} : { reason }) },
        { waitMs, gone },
      );
    } finally {
      this.#askedMs = surroundings.elapsed();
    }
  }

  /**
   * Proves that the slot is still ours, right before the reboot. Throws {@linkcode SlotServerError},
   * {@linkcode RemoteSlotError} where that could not be done.
   */
  async confirm(grant: string): Promise<ProofOutcome> {
    const { name, ledger } = this.options;
    const mark = this.#own.has(grant) ? grant : this.#adopted ??= this.#mark();
    const entries = (await this.#account.entries() ?? []).filter((entry) => this.#isOfThisBoot(entry));
    // another process has given it back
    if (!entries.some(({ phase }) => phase !== undefined && phase !== "returning")) return { kind: "lost" };
    const before = entries.find((entry) => entry.grant === mark);
    if (!await this.#account.remember(mark, "confirming")) {
      throw new RemoteSlotError(`cannot record in ${ledger.name} that a reboot is about to be called`);
    }
    const others = (await this.#account.entries() ?? []).filter((entry) =>
      this.#isOfThisBoot(entry) && entry.grant !== mark
    );
    try {
      if (others.some(({ phase }) => phase === "returning")) {
        throw new RemoteSlotError(`another process of this machine is giving its slot back at ${name}`);
      }
      const answer = await this.#preReboot(undefined, 0, NEVER);
      throwUnavailable(answer, name);
      if (answer.kind !== "granted") {
        // whether there is one is in doubt, and looked after like every request that was not answered
        await this.#account.remember(mark);
        return { kind: "lost" };
      }
      if (!await this.#account.remember(mark, "confirmed")) {
        throw new RemoteSlotError(`cannot record in ${ledger.name} that a reboot is called`);
      }
    } catch (error) {
      if (before === undefined) await this.#account.forget(mark);
      else await this.#account.remember(mark, before.phase);
      throw error;
    }
    return { kind: "confirmed", called: others.some(({ phase }) => phase === "confirmed") };
  }

  /**
   * Gives back whatever slot this machine has, under the mark by which this process asked for it, if it did. Throws
   * {@linkcode SlotServerError}, {@linkcode RemoteSlotError} where nobody knows whether it was done.
   */
  async giveBack(grant?: string): Promise<ReturnOutcome> {
    const { server, name, surroundings, ledger, machine, group } = this.options;
    const isOwn = grant !== undefined && this.#own.has(grant);
    const mark = isOwn ? grant : this.#adopted ?? (this.#returning ??= this.#mark());
    // a machine without a memory has no second process that could have confirmed
    await this.#account.remember(mark, "returning");
    const all = await ledger.read() ?? [];
    const entries = all.filter((entry) => this.#account.covers(entry));
    // at whatever address: a server may have two
    const isConfirmed = (entry: Taken) =>
      entry.store.startsWith(SERVER_PREFIX) && entry.machine === machine.id && entry.group === group &&
      this.#isOfThisBoot(entry) && !this.#own.has(entry.grant) &&
      (entry.phase === "confirmed" || (entry.phase === "confirming" && this.#mayBeAtWork(entry)));
    if (all.some(isConfirmed)) {
      if (mark === this.#returning) await this.#account.forget(mark);
      else await this.#account.remember(mark, "granted");
      return { kind: "kept" };
    }
    const sentMs = surroundings.elapsed();
    const answer = await server.steadyState(this.#request(), { gone: NEVER });
    throwUnavailable(answer, name);
    if (answer.kind !== "released") {
      const known = grant !== undefined || entries.some((entry) => entry.grant !== mark);
      if (!known) await this.#account.forget(mark);
      return { kind: "refused", refusal: refusalOf(answer, name), known };
    }
    this.#returnedMs = sentMs;
    this.#returning = this.#adopted = undefined;
    for (const { grant } of entries) await this.#account.forget(grant);
    return { kind: "released", earlier: this.#wasHeld(entries) };
  }

  /** Whether this machine had a slot when it rebooted. */
  #wasHeld(entries: readonly Taken[]): boolean {
    return entries.some((entry) => {
      return !this.#isOfThisBoot(entry) && (entry.phase === "granted" || entry.phase === "confirmed");
    });
  }

  #request(): SlotRequest {
    const { machine: { id, hostname, bootId }, group, priority } = this.options;
    return { id, group, host: hostname, boot: bootId, ...(priority === undefined ? {} : { priority }) };
  }

  #mark(): string {
    const mark = this.#newMark();
    this.#own.add(mark);
    return mark;
  }

  #isOfThisBoot({ boot }: Taken): boolean {
    return boot === this.options.machine.bootId;
  }

  /** Whether another process may be about to go on with what it wrote; one that died is told from it by time alone. */
  #mayBeAtWork({ grant }: Taken): boolean {
    if (this.#own.has(grant)) return false;
    const nowMs = this.options.surroundings.elapsed();
    const seenMs = this.#seenMs.get(grant) ?? nowMs;
    this.#seenMs.set(grant, seenMs);
    return nowMs - seenMs < LATE_MS;
  }

  /** Whether a request whose asker had gone may have been granted since a slot was given back. */
  #mayComeLate(): boolean {
    return this.#returnedMs === undefined ||
      this.#returnedMs < Math.max(this.#beganMs, this.#askedMs) + LATE_MS;
  }
}

/** An answer by which nothing is decided is none. */
function throwUnavailable(answer: SlotAnswer, name: string): void {
  if (answer.kind === "unavailable" || answer.kind === "rate_limited") {
    throw new RemoteSlotError(`${name} did not decide: ${answer.value || answer.kind}`);
  }
}

/** The refusal in an answer that should have been `released`. */
function refusalOf(answer: SlotAnswer, name: string): Refusal {
  if (answer.kind === "granted" || answer.kind === "released") {
    throw new Error(`${name} grants a slot that is given back`);
  }
  return answer;
}

/** What a server refused, in words: `no slot is free yet at https://lock.example.net`, and the server's own behind it. */
export function describeRefusal(
  refusal: Refusal,
  group: string,
  name: string,
): { why: string; details: string } {
  const details = refusal.value === "" ? "" : `: ${refusal.value}`;
  return { why: `${reasonOf(refusal, group)} at ${name}`, details };
}

function reasonOf(refusal: Refusal, group: string): string {
  switch (refusal.kind) {
    case "full":
      return "no slot is free yet";
    case "paused":
      return "reboots are paused";
    case "closed":
      return "no reboots are allowed at this time";
    case "held_by_hand":
      return "this machine's slot was taken by hand";
    case "bad_request":
      return "the request is refused as invalid";
    case "unknown_group":
      return `there is no ${groupPhrase(group)}`;
    case "unauthenticated":
      return "a credential is required";
    case "forbidden":
      return "this machine's credential is refused";
    case "rate_limited":
      return "this machine asks too often";
    case "unavailable":
      return "no decision can be made now";
    case "corrupt":
      return `the document of ${groupPhrase(group)} is corrupt`;
    case "refused":
      return `refused (${refusal.called})`;
  }
}
