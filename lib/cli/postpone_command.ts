/**
 * To hold the reboots of this host off: `postpone` until a time, `reboot --cancel` what is under way now.
 *
 * Both leave a file that the daemon sees within seconds. They wait until it has, or until it shows that it is too late, and
 * say which.
 */

import { administrator, type Context } from "./command.ts";
import { describeInstant } from "../description.ts";
import { formatDuration } from "../duration.ts";
import { describePostponement, postponedFile, type Postponement, readDisabled } from "../host/hold_off.ts";
import { readMachineFile } from "../host/machine_file.ts";
import { OwnedFileError, removeOwned } from "../host/owned_file.ts";
import type { MachineReport } from "../machine_report.ts";
import { REQUEST_FILE } from "../need/request.ts";
import { type Output, printError, printHint, printWarning } from "./output.ts";
import { zoneOfHost } from "./process.ts";
import { below } from "./settings.ts";
import { sleep } from "../surroundings.ts";
import { parsePauseLength } from "./values.ts";

/** For how long `reboot --cancel` postpones, in milliseconds. */
const CANCEL_MS = 60 * 60_000;
/** How long the daemon may take to see it, in milliseconds. */
const SEEN_MS = 10_000;
const LOOK_MS = 100;

type PostponeContext =
  & Pick<Context<"postpone">, "surroundings" | "out" | "err">
  & { readonly config: Pick<Context<"postpone">["config"], "root" | "reason"> };

export async function postpone(context: Context<"postpone">): Promise<number> {
  const { config, operands: [length] } = context;
  if (config.cancel) return await ended(context);
  if (length === undefined) return await show(context);
  const { reason } = config;
  return await asRoot(context, async () => {
    const left = await leave(context, parsePauseLength(length), reason);
    return await outcome(context, left, await seen(context, left.until));
  });
}

/** Takes back what is under way: a reboot that was asked for, a place in the line, the grace. */
export async function cancelReboot(context: Context<"reboot">): Promise<number> {
  const { config: { root, reason }, out } = context;
  return await asRoot(context, async () => {
    const left = await leave(context, CANCEL_MS, reason ?? "locksmith reboot --cancel");
    const after = await seen(context, left.until);
    const code = await outcome(context, left, after);
    if (code === 0 && await removeOwned(below(root, REQUEST_FILE))) {
      out("the reboot that was asked for with 'locksmith send-need-reboot' is no longer asked for\n");
    }
    return code;
  });
}

/** A postponement that was left, and what the daemon was doing right before; `null`: none runs. */
interface Left extends Postponement {
  readonly ms: number;
  readonly before: MachineReport | null;
}

async function leave(
  context: PostponeContext,
  ms: number,
  reason: string | undefined,
): Promise<Left> {
  const { config: { root }, surroundings } = context;
  const now = surroundings.now();
  const until = new Date(Math.ceil((now + ms) / 1000) * 1000).toISOString();
  const by = await administrator(root);
  const before = await readMachineFile(root, now);
  const postponement = { until, by, ...(reason === undefined ? {} : { reason }) };
  await fileOf(root, context).write(postponement);
  return { ...postponement, ms, before };
}

/**
 * What the daemon says once it has seen it, or it is too late; `null`: none runs, or none answers. While it calls the reboot
 * it has either seen it before, and gives up, or it reboots.
 */
async function seen(
  { config: { root }, surroundings }: PostponeContext,
  until: string,
): Promise<MachineReport | null> {
  const endMs = surroundings.elapsed() + SEEN_MS;
  for (;;) {
    const report = await readMachineFile(root, surroundings.now());
    if (report === null || report.state === "rebooting") return report;
    if (report.state !== "calling" && report.heldOff !== undefined) {
      // disabled beside it: that lasts longer
      if (report.heldOff.until === undefined || isSame(report.heldOff.until, until)) return report;
    }
    if (surroundings.elapsed() > endMs) return report.state === "calling" ? report : null;
    await sleep(surroundings, LOOK_MS);
  }
}

