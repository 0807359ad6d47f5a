/**
 * The groups that a server's file lists: read at the start, and again when the file changes. Their max goes into the
 * store, where every command sees it; what the store does not take at once it is given again.
 */

import type { GroupRules, KnownGroups } from "../group_rules.ts";
import { Lock, LockError } from "../lock.ts";
import type { Mirror } from "../mirror.ts";
import { groupPhrase } from "../group.ts";
import { readRegularFile } from "../host/regular_file.ts";
import { GroupsFileError, ListedGroups, parseGroups } from "../serve/groups_file.ts";
import { watchFiles } from "../serve/watched_files.ts";
import { type Store, StoreError } from "../store.ts";
import type { Log, Surroundings } from "../surroundings.ts";
import { reasonOf } from "../system_error.ts";

/** Who makes the changes, for the record. */
const BY = "groups file";

export interface ServedGroupsOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly surroundings: Surroundings;
  readonly log: Log;
  /** The rules are others now. */
  changed(): void;
}

export class ServedGroups implements KnownGroups {
  readonly #listed: ListedGroups;

  /** Throws {@linkcode GroupsFileError} where the file cannot be read, or has a fault. */
  constructor(private readonly path: string) {
    this.#listed = new ListedGroups(this.#read());
  }

  rulesOf(group: string): GroupRules | undefined {
    return this.#listed.rulesOf(group);
  }

  mayAsk(name: string, group: string): boolean {
    return this.#listed.mayAsk(name, group);
  }

  /** Heeds changes of the file, and gives the store the max of each group whenever it is there, until it is closed. */
  follow(options: ServedGroupsOptions): { close(): void } {
    const { mirror, surroundings, log, changed } = options;
    const subscription = mirror.subscribe(({ kind }) => {
      if (kind === "state" && mirror.state.kind === "current") this.#apply(options);
    });
    const watch = watchFiles([this.path], () => {
      try {
        this.#listed.replace(this.#read());
      } catch (error) {
        if (!(error instanceof GroupsFileError)) throw error;
        for (const fault of error.faults) log("error", `${fault}; the groups stay as they were`);
        return;
      }
      log("info", `${this.path}: read again`);
      changed();
      this.#apply(options);
    }, surroundings);
    if (mirror.state.kind === "current") this.#apply(options);
    return {
      close() {
        subscription.close();
        watch.close();
      },
    };
  }

  async #apply({ store, surroundings, log }: ServedGroupsOptions): Promise<void> {
    try {
      await this.#listed.applyMax(
        (group) => new Lock(store, group, surroundings, BY),
        (group, max, oldMax) =>
          log("notice", `${groupPhrase(group)}: max is ${max} now, was ${oldMax}: ${this.path}`),
      );
    } catch (error) {
      if (!(error instanceof StoreError) && !(error instanceof LockError)) throw error;
      // a store that was away gets it when it is back; a document that is corrupt when the file is read again
      log("warning", `${this.path}: max was not set in every group: ${error.message}`);
    }
  }

  #read(): ReturnType<typeof parseGroups> {
    let text: string;
    try {
      text = new TextDecoder().decode(readRegularFile(this.path));
    } catch (error) {
      throw new GroupsFileError([`cannot read ${this.path}: ${reasonOf(error)}`]);
    }
    return parseGroups(text, this.path);
  }
}
