/**
 * `deno task bench`: measures the program, and writes docs/benchmarks.md.
 *
 *     deno task bench                    everything, about a quarter of an hour
 *     deno task bench handover rollout   only these parts, and the page stays as it is
 *
 * Ratios within one run are what to look at: the machine, and what else it does, changes the rest. Each figure stands
 * beside its bound; one that misses it makes the run exit 1.
 */

import { commandCalls, commandTimes } from "./commands.ts";
import { embeddedHandOvers } from "./embedded.ts";
import { handOvers } from "./handover.ts";
import { largeHistory } from "./history.ts";
import { atLeast, figureGrid, must, type Section } from "./page.ts";
import { idleDaemons } from "./idle.ts";
import { needs } from "./need.ts";
import { callRates } from "./rates.ts";
import { outages } from "./outage.ts";
import { rollOuts } from "./rollout.ts";
import { servingEtcd, servingSqlite } from "./serve.ts";
import { servedFleet } from "./served_fleet.ts";
import { storms } from "./storm.ts";
import { locksmith } from "../support/executable.ts";
import { simulate } from "../simulation/simulate.ts";

const PAGE = new URL("../../docs/benchmarks.md", import.meta.url);
const HISTORIES = 2_000;

interface Part {
  readonly name: string;
  readonly title: string;
  measure(progress: (text: string) => void): Promise<Section>;
}

const PARTS: readonly Part[] = [
  { name: "commands", title: "Commands", measure: async () => await commandTimes(await locksmith()) },
  { name: "calls", title: "Calls to etcd", measure: async () => await commandCalls(await locksmith()) },
  { name: "rates", title: "Calls a second", measure: callRates },
  { name: "idle", title: "Idle daemons", measure: async () => await idleDaemons(await locksmith()) },
  { name: "need", title: "Need and windows", measure: async () => await needs(await locksmith()) },
  { name: "history", title: "History", measure: async () => await largeHistory(await locksmith()) },
  { name: "handover", title: "Hand-over", measure: handOvers },
  { name: "storm", title: "Storms", measure: storms },
  { name: "outage", title: "Outages", measure: outages },
  {
    name: "embedded",
    title: "Embedded store",
    measure: async () => await embeddedHandOvers(await locksmith()),
  },
  { name: "serve-sqlite", title: "Server on the embedded store", measure: servingSqlite },
  { name: "serve-etcd", title: "Server on etcd", measure: servingEtcd },
  { name: "fleet", title: "A fleet that waits at a server", measure: servedFleet },
  { name: "rollout", title: "Roll-out", measure: rollOuts },
  { name: "simulation", title: "Simulation", measure: simulationRate },
];

/** How fast histories with faults are played, on every core. */
async function simulationRate(): Promise<Section> {
  const { histories, seconds, simulatedHours, reboots, failure } = await simulate(1, HISTORIES);
  const fault = failure === null ? "" : `\nHistory ${failure.seed} failed: ${failure.text}.\n`;
  return {
    text: `${histories} random histories with faults on ${navigator.hardwareConcurrency} cores: ${
      seconds.toFixed(0)
    } s, for ${simulatedHours.toFixed(0)} simulated hours and ${reboots} reboots.\n${fault}`,
    figures: [
      atLeast("simulated histories a minute", histories * 60 / seconds, 8_000, 0),
      must("no simulated history fails", failure === null),
    ],
  };
}

/** How many processes wanted to run in the last minute, on average. */
function load(): number {
  return Deno.loadavg()[0] ?? NaN;
}

async function main(): Promise<number> {
  const unknown = Deno.args.filter((name) => !PARTS.some((part) => part.name === name));
  if (unknown.length > 0) {
    console.error(`usage: deno task bench [${PARTS.map(({ name }) => name).join(" | ")}]...`);
    return 2;
  }
  const parts = PARTS.filter(({ name }) => Deno.args.length === 0 || Deno.args.includes(name));
  const started = performance.now();
  const progress = (text: string) => {
    const seconds = Math.round((performance.now() - started) / 1000);
    console.error(`${String(seconds).padStart(4)} s  ${text}`);
  };
  const loads = [load()];
  const measured: { title: string; section: Section }[] = [];
  for (const { title, measure } of parts) {
    progress(title.toLowerCase());
    measured.push({ title, section: await measure(progress) });
    loads.push(load());
  }
  progress("done");
  const figures = measured.flatMap(({ section }) => section.figures);
  const text = `# Benchmarks

Made by \`deno task bench\` on ${Deno.build.arch} ${Deno.build.os}, ${navigator.hardwareConcurrency} cores, Deno ${Deno.version.deno}; load between ${
    Math.min(...loads).toFixed(1)
  } and ${Math.max(...loads).toFixed(1)}. Trust the
figures that compare two things in the same run.

${figureGrid(figures)}
${measured.map(({ title, section }) => `## ${title}\n\n${section.text}`).join("\n")}`;
  if (parts.length === PARTS.length) await Deno.writeTextFile(PAGE, text);
  console.log(text);
  return figures.every(({ holds }) => holds) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
