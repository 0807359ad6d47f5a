/**
 * What this machine has taken, as it remembers it across its boots: in which store, in which group, by which grant. By it a
 * slot is found again where it was taken, whatever the configuration says today, and a machine knows its own slots from
 * those of a clone.
 *
 * An entry is there before its grant is asked for, and is forgotten once it is certain that no hold is left of it. Where
 * nothing can be remembered a slot is taken all the same. What cannot be told: a copy of the ledger knows the same grants.
 */

import type { Machine } from "./machine.ts";
import type { Surroundings } from "./surroundings.ts";

/**
 * How far it came, for a slot that only this machine's memory can tell of: a server that keeps slots is asked for one or
 * given it back, and does not say who has one.
 */
export const PHASES = [
  /** The server said so. */
  "granted",
  /** It is about to be proven, right before a reboot. */
  "confirming",
  /** It is proven, and a reboot may have been called under it. */
  "confirmed",
  /** The server was told that it is not wanted, or is about to be. */
  "returning",
] as const;
export type TakenPhase = typeof PHASES[number];

/** A slot that was asked for. */
export interface Taken {
  /** A random mark of the request, and of the hold if it was granted. */
  readonly grant: string;
  /** The id of the machine that asked: as it was then. */
  readonly machine: string;
  /** The identity of the boot in which it asked. */
  readonly boot: string;
  /** When: an instant, ISO 8601 in UTC. */
  readonly since: string;
  /** The endpoints or the file of the store, or the server, as they are configured; no secret is among them. */
  readonly store: string;
  readonly group: string;
  /** Absent: asked for, and nothing was heard yet; or the store itself knows. */
  readonly phase?: TakenPhase;
}

/** Where a machine remembers what it has taken. Nothing here throws for what happens outside. */
export interface Ledger {
  /** For messages: where it lies. */
  readonly name: string;
  /** What was asked for and is not forgotten; `undefined`: this machine has no memory, or it cannot be read. */
  read(): Promise<readonly Taken[] | undefined>;
  /** Remembers a slot that is about to be asked for. `false`: it could not be made to last. */
  remember(taken: Taken): Promise<boolean>;
  forget(grants: readonly string[]): Promise<void>;
  /** Makes it where there is none: what is not in it was not taken, from now on. */
  begin(): Promise<void>;
}

/** How long after its asker had gone a request may still arrive at a store and be granted, in milliseconds. */
export const LATE_MS = 10 * 60_000;

/** The part of a ledger that is about one group of one store. */
export class Account {
  /** When the group was first looked at, by the clock that does not leap. */
  #lookedMs: number | undefined;

  constructor(
    readonly ledger: Ledger,
    private readonly place: Pick<Taken, "store" | "group">,
    private readonly machine: Machine,
    private readonly surroundings: Surroundings,
  ) {}

  /** The machine with what it remembers now. */
  async remembering(): Promise<Machine> {
    const taken = await this.ledger.read();
    return taken === undefined
      ? this.machine
      : { ...this.machine, grants: new Set(taken.map(({ grant }) => grant)) };
  }

  /** A slot is about to be asked for. `false`: after the boot this machine will not know it by its grant. */
  remember(grant: string, phase?: TakenPhase): Promise<boolean> {
    const { id: machine, bootId: boot } = this.machine;
    return this.ledger.remember({
      grant,
      machine,
      boot,
      since: new Date(this.surroundings.now()).toISOString(),
      ...this.place,
      ...(phase === undefined ? {} : { phase }),
    });
  }

  /** What is remembered of this group; `undefined`: there is no memory. */
  async entries(): Promise<readonly Taken[] | undefined> {
    return (await this.ledger.read())?.filter((entry) => this.covers(entry));
  }

  /** No hold is left of this grant, and none can come. */
  forget(grant: string | undefined): Promise<void> {
    return grant === undefined ? Promise.resolve() : this.ledger.forget([grant]);
  }

  /** The group was looked at. What an earlier boot asked for here is over once nothing of it can arrive any more. */
  async settle(): Promise<void> {
    await this.ledger.begin();
    const nowMs = this.surroundings.elapsed();
    this.#lookedMs ??= nowMs;
    if (nowMs - this.#lookedMs < LATE_MS) return;
    const taken = await this.ledger.read() ?? [];
    const over = taken.filter((entry) => this.covers(entry) && entry.boot !== this.machine.bootId);
    if (over.length > 0) await this.ledger.forget(over.map(({ grant }) => grant));
  }

  /** Whether an entry is about this group, and this machine under the id that it has now. */
  covers({ store, group, machine }: Taken): boolean {
    return store === this.place.store && group === this.place.group && machine === this.machine.id;
  }
}
