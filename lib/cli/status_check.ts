/**
 * `--check`, for monitoring: is there anything in a group that needs a person? Nothing does: one line, exit 0. Otherwise a
 * line for each problem, exit 1.
 *
 * Everything goes to stdout, a store that does not answer too: what runs such checks shows nothing else. Problems are what
 * stops a roll-out until somebody acts: a machine that does not come back or is not well after its reboot, a pause that was forgotten, a document that is
 * corrupt. A full group with machines waiting is none.
 */

import { closing, type Context, withLock } from "./command.ts";
import { describeDuration } from "../description.ts";
import { formatDuration } from "../duration.ts";
import { ALL_GROUPS, groupFlag, groupPhrase } from "../group.ts";
import { type GroupReading, readGroups } from "../groups.ts";
import { LockError } from "../lock.ts";
import { machineName } from "../machine.ts";
import { openStore } from "./open_store.ts";
import { type Overdue, overdueIn } from "../overdue.ts";
import { oneLine } from "./output.ts";
import { available, overdueHolders, type Pause, pauseInForce } from "../semaphore.ts";
import { shellWord } from "../shell_word.ts";
import { type Store, StoreError } from "../store.ts";
import type { CheckLimits } from "./together.ts";

/** What is to be judged of a group. */
export type Checked = Pick<GroupReading, "group" | "semaphore" | "queue"> & {
  /** The machines whose reboot takes too long; absent: by the configured time alone. */
  readonly late?: Overdue;
};

/** `status --check`: one group. */
export function checkGroup(context: Context<"status">, limits: CheckLimits): Promise<number> {
  const { group } = context.config;
  return report(context, limits, () =>
    withLock(context, async (lock) => {
      try {
        const { semaphore, all, queue } = await lock.readWithQueue();
        return [await judged(context, limits, lock.store, { group, semaphore, queue }), ...pauseOfAll(all)];
      } catch (error) {
        if (error instanceof LockError) return [{ group, semaphore: error, queue: [] }];
        throw error;
      }
    }));
}

/** `groups --check`: all of them. */
export function checkGroups(context: Context<"groups">, limits: CheckLimits): Promise<number> {
  return report(context, limits, async () => {
    const store = await openStore(context.config.store);
    return await closing(store, async () => {
      const { groups, all } = await readGroups(store);
      const checked = groups.map((group) => judged(context, limits, store, group));
      return [...await Promise.all(checked), ...pauseOfAll(all)];
    });
  });
}

/** A group with its machines judged by what its last reboots took. */
async function judged(
  { surroundings }: Pick<Context<"status">, "surroundings">,
  { rebootMs }: CheckLimits,
  store: Store,
  checked: Checked,
): Promise<Checked> {
  const { group, semaphore } = checked;
  if (semaphore instanceof LockError) return checked;
  return { ...checked, late: await overdueIn(store, group, semaphore, surroundings.now(), rebootMs) };
}

/** What counts for all groups is judged like a group where it is a pause, or cannot be read. */
function pauseOfAll(all: GroupReading["semaphore"]): readonly Checked[] {
  const counts = all instanceof LockError || all.paused !== undefined;
  return counts ? [{ group: ALL_GROUPS, semaphore: all, queue: [] }] : [];
}

async function report(
  { out, surroundings }: Pick<Context<"status">, "out" | "surroundings">,
  limits: CheckLimits,
  look: () => Promise<readonly Checked[]>,
): Promise<number> {
  const tell = (lines: readonly string[]) => out(lines.map((line) => `${oneLine(line)}\n`).join(""));
  try {
    const groups = await look();
    const now = surroundings.now();
    const problems = groups.flatMap((checked) => problemsOf(checked, limits, now));
    tell(
      problems.length > 0
        ? problems
        : [`OK: ${groups.map((checked) => summary(checked, now)).filter(Boolean).join("; ") || "no groups"}`],
    );
    return problems.length > 0 ? 1 : 0;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    tell([withHint(error)]);
    return 1;
  }
}

/** What needs a person, a line each, with what to do. `now` in milliseconds since the epoch. */
export function problemsOf(
  { group, semaphore, late: judgement }: Checked,
  limits: CheckLimits,
  now: number,
): string[] {
  const subject = groupPhrase(group);
  if (semaphore instanceof LockError) return [withHint(semaphore)];
  const option = groupFlag(group);
  const afterMs = judgement?.afterMs ?? limits.rebootMs;
  const late = overdueHolders(semaphore, now, afterMs).map((id) => {
    const hold = semaphore.holds.get(id);
    return `${subject}: ${machineName(id, hold?.host)} has held a slot for ${
      lasted(hold?.since, now)
    }, longer than ` +
      `${formatDuration(Math.ceil(afterMs / 1000) * 1000)}; if it will not come back: locksmith unlock ${
        shellWord(hold?.host ?? id)
      }${option}`;
  });
  const ill = [...semaphore.holds].filter(([, { trouble }]) => trouble !== undefined).map(([id, hold]) =>
    `${subject}: ${
      machineName(id, hold.host)
    } is not well since its reboot and keeps its slot: ${hold.trouble}`
  );
  const paused = pauseInForce(semaphore, now);
  if (paused === undefined || !isForgotten(paused, limits.pauseMs, now)) return [...ill, ...late];
  const whose = paused.by === undefined ? "" : ` by ${paused.by}`;
  const why = paused.reason === undefined || paused.reason === "" ? "" : `, because: ${paused.reason}`;
  return [
    ...ill,
    ...late,
    `${subject}: paused${whose} for ${lasted(paused.since, now)}, longer than ` +
    `${formatDuration(limits.pauseMs)}${why}; to resume: locksmith resume${option}`,
  ];
}

/** A pause of unknown age has lasted too long: nobody can tell that it has not. */
function isForgotten({ since }: Pause, limitMs: number, now: number): boolean {
  return since === undefined || ageMs(since, now) > limitMs;
}

function lasted(since: string | undefined, now: number): string {
  return since === undefined ? "an unknown time" : describeDuration(ageMs(since, now));
}

function ageMs(since: string, now: number): number {
  return Math.max(0, now - Temporal.Instant.from(since).epochMilliseconds);
}

/** A group in figures. */
export function summary({ group, semaphore, queue }: Checked, now: number): string {
  if (semaphore instanceof LockError) return "";
  const paused = pauseInForce(semaphore, now) === undefined ? "" : ", paused";
  if (group === ALL_GROUPS) return `all groups: ${paused === "" ? "not paused" : "paused"}`;
  return `${groupPhrase(group)}: ${Math.max(0, available(semaphore))} of ${semaphore.max} slots free, ` +
    `${queue.length} waiting${paused}`;
}

function withHint({ message, hint }: StoreError | LockError): string {
  return hint === undefined || hint === "" ? message : `${message}; ${hint}`;
}
