/**
 * What the runtime compiled, kept for the next start, which takes a quarter less with it. The runtime writes it into a
 * database in the folder where the program unpacked itself, but leaves two things undone that are done here: a short
 * command ends before anything is written, and what is written stays in the journal, which every start reads as a whole.
 * All of it is only for speed: where it cannot be done, nothing is said.
 */

/** Below the folder of the program. The runtime names the file. */
const DATABASE = "deno/v8_code_cache_v2";
/** What else the runtime knows of the files that it loads, with a journal each that every start reads. */
const BESIDE: readonly string[] = ["deno/dep_analysis_cache_v2", "deno/node_analysis_cache_v2"];
/** Less than this, with its journal, is a database without the program, in bytes. */
const EMPTY_MAX = 64 * 1024;
/** A journal up to this size is left as it is, in bytes: reading it costs less than to empty it. */
const JOURNAL_MAX = 512 * 1024;

/**
 * To be awaited when the command is done, before the process exits.
 *
 * @param folder where the program is, unless it came from elsewhere
 */
export async function keepCompiledCode(folder: string | undefined): Promise<void> {
  if (folder === undefined) return;
  try {
    const database = `${folder}/${DATABASE}`;
    const journalBytes = lengthOf(`${database}-wal`);
    if (journalBytes > JOURNAL_MAX) {
      await emptyJournals([DATABASE, ...BESIDE].map((name) => `${folder}/${name}`));
    } else if (journalBytes + lengthOf(database) < EMPTY_MAX) await eventLoopTurn();
  } catch {
    // the next start takes a little longer
  }
}

/** Of a file, in bytes. To ask for all that is known of it would take longer: its times are made dates of this zone. */
function lengthOf(path: string): number {
  using file = Deno.openSync(path);
  return file.seekSync(0, Deno.SeekMode.End);
}

/** The runtime writes meanwhile. Files and timers do not do for that: they answer too early, or load more than all of this. */
async function eventLoopTurn(): Promise<void> {
  await new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    port2.postMessage(null);
  });
}

/** A journal that somebody else is at work in is left to a later command. */
async function emptyJournals(databases: readonly string[]): Promise<void> {
  const { DatabaseSync } = await import("node:sqlite");
  for (const database of databases) {
    using opened = new DatabaseSync(database);
    opened.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
}
