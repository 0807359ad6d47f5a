/**
 * The drawing of the agent, made from the agent: `step` is tried in every state that it can get into, with everything
 * that can come there, at every kind of moment.
 *
 * That is a finite number, because all that counts of a time is what it is before: of the clock that does not leap
 * whether what the state waits for is over, of the wall clock whether a window is closed, open, or open without room
 * for the grace. The wall clock may leap from any of these to any other at every step, as a real one may.
 */

import {
  type Agent,
  type AgentConfig,
  type Effect,
  type Event,
  type Inquiry,
  type Phase,
  START,
} from "../../lib/agent.ts";
import type { Need } from "../../lib/need.ts";
import type { WindowState } from "../../lib/strategy.ts";
import { BLOCKED_PATIENCE_MS } from "../../lib/course.ts";
import { step } from "../../lib/transitions.ts";

export type PhaseName = Phase["name"];
/** Where it starts, or a state. */
export type Source = "[*]" | PhaseName;

/** An arrow: from a state to a state, and what may cause that. */
export interface Edge {
  readonly from: Source;
  readonly to: PhaseName;
  readonly events: readonly Event["kind"][];
}

/** Every state, and what the page says of it. */
export const PHASES: Readonly<Record<PhaseName, string>> = {
  recovering: "looks which slot this machine has; one from before the boot is given back",
  "recovery-backoff": "could not look, and tries again later",
  welcoming: "has rebooted, and runs the hooks for after a boot",
  proving: "has rebooted and keeps its slot: asks whether the boot is complete, and its checks",
  soaking: "is well, and gives its slot back once it has been up for a while",
  unhealthy: "is not well, or a hook failed: keeps its slot, and tries again later",
  idle: "no reboot is needed; now and then it looks again",
  "awaiting-window": "a reboot is needed, and the window is closed; now and then it looks again",
  inquiring: "asks its checks, whether the host could reboot, and who is logged in, before it gets in line",
  waiting: "waits in line for a slot",
  leaving: "gives its place in line up; a slot may still come",
  checking: "asks the same once more",
  blocked: "holds a slot, and somebody on the host inhibits a shutdown",
  grace: "somebody is logged in, and was told",
  preparing: "runs the hooks for before a reboot",
  undoing: "runs the hooks for after a boot, since there is none: what was prepared is taken back",
  "undo-backoff": "they failed, and run again later",
  confirming: "lets the store prove that the slot is its own, and mark it",
  calling: "calls the reboot",
  rebooting: "the reboot was accepted, or may have been",
  cancelling: "gives the slot back",
  "cancel-backoff": "could not give it back, and tries again later",
  "awaiting-need": "has a slot, and nobody knows whether a reboot is needed",
  "backing-off":
    "the reboot was refused, by the host or by a check, or the slot was lost: the next try comes later",
};

/** Every event that an arrow can have, in the order of a label; `prepared` changes no state by itself. */
const EVENTS: Readonly<Record<Exclude<Event["kind"], "prepared">, true>> = {
  started: true,
  recovered: true,
  need: true,
  tick: true,
  "in-line": true,
  granted: true,
  left: true,
  inquired: true,
  served: true,
  "held-off": true,
  stopped: true,
  hooked: true,
  "hook-failed": true,
  proved: true,
  confirmed: true,
  lost: true,
  "reboot-accepted": true,
  "reboot-unknown": true,
  "reboot-refused": true,
  cancelled: true,
  kept: true,
  failed: true,
};

const NEEDS: readonly Need[] = [
  { kind: "needed", reasons: ["a new kernel"], fingerprint: "kernel" },
  { kind: "not-needed" },
  { kind: "unknown", why: ["nobody answers"] },
];
const GRACE_MS = 10;
const HOOKS_MS = 1;
/** Instants: closed; open, with room; open, and the grace is longer. */
const [CLOSED, OPEN, SHORT] = [0, 1, 2];
/** Times: now; what the state waits for has come; what is not to be tried before has come too. */
const [NOW, DUE, LATER] = [0, 1, 2];

