/**
 * The bells of the embedded store: whoever has changed a key rings its bell, and whoever watches the key hears of it within
 * milliseconds, in every process of the host. A key that nobody watches has none, so that a change costs the processes that
 * wait for something else nothing.
 *
 * One bell more is rung at every change, for whoever watches a range of keys.
 *
 * A bell is an empty file in the folder `PATH-bells`, and is rung by touching its time; the bell of a key that was removed
 * goes with it. It is a hint and no more: a process that is killed after its commit does not ring, and the system has
 * ears for a limited number of processes (`fs.inotify.max_user_instances`). So whoever listens looks now and then all the
 * same, and more often while it cannot listen.
 *
 * The database itself is no bell: a file that is opened and closed beside SQLite drops SQLite's locks in this process.
 */

/** Rings the bells of keys that were written, and takes those of keys that were removed away. Never throws. */
export function ring(path: string, written: readonly string[], removed: readonly string[]): void {
  if (written.length + removed.length === 0) return;
  const now = new Date();
  attempt(() => touch(bellOfRanges(path), now));
  for (const key of written) attempt(() => touch(bellOf(path, key), now));
  for (const key of removed) attempt(() => Deno.removeSync(bellOf(path, key)));
}

/** An ear at the bell of one key, or (`null`) at that of all ranges. */
export class Ear {
  #watcher: Deno.FsWatcher | undefined;
  #closed = false;

  constructor(
    private readonly path: string,
    private readonly key: string | null,
    private readonly heard: () => void,
  ) {}

  /** Whether it listens. */
  get listens(): boolean {
    return this.#watcher !== undefined;
  }

  /** Begins to listen, if that is possible: not while there is no database. Whether it began just now. */
  begin(): boolean {
    if (this.#closed || this.#watcher !== undefined) return false;
    attempt(() => {
      Deno.statSync(this.path);
      Deno.mkdirSync(folderOf(this.path), { recursive: true });
      const bell = this.key === null ? bellOfRanges(this.path) : bellOf(this.path, this.key);
      Deno.openSync(bell, { write: true, create: true }).close();
      this.#watcher = Deno.watchFs(bell, { recursive: false });
    });
    if (this.#watcher === undefined) return false;
    this.#listen(this.#watcher);
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#end();
  }

  async #listen(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const { kind } of watcher) {
        if (kind === "remove" && this.#watcher === watcher) this.#end();
        if (kind === "remove" || kind === "modify") this.heard();
      }
    } catch {
      // the ear is lost; who listened looks by itself
    }
    if (this.#watcher === watcher) this.#end();
  }

  #end(): void {
    const watcher = this.#watcher;
    this.#watcher = undefined;
    attempt(() => watcher?.close());
  }
}

/** Touches the time of a bell that is there; another user's is opened instead, which is heard as well. */
function touch(bell: string, now: Date): void {
  try {
    Deno.utimeSync(bell, now, now);
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    Deno.openSync(bell, { write: true }).close();
  }
}

/** Does something that is good to have and no harm to lack: a file that is not there, a folder that cannot be written. */
function attempt(work: () => void): void {
  try {
    work();
  } catch {
    // looking now and then makes up for it
  }
}

function folderOf(path: string): string {
  return `${path}-bells`;
}

function bellOfRanges(path: string): string {
  return `${folderOf(path)}/ranges`;
}

/** The file's name is the 64 bits of FNV-1a of the key; keys that share one share their rings. */
function bellOf(path: string, key: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(key)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return `${folderOf(path)}/${hash.toString(16).padStart(16, "0")}`;
}
