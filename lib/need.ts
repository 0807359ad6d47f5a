/**
 * Does this machine need a reboot? Three answers: needed (with reasons), not needed, unknown (with reasons).
 *
 * Several detectors may be asked; each answers by itself and {@linkcode combineNeed} joins them. A detector that
 * fails is unknown, never needed, and never silences another one.
 */
import { pause, reasonOf } from "./host/child.ts";

export type Need =
  | { readonly kind: "needed"; readonly reasons: readonly string[] }
  | { readonly kind: "not-needed" }
  | { readonly kind: "unknown"; readonly why: readonly string[] };

/**
 * Watches one source until `signal` aborts, and then resolves. Calls `listener` once soon after its start and again
 * whenever its answer may have changed.
 */
export type Detector = (signal: AbortSignal, listener: (need: Need) => void) => Promise<void>;

const MAX_PACKAGES_NAMED = 5;
const MAX_PACKAGES_BYTES = 1 << 16;

/**
 * Needed if any detector says so, with the reasons of all that do; else not needed if any knows that; else unknown,
 * each reason under its detector's name.
 */
export function combineNeed(detectors: ReadonlyMap<string, Need>): Need {
  const reasons: string[] = [];
  const why: string[] = [];
  let known = false;
  for (const [name, need] of detectors) {
    if (need.kind === "needed") reasons.push(...need.reasons);
    else if (need.kind === "unknown") why.push(...need.why.map((text) => `${name}: ${text}`));
    else known = true;
  }
  if (reasons.length > 0) return { kind: "needed", reasons };
  if ([...detectors.values()].some((need) => need.kind === "needed")) {
    return { kind: "needed", reasons: ["unnamed"] };
  }
  if (known) return { kind: "not-needed" };
  return { kind: "unknown", why: why.length > 0 ? why : ["nothing is asked that could know"] };
}

/**
 * Runs every detector and calls `listener` with their joined answer: first when all have answered once (or one says
 * needed), then on each change. A detector that throws counts as unknown from then on. Resolves after `signal` aborts;
 * no call of the listener comes after the abort.
 */
export async function watchNeed(
  detectors: ReadonlyMap<string, Detector>,
  signal: AbortSignal,
  listener: (need: Need) => void,
): Promise<void> {
  const answers = new Map<string, Need>();
  let last = "";
  const take = (name: string, need: Need) => {
    if (signal.aborted) return;
    answers.set(name, need);
    const joined = combineNeed(inOrder(detectors, answers));
    if (answers.size < detectors.size && joined.kind !== "needed") return;
    const text = JSON.stringify(joined);
    if (text === last) return;
    last = text;
    listener(joined);
  };
  if (detectors.size === 0) listener(combineNeed(new Map()));
  await Promise.all([...detectors].map(async ([name, detect]) => {
    try {
      await detect(signal, (need) => take(name, need));
    } catch (error) {
      take(name, { kind: "unknown", why: [`it failed: ${reasonOf(error)}`] });
    }
  }));
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }
}

/** Answers in the order of their detectors, so that the same answers read the same whatever order they came in. */
function inOrder(
  detectors: ReadonlyMap<string, Detector>,
  answers: ReadonlyMap<string, Need>,
): Map<string, Need> {
  const ordered = new Map<string, Need>();
  for (const name of detectors.keys()) {
    const need = answers.get(name);
    if (need !== undefined) ordered.set(name, need);
  }
  return ordered;
}

/**
 * What a sentinel file says now: it exists, a reboot is needed; it does not, none is. Beside Debian's
 * `/run/reboot-required` lies a file of the same name and `.pkgs`, the packages that asked for it, one a line and with repeats; they are named.
 * Never throws.
 */
export async function readSentinel(path: string): Promise<Need> {
  try {
    await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "not-needed" };
    return { kind: "unknown", why: [`cannot look for ${path}: ${reasonOf(error)}`] };
  }
  return { kind: "needed", reasons: [`${path} exists${await readPackages(`${path}.pkgs`)}`] };
}

async function readPackages(path: string): Promise<string> {
  const bytes = new Uint8Array(MAX_PACKAGES_BYTES);
  let size = 0;
  try {
    // A file that is not a regular one (a pipe) would hold us up; packages are decoration.
    if (!(await Deno.stat(path)).isFile) return "";
    using file = await Deno.open(path);
    for (let n = await file.read(bytes); n !== null && n > 0; n = await file.read(bytes.subarray(size))) {
      size += n;
    }
  } catch {
    return "";
  }
  const lines = new TextDecoder().decode(bytes.subarray(0, size)).split("\n");
  const names = [...new Set(lines.map((line) => line.trim().replace(/[^\x21-\x7e]/g, "?")))]
    .filter((name) => name !== "");
  if (names.length === 0) return "";
  const named = names.slice(0, MAX_PACKAGES_NAMED).join(", ");
  const more = names.length - MAX_PACKAGES_NAMED;
  return ` (${names.length} package${names.length === 1 ? "" : "s"}: ${named}${
    more > 0 ? ` and ${more} more` : ""
  })`;
}

/**
 * Watches a sentinel file until `signal` aborts, by looking every `recheckMs` (5 s).
 *
 * Looking costs microseconds, and is right for directories that come late or are made anew. The runtime's own watch on a
 * directory is not: it opens every file that changes there, and a named pipe among them (there are some in `/run`) blocks
 * it, and with its closing the whole process.
 */
export async function watchSentinel(
  path: string,
  signal: AbortSignal,
  listener: (need: Need) => void,
  options: { readonly recheckMs?: number } = {},
): Promise<void> {
  const recheckMs = options.recheckMs ?? 5000;
  let last = "";
  while (!signal.aborted) {
    const need = await readSentinel(path);
    if (signal.aborted) return;
    const text = JSON.stringify(need);
    if (text !== last) listener(need);
    last = text;
    await pause(recheckMs, signal);
  }
}
