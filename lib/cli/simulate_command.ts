/**
 * `locksmith simulate`: when a roll-out would be through, on the rules of the program and with no store at all. As text,
 * as JSON and as a picture.
 *
 * The options alone say what is simulated, but for the zone: the windows of this host are not those of the fleet.
 */

import { type Context, flag, limitOperands, option, throwFaults, UsageError } from "./command.ts";
import { parseDuration } from "../duration.ts";
import { printError } from "./output.ts";
import { type Rollout, simulateRollout } from "../simulation/rollout.ts";
import { LENGTH_LIMIT_MS, MACHINES_LIMIT, planFaults, type RolloutPlan } from "../simulation/plan.ts";
import { rolloutCaption, rolloutReport, rolloutText } from "./rollout_report.ts";
import { MAX_LIMIT } from "../semaphore.ts";
import { timelineSvg } from "../simulation/timeline.ts";
import { atOption, windowOption, zoneOption } from "./window_options.ts";

const DEFAULT_REBOOT_TIME = "60s";
const PROGRESS_INTERVAL_MS = 250;

/** Exit 1 where the roll-out is never through, or the picture cannot be written. */
export async function simulate(context: Context): Promise<number> {
  limitOperands(context, 0);
  const { settings: { faults } } = context;
  const zone = zoneOption(context);
  const plan = planOptions(context, zone);
  const svg = option(context, "svg");
  if (svg === "") faults.push("--svg: the name of the file is empty");
  throwFaults(faults);
  if (plan === undefined) throw new UsageError(["the configuration cannot be used"]);
  try {
    // told now, and not after a minute of work
    if (svg !== undefined) await writeWhole(svg, undefined);
    const rollout = await play(context, plan);
    if (svg !== undefined) await writeWhole(svg, timelineSvg(rollout, zone, rolloutCaption(rollout, zone)));
    context.out(
      flag(context, "json")
        ? `${JSON.stringify(rolloutReport(rollout, zone))}\n`
        : rolloutText(rollout, zone),
    );
    return rollout.throughMs === null ? 1 : 0;
  } catch (error) {
    if (!(error instanceof WriteError)) throw error;
    printError(context, error.message, "name another file with --svg");
    return 1;
  }
}

/** What the options ask for; `undefined` after adding to the faults. */
function planOptions(context: Context, zone: string): RolloutPlan | undefined {
  const { faults } = context.settings;
  const before = faults.length;
  if (option(context, "machines") === undefined) {
    faults.push(`--machines is missing: how many machines there are, from 1 to ${MACHINES_LIMIT}`);
  }
  const machines = numberOption(context, "machines", 1, MACHINES_LIMIT, 1);
  const max = numberOption(context, "max", 0, MAX_LIMIT, 1);
  const seed = numberOption(context, "seed", 0, 2 ** 32 - 1, 1);
  const rebootMs = rebootTimeOption(context);
  const graceMs = lengthOf(context, "grace", option(context, "grace") ?? "0s", 0);
  const schedule = windowOption(context, "window");
  const at = atOption(context, zone);
  if (rebootMs === undefined || graceMs === undefined || schedule === undefined || at === undefined) {
    return undefined;
  }
  const plan = { machines, max, rebootMs, schedule, graceMs, startMs: at.epochMilliseconds, seed };
  // what each option allows by itself is checked; this is what they come to together
  if (faults.length === before) {
    faults.push(...planFaults(plan).map((fault) => `--machines, --max: ${fault}`));
  }
  return plan;
}

function numberOption(context: Context, name: string, from: number, to: number, fallback: number): number {
  const text = option(context, name);
  if (text === undefined) return fallback;
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : NaN;
  if (value >= from && value <= to) return value;
  context.settings.faults.push(`--${name}: '${text}' is not a whole number from ${from} to ${to}`);
  return fallback;
}

/** `90s`, or `60s..180s` for something between the two. */
function rebootTimeOption(context: Context): RolloutPlan["rebootMs"] | undefined {
  const name = "reboot-time";
  const text = option(context, name) ?? DEFAULT_REBOOT_TIME;
  const [first = "", second, ...more] = text.split("..");
  if (more.length > 0) {
    context.settings.faults.push(`--${name}: '${text}' has more than a shortest and a longest: 60s..180s`);
    return undefined;
  }
  const from = lengthOf(context, name, first, 1);
  const to = second === undefined ? from : lengthOf(context, name, second, 1);
  if (from === undefined || to === undefined) return undefined;
  if (from <= to) return { from, to };
  context.settings.faults.push(`--${name}: '${text}' has the longest first: write ${second}..${first}`);
  return undefined;
}

/** A length of at least `leastMs` and at most a day, in milliseconds. */
function lengthOf(context: Context, name: string, text: string, leastMs: number): number | undefined {
  const { faults } = context.settings;
  try {
    const ms = parseDuration(text);
    if (ms >= leastMs && ms <= LENGTH_LIMIT_MS) return ms;
    faults.push(`--${name}: '${text}' is not from ${leastMs === 0 ? "0s" : `${leastMs}ms`} to 24h`);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    faults.push(`--${name}: ${error.message}`);
  }
  return undefined;
}

/** Plays it, and tells who watches how far it is. */
async function play(context: Context, plan: RolloutPlan): Promise<Rollout> {
  if (!context.watched) return await simulateRollout(plan);
  const { surroundings } = context;
  let nextMs = surroundings.elapsed() + PROGRESS_INTERVAL_MS;
  let told = false;
  try {
    return await simulateRollout(plan, (done) => {
      if (surroundings.elapsed() < nextMs) return;
      nextMs = surroundings.elapsed() + PROGRESS_INTERVAL_MS;
      told = true;
      context.err(`\rlocksmith: ${done} of ${plan.machines} machines are through`);
    });
  } finally {
    if (told) context.err("\r\u001b[K");
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
    if (found?.isDirectory) throw refuse("it is a folder");
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
    throw refuse(whyNot(error));
  }
}

function whyNot(error: Error): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such folder";
  if (error instanceof Deno.errors.NotADirectory) return "what stands before the last / is not a folder";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotCapable) {
    return "the program may write nothing below /dev, /proc and /sys";
  }
  return error.message;
}