function isSame(a: string | undefined, b: string): boolean {
  return a !== undefined && Date.parse(a) === Date.parse(b);
}

/** Says what came of it, and gives the exit code. */
async function outcome(
  context: PostponeContext,
  left: Left,
  after: MachineReport | null,
): Promise<number> {
  const { root } = context.config;
  if (after?.state === "rebooting" || after?.state === "calling") {
    await removeOwned(fileOf(root, context).path);
    printError(
      context,
      "too late: the reboot of this machine has been called already",
      "the machine is going down",
    );
    return 1;
  }
  const when = describeInstant(Date.parse(left.until), zoneOfHost());
  context.out(`reboots by the daemon are postponed until ${when} (${formatDuration(left.ms)})\n`);
  printHint(context, `'locksmith postpone --cancel' ends that; ${whatStopped(left.before, after)}`);
  return 0;
}

function whatStopped(before: MachineReport | null, after: MachineReport | null): string {
  if (before === null) return "no daemon is running on this host: one that starts will keep to it";
  if (after === null) return "the daemon has not said yet that it has seen it";
  switch (before.state) {
    case "waiting":
    case "inquiring":
      return "the daemon has left the line";
    case "grace":
    case "checking":
    case "blocked":
    case "preparing":
    case "confirming":
    case "calling":
      return "the reboot that was about to come is cancelled, and the slot goes back";
    default:
      return before.need.kind === "needed"
        ? "the daemon has seen it; a reboot is needed, and comes later"
        : "the daemon has seen it; no reboot is needed now";
  }
}

async function ended(context: Context<"postpone">): Promise<number> {
  const { config: { root }, operands, out } = context;
  if (operands.length > 0) {
    printError(context, `--cancel takes no duration: '${operands[0]}'`);
    return 2;
  }
  return await asRoot(context, async () => {
    const was = await removeOwned(fileOf(root, context).path);
    out(was ? "reboots are no longer postponed\n" : "reboots are not postponed: nothing to cancel\n");
    const disabled = await readDisabled(root);
    if (disabled !== null) printHint(context, `${disabled}; remove the file to allow them`);
    return 0;
  });
}

async function show(context: Context<"postpone">): Promise<number> {
  const { config: { root }, surroundings, out } = context;
  const disabled = await readDisabled(root);
  if (disabled !== null) out(`${disabled}\n`);
  const postponed = await readPostponement(context);
  if (postponed !== null && Date.parse(postponed.until) > surroundings.now()) {
    out(`${describePostponement(postponed, zoneOfHost())}\n`);
  } else if (disabled === null) out("reboots are not postponed\n");
  return 0;
}

/** What holds a reboot by hand off, for people; `null`: nothing. */
export async function whyHeldOff(context: PostponeContext): Promise<string | null> {
  const { config: { root }, surroundings } = context;
  const disabled = await readDisabled(root);
  if (disabled !== null) return disabled;
  const postponed = await readPostponement(context);
  if (postponed === null || Date.parse(postponed.until) <= surroundings.now()) return null;
  return describePostponement(postponed, zoneOfHost());
}

async function readPostponement(context: PostponeContext): Promise<Postponement | null> {
  try {
    return await fileOf(context.config.root, context).read();
  } catch (error) {
    if (!(error instanceof OwnedFileError)) throw error;
    printWarning(context, error.message);
    return null;
  }
}

function fileOf(root: string, output: Output) {
  return postponedFile(root, (_, text) => printWarning(output, text));
}

/** Does `work`, whose files only root may write. */
async function asRoot(context: PostponeContext, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof OwnedFileError)) throw error;
    const hint = Deno.uid() === 0 ? undefined : "only root can hold reboots off";
    printError(context, error.message, hint);
    return 1;
  }
}
