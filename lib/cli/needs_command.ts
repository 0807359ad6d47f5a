/** `needs-reboot`: does this machine need a reboot, which of its sources says what, and an exit code for scripts. */

import type { Context } from "./command.ts";
import { type Answer, combineNeed, type Deadline, type NeedLevel } from "../need.ts";
import { groundAt } from "../need/source.ts";
import { chosenSources } from "../need/sources.ts";
import { table } from "./output.ts";
import { zoneOfHost } from "./process.ts";

/** The exit codes. An answer that nobody knows is no failure of the command. */
const EXIT = { "needed": 0, "not-needed": 1, "unknown": 2 } as const;

/** The shape of `needs-reboot --json`. */
export interface NeedReport {
  readonly need: keyof typeof EXIT;
  /** Why it is needed, or why nobody knows. */
  readonly reasons: readonly string[];
  /** What would meet it at least; only where it is needed. */
  readonly level?: NeedLevel;
  /** Since when it is needed, an instant, as far as the daemon of this host remembers it. */
  readonly since?: string;
  /** A date before which a reboot should come, needed or not; the first that a source names. */
  readonly deadline?: Deadline;
  readonly sources: readonly {
    readonly name: string;
    readonly answer: Answer["kind"];
    readonly reasons: readonly string[];
    /** What it is needed for; only where it is, and the source knows. */
    readonly packages?: readonly string[];
    readonly deadline?: Deadline;
  }[];
}

export async function needsReboot(
  { config, out, surroundings }: Context<"needs-reboot">,
): Promise<number> {
  const ground = groundAt(config.root);
  const answers = new Map<string, Answer>();
  // one after the other: package managers wait for each other's locks
  for (const source of await chosenSources(config.need, ground)) {
    answers.set(source.name, await source.ask(ground));
  }
  const found = reportOf(answers);
  const now = surroundings.now();
  const since = found.need === "needed" ? await needSince(config.root, now) : undefined;
  const report = since === undefined ? found : { ...found, since };
  out(config.json ? `${JSON.stringify(report)}\n` : renderNeed(report, await describeTimes(report, now)));
  return EXIT[report.need];
}

/** As the daemon that runs says, or as the last one remembered for who may read that. */
async function needSince(root: string, now: number): Promise<string | undefined> {
  const { readMachineFile } = await import("../host/machine_file.ts");
  const daemon = await readMachineFile(root, now);
  if (daemon?.need.since !== undefined) return daemon.need.since;
  return await (await import("../host/need_memory.ts")).readNeedSince(root);
}

/** What the sources say, joined. */
export function reportOf(answers: ReadonlyMap<string, Answer>): NeedReport {
  const need = combineNeed(answers);
  return {
    need: need.kind,
    reasons: need.kind === "needed" ? need.reasons : need.kind === "unknown" ? need.why : [],
    ...(need.kind === "needed" ? { level: need.level ?? "reboot" } : {}),
    ...(need.deadline === undefined ? {} : { deadline: need.deadline }),
    sources: [...answers].map(([name, answer]) => ({
      name,
      answer: answer.kind,
      reasons: reasonsOf(answer),
      ...(answer.kind === "needed" && answer.packages !== undefined ? { packages: answer.packages } : {}),
      ...(answer.deadline === undefined ? {} : { deadline: answer.deadline }),
    })),
  };
}

function reasonsOf(answer: Answer): readonly string[] {
  switch (answer.kind) {
    case "needed":
      return answer.reasons;
    case "unknown":
      return answer.why;
    case "silent":
      return [answer.why, answer.deadline?.why].filter((text) => text !== undefined);
    case "not-needed":
      return [];
  }
}

const WORDS = {
  "needed": "needed",
  "not-needed": "not needed",
  "unknown": "unknown",
  "silent": "cannot tell",
} as const;

/** The report for people. */
export function renderNeed(
  { need, reasons, level, sources }: NeedReport,
  { since, deadline }: Times,
): string {
  const less = level === undefined || level === "reboot" ? "" : ` (a ${level} would do)`;
  const head = need === "needed"
    ? `a reboot is needed${since}${less}`
    : need === "not-needed"
    ? "no reboot is needed"
    : "unknown whether a reboot is needed";
  if (sources.length === 0) {
    return `${head}: this system has no way to tell that locksmith knows; name one with --need file:PATH or command:COMMAND\n`;
  }
  const why = reasons.length > 0 ? `: ${reasons.join("; ")}` : "";
  const rows = sources.map(({ name, answer, reasons, deadline }) => {
    return [name, deadline === undefined ? WORDS[answer] : `before ${deadline.until}`, reasons.join("; ")];
  });
  return `${head}${why}${deadline}\n\n${table([["SOURCE", "REBOOT", "WHY"], ...rows])}`;
}

/** What is told of times, for people; empty where there is nothing to tell. */
interface Times {
  readonly since: string;
  readonly deadline: string;
}

/** ` since Sat 2026-11-28 02:00 +01:00, 2 days ago`, and `; reboot before 2027-10-02, in 9 days: end of Livepatch`. */
async function describeTimes({ since, deadline }: NeedReport, now: number): Promise<Times> {
  const times = { since: "", deadline: "" };
  if (since !== undefined) {
    const { describeInstant, describePast } = await import("../description.ts");
    const ms = Math.trunc(Date.parse(since) / 1000) * 1000;
    times.since = ` since ${describeInstant(ms, zoneOfHost())}, ${describePast(now - ms)}`;
  }
  if (deadline !== undefined) {
    const { describeDeadline } = await import("../deadline.ts");
    times.deadline = `; ${describeDeadline(deadline, now)}`;
  }
  return times;
}
