/**
 * The API for programs, below `/api/v1/`, as `openapi.json` describes it: what the commands print with `--json`, out of the
 * server's copy, and what operators do to a group. A browser's cookie is no credential here.
 *
 * In an address the default group is called `default`, as in the FleetLock protocol.
 */

import { ALL_GROUPS } from "../group.ts";
import { DurationError, parseDuration } from "../duration.ts";
import { eventsSince } from "../history.ts";
import { historyReport, readHistory } from "../group_history.ts";
import { LockError } from "../lock.ts";
import { faultyGroupJson, pauseJson, statusJson } from "../status.ts";
import { StoreError } from "../store.ts";
import { protocolName } from "../fleetlock/group_name.ts";
import type { Answer, Asked, Door, Route } from "./door.ts";
import { type Fleet, type FleetView, type GroupView, totals } from "./fleet.ts";
import type { Operations, Wish } from "./operations.ts";
import OPENAPI from "./openapi.json" with { type: "json" };

const ROOT = "/api/v1";
const BODY_LIMIT = 8 * 1024;

/** What is asked at a path; a part in braces stands for any. */
export interface Endpoint {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly answer: (asked: Asked, group: string) => Answer | Promise<Answer>;
}

/** A request that cannot be answered, with why. */
class Refusal extends Error {
  constructor(readonly status: number, readonly kind: string, message: string) {
    super(message);
  }
}

export class ApiDoor implements Door {
  readonly routes: readonly Route[];
  readonly endpoints: readonly Endpoint[];

  constructor(private readonly fleet: Fleet, private readonly operations: Operations) {
    const group = `${ROOT}/groups/{group}`;
    this.endpoints = [
      { method: "GET", path: `${ROOT}/openapi.json`, answer: () => json(200, OPENAPI) },
      { method: "GET", path: `${ROOT}/status`, answer: (asked) => this.#status(asked) },
      { method: "GET", path: `${ROOT}/groups`, answer: (asked) => this.#groups(asked) },
      { method: "GET", path: group, answer: (asked, name) => this.#group(asked, name) },
      { method: "GET", path: `${group}/history`, answer: (asked, name) => this.#history(asked, name) },
      ...(["pause", "resume", "freeze", "unfreeze"] as const).map((action): Endpoint => ({
        method: "POST",
        path: `${ROOT}/${action}`,
        answer: (asked) => this.#act(action, asked, ALL_GROUPS),
      })),
      ...(["pause", "resume", "unlock", "max", "freeze", "unfreeze"] as const).map((action): Endpoint => ({
        method: "POST",
        path: `${group}/${action}`,
        answer: (asked, name) => this.#act(action, asked, name),
      })),
    ];
    const whole = this.endpoints.filter(({ path }) => !path.includes("{"));
    this.routes = [
      ...whole.map(({ method, path }) => this.#route(path, [method], path.endsWith(".json"))),
      this.#route(`${ROOT}/groups/*`, ["GET", "POST"], false),
    ];
  }

  #route(path: string, methods: readonly string[], open: boolean): Route {
    return {
      path,
      methods,
      who: open ? "anyone" : ["viewer"],
      bodyLimit: BODY_LIMIT,
      answer: (asked) => this.#answer(asked),
      refusal: refuse,
    };
  }

  async #answer(asked: Asked): Promise<Answer> {
    const method = asked.method === "HEAD" ? "GET" : asked.method;
    for (const endpoint of this.endpoints) {
      const group = match(endpoint.path, asked.path);
      if (group === undefined || endpoint.method !== method) continue;
      try {
        return await endpoint.answer(asked, group);
      } catch (error) {
        if (error instanceof Refusal) return refuse(error.status, error.kind, error.message);
        if (error instanceof StoreError) return refuse(503, "unavailable", error.message);
        if (error instanceof LockError) return refuse(500, "corrupt", `${error.message}; ${error.hint}`);
        throw error;
      }
    }
    return refuse(404, "not_found", "there is nothing here; GET /api/v1/openapi.json lists what there is");
  }

  /** What `asked` may see; of one group where it is named. */
  #view({ caller: { groups } }: Asked, only?: string): FleetView {
    const view = this.fleet.view((group) =>
      (groups?.has(group) ?? true) && (only === undefined || group === only)
    );
    if (view.state.kind === "empty") {
      throw new Refusal(503, "unavailable", view.state.error?.message ?? "the store has not been read yet");
    }
    return view;
  }

  async #status(asked: Asked): Promise<Answer> {
    await this.fleet.past(this.#view(asked).groups.map(({ group }) => group));
    const view = this.#view(asked);
    const { now, state, groups, faulty } = view;
    const { slots, held, free, waiting, overdue } = totals(groups);
    const since = state.kind === "behind"
      ? { since: new Date(state.since).toISOString(), error: state.error.message }
      : {};
    return json(200, {
      time: new Date(now).toISOString(),
      store: { state: state.kind, ...since },
      slots,
      held,
      free,
      waiting,
      overdue,
      pausedAll: groups[0] === undefined ? null : pauseJson(groups[0].seen.all, now),
      corrupt: faulty.map(({ group }) => group),
      groups: groups.map((one) => summary(one)),
    });
  }

  #groups(asked: Asked): Answer {
    const view = this.#view(asked);
    const shown = [
      ...view.groups.map(({ group, seen }) => statusJson(group, seen, view.now)),
      ...view.faulty.map(({ group, fault, waiting }) => faultyGroupJson(group, fault, waiting, view.now)),
    ].sort((a, b) => a.group < b.group ? -1 : 1);
    return json(200, shown, view);
  }

  #group(asked: Asked, group: string): Answer {
    const view = this.#view(asked, group);
    const [one] = view.groups;
    const [broken] = view.faulty;
    if (broken !== undefined) throw new Refusal(500, "corrupt", `${broken.fault}; ${broken.hint}`);
    if (one === undefined) throw unknownGroup(group);
    return json(200, statusJson(group, one.seen, view.now), view);
  }

