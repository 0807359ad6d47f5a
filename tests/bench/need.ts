/**
 * Whether a reboot is needed, and when it is allowed: `needs-reboot` beside `version`, questions for the next window, and how
 * soon a daemon notices a file.
 */

import { measure, type Sample } from "./commands.ts";
import { atMost, grid, median, type Section } from "./page.ts";
import { parseFreeze } from "../../lib/freeze.ts";
import { type Schedule, windowStateAt } from "../../lib/schedule.ts";
import { parseWindow } from "../../lib/window.ts";
import { startBus } from "../support/bus.ts";
import { CACHE_DIR } from "../support/executable.ts";

const RUNS = 15;
const NEEDS_RATIO_MAX = 2.5;
const QUESTIONS = 10_000;
const QUESTIONS_SECONDS_MAX = 1;
/** How often each file appears; it may take so long until that is published, in milliseconds. */
const APPEARANCES = 4;
const NOTICED_MS_MAX = 1_000;
/** Apart by this, the moments fall anywhere between two looks at a file. */
const BETWEEN_MS = 170;
const LOOK_MS = 2;
/** What nobody has noticed by then, nobody will. */
const PATIENCE_MS = 10_000;

const MINUTE_MS = 60_000;
const FILES = ["/run/reboot-required", "/run/own-need"];

export async function needs(path: string): Promise<Section> {
  const root = await Deno.makeTempDir();
  try {
    for (const dir of ["etc", "run", "usr/bin", "proc/sys/kernel/random"]) {
      await Deno.mkdir(`${root}/${dir}`, { recursive: true });
    }
    await Deno.writeTextFile(`${root}/etc/machine-id`, "69d27b356a94476da859461d3a3bc6fd\n");
    await Deno.writeTextFile(`${root}/proc/sys/kernel/random/boot_id`, `${crypto.randomUUID()}\n`);
    const command = await besideVersion(path, root);
    const seconds = questions();
    const noticed = await appearances(path, root);
    return {
      text: `\`needs-reboot\` looks at ${
        FILES.join(" and ")
      } alone, each run right after one of \`version\`; medians of ${RUNS}.

${command.table}
${QUESTIONS} questions for the next window of a host with three windows, three freezes and a spread, none at a moment that was
asked before: ${
        seconds.toFixed(2)
      } s. From a file that appears to what the daemon publishes, ${APPEARANCES} times each:

${
        grid(
          ["file", "median", "longest"],
          noticed.map((
            { file, ms },
          ) => [file, `${median(ms).toFixed(0)} ms`, `${Math.max(...ms).toFixed(0)} ms`]),
        )
      }`,
      figures: [
        atMost("`needs-reboot` by files relative to `version`, wall", command.wall, NEEDS_RATIO_MAX, 2, " x"),
        atMost(
          "`needs-reboot` by files relative to `version`, processor",
          command.cpu,
          NEEDS_RATIO_MAX,
          2,
          " x",
        ),
        atMost(`${QUESTIONS} questions for the next window`, seconds, QUESTIONS_SECONDS_MAX, 2, " s"),
        ...noticed.map(({ file, ms }) =>
          atMost(
            `${file} that appears is noticed, longest of ${APPEARANCES}`,
            Math.max(...ms),
            NOTICED_MS_MAX,
            0,
            " ms",
          )
        ),
      ],
    };
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function besideVersion(
  path: string,
  root: string,
): Promise<{ readonly table: string; readonly wall: number; readonly cpu: number }> {
  const [sentinel = "", own = ""] = FILES;
  const asked = [path, "needs-reboot", "--root", root, "--need", `file:${sentinel},file:${own}`];
  // so that it exits 0
  await Deno.writeTextFile(`${root}${sentinel}`, "");
  const [ours, versions]: [Sample[], Sample[]] = [[], []];
  for (let run = -2; run < RUNS; run++) {
    const [version, sample] = [await measure([path, "version"]), await measure(asked)];
    // what they compile on their way is there by then, as on a host
    if (run < 0) continue;
    versions.push(version);
    ours.push(sample);
  }
  await Deno.remove(`${root}${sentinel}`);
  const ratio = (of: (sample: Sample) => number) =>
    median(ours.map((sample, run) => of(sample) / of(versions[run] as Sample)));
  const row = (name: string, samples: readonly Sample[]) => [
    name,
    `${median(samples.map(({ wallMs }) => wallMs)).toFixed(1)} ms`,
    `${median(samples.map(({ cpuMs }) => cpuMs)).toFixed(1)} ms`,
  ];
  return {
    table: grid(["command", "wall", "processor"], [row("needs-reboot", ours), row("version", versions)]),
    wall: ratio(({ wallMs }) => wallMs),
    cpu: ratio(({ cpuMs }) => cpuMs),
  };
}

/** How long the questions take, in seconds. */
function questions(): number {
  const zone = "Europe/Berlin";
  const window = (start: string, length: string) => ({ window: parseWindow(start, length), zone });
  const schedule: Schedule = {
    windows: [
      window("Sat *-*-1..7 03:00", "4h"),
      window("Mon *-02,05,08,11~07/1 22:17:30", "45m"),
      window("Sun *-*-* 0/5:07 America/New_York", "20m"),
    ],
    freezes: [
      "2026-12-20..2027-01-02 Christmas",
      "2026-04-01..2026-04-07 Easter",
      "2026-11-27T00:00..2026-11-30T12:00",
    ]
      .map((text) => parseFreeze(text, zone)),
    delayMs: 7 * MINUTE_MS,
  };
  const begin = Date.parse("2026-01-01T00:00:00Z");
  const startedMs = performance.now();
  // a step that meets every minute of the day, and years with all their clock changes
  for (let question = 0; question < QUESTIONS; question++) {
    windowStateAt(schedule, begin + question * 157 * MINUTE_MS, zone);
  }
  return (performance.now() - startedMs) / 1000;
}

/** How long it takes from the moment that a file is there until a daemon publishes the need. */
async function appearances(
  path: string,
  root: string,
): Promise<readonly { readonly file: string; readonly ms: readonly number[] }[]> {
  await using bus = await startBus();
  const child = new Deno.Command(path, {
    args: [
      ...["daemon", "--endpoint", `sqlite:${root}/locksmith.db`, "--root", root, "--reboot-command", "false"],
      ...["--need", `file:${FILES[1]}`],
    ],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", LOCKSMITH_CACHE_DIR: CACHE_DIR, DBUS_SYSTEM_BUS_ADDRESS: bus.address },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    await measure([path, "lock", "A", "--endpoint", `sqlite:${root}/locksmith.db`]);
    await published(root, "not-needed");
    const found = FILES.map((file) => ({ file, ms: [] as number[] }));
    for (let round = 0; round < APPEARANCES; round++) {
      for (const { file, ms } of found) {
        await new Promise((resolve) => setTimeout(resolve, round * BETWEEN_MS));
        const startedMs = performance.now();
        await Deno.writeTextFile(`${root}${file}`, "");
        await published(root, "needed");
        ms.push(performance.now() - startedMs);
        await Deno.remove(`${root}${file}`);
        await published(root, "not-needed");
      }
    }
    return found;
  } finally {
    child.kill("SIGTERM");
    await child.status;
  }
}

/** Resolves when the daemon says so in the file that it keeps for its host. */
async function published(root: string, kind: string): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const text = await Deno.readTextFile(`${root}/run/locksmith/agent.json`).catch(() => "");
    if (text.includes(`"need":{"kind":"${kind}"`)) return;
    if (performance.now() > endMs) throw new Error(`the daemon does not say '${kind}': ${text}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
