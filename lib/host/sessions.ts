/**
 * Who is logged in, and a message to their terminals.
 *
 * Sessions are logind's. Those that no person sits at (a greeter, a service manager, a batch job) are left out; where
 * logind does not tell the class of a session it counts, for warning too much costs five minutes and warning too little
 * costs somebody's work. When logind cannot be asked at all the answer is unknown, and never "nobody".
 */
import { runChild } from "./child.ts";
import { type Bus, BusError } from "./bus.ts";
import { malformed, managerMethod, plain } from "./logind.ts";

export interface Session {
  readonly id: string;
  readonly uid: number;
  readonly user: string;
  /** Empty for a remote session. */
  readonly seat: string;
}

export type Sessions =
  | { readonly kind: "known"; readonly sessions: readonly Session[] }
  | { readonly kind: "unknown"; readonly why: string };

/** Classes that are a person's: `user`, `user-early`, `user-incomplete`, `user-light` and their like. */
const PERSONAL = /^user(-|$)/;
/** The classes of so many sessions are asked for, so many at once; a session beyond counts as a person's. */
const MAX_CLASSES = 64;
const AT_ONCE = 8;

/** The sessions of people; `timeoutMs` bounds all the questions together. Never throws. */
export async function listSessions(bus: Bus, options: { readonly timeoutMs: number }): Promise<Sessions> {
  const endMs = performance.now() + options.timeoutMs;
  let all: { session: Session; path: string }[];
  try {
    const [list] = await bus.call(managerMethod("ListSessions"), "", [], options);
    if (!Array.isArray(list)) throw malformed("ListSessions", list);
    all = list.map((entry: unknown) => {
      if (!Array.isArray(entry)) throw malformed("ListSessions", list);
      const [id, uid, user, seat, path] = entry as unknown[];
      return {
        session: { id: plain(id), uid: Number(uid), user: plain(user), seat: plain(seat) },
        path: `${path}`,
      };
    });
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return { kind: "unknown", why: `cannot ask logind who is logged in: ${error.detail}` };
  }
  const sessions: Session[] = [];
  for (let i = 0; i < all.length; i += AT_ONCE) {
    const group = all.slice(i, i + AT_ONCE);
    const personal = await Promise.all(group.map(({ path }) => {
      const leftMs = Math.floor(endMs - performance.now());
      return i >= MAX_CLASSES || leftMs < 1 ? true : isPersonal(bus, path, leftMs);
    }));
    sessions.push(...group.filter((_, k) => personal[k]).map(({ session }) => session));
  }
  return { kind: "known", sessions };
}

async function isPersonal(bus: Bus, path: string, timeoutMs: number): Promise<boolean> {
  const get = { ...managerMethod("Get"), path, interface: "org.freedesktop.DBus.Properties" };
  try {
    const [value] = await bus.call(get, "ss", ["org.freedesktop.login1.Session", "Class"], { timeoutMs });
    const inner = typeof value === "object" && value !== null && "data" in value ? value.data : value;
    return typeof inner !== "string" || inner === "" || PERSONAL.test(inner);
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return true;
  }
}

/**
 * Writes `message` to every terminal through the program `wall`. Never throws: nobody's reboot fails because of a
 * message that could not be shown, but it is told.
 */
export async function wall(
  message: string,
  options: { readonly timeoutMs: number; readonly program?: string },
): Promise<{ readonly kind: "sent" } | { readonly kind: "failed"; readonly why: string }> {
  const program = options.program ?? "wall";
  const stdin = message.endsWith("\n") ? message : `${message}\n`;
  const end = await runChild(program, [], { stdin, timeoutMs: options.timeoutMs });
  if (end.kind === "exited" && end.code === 0) return { kind: "sent" };
  const why = end.kind === "not-started"
    ? `cannot run ${program}: ${end.why}`
    : end.kind !== "exited"
    ? `${program} did not end within ${options.timeoutMs} ms`
    : plain(end.stderr) || `${program} exited with ${end.code}`;
  return { kind: "failed", why };
}