function windowAt(now: number): WindowState {
  if (now === CLOSED) return { open: false, nextOpensAt: OPEN };
  return {
    open: true,
    closesAt: now + (now === OPEN ? GRACE_MS + HOOKS_MS : HOOKS_MS),
    nextOpensAt: now + 1,
  };
}

const SLOT = { grant: "g" };

/** What the host can say before a reboot. */
const INQUIRIES = [[], ["anna"]].flatMap((users) =>
  ([
    { clearance: { kind: "clear" } },
    { clearance: { kind: "blocked", why: "" } },
    { clearance: { kind: "impossible", why: "" } },
    { verdict: { kind: "ill", why: "" } },
    { hooksMs: HOOKS_MS },
  ] as const).map((answer): Inquiry => ({
    clearance: { kind: "clear" },
    loggedIn: { kind: "known", users },
    scheduled: null,
    verdict: { kind: "well" },
    hooksMs: 0,
    checksMs: 0,
    ...answer,
  }))
);

const SOAK_MS = 1;
const ILL = { kind: "ill", why: "" } as const;

/** What an effect can be answered with. */
function answers(effect: Effect | undefined): Event[] {
  switch (effect?.kind) {
    case "recover":
      return [
        { kind: "recovered", slot: null, called: false, note: "" },
        { kind: "recovered", slot: SLOT, called: false, note: "" },
        { kind: "recovered", slot: SLOT, called: true, note: "" },
        ...effect.keep
          ? [{ kind: "recovered", slot: null, called: false, kept: "known", note: "" } as const]
          : [],
        { kind: "failed", why: "" },
      ];
    case "hooks":
      return [{ kind: "hooked" }, { kind: "hook-failed", why: "" }];
    case "prove":
      return [
        { kind: "proved", verdict: { kind: "well" }, upMs: SOAK_MS },
        { kind: "proved", verdict: { kind: "well" }, upMs: 0 },
        { kind: "proved", verdict: ILL, upMs: 0 },
      ];
    case "wait":
    case "leave":
      return [
        { kind: "in-line", why: "" },
        { kind: "granted", slot: SLOT, called: false },
        { kind: "granted", slot: SLOT, called: true },
        ...effect.kind === "leave" ? [{ kind: "left" } as const] : [],
      ];
    case "inquire":
      return INQUIRIES.map((inquiry): Event => ({ kind: "inquired", inquiry }));
    case "confirm":
      return [
        { kind: "confirmed", called: false },
        { kind: "confirmed", called: true },
        { kind: "lost" },
        { kind: "failed", why: "" },
      ];
    case "cancel":
      return [{ kind: "cancelled", note: "" }, { kind: "kept" }, { kind: "failed", why: "" }];
    case "reboot":
      return [
        { kind: "reboot-accepted" },
        { kind: "reboot-unknown", why: "" },
        { kind: "reboot-refused", why: "" },
        { kind: "reboot-refused", why: "", blocked: true },
      ];
    default:
      return [];
  }
}

/** A state with what is under way in it. */
interface Situation {
  readonly from: Source;
  readonly agent: Agent;
  readonly underWay: Effect | undefined;
}

/** What there is to draw: arrows, and the effect that is under way in each state. */
export interface Drawing {
  readonly edges: readonly Edge[];
  readonly underWay: ReadonlyMap<string, ReadonlySet<Effect["kind"]>>;
}

