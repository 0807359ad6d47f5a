/**
 * What the log says of requests. A change by a person is an audit line, with who it was, from where, and the request; a
 * change by a host is told too. Who was not let in, by the server or by a door, is told once a minute for each reason;
 * everything else only with `--debug`. No credential and no body ever gets there.
 */

import type { Answer, Caller } from "./door.ts";
import type { Outcome } from "./exchange.ts";
import { plainLine } from "../plain_text.ts";
import type { Log, Surroundings } from "../surroundings.ts";

/** A request, as far as the log tells of it. */
export interface Told {
  readonly method: string;
  readonly path: string;
  readonly caller: Caller;
  readonly address: string;
  readonly requestId: string;
  readonly outcome: Outcome;
  /** Why it was not let in, in words that only the log has. */
  readonly why: string | undefined;
}

/** Refusals of one caller for one reason are told once in so long, in milliseconds; and so many are remembered. */
const REMIND_MS = 60_000;
const REMEMBERED_MAX = 1_000;
const NAME_MAX = 80;
const PATH_MAX = 120;

export class Journal {
  readonly #refused = new Map<string, number>();

  /** `debugging`: whether lines of the level `debug` are wanted, since one for each request costs something. */
  constructor(
    private readonly log: Log,
    private readonly surroundings: Pick<Surroundings, "elapsed">,
    private readonly debugging: boolean,
  ) {}

  tell({ method, path, caller, address, requestId, outcome, why }: Told): void {
    const error = outcome === "gone" ? undefined : outcome.error;
    const audit = outcome === "gone" ? undefined : outcome.answer.audit;
    const barred = why ?? (outcome === "gone" ? undefined : barredBy(outcome.answer));
    const quiet = error === undefined && audit === undefined && barred === undefined;
    if (quiet && !this.debugging) return;
    const who = outcome === "gone" ? caller : outcome.answer.by ?? caller;
    const from = `${plainLine(who.name, NAME_MAX)} (${address})`;
    const what = `${from}: ${plainLine(method, NAME_MAX)} ${plainLine(path, PATH_MAX)}`;
    if (outcome === "gone") return this.debug(`${what}: gone [${requestId}]`);
    const { status, kind } = outcome.answer;
    if (error !== undefined) {
      const { name, message, stack = "" } = error instanceof Error ? error : new Error(String(error));
      this.log("error", `${what}: ${status}: this is a bug: ${name}: ${message} [${requestId}]`);
      this.debug(stack);
    } else if (audit !== undefined) {
      const person = who.role === "operator";
      this.log(person ? "notice" : "info", `${person ? "audit: " : ""}${from}: ${audit} [${requestId}]`);
    } else if (barred !== undefined) {
      // what a caller tries is its own choice, and not to be a line each
      this.#refusal(`${what}: ${status}: ${why ?? ""}`, `${what}: ${status}: ${barred} [${requestId}]`);
    } else this.debug(`${what}: ${status}${kind === undefined ? "" : ` ${kind}`} [${requestId}]`);
  }

  debug(text: string): void {
    if (this.debugging) this.log("debug", text);
  }

  #refusal(reason: string, text: string): void {
    const now = this.surroundings.elapsed();
    const at = this.#refused.get(reason);
    if (at !== undefined && now - at < REMIND_MS) return;
    if (this.#refused.size >= REMEMBERED_MAX) this.#refused.clear();
    this.#refused.set(reason, now);
    this.log("notice", text);
  }
}

/** Why a door does not let its caller in, or `undefined` where it does. */
function barredBy({ status, why, kind = "refused" }: Answer): string | undefined {
  return status === 401 || status === 403 ? why ?? kind : undefined;
}
