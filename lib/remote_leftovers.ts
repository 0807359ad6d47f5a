/**
 * The slots that this machine has asked servers for where its daemon does not ask: in another group, at another server, under
 * another id or strategy. Each is given back where it was taken, as after every boot, and once more when nothing can arrive
 * there any more.
 */

import { groupFlag, groupLabel } from "./group.ts";
import type { Ledger, Taken } from "./ledger.ts";
import { type Look, worst } from "./look.ts";
import type { Machine } from "./machine.ts";
import { describeRefusal, RemoteSlot, RemoteSlotError, SERVER_PREFIX } from "./remote_slot.ts";
import { type SlotServer, SlotServerError } from "./slot_server.ts";
import type { Log, Surroundings } from "./surroundings.ts";

export interface RemoteLeftoverOptions {
  readonly machine: Machine;
  /** Under which ids this machine asks servers. */
  readonly ids: readonly string[];
  readonly ledger: Ledger;
  /** The server at a base URL, by today's credentials. */
  open(url: string): SlotServer;
  /**
   * Whether this machine is known to be well after its boot, which a slot from before it has to wait for; absent: it is not
   * asked for.
   */
  isWell?(): Promise<boolean>;
  readonly surroundings: Surroundings;
  readonly log: Log;
}

/** A slot that was asked for elsewhere, and how that place is called in messages. */
interface Elsewhere {
  readonly slot: RemoteSlot;
  readonly url: string;
  readonly group: string;
  readonly text: string;
}

export class RemoteLeftovers {
  readonly #places = new Map<string, Elsewhere>();
  /** What was said already, so that it is said once. */
  readonly #said = new Set<string>();

  constructor(private readonly options: RemoteLeftoverOptions) {}

  /** Whether an entry of the ledger is one of a server. */
  static covers({ store }: Pick<Taken, "store">): boolean {
    return store.startsWith(SERVER_PREFIX);
  }

  /** Gives back what the entries tell of, none of which the daemon goes by. */
  async look(entries: readonly Taken[]): Promise<Look> {
    for (const entry of entries) this.#found(entry);
    const looks: Look[] = [];
    for (const [key, place] of this.#places) {
      const look = await this.#lookAt(place);
      if (look === "done") this.#places.delete(key);
      looks.push(look);
    }
    return worst(looks);
  }

  #found({ store, group, machine: id, grant }: Taken): void {
    const { machine, ids, ledger, surroundings } = this.options;
    const url = store.slice(SERVER_PREFIX.length);
    const text = `in group ${groupLabel(group)} at ${url}`;
    if (!ids.includes(id)) {
      const files = `remove ${grant} in ${ledger.name}`;
      return this.#tell(
        `this machine's disk says that id ${id} asked for a slot ${text}, and this machine has another id now: left ` +
          `unchanged in case the disk is a copy; if not, release it ('locksmith unlock ${id}${
            groupFlag(group)
          }') and ${files}`,
      );
    }
    const key = JSON.stringify([store, group, id]);
    if (this.#places.has(key)) return;
    const server = this.options.open(url);
    const slot = new RemoteSlot({
      server,
      name: url,
      machine: { ...machine, id },
      group,
      ledger,
      surroundings,
    });
    this.#places.set(key, { slot, url, group, text });
  }

  async #lookAt({ slot, url, group, text }: Elsewhere): Promise<Look> {
    const standing = await slot.look();
    if (standing.kind === "none") return "done";
    if (standing.kind === "asking") return "later";
    if (standing.kind === "holds" && standing.called) {
      this.#tell(
        `this machine holds a slot ${text}, and a reboot may have been called under it: it is given back after the next boot`,
      );
      return "later";
    }
    if (standing.kind === "due" && await this.options.isWell?.() === false) return "failed";
    try {
      const outcome = await slot.giveBack(standing.kind === "holds" ? standing.grant : undefined);
      if (outcome.kind === "released") {
        const why = outcome.earlier ? "this machine has rebooted; " : "";
        if (outcome.earlier || standing.kind === "holds") {
          this.options.log("info", `${why}gave back the slot ${text}`);
        }
        return "later";
      }
      if (outcome.kind === "kept") return "later";
      const { why, details } = describeRefusal(outcome.refusal, group, url);
      this.#tell(`cannot give back a slot ${text}, trying again: ${why}${details}`);
    } catch (error) {
      if (!(error instanceof SlotServerError || error instanceof RemoteSlotError)) throw error;
      const hint = error.hint === undefined ? "" : `; ${error.hint}`;
      this.#tell(`cannot give back a slot ${text}, trying again: ${error.message}${hint}`);
    }
    return "failed";
  }

  #tell(text: string): void {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.options.log("warning", text);
  }
}