/** Everything that the agent can do. Throws where it would forget what is under way. */
export function explore(strategy: AgentConfig["strategy"]): Drawing {
  const config: AgentConfig = {
    strategy,
    graceMs: GRACE_MS,
    idleLookMs: 1_000,
    windowAt,
    afterBoot: { hooksDue: true, soakMs: SOAK_MS },
    group: "",
    zone: "UTC",
  };
  const arrows = new Map<string, { from: Source; to: PhaseName; events: Set<Event["kind"]> }>();
  const underWay = new Map<PhaseName, Set<Effect["kind"]>>();
  const seen = new Set<string>();
  // the hooks of a reboot that has not come may have run before the daemon was started
  const open = [false, true].map((prepared): Situation => {
    return { from: "[*]", agent: { ...START, prepared }, underWay: undefined };
  });
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const { from, agent } = at;
    const outcomes = answers(at.underWay);
    const anytime: Event[] = [
      { kind: "tick" },
      ...NEEDS.map((need): Event => ({ kind: "need", need })),
      ...[null, "kernel"].map((fingerprint): Event => ({
        kind: "served",
        served: fingerprint === null ? null : { fingerprint, repeated: false },
      })),
      // what either holds off, a closed window and a need that is gone do too
      { kind: "held-off", holdOff: null },
      { kind: "stopped", why: null },
    ];
    const events: Event[] = from === "[*]" ? [{ kind: "started" }] : [...anytime, ...outcomes];
    for (const event of events) {
      for (const now of [CLOSED, OPEN, SHORT]) {
        for (const elapsed of [NOW, DUE, LATER]) {
          const { state, effects } = step(config, agent, event, { now, elapsed, chance: 1 });
          const to = state.phase.name;
          if (to !== from || !anytime.includes(event)) {
            const arrow = arrows.get(`${from} ${to}`) ?? { from, to, events: new Set() };
            arrows.set(`${from} ${to}`, arrow);
            arrow.events.add(event.kind);
          }
          const outside = effects.find((effect) => answers(effect).length > 0);
          const over = outcomes.includes(event) && event.kind !== "in-line";
          if (at.underWay !== undefined && !over && to !== from && outside?.kind !== "leave") {
            throw new Error(`${from} --> ${to} : ${event.kind} forgets ${at.underWay.kind}`);
          }
          const next: Situation = {
            from: to,
            agent: abstract(state, elapsed),
            underWay: outside ?? (over ? undefined : at.underWay),
          };
          if (next.underWay !== undefined) {
            underWay.set(to, (underWay.get(to) ?? new Set()).add(next.underWay.kind));
          }
          const key = JSON.stringify(next);
          if (seen.has(key)) continue;
          seen.add(key);
          open.push(next);
        }
      }
    }
  }
  const edges = [...arrows.values()].map(({ from, to, events }) => ({ from, to, events: inOrder(events) }));
  return { edges: edges.sort(byPlace), underWay };
}

/** The same state, as of the moment `NOW`, with no more of its numbers than what they are before. */
function abstract(state: Agent, elapsed: number): Agent {
  const notBefore = state.notBefore > elapsed ? LATER : NOW;
  return {
    ...state,
    phase: abstractPhase(state.phase),
    notBefore,
    windowSpent: state.windowSpent && { from: SHORT, until: SHORT + 1 },
    setbacks: Math.min(state.setbacks, 1),
    refusals: 0,
    // asked anew by whoever needs them
    hasHooks: state.hasHooks && state.phase.name === "grace",
    roomMs: state.phase.name === "waiting" ? state.roomMs : 0,
    blockedSince: abstractSince(state.blockedSince, elapsed),
    said: "",
    saidAt: 0,
    noted: "",
    notedAt: 0,
  };
}

/** The patience with a host that is blocked is still there, or with the time that may have come it is over. */
function abstractSince(since: number | null, elapsed: number): number | null {
  if (since === null) return null;
  return since < NOW || elapsed === LATER ? NOW - BLOCKED_PATIENCE_MS : NOW;
}

function abstractPhase(phase: Phase): Phase {
  switch (phase.name) {
    case "backing-off":
    case "idle":
    case "rebooting":
      // these two last longer than any pause before the next try
      return { ...phase, until: LATER };
    case "awaiting-window":
      // the look may be due before the window, or after it; without a lock there is none
      return { ...phase, opensAt: OPEN, lookAt: phase.lookAt === Infinity ? Infinity : DUE };
    case "waiting":
      return { ...phase, closesAt: OPEN };
    case "unhealthy":
    case "undo-backoff":
    case "recovery-backoff":
    case "cancel-backoff":
      return { ...phase, until: DUE, failures: 1 };
    case "blocked":
      return { ...phase, until: DUE };
    case "recovering":
    case "welcoming":
    case "proving":
    case "undoing":
    case "cancelling":
      return { ...phase, failures: Math.min(phase.failures, 1) };
    default:
      return "until" in phase ? { ...phase, until: DUE } : phase;
  }
}

