/** How an administrator is told that there is no slot: in the old words first, and then in ours. */

import type { CommandName } from "./options.ts";
import { clockOf, type Context } from "./command.ts";
import { groupPhrase } from "../group.ts";
import type { Lock } from "../lock.ts";
import { printHint } from "./output.ts";
import { whyNoSlot } from "./report.ts";
import { type AcquireDecision, FRESH } from "../semaphore.ts";
import { describeHold, describeHolder } from "../description.ts";

/** What telling needs of a command's context. */
export type Teller = Pick<Context<CommandName>, "out" | "err" | "surroundings" | "watched" | "screen">;

/** Says why there is no slot for `holder`, and gives the exit code. */
export async function tellRefusal(
  context: Teller,
  lock: Lock,
  holder: string,
  decision: Exclude<AcquireDecision, { kind: "granted" }>,
): Promise<number> {
  const clock = clockOf(context);
  switch (decision.kind) {
    case "held":
      context.err("Error locking: holder exists\n");
      printHint(context, `it already holds a slot: ${describeHolder(holder, decision.hold, clock.now)}`);
      return 1;
    case "full": {
      context.err(`Error locking: semaphore is at ${decision.available}\n`);
      const semaphore = await lock.read().catch(() => undefined);
      const seen = semaphore && { semaphore, all: FRESH, queue: [] };
      if (seen !== undefined) printHint(context, whyNoSlot(lock.group, seen, clock));
      return 1;
    }
    case "paused":
      context.err(
        `Error locking: ${decision.all ? "all groups are" : "group is"} ${
          decision.pause.frozen ? "frozen" : "paused"
        }\n`,
      );
      printHint(
        context,
        `no slots are granted in ${decision.all ? "any group" : groupPhrase(lock.group)}${
          describeHold(decision.pause, clock)
        }`,
      );
      return 1;
  }
}
