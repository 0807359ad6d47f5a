/** The hooks of a reboot on a person's word: what they print is shown. */

import type { Context } from "./command.ts";
import { LockedFileError } from "../host/locked_file.ts";
import { OwnedFileError } from "../host/owned_file.ts";
import { PreparedRecord } from "../host/prepared_record.ts";
import { hasParts } from "../host/run_parts.ts";
import type { Machine } from "../machine.ts";
import type { ManualHooks } from "../manual_reboot.ts";
import { oneLine, printError, printWarning } from "./output.ts";
import { sleep, type Surroundings } from "../surroundings.ts";

/** How long another process may be about the hooks before they are left to it, in milliseconds: one that only looks is gone. */
const CLAIM_MS = 2_000;
const LOOK_MS = 100;

/** Those of this host, unless it has none or none are to run; `null`: they cannot be had, and that was told. */
export async function manualHooks(
  context: Context<"reboot">,
  machine: Machine,
): Promise<{ readonly hooks?: ManualHooks } | null> {
  const { root, group, reason, "skip-hooks": unwanted, "dry-run": dryRun } = context.config;
  if (unwanted || dryRun || !await hasParts(root, "pre-reboot", "post-boot")) return {};
  const { Hooks } = await import("../host/hooks.ts");
  const record = new PreparedRecord(root, machine.bootId);
  const fault = await claim(record, context.surroundings);
  if (fault !== null) {
    printError(
      context,
      `not rebooting: ${fault.message}`,
      `${fault.hint}; --skip-hooks reboots without hooks`,
    );
    return null;
  }
  const log = (_: unknown, text: string) => context.err(`locksmith: ${oneLine(text)}\n`);
  const hooks = new Hooks({ root, group, machine, timeoutMs: context.config["hook-timeout"], record, log });
  // whoever prepared it is gone, and a reboot that it called may still come
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

/** Why this process cannot run hooks; `null`: it can, and no other. */
async function claim(record: PreparedRecord, surroundings: Surroundings): Promise<LockedFileError | null> {
  for (const endMs = surroundings.elapsed() + CLAIM_MS;;) {
    try {
      await record.claim();
      return null;
    } catch (error) {
      if (!(error instanceof LockedFileError)) throw error;
      if (error.kind !== "held" || surroundings.elapsed() >= endMs) return error;
    }
    await sleep(surroundings, LOOK_MS);
  }
}
