/** The hooks of a reboot on a person's word: what they print is shown. */

import type { Context } from "./command.ts";
import { OwnedFileError } from "../host/owned_file.ts";
import { PreparedRecord } from "../host/prepared_record.ts";
import { hasParts } from "../host/run_parts.ts";
import type { Machine } from "../machine.ts";
import type { ManualHooks } from "../manual_reboot.ts";
import { oneLine, printWarning } from "./output.ts";

/** Those of this host, unless it has none or they are not wanted. */
export async function manualHooks(
  context: Context<"reboot">,
  machine: Machine,
): Promise<{ readonly hooks?: ManualHooks }> {
  const { root, group, reason, "skip-hooks": unwanted, "hook-timeout": timeoutMs } = context.config;
  if (unwanted || !await hasParts(root, "pre-reboot", "post-boot")) return {};
  const { Hooks } = await import("../host/hooks.ts");
  const record = new PreparedRecord(root, machine.bootId);
  const log = (_: unknown, text: string) => context.err(`locksmith: ${oneLine(text)}\n`);
  const hooks = new Hooks({ root, group, machine, timeoutMs, record, log });
  // the daemon goes by what it has prepared itself
  const foreign = await record.state().catch(unlessUnknown) === "prepared";
  return {
    hooks: {
      async prepare() {
        const reasons = reason === undefined ? [] : [reason];
        const outcome = await hooks.run({ kind: "hooks", when: "pre-reboot", reasons });
        return outcome.kind === "hooked" ? null : outcome.why;
      },
      async takeBack() {
        if (foreign) return;
        const outcome = await hooks.run({ kind: "hooks", when: "post-boot", rebooted: false });
        if (outcome.kind === "hooked") return;
        printWarning(
          context,
          `what was prepared for the reboot cannot be taken back: ${outcome.why}; the daemon tries again when it starts`,
        );
      },
    },
  };
}

/** What cannot be read cannot be written either, and is told when the hooks are to run. */
function unlessUnknown(error: unknown): undefined {
  if (!(error instanceof OwnedFileError)) throw error;
}
