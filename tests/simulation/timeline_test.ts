import { assert, assertEquals } from "@std/assert";
import { type Rollout, simulateRollout } from "../../lib/simulation/rollout.ts";
import { ALWAYS } from "../../lib/schedule.ts";
import type { RolloutPlan } from "../../lib/simulation/plan.ts";
import { timelineSvg } from "../../lib/simulation/timeline.ts";
import { parseWindow } from "../../lib/window.ts";
import { parseInstant } from "../../lib/cli/window_report.ts";

const BERLIN = "Europe/Berlin";

function play(changes: Partial<RolloutPlan> = {}): Promise<Rollout> {
  return simulateRollout({
    machines: 30,
    max: 2,
    rebootMs: { from: 60_000, to: 180_000 },
    schedule: { windows: [{ window: parseWindow("Thu 23:00", "20m"), zone: BERLIN }], freezes: [] },
    graceMs: 0,
    startMs: parseInstant("2026-05-20", BERLIN).epochMilliseconds,
    seed: 1,
    ...changes,
  });
}

function draw(rollout: Rollout): string {
  return timelineSvg(rollout, BERLIN, { title: 'A <title> & "more"', lead: "lead" });
}

/** The elements of an XML text by name. Throws where it is not well-formed, as far as we write XML at all. */
function elements(xml: string): string[] {
  const names: string[] = [];
  const open: string[] = [];
  let rest = xml;
  while (rest !== "") {
    const [all, content = "", end, start, attributes = "", empty] =
      /^([^<]*)(?:<\/([a-z]+)>|<([a-z]+)((?:\s+[a-zA-Z:-]+="[^"<]*")*)\s*(\/?)>|$)/.exec(rest) ?? [];
    if (all === undefined || all === "") throw new Error(`not XML: ${rest.slice(0, 80)}`);
    for (const text of [content, attributes]) {
      if (/&(?!#[0-9]+;|amp;|lt;|gt;|quot;)/.test(text)) throw new Error(`a bare & in ${text}`);
    }
    if (start !== undefined) {
      names.push(start);
      if (empty === "") open.push(start);
    } else if (end !== undefined && open.pop() !== end) throw new Error(`</${end}> closes another element`);
    rest = rest.slice(all.length);
  }
  if (open.length > 0) throw new Error(`<${open.join("><")}> is not closed`);
  return names;
}

/** The bars of a state: x, y, width and height of each. */
function bars(svg: string, state: string): number[][] {
  const path = new RegExp(`<path class="${state}" d="([^"]*)"/>`).exec(svg)?.[1] ?? "";
  return [...path.matchAll(/M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z/g)].map((match) =>
    match.slice(1).map(Number)
  );
}

function heightOf(svg: string): number {
  return Number(/<svg [^>]* height="([\d.]+)"/.exec(svg)?.[1]);
}

Deno.test("timelineSvg() is well-formed and stands alone", async () => {
  const svg = draw(await play());
  const names = elements(svg);
  assertEquals(names[0], "svg");
  assert(!names.includes("script") && !names.includes("image"));
  assert(!/(?:href|src|url\(http|@import)/.test(svg));
  assert(svg.includes("<title>A &#60;title&#62; &#38; &#34;more&#34;</title>"), svg.slice(0, 400));
});

Deno.test("timelineSvg() has one bar for each span", async () => {
  const rollout = await play({ graceMs: 60_000 });
  const svg = draw(rollout);
  for (const state of ["waiting", "holding", "rebooting"]) {
    const spans = rollout.machines.flatMap(({ spans }) => spans.filter((span) => span.state === state));
    assert(spans.length > 0);
    assertEquals(bars(svg, state).length, spans.length, state);
  }
});

Deno.test("timelineSvg() puts each reboot into a band of an open window, and counts it there", async () => {
  const rollout = await play();
  const svg = draw(rollout);
  const bands = [...svg.matchAll(/<rect class="open" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g)]
    .map(([, x, width]) => [Number(x), Number(x) + Number(width)] as const);
  assertEquals(bands.length, rollout.windows.length);
  for (const [x = 0] of bars(svg, "rebooting")) {
    assert(bands.some(([from, to]) => x >= from - 0.02 && x <= to + 0.02), `${x}`);
  }
  for (const { reboots } of rollout.windows) assert(svg.includes(`>${reboots} reboots<`));
});

Deno.test("timelineSvg() is the same text for the same roll-out, in rows in the order of the reboots", async () => {
  const svg = draw(await play());
  assertEquals(draw(await play()), svg);
  const rows = bars(svg, "rebooting").map(([x = 0]) => x);
  assertEquals(rows, rows.toSorted((a, b) => a - b));
});

Deno.test("timelineSvg() stays low with many machines, and has a row for each with few", async () => {
  const many = draw(await play({ machines: 2000, max: 20, schedule: ALWAYS }));
  assert(heightOf(many) <= 1200, `${heightOf(many)}`);
  assertEquals(bars(many, "rebooting").length, 2000);
  const few = draw(await play({ machines: 3 }));
  assert(["1", "2", "3"].every((row) => few.includes(`text-anchor="end">${row}</text>`)));
  elements(many);
});

Deno.test("timelineSvg() shows who soaks and who is unhealthy, where machines prove themselves", async () => {
  const upkeep = {
    hooksMs: 0,
    checksMs: 0,
    soakMs: 60_000,
    heldOffShare: 0,
    unhealthyShare: 0.01,
    recoverMs: Infinity,
  };
  const svg = draw(await play({ machines: 5, upkeep }));
  elements(svg);
  assertEquals([bars(svg, "proving").length, bars(svg, "unhealthy").length], [5, 1]);
  for (const label of ["hooks, checks and soak", "unhealthy"]) {
    assert(svg.includes(`>${label}</text>`), label);
  }
  assert(!draw(await play({ machines: 5 })).includes("unhealthy</text>"));
});

Deno.test("timelineSvg() says why nothing happens", async () => {
  const svg = draw(await play({ max: 0 }));
  elements(svg);
  assert(svg.includes("never: max is 0, and no slot is ever granted"));
});