  async #history(asked: Asked, group: string): Promise<Answer> {
    const view = this.#view(asked, group);
    if (view.groups.length + view.faulty.length === 0) throw unknownGroup(group);
    const since = asked.query.get("since");
    const from = since === null ? undefined : momentOf(since, view.now);
    const { past, events } = await readHistory(this.fleet.sources.store, group, from);
    const wanted = from === undefined ? events : eventsSince(events, from);
    return json(200, historyReport(group, past, events, wanted));
  }

  async #act(action: Wish["action"], asked: Asked, group: string): Promise<Answer> {
    // a browser sends this type from elsewhere only after it has asked, and it is not allowed
    if (!/^application\/json\s*(?:;|$)/i.test(asked.header("content-type") ?? "")) {
      throw new Refusal(415, "bad_request", "send a body of the type application/json");
    }
    const outcome = await this.operations.carryOut(asked.caller, wishOf(action, group, bodyOf(asked)));
    if (outcome.kind === "done" && "audit" in outcome) {
      return { ...json(200, outcome.json), audit: outcome.audit };
    }
    if ("status" in outcome) return refuse(outcome.status, outcome.kind, outcome.why);
    throw new TypeError("an outcome that is neither");
  }
}

/** What a roll-out is at, in a line. */
function summary({ group, seen, holders, waiting, pause, openings, forecast }: GroupView) {
  const { semaphore, overdue } = seen;
  const [window] = openings ?? [];
  return {
    group,
    max: semaphore.max,
    held: holders.length,
    waiting: waiting.length,
    overdue: overdue.length,
    paused: pause !== undefined,
    window: window === undefined
      ? null
      : { start: new Date(window.startMs).toISOString(), end: new Date(window.endMs).toISOString() },
    done: forecast.kind === "done" ? new Date(Math.round(forecast.atMs)).toISOString() : null,
  };
}

/** What a path names in the place of `{group}`, empty where the template has none; `undefined`: another path. */
function match(template: string, path: string): string | undefined {
  const [parts, given] = [template.split("/"), path.split("/")];
  if (parts.length !== given.length) return undefined;
  let group = "";
  for (const [index, part] of parts.entries()) {
    const text = given[index] ?? "";
    if (part !== "{group}") {
      if (part !== text) return undefined;
      continue;
    }
    try {
      group = decodeURIComponent(text);
    } catch {
      return undefined;
    }
    if (group === "") return undefined;
  }
  return group === protocolName("") ? "" : group;
}

function momentOf(text: string, now: number): number {
  try {
    return now - parseDuration(text);
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
  }
  try {
    return Temporal.Instant.from(text).epochMilliseconds;
  } catch {
    throw new Refusal(
      400,
      "bad_request",
      "since is neither a duration such as 24h nor an instant with its offset",
    );
  }
}

function bodyOf({ body }: Asked): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new Refusal(400, "bad_request", "the body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Refusal(400, "bad_request", "the body is not an object");
  }
  return { ...value };
}

function wishOf(action: Wish["action"], group: string, body: Readonly<Record<string, unknown>>): Wish {
  const isFreeze = action === "freeze" || action === "unfreeze";
  const about = { group, reason: textOf(body, isFreeze ? "name" : "reason") };
  switch (action) {
    case "pause":
      return { ...about, action, forMs: "for" in body ? lengthOf(textOf(body, "for")) : undefined };
    case "resume":
      return { ...about, action };
    case "unlock":
      return {
        ...about,
        action,
        holder: textOf(body, "holder"),
        ...("since" in body ? { since: textOf(body, "since") } : {}),
      };
    case "max": {
      const { max } = body;
      if (typeof max !== "number") throw new Refusal(400, "bad_request", "max is missing, or not a number");
      return { ...about, action, max };
    }
    case "freeze":
      return {
        ...about,
        action,
        dates: textOf(body, "dates"),
        zone: "zone" in body ? textOf(body, "zone") : "UTC",
      };
    case "unfreeze":
      return { ...about, action };
  }
}

function textOf(body: Readonly<Record<string, unknown>>, field: string): string {
  const value = body[field];
  if (typeof value !== "string") {
    throw new Refusal(400, "bad_request", `${field} is missing, or not a string`);
  }
  return value;
}

function lengthOf(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    throw new Refusal(400, "bad_request", `for: ${error.reason}`);
  }
}

function unknownGroup(group: string): Refusal {
  return new Refusal(404, "unknown_group", `nothing is stored for group ${protocolName(group)}`);
}

function refuse(status: number, kind: string, value: string): Answer {
  return { ...json(status, { kind, value }), kind };
}

/** With `view`: whether the answer is as new as the store, or of how long ago. */
function json(status: number, value: unknown, view?: FleetView): Answer {
  const since = view?.state.kind === "behind"
    ? { "locksmith-store-away-since": new Date(view.state.since).toISOString() }
    : {};
  return {
    status,
    headers: {
      "content-type": "application/json; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...since,
    },
    body: `${JSON.stringify(value)}\n`,
  };
}