const ORDER: readonly string[] = ["[*]", ...Object.keys(PHASES)];

function byPlace(a: Edge, b: Edge): number {
  return ORDER.indexOf(a.from) - ORDER.indexOf(b.from) || ORDER.indexOf(a.to) - ORDER.indexOf(b.to);
}

function inOrder(events: ReadonlySet<string>): Event["kind"][] {
  return eventKinds().filter((kind) => events.has(kind));
}

/** Every kind of event. */
export function eventKinds(): Event["kind"][] {
  return Object.keys(EVENTS).filter((kind): kind is Event["kind"] => kind in EVENTS);
}

/** Mermaid takes no hyphen in the name of a state. */
function identifier(name: string): string {
  return name.replaceAll("-", "_");
}

/** The drawing, in Mermaid's language. */
export function diagram(edges: readonly Edge[]): string {
  const drawn = new Set<string>(edges.flatMap(({ from, to }) => [from, to]));
  const names = Object.keys(PHASES).filter((name) => drawn.has(name) && name.includes("-"));
  return [
    "stateDiagram-v2",
    ...names.map((name) => `    state "${name}" as ${identifier(name)}`),
    ...edges.map(({ from, to, events }) =>
      `    ${identifier(from)} --> ${identifier(to)} : ${events.join(", ")}`
    ),
  ].join("\n");
}

/** The arrows of every drawing on a page, one line each, by the drawing's heading: `idle --> waiting : need`. */
export function drawnEdges(page: string): Map<string, string[]> {
  const drawings = new Map<string, string[]>();
  for (const [, heading = "", text = ""] of page.matchAll(/^## ([^\n]+)\n[^`]*```mermaid\n(.*?)```/gms)) {
    const lines = text.split("\n").map((line) => line.trim());
    const names = new Map(
      lines.flatMap((line) => {
        const [, name, id] = /^state "(.*)" as (\w+)$/.exec(line) ?? [];
        return name === undefined || id === undefined ? [] : [[id, name] as const];
      }),
    );
    const full = (name: string) => names.get(name) ?? name;
    drawings.set(
      heading,
      lines.flatMap((line) => {
        const [, from, to, events] = /^(\S+) --> (\S+) : (.*)$/.exec(line) ?? [];
        return from === undefined || to === undefined ? [] : [`${full(from)} --> ${full(to)} : ${events}`];
      }),
    );
  }
  return drawings;
}

/** The headings of the drawings, and what each draws. */
export const DRAWINGS: ReadonlyMap<string, AgentConfig["strategy"]> = new Map([
  ["With the lock", "etcd-lock"],
  ["Without a lock", "reboot"],
]);

/** docs/agent.md. */
export function agentPage(): string {
  const { underWay } = explore("etcd-lock");
  const states = Object.entries(PHASES).map(([name, meaning]) => {
    const kinds = [...underWay.get(name) ?? []];
    return `| \`${name}\` | ${meaning} | ${kinds.map((kind) => `\`${kind}\``).join(", ")} |`;
  });
  const drawings = [...DRAWINGS].map(([heading, strategy]) =>
    `## ${heading}\n\n\`\`\`mermaid\n${diagram(explore(strategy).edges)}\n\`\`\`\n`
  );
  return [
    "# The states of one machine\n",
    "Made by `deno task docs --write` from `lib/agent.ts`: every state that it can get into was tried with everything\n" +
    "that can come there. `tests/docs/agent_diagram_test.ts` holds the two together.\n",
    "`step(config, state, event, now)` is all there is to it: the next state, and what is to be done outside. At most\n" +
    "one thing is under way at a time, and the state says which; its outcome comes back as an event. `need` comes from\n" +
    "the detectors, and `tick` when the time that the state waits for has come. Where either changes nothing, no arrow\n" +
    "is drawn. The clock on the wall may be set at any moment, so a window can open or close on every arrow.\n",
    `| state | what the machine does | under way |\n| --- | --- | --- |\n${states.join("\n")}\n`,
    ...drawings,
  ].join("\n");
}
