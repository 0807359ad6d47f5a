/**
 * `locksmith simulate`: when a roll-out would finish, on the rules of the program and with no store at all. As text, as
 * JSON and as a picture; and the other way round, which max is enough to finish in time.
 */

import type { Context } from "./command.ts";
import type { ScheduleConfig } from "./schedule_config.ts";
import { LiveSchedule } from "./live_schedule.ts";
import { formatDuration } from "../duration.ts";
import { leastMax, type Limit } from "../simulation/least_max.ts";
import { printError } from "./output.ts";
import { type Rollout, simulateRollout } from "../simulation/rollout.ts";
import type { RolloutPlan } from "../simulation/plan.ts";
import { rolloutCaption, rolloutReport, rolloutText } from "./rollout_report.ts";
import { reasonOf } from "../system_error.ts";
import { timelineSvg } from "../simulation/timeline.ts";

const PROGRESS_INTERVAL_MS = 250;
/** In place of a file. */
const STDOUT = "-";

/** Exit 1 where the roll-out never finishes, or not in time, or the picture cannot be written. */
export async function simulate(context: Context<"simulate">): Promise<number> {
  const { config: { svg, zone, json, schedule: configured, moment }, surroundings, out } = context;
  const startMs = moment?.epochMilliseconds ?? surroundings.now();
  const schedule = (await LiveSchedule.open(configured, 0, startMs)).at(startMs);
  const plan = { ...context.config.plan, schedule, startMs };
  try {
    // told now, and not after a minute of work
    if (svg !== undefined && svg !== STDOUT) await writeWhole(svg, undefined);
    const rollout = await play(context, plan);
    if (rollout === null) {
      printError(context, `no max lets this roll-out finish within ${withinText(context.config.within)}`);
      return 1;
    }
    const note = windowNote(configured);
    if (svg !== undefined) {
      const picture = timelineSvg(rollout, zone, rolloutCaption(rollout, zone, note));
      if (svg === STDOUT) out(picture);
      else await writeWhole(svg, picture);
    }
    if (json) out(`${JSON.stringify(rolloutReport(rollout, zone))}\n`);
    else if (svg !== STDOUT) out(foundText(context, rollout) + rolloutText(rollout, zone, note));
    return rollout.throughMs === null ? 1 : 0;
  } catch (error) {
    if (!(error instanceof WriteError)) throw error;
    printError(context, error.message, "name another file with --svg");
    return 1;
  }
}

/** Whose window it is, where the command line does not say so. */
function windowNote({ origin, schedule: { windows } }: ScheduleConfig): string {
  return origin === undefined || origin.startsWith("--")
    ? ""
    : ` (this host's ${windows.length === 1 ? "window" : "windows"}, set by ${origin})`;
}

function foundText({ config: { within } }: Context<"simulate">, { plan: { max } }: Rollout): string {
  return within === undefined
    ? ""
    : `max ${max} is the smallest that finishes within ${withinText(within)}\n\n`;
}

function withinText(within: Limit | undefined): string {
  if (within === undefined) return "";
  return "ms" in within
    ? formatDuration(within.ms)
    : `${within.windows} window${within.windows === 1 ? "" : "s"}`;
}

/** Plays it, and tells who watches how far it is; `null`: there is no max that is enough. */
async function play(context: Context<"simulate">, plan: RolloutPlan): Promise<Rollout | null> {
  const { surroundings, watched, err, config: { within } } = context;
  let nextMs = surroundings.elapsed() + PROGRESS_INTERVAL_MS;
  let told = false;
  const tell = (done: number, max: number) => {
    if (!watched || surroundings.elapsed() < nextMs) return;
    nextMs = surroundings.elapsed() + PROGRESS_INTERVAL_MS;
    told = true;
    const which = within === undefined ? "" : `max ${max}: `;
    err(`\r\u001b[Klocksmith: ${which}${done} of ${plan.machines} machines are done`);
  };
  try {
    return within === undefined
      ? await simulateRollout(plan, (done) => tell(done, plan.max))
      : await leastMax(plan, within, (max, done) => tell(done, max));
  } finally {
    if (told) err("\r\u001b[K");
  }
}

class WriteError extends Error {
  override readonly name = "WriteError";
}

/**
 * Puts `text` into the file `path`: whole, or not at all. Without `text` it only tries whether that can be done. Throws
 * {@linkcode WriteError}.
 */
async function writeWhole(path: string, text: string | undefined): Promise<void> {
  const refuse = (why: string) => new WriteError(`cannot write '${path}': ${why}`);
  try {
    // a link stays, and what it points to is replaced
    const target = await Deno.realPath(path).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return path;
      throw error;
    });
    const found = await Deno.stat(target).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    });
    if (found?.isDirectory) throw refuse("it is a directory");
    if (found !== undefined && !found.isFile) throw refuse("it is not a regular file");
    const draft = `${target}.${Deno.pid}.new`;
    await Deno.writeTextFile(draft, text ?? "", { createNew: true });
    try {
      // a new file has what the umask leaves
      if (found !== undefined && found.mode !== null) await Deno.chmod(draft, found.mode & 0o777);
      if (text !== undefined) await Deno.rename(draft, target);
    } finally {
      await Deno.remove(draft).catch(() => {});
    }
  } catch (error) {
    if (error instanceof WriteError || !(error instanceof Error)) throw error;
    throw refuse(reasonOf(error));
  }
}
