/**
 * Since when this machine needs a reboot, for each source that says so, remembered across boots and restarts of the daemon.
 *
 * A source that keeps saying it keeps its instant, whatever joins its reasons; after a boot only if it says the very same.
 * One that does not know now has not changed its mind. Where the file cannot be written the daemon still knows, until it
 * ends.
 */

import { describeInstant, describePast } from "../description.ts";
import type { Answer, Detector } from "../need.ts";
import type { Log, Surroundings } from "../surroundings.ts";
import { OwnedFileError, readOwned } from "./owned_file.ts";
import { parseJson, STATE_FOLDER, StateFile } from "./state_file.ts";

/** Where it lies, below the root directory. */
export const NEED_FILE = `${STATE_FOLDER}/need-since`;
/** What is older is told when it is found. */
const NEWS_MS = 60_000;

/** What a source said last. */
interface Remembered {
  readonly fingerprint: string;
  /** An instant, ISO 8601 in UTC. */
  readonly since: string;
  /** The identity of the boot in which it said so. */
  readonly boot: string;
}

/** By the name of the source. */
type Sources = Readonly<Record<string, Remembered>>;

export interface NeedMemoryOptions {
  readonly root: string;
  /** The identity of this boot. */
  readonly boot: string;
  readonly surroundings: Pick<Surroundings, "now">;
  /** The time zone in which people are told of times. */
  readonly zone: string;
  readonly log: Log;
}

export class NeedMemory {
  readonly #sources = new Map<string, Remembered>();
  /** Those that have said so since the start. */
  readonly #saying = new Set<string>();
  #written = "";
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly options: NeedMemoryOptions,
    private readonly file: StateFile<Sources>,
  ) {}

  /** Reads what is remembered. Never rejects for what is wrong on the disk. */
  static async open(options: NeedMemoryOptions): Promise<NeedMemory> {
    const loss = "a reboot counts as needed since now";
    const file = new StateFile(options.root, { file: NEED_FILE, parse, loss }, options.log);
    const memory = new NeedMemory(options, file);
    try {
      for (const [name, said] of Object.entries(await file.read() ?? {})) memory.#sources.set(name, said);
    } catch (error) {
      memory.#tell(error);
    }
    return memory;
  }

  /** Since when a reboot is needed, in milliseconds since the epoch; `undefined`: none is. */
  get since(): number | undefined {
    const instants = [...this.#saying].map((name) => Date.parse(this.#sources.get(name)?.since ?? ""));
    return instants.length === 0 ? undefined : Math.min(...instants);
  }

  /** The same detectors; what each says is remembered. */
  remembering(detectors: ReadonlyMap<string, Detector>): ReadonlyMap<string, Detector> {
    // what is not asked any more will never say that it is over
    for (const name of this.#sources.keys()) if (!detectors.has(name)) this.#sources.delete(name);
    return new Map([...detectors].map(([name, detect]): [string, Detector] => [
      name,
      (signal, listener) =>
        detect(signal, (answer) => {
          this.take(name, answer);
          listener(answer);
        }),
    ]));
  }

  /** A source has answered. */
  take(name: string, answer: Answer): void {
    if (answer.kind === "unknown") return;
    if (answer.kind !== "needed") {
      this.#saying.delete(name);
      this.#sources.delete(name);
    } else {
      const { boot, surroundings } = this.options;
      const { fingerprint } = answer;
      const before = this.#sources.get(name);
      const stays = before !== undefined && (before.boot === boot || before.fingerprint === fingerprint);
      const since = stays ? before.since : new Date(surroundings.now()).toISOString();
      this.#sources.set(name, { fingerprint, since, boot });
      const known = this.since;
      this.#saying.add(name);
      if (this.since !== known) this.#tellAge();
    }
    this.#writing = this.#writing.then(() => this.#write());
  }

  /** Resolves when what was taken is on the disk, as far as it can be. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  #tellAge(): void {
    const { surroundings, zone, log } = this.options;
    const { since = NaN } = this;
    const ageMs = surroundings.now() - since;
    if (ageMs < NEWS_MS) return;
    const when = describeInstant(Math.trunc(since / 1000) * 1000, zone);
    log("info", `a reboot has been needed since ${when}, ${describePast(ageMs)}`);
  }

  async #write(): Promise<void> {
    const text = JSON.stringify([...this.#sources]);
    if (text === this.#written) return;
    try {
      // most machines need no reboot, and have no such file
      if (this.#sources.size === 0) await this.file.remove();
      else await this.file.write(Object.fromEntries(this.#sources));
      this.#written = text;
    } catch (error) {
      this.#tell(error);
    }
  }

  #tell(error: unknown): void {
    if (!(error instanceof OwnedFileError)) throw error;
    this.options.log("warning", `${error.message}; since when a reboot is needed would be forgotten`);
  }
}

/** Since when a reboot is needed as the daemon of this host remembers it, for who may read that: an instant. Never throws. */
export async function readNeedSince(root: string): Promise<string | undefined> {
  try {
    const text = await readOwned(root.replace(/\/+$/, "") + NEED_FILE);
    const sources = text === null ? null : parseJson(text, parse);
    return Object.values(sources ?? {}).map(({ since }) => since).sort()[0];
  } catch (error) {
    if (error instanceof OwnedFileError) return undefined;
    throw error;
  }
}

function parse(value: unknown): Sources | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const sources = new Map<string, Remembered>();
  for (const [name, content] of Object.entries(value)) {
    const { fingerprint, since, boot } = Object(content);
    if (typeof fingerprint !== "string" || typeof boot !== "string") return null;
    if (typeof since !== "string" || Number.isNaN(Date.parse(since))) return null;
    sources.set(name, { fingerprint, since, boot });
  }
  return Object.fromEntries(sources);
}
