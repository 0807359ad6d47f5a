/**
 * Does this machine need a reboot? Three answers: needed (with reasons), not needed, unknown (with reasons).
 *
 * Several detectors may be asked; each answers by itself and {@linkcode combineNeed} joins them. A detector that
 * fails is unknown, never needed, and never silences another one.
 */
export type Need =
  | { readonly kind: "needed"; readonly reasons: readonly string[] }
  | { readonly kind: "not-needed" }
  | { readonly kind: "unknown"; readonly why: readonly string[] };

/**
 * Watches one source until `signal` aborts, and then resolves. Calls `listener` once soon after its start and again
 * whenever its answer may have changed.
 */
export type Detector = (signal: AbortSignal, listener: (need: Need) => void) => Promise<void>;

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
      take(name, { kind: "unknown", why: [`it failed: ${error instanceof Error ? error.message : error}`] });
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
