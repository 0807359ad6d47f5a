/**
 * Does this machine need a reboot? Three answers: needed (with reasons and a fingerprint), not needed, unknown (with reasons).
 *
 * Several detectors may be asked; each answers by itself and {@linkcode combineNeed} joins them. A detector that
 * fails is unknown, never needed, and never silences another one. One that has nothing to ask on this host is silent, and
 * counts for nothing.
 */
export type Need = Reboot & {
  /** A date before which a reboot should come, needed or not. */
  readonly deadline?: Deadline;
};

type Reboot =
  | {
    readonly kind: "needed";
    readonly reasons: readonly string[];
    /** What would meet it at least; absent: a reboot. */
    readonly level?: NeedLevel;
    /**
     * What the reboot is needed for, so that the same need is known again after a reboot for it: see
     * {@linkcode isCoveredBy}. One word a source, without blanks in it, joined by blanks.
     */
    readonly fingerprint: string;
    /** The packages that it is needed for, each once, where the source knows them. */
    readonly packages?: readonly string[];
  }
  | { readonly kind: "not-needed" }
  | { readonly kind: "unknown"; readonly why: readonly string[] };

/**
 * What a need asks for at least: a whole reboot, another kernel by kexec, or all of userspace anew, which keeps the kernel. In
 * this order each meets those after it.
 */
export const NEED_LEVELS = ["reboot", "kexec", "soft-reboot"] as const;
export type NeedLevel = typeof NEED_LEVELS[number];

/** A date before which a machine should reboot, although nothing needs it today; `deadline.ts` tells it. */
export interface Deadline {
  /** A date, YYYY-MM-DD: its beginning in UTC. */
  readonly until: string;
  /** What comes then, for people: `end of Livepatch for kernel 6.8.0-142.142-generic`. */
  readonly why: string;
}

/** What a detector says: a need, or that on this host there is nothing that it could ask; `why` is for people. */
export type Answer = Need | {
  readonly kind: "silent";
  readonly why?: string;
  readonly deadline?: Deadline;
};

/**
 * Watches one source until `signal` aborts, and then resolves. Calls `listener` once soon after its start and again
 * whenever its answer may have changed.
 */
export type Detector = (signal: AbortSignal, listener: (answer: Answer) => void) => Promise<void>;

/**
 * Needed if any detector says so, with the reasons of all that do and the highest of their levels; else not needed if any knows that; else unknown,
 * each reason under its detector's name. The fingerprint has the part of each that says needed, with its name. The
 * deadline is the first of theirs.
 */
export function combineNeed(answers: ReadonlyMap<string, Answer>): Need {
  const deadlines = [...answers.values()].flatMap((answer) => answer.deadline ?? []);
  const deadline = deadlines.toSorted((a, b) => Date.parse(a.until) - Date.parse(b.until))[0];
  const need = combineReboot(answers);
  return deadline === undefined ? need : { ...need, deadline };
}

function combineReboot(answers: ReadonlyMap<string, Answer>): Reboot {
  const reasons: string[] = [];
  const parts: string[] = [];
  const why: string[] = [];
  const silent: string[] = [];
  const levels = new Set<NeedLevel>();
  let known = false;
  for (const [name, answer] of answers) {
    switch (answer.kind) {
      case "needed":
        reasons.push(...(answer.reasons.length > 0 ? answer.reasons : [name]));
        parts.push(`${name}:${answer.fingerprint}`.replace(/\s+/g, "_"));
        levels.add(answer.level ?? "reboot");
        break;
      case "unknown":
        why.push(...answer.why.map((text) => `${name}: ${text}`));
        break;
      case "not-needed":
        known = true;
        break;
      case "silent":
        if (answer.why !== undefined) silent.push(`${name}: ${answer.why}`);
        break;
    }
  }
  if (parts.length > 0) {
    const level = NEED_LEVELS.find((level) => levels.has(level)) ?? "reboot";
    const less = level === "reboot" ? {} : { level };
    return { kind: "needed", reasons: [...new Set(reasons)], ...less, fingerprint: parts.sort().join(" ") };
  }
  if (known) return { kind: "not-needed" };
  if (why.length > 0) return { kind: "unknown", why };
  return { kind: "unknown", why: silent.length > 0 ? silent : ["no source can tell"] };
}

/**
 * Whether everything that a need with this fingerprint wants was wanted already by one with the fingerprint
 * `earlier`. If a reboot for that one has happened, another will not help. A reboot that met a part of a need leaves a need
 * that is covered; one that something new has joined is not.
 */
export function isCoveredBy(fingerprint: string, earlier: string): boolean {
  const before = new Set(earlier.split(" "));
  return fingerprint.split(" ").every((part) => before.has(part));
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
  const answers = new Map<string, Answer>();
  let last = "";
  const take = (name: string, answer: Answer) => {
    if (signal.aborted) return;
    answers.set(name, answer);
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
      await detect(signal, (answer) => take(name, answer));
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
  answers: ReadonlyMap<string, Answer>,
): Map<string, Answer> {
  const ordered = new Map<string, Answer>();
  for (const name of detectors.keys()) {
    const answer = answers.get(name);
    if (answer !== undefined) ordered.set(name, answer);
  }
  return ordered;
}
