/**
 * What people who are logged in are told of a reboot: at the start of their grace, a minute before its end, and if there is
 * none after all. Nobody's reboot fails because of a message that could not be shown, but that is told.
 */

import type { Phase } from "../agent.ts";
import { describeInstant } from "../description.ts";
import { formatDuration } from "../duration.ts";
import type { Log, Surroundings, Timer } from "../surroundings.ts";

/** How long before the reboot the second message comes, in milliseconds. */
export const LAST_CALL_MS = 60_000;

export interface SessionMessagesOptions {
  /** Shows a message on every terminal; resolves to why it could not. */
  show(message: string): Promise<string | null>;
  readonly surroundings: Surroundings;
  readonly zone: string;
  readonly log: Log;
}

/** Phases in which a reboot that was announced still comes. */
const COMING: ReadonlySet<Phase["name"]> = new Set([
  "grace",
  "checking",
  "blocked",
  "preparing",
  "confirming",
  "calling",
  "rebooting",
]);

export class SessionMessages {
  #timer: Timer | undefined;
  #announced = false;

  constructor(private readonly options: SessionMessagesOptions) {}

  /** The machine reboots in `graceMs`. */
  async announce(graceMs: number, reasons: readonly string[]): Promise<void> {
    const { surroundings, zone } = this.options;
    const at = describeInstant(Math.round((surroundings.now() + graceMs) / 1000) * 1000, zone);
    const say = (ms: number) =>
      this.#show(`locksmith reboots this machine in ${formatDuration(ms)}, ${at}: ${reasons.join("; ")}`);
    this.#timer?.cancel();
    this.#announced = true;
    if (graceMs > LAST_CALL_MS) {
      this.#timer = surroundings.after(graceMs - LAST_CALL_MS, () => void say(LAST_CALL_MS));
    }
    await say(graceMs);
  }

  /** What the daemon is doing now. */
  observe(phase: Phase["name"]): void {
    if (!this.#announced || COMING.has(phase)) return;
    this.#announced = false;
    this.#timer?.cancel();
    void this.#show("locksmith does not reboot this machine now: the reboot that was announced is cancelled");
  }

  async #show(message: string): Promise<void> {
    const why = await this.options.show(message);
    if (why !== null) this.options.log("warning", `cannot send a message to logged-in users: ${why}`);
  }
}
