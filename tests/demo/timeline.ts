/** What happened in a run of the demo, as the picture that `simulate --svg` draws of a roll-out. */

import { ALWAYS } from "../../lib/schedule.ts";
import type { RolloutMachine, SpanState } from "../../lib/simulation/rollout.ts";
import { timelineSvg } from "../../lib/simulation/timeline.ts";
import type { Picture, Row, State } from "./view.ts";

const STATES: Readonly<Record<State, SpanState | undefined>> = {
  starts: "waiting",
  waits: "waiting",
  holds: "holding",
  reboots: "rebooting",
  returns: "holding",
  done: undefined,
};

/** The picture of a run, with `title` above it. */
export function demoTimeline({ startedMs, nowMs, rows, max }: Picture, title: string): string {
  const machines = rows.map((row) => machineOf(row, startedMs, nowMs));
  const through = rows.every(({ changes }) => changes.at(-1)?.state === "done");
  const lastMs = Math.max(1, ...machines.map(({ spans }) => spans.at(-1)?.toMs ?? 0));
  return timelineSvg(
    {
      plan: {
        machines: rows.length,
        max,
        rebootMs: { from: 1, to: 1 },
        schedule: ALWAYS,
        graceMs: 0,
        startMs: startedMs,
        seed: 0,
      },
      machines,
      windows: [],
      lost: 0,
      unhealthy: 0,
      heldOff: 0,
      throughMs: through ? lastMs : null,
      why: undefined,
      idealMs: lastMs,
      busyShare: 1,
      longestWaitMs: 0,
    },
    Temporal.Now.timeZoneId(),
    { title, lead: `${rows.length} machines, ${max} at once` },
  );
}

function machineOf({ name, changes }: Row, startedMs: number, nowMs: number): RolloutMachine {
  const spans = changes.flatMap(({ state, atMs }, index) => {
    const span = STATES[state];
    const toMs = (changes[index + 1]?.atMs ?? nowMs) - startedMs;
    return span === undefined ? [] : [{ state: span, fromMs: Math.max(0, atMs - startedMs), toMs }];
  });
  return { id: name, spans, calledMs: spans.find(({ state }) => state === "rebooting")?.fromMs ?? null };
}
