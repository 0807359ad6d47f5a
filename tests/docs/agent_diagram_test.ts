/**
 * The drawing in docs/agent.md and the code: neither has an arrow that the other has not.
 */

import { assert, assertEquals, assertLess } from "@std/assert";
import { REBOOT_PATIENCE_MS } from "../../lib/course.ts";
import { REFUSED_BACKOFF_MS, RETRY_MS } from "../../lib/next_try.ts";
import { diagram, DRAWINGS, drawnEdges, type Edge, eventKinds, explore, PHASES } from "./agent_diagram.ts";

const PAGE = await Deno.readTextFile(new URL("../../docs/agent.md", import.meta.url));
const HINT = "deno task docs --write";

function lines(edges: readonly Edge[]): string[] {
  return edges.map(({ from, to, events }) => `${from} --> ${to} : ${events.join(", ")}`);
}

for (const [heading, strategy] of DRAWINGS) {
  Deno.test(`docs/agent.md draws what step() does, and nothing else: ${heading.toLowerCase()}`, () => {
    const drawn = drawnEdges(PAGE).get(heading) ?? [];
    const done = lines(explore(strategy).edges);
    assertEquals(drawn.filter((line) => !done.includes(line)), [], `drawn, and never done: ${HINT}`);
    assertEquals(done.filter((line) => !drawn.includes(line)), [], `done, and not drawn: ${HINT}`);
  });
}

Deno.test("docs/agent.md draws one arrow from a state to another, whatever causes it", () => {
  for (const [heading, edges] of drawnEdges(PAGE)) {
    const ends = edges.map((line) => line.split(" : ")[0]);
    assertEquals(new Set(ends).size, ends.length, heading);
    assert(ends.length > 15, heading);
  }
});

Deno.test("explore() gets into every state, and by every event", () => {
  const { edges } = explore("etcd-lock");
  assertEquals(new Set(edges.map(({ to }) => to)), new Set(Object.keys(PHASES)));
  assertEquals(new Set(edges.map(({ from }) => from)), new Set(["[*]", ...Object.keys(PHASES)]));
  assertEquals(new Set(edges.flatMap(({ events }) => events)), new Set(eventKinds()));
});

Deno.test("explore() finds no way to the reboot call but the one by a confirmed slot, and without a lock by the sessions, the grace or the hooks", () => {
  const into = (strategy: "etcd-lock" | "reboot", state: string) =>
    lines(explore(strategy).edges.filter(({ to }) => to === state));
  assertEquals(into("etcd-lock", "calling"), ["confirming --> calling : confirmed"]);
  assertEquals(into("etcd-lock", "confirming"), [
    "checking --> confirming : inquired",
    "grace --> confirming : tick",
    "preparing --> confirming : hooked",
  ]);
  assertEquals(into("reboot", "calling"), [
    "checking --> calling : inquired",
    "grace --> calling : tick",
    "preparing --> calling : hooked",
  ]);
});

Deno.test("explore() finds no way out of the line but a slot and the wish to leave", () => {
  const { edges } = explore("etcd-lock");
  const out = edges.filter(({ from, to }) => from === "waiting" && to !== "waiting");
  assertEquals(
    out.filter(({ to, events }) => to !== "leaving" && events.some((kind) => kind !== "granted")),
    [],
  );
});

Deno.test("explore() finds no state that waits for the next try with a slot", () => {
  const { edges } = explore("etcd-lock");
  const out = edges.filter(({ from }) => from === "backing-off");
  assertEquals(lines(out), [
    "backing-off --> idle : need, served",
    "backing-off --> awaiting-window : tick, held-off",
    "backing-off --> inquiring : tick, held-off",
  ]);
  // what the exploration takes for granted
  assertLess(REFUSED_BACKOFF_MS, REBOOT_PATIENCE_MS);
  assertLess(RETRY_MS.last, REBOOT_PATIENCE_MS);
});

Deno.test("drawnEdges() reads what diagram() draws", () => {
  for (const [heading, strategy] of DRAWINGS) {
    const { edges } = explore(strategy);
    const page = `## ${heading}\n\n\`\`\`mermaid\n${diagram(edges)}\n\`\`\`\n`;
    assertEquals(drawnEdges(page).get(heading), lines(edges));
  }
  const other = "## With the lock\n\n```mermaid\nstateDiagram-v2\n    idle --> waiting : tick\n```\n";
  assertEquals(drawnEdges(other).get("With the lock"), ["idle --> waiting : tick"]);
});
