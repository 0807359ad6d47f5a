/**
 * Who is logged in, and a message to their terminals.
 *
 * Sessions are logind's. Those that no person sits at (a greeter, a service manager, a batch job) are left out, and so are
 * those that are closing: their person has left, and some process of theirs has not. Where logind does not tell that of a
 * session it counts, for warning too much costs five minutes and warning too little costs somebody's work. When logind
 * cannot be asked at all the answer is unknown, and never "nobody".
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
/** What logind says of so many sessions is asked for, so many at once; a session beyond counts as a person's. */
const MAX_ASKED = 64;
const AT_ONCE = 8;

/** A session as logind lists it; `class` is undefined where the list does not have it. */
interface Listed {
  readonly session: Session;
  readonly path: string;
  readonly class: string | undefined;
}

/** The sessions of people; `timeoutMs` bounds all the questions together. Never throws. */
export async function listSessions(bus: Bus, options: { readonly timeoutMs: number }): Promise<Sessions> {
  const endMs = performance.now() + options.timeoutMs;
  const leftMs = () => Math.floor(endMs - performance.now());
  let listed: Listed[];
  try {
    listed = await listWithClasses(bus, options) ?? await list(bus, { timeoutMs: Math.max(1, leftMs()) });
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return { kind: "unknown", why: `cannot ask logind who is logged in: ${error.detail}` };
  }
  const candidates = listed.filter((each) => each.class === undefined || isPersonal(each.class));
  const sessions: Session[] = [];
  for (let i = 0; i < candidates.length; i += AT_ONCE) {
    const group = candidates.slice(i, i + AT_ONCE);
    const counts = await Promise.all(group.map(({ path }) => {
      const timeoutMs = leftMs();
      return i >= MAX_ASKED || timeoutMs < 1 ? true : isSomebodys(bus, path, timeoutMs);
    }));
    sessions.push(...group.filter((_, k) => counts[k]).map(({ session }) => session));
  }
  return { kind: "known", sessions };
}

/** `ListSessionsEx`, which systemd has from 256 on; `undefined` where it does not. Throws {@linkcode BusError}. */
async function listWithClasses(
  bus: Bus,
  options: { readonly timeoutMs: number },
): Promise<Listed[] | undefined> {
  let reply: readonly unknown[];
  try {
    reply = await bus.call(managerMethod("ListSessionsEx"), "", [], options);
  } catch (error) {
    // the bus lets nobody but root call a method that the logind of that version does not have
    if (error instanceof BusError && (error.kind === "failed" || error.kind === "denied")) return undefined;
    throw error;
  }
  return rows("ListSessionsEx", reply).map((
    [id, uid, user, seat, _leader, kind, _tty, _idle, _since, path],
  ) => ({
    ...listedAs(id, uid, user, seat, path),
    class: typeof kind === "string" ? kind : undefined,
  }));
}

async function list(bus: Bus, options: { readonly timeoutMs: number }): Promise<Listed[]> {
  const reply = await bus.call(managerMethod("ListSessions"), "", [], options);
  return rows("ListSessions", reply).map(([id, uid, user, seat, path]) =>
    listedAs(id, uid, user, seat, path)
  );
}

function rows(member: string, [list]: readonly unknown[]): (readonly unknown[])[] {
  if (!Array.isArray(list)) throw malformed(member, list);
  return list.map((entry: unknown) => {
    if (!Array.isArray(entry)) throw malformed(member, list);
    return entry;
  });
}

function listedAs(id: unknown, uid: unknown, user: unknown, seat: unknown, path: unknown): Listed {
  return {
    session: { id: plain(id), uid: Number(uid), user: plain(user), seat: plain(seat) },
    path: `${path}`,
    class: undefined,
  };
}

function isPersonal(kind: string): boolean {
  return kind === "" || PERSONAL.test(kind);
}

/** Whether a person sits at the session, or may. */
async function isSomebodys(bus: Bus, path: string, timeoutMs: number): Promise<boolean> {
  const getAll = { ...managerMethod("GetAll"), path, interface: "org.freedesktop.DBus.Properties" };
  try {
    const [properties] = await bus.call(getAll, "s", ["org.freedesktop.login1.Session"], { timeoutMs });
    const [kind, state] = [property(properties, "Class"), property(properties, "State")];
    return (typeof kind !== "string" || isPersonal(kind)) && state !== "closing";
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return true;
  }
}

/** A property in a reply of `GetAll`, as `busctl` prints it. */
function property(properties: unknown, name: string): unknown {
  if (typeof properties !== "object" || properties === null) return undefined;
  const value: unknown = Object.getOwnPropertyDescriptor(properties, name)?.value;
  return typeof value === "object" && value !== null && "data" in value ? value.data : value;
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
