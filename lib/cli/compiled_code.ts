/**
 * What the runtime compiled, kept for the next start, which takes a quarter less with it. The runtime writes it into a
 * database in the folder where the program unpacked itself, but leaves two things undone that are done here: a short
 * command ends before it is written, and what is written stays in the journal, which every start reads as a whole. All of
 * it is only for speed: where it cannot be done, nothing is said.
 */

/** Below the folder of the program. The runtime names it. */
const DATABASE = "deno/v8_code_cache_v2";
/** A journal up to this size is left as it is, in bytes: reading it costs less than to empty it. */
const JOURNAL_MAX = 512 * 1024;

/**
 * To be awaited when the command is done, before the process exits.
 *
 * @param main the URL of the program
 */
export async function keepCompiledCode(main: string): Promise<void> {
  // The runtime writes when its event loop turns. Files and timers do not do for that: they answer too early, or load
  // more than all of this.
  await new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    port2.postMessage(null);
  });
  try {
    const path = decodeURIComponent(new URL(DATABASE, main).pathname);
    if (Deno.statSync(`${path}-wal`).size <= JOURNAL_MAX) return;
    const { DatabaseSync } = await import("node:sqlite");
    using database = new DatabaseSync(path);
    // one that somebody else is at work in is left to a later command
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch {
    // the next start takes a little longer
  }
}
