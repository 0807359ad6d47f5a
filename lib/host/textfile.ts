/**
 * A file of figures for the textfile collector of node_exporter: written aside and renamed, so that a scrape never sees a
 * part of it.
 */

/** Writes the file; the folder must be there. Throws what the system reports. */
export async function writeTextfile(path: string, text: string): Promise<void> {
  // the collector reads everything that ends in .prom, and nothing else
  const made = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    await Deno.writeTextFile(made, text, { createNew: true, mode: 0o644 });
    await Deno.rename(made, path);
  } catch (error) {
    await Deno.remove(made).catch(() => {});
    throw error;
  }
}
