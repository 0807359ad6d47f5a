/**
 * `locksmith freeze`: times without reboots of a group or of all, in their documents, so that one command stops all machines
 * that share them.
 */

import { clockOf, type Context, withLock } from "./command.ts";
import { UsageError } from "./config.ts";
import { describeHolders, describeInstant } from "../description.ts";
import { parseFreeze } from "../freeze.ts";
import { ALL_GROUPS, groupFlag, groupPhrase } from "../group.ts";
import type { Lock } from "../lock.ts";
import { printError, printHint, table } from "./output.ts";
import { row } from "./report.ts";
import { freezesAhead, type PlannedFreeze } from "../pause.ts";
import { FREEZES_LIMIT, planFreeze, takeFreezeBack } from "../planned_freezes.ts";
import { isByHand, REBOOTING, type Semaphore } from "../semaphore.ts";
import { didYouMean } from "../suggest.ts";
import { tellCreated } from "./unknown_group.ts";
import { WindowError } from "../window.ts";

type FreezeContext = Context<"freeze">;

/** Exit 1 where there is no such freeze, or there are too many. */
export function freeze(context: FreezeContext): Promise<number> {
  const [verb, ...rest] = context.operands;
  const text = rest.join(" ").trim();
  if (verb === "add") return add(context, text);
  return verb === "remove" ? remove(context, text) : list(context);
}

async function add(context: FreezeContext, text: string): Promise<number> {
  const { config: { zone, json }, surroundings } = context;
  if (json) throw new UsageError(["--json: has no effect with 'add'"]);
  const { from, until, name } = parsed(text, zone);
  if (name === undefined) throw new UsageError(["give the freeze a name: 'remove' needs it"]);
  const now = surroundings.now();
  if (until <= now) {
    throw new UsageError([`freeze '${name}' is over already: it ends ${describeInstant(until, zone)}`]);
  }
  return await withLock(context, async (lock) => {
    const planned = { from: iso(from), until: iso(until), name, by: lock.by, since: iso(now), extra: {} };
    const { before, semaphore, full } = await planFreeze(lock, planned);
    if (full) {
      printError(
        context,
        `${subject(lock.group)} ${FREEZES_LIMIT} freezes ahead, and takes no more`,
        "remove one first, or name a calendar with --freeze-file on each host",
      );
      return 1;
    }
    context.out(`${subject(lock.group)} a freeze ${span(planned, zone)}: ${name}\n`);
    if (before !== undefined) printHint(context, `it replaces the earlier one ${span(before, zone)}`);
    if (from <= now) tellRebooting(context, semaphore, now);
    if (lock.group !== ALL_GROUPS) await tellCreated(context, lock);
    return 0;
  });
}

async function remove(context: FreezeContext, name: string): Promise<number> {
  if (context.config.json) throw new UsageError(["--json: has no effect with 'remove'"]);
  return await withLock(context, async (lock) => {
    const { before, names } = await takeFreezeBack(lock, name);
    if (before !== undefined) {
      context.out(
        `${subject(lock.group)} no freeze '${name}' any more (${span(before, context.config.zone)})\n`,
      );
      return 0;
    }
    printError(
      context,
      `${subject(lock.group)} no freeze '${name}'${didYouMean(name, names)}`,
      listHint(lock),
    );
    return 1;
  });
}

async function list(context: FreezeContext): Promise<number> {
  const { config: { zone, json }, out } = context;
  const { now } = clockOf(context);
  return await withLock(context, async (lock) => {
    const own = lock.group === ALL_GROUPS ? [] : freezesAhead((await lock.read()).freezes, now);
    const all = freezesAhead((await lock.readAll()).freezes, now);
    if (json) {
      const shown = ({ extra, ...known }: PlannedFreeze) => ({ ...known, ...extra });
      out(`${JSON.stringify({ freezes: own.map(shown), freezesAll: all.map(shown) })}\n`);
      return 0;
    }
    const rows = [
      ...own.map((freeze) => [freeze, "this group"] as const),
      ...all.map((freeze) => [freeze, "all groups"] as const),
    ].sort(([a], [b]) => Date.parse(a.from) - Date.parse(b.from));
    if (rows.length === 0) out("no freezes are planned\n");
    else {
      out(table([
        ["FROM", "UNTIL", "NAME", "OF", "BY"],
        ...rows.map(([{ from, until, name, by }, whose]) =>
          row(shownInstant(from, zone), shownInstant(until, zone), name, whose, by)
        ),
      ]));
    }
    return 0;
  });
}

function parsed(text: string, zone: string) {
  try {
    return parseFreeze(text, zone);
  } catch (error) {
    if (error instanceof WindowError) throw new UsageError(error.faults);
    throw error;
  }
}

/** Who may go down all the same: only a reboot that was confirmed before. */
function tellRebooting(context: FreezeContext, semaphore: Semaphore, now: number): void {
  const under = semaphore.holders.filter((id) => {
    const hold = semaphore.holds.get(id);
    return hold?.phase === REBOOTING || isByHand(hold);
  });
  if (under.length === 0) return;
  printHint(context, `machines that may be rebooting already: ${describeHolders(semaphore, under, now)}`);
}

function subject(group: string): string {
  return group === ALL_GROUPS ? "all groups have" : `${groupPhrase(group)} has`;
}

function listHint({ group }: Lock): string {
  return `see them: locksmith freeze list${group === ALL_GROUPS ? " --all" : groupFlag(group)}`;
}

function span({ from, until }: Pick<PlannedFreeze, "from" | "until">, zone: string): string {
  return `from ${shownInstant(from, zone)} until ${shownInstant(until, zone)}`;
}

function shownInstant(text: string, zone: string): string {
  return describeInstant(Temporal.Instant.from(text).epochMilliseconds, zone);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
