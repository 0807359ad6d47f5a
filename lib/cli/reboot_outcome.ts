/** What a person is told of a reboot that was asked for, whoever keeps the slots. */

import { foresee } from "./dry_run.ts";
import type { RebootMethod } from "../host/reboot.ts";
import { type Machine, machineName } from "../machine.ts";
import { type Output, printError } from "./output.ts";

/** Says how a reboot would end that was not called, and gives the exit code. */
export async function tellRehearsal(
  output: Output,
  method: RebootMethod,
  fresh: boolean,
): Promise<number> {
  const foreseen = await foresee(method);
  const slot = fresh ? "the slot was given back" : "the slot it holds is left unchanged";
  if (foreseen.kind === "refused") {
    printError(output, `the reboot would be refused: ${foreseen.why}`, slot);
    return 1;
  }
  output.out(`dry run: this machine would reboot now, ${foreseen.how}; ${slot}\n`);
  return 0;
}

/** How a reboot ended that was called, or was to be; whoever keeps the slots. */
export type RebootEnd =
  | { readonly kind: "accepted" | "lost" }
  | { readonly kind: "unknown"; readonly why: string }
  | { readonly kind: "refused" | "unprepared"; readonly why: string; readonly slotKept: boolean };

/** Says how it ended, and gives the exit code. */
export function tellEnd(output: Output, { id, hostname }: Machine, end: RebootEnd): number {
  switch (end.kind) {
    case "accepted":
      return 0;
    case "unknown":
      printError(output, `cannot tell whether the reboot was accepted: ${end.why}`, "the slot is kept");
      return 1;
    case "refused":
    case "unprepared": {
      const what = end.kind === "refused" ? "the reboot was refused" : "not rebooting";
      const slot = end.slotKept ? "the slot is left unchanged" : "the slot was given back";
      const without = end.kind === "refused" ? "" : "; --skip-hooks reboots without hooks";
      printError(output, `${what}: ${end.why}`, slot + without);
      return 1;
    }
    case "lost":
      printError(
        output,
        `this machine no longer holds its slot: somebody unlocked ${
          machineName(id, hostname)
        }; not rebooting`,
      );
      return 1;
  }
}
