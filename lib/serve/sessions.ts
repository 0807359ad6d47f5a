/**
 * Who is signed in on the page. A session lives in the memory of this server, and for so long as the credential that
 * opened it is good: that is judged again at each request, so a token that is revoked ends its sessions at once. A
 * restart signs everybody out, and so does another server behind the same address.
 *
 * A forged request cannot use one: the cookie is not sent from elsewhere, a change needs a proof that only this server's
 * own forms have, and the browser's word that it comes from here.
 */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Asked, Caller } from "./door.ts";
import type { Surroundings } from "../surroundings.ts";

/** How long a session lasts at most, in milliseconds. */
export const SESSION_MS = 8 * 3_600_000;
/** So many there are at most; one more ends the oldest. */
export const SESSIONS_MOST = 1_000;

export interface Session {
  readonly caller: Caller;
  /** What a form of this session sends along. */
  readonly proof: string;
  /** What is to be said when the page is shown next. */
  told: string | undefined;
}

interface Kept extends Session {
  readonly id: string;
  readonly endsMs: number;
  /** Judges the credential again. */
  readonly judge: (asked: Asked) => Caller | undefined;
  caller: Caller;
}

/** What sessions rest on. */
export interface SessionRules {
  readonly surroundings: Pick<Surroundings, "elapsed">;
  /** Whether this server speaks TLS: then no cookie goes out in the clear. */
  readonly secure: boolean;
  /** Whose token it is; `undefined`: nobody's. */
  judge(token: string): Caller | undefined;
}

export class Sessions {
  readonly #kept = new Map<string, Kept>();

  constructor(private readonly rules: SessionRules) {}

  /** The session of a request, if it has one that is still good. */
  find(asked: Asked): Session | undefined {
    const id = cookies(asked.header("cookie")).get(this.#cookieName);
    const kept = id === undefined ? undefined : this.#kept.get(digest(id));
    if (kept === undefined) return undefined;
    const caller = kept.judge(asked);
    if (caller === undefined || !mayLook(caller) || this.rules.surroundings.elapsed() > kept.endsMs) {
      this.#kept.delete(kept.id);
      return undefined;
    }
    kept.caller = caller;
    return kept;
  }

  /** Opens a session for whoever has `token`, or is known by the request itself; gives its cookie, or `undefined`. */
  open(asked: Asked, token: string | undefined): string | undefined {
    const judge = token === undefined
      ? ({ caller }: Asked) => caller.name === asked.caller.name ? caller : undefined
      : () => this.rules.judge(token);
    const caller = judge(asked);
    if (caller === undefined || !mayLook(caller)) return undefined;
    const secret = randomBytes(32).toString("base64url");
    const id = digest(secret);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= SESSIONS_MOST && oldest !== undefined) this.#kept.delete(oldest);
    const endsMs = this.rules.surroundings.elapsed() + SESSION_MS;
    const proof = randomBytes(32).toString("base64url");
    this.#kept.set(id, { id, endsMs, judge, caller, proof, told: undefined });
    return this.#cookie(secret, SESSION_MS / 1000);
  }

  /** Ends a session; gives the cookie that takes its place. */
  close(session: Session | undefined): string {
    for (const [id, kept] of this.#kept) if (kept === session) this.#kept.delete(id);
    return this.#cookie("", 0);
  }

  get #cookieName(): string {
    return this.rules.secure ? "__Host-locksmith" : "locksmith";
  }

  #cookie(value: string, seconds: number): string {
    return `${this.#cookieName}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${seconds}` +
      (this.rules.secure ? "; Secure" : "");
  }
}

/** Whether a caller may look at all groups' state. */
export function mayLook({ role }: Caller): boolean {
  return role === "operator" || role === "viewer";
}

/** Whether a form was sent by this session's own page. */
export function isProven(session: Session, proof: string | undefined): boolean {
  const [given, own] = [Buffer.from(proof ?? ""), Buffer.from(session.proof)];
  return given.length === own.length && timingSafeEqual(given, own);
}

/** Whether the browser says that a request comes from a page of this very server. One that says nothing does not count. */
export function isFromHere(asked: Asked): boolean {
  const site = asked.header("sec-fetch-site");
  if (site !== undefined && site !== "same-origin") return false;
  const origin = asked.header("origin");
  if (origin === undefined) return site === "same-origin";
  return URL.canParse(origin) && new URL(origin).host === asked.header("host")?.toLowerCase();
}

function cookies(header: string | undefined): Map<string, string> {
  return new Map(
    (header ?? "").split(";").map((pair) => {
      const [name = "", ...value] = pair.split("=");
      return [name.trim(), value.join("=").trim()];
    }),
  );
}

/** Sessions are kept by this, so that how long a look-up takes says nothing of the secret. */
function digest(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
