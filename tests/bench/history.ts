/**
 * `history` of a large group, by the built file: a thousand machines hold a slot, each of them has confirmed its reboot, and
 * every change is a whole document.
 */

import { serializeSemaphore } from "../../lib/document.ts";
import { openEtcd } from "../../lib/etcd/store.ts";
import { semaphoreKey } from "../../lib/group.ts";
import { GRANTED, type Hold, REBOOTING } from "../../lib/semaphore.ts";
import { CACHE_DIR } from "../support/executable.ts";
import { startEtcd } from "../support/etcd.ts";
import { atMost, grid, median, type Section } from "./page.ts";

const HOLDERS = 1_000;
const RUNS = 5;
const SECONDS_MAX = 1;

export async function largeHistory(path: string): Promise<Section> {
  await using etcd = await startEtcd();
  const bytes = await changeOften(etcd.endpoint);
  const told = async (...words: string[]) => {
    const began = performance.now();
    const { code, stdout } = await new Deno.Command(path, {
      args: ["history", "--endpoint", etcd.endpoint, ...words],
      clearEnv: true,
      env: { LOCKSMITH_CACHE_DIR: CACHE_DIR },
      stdin: "null",
    }).output();
    if (code !== 0) throw new Error(`'history' exited with ${code}`);
    const events = new TextDecoder().decode(stdout).trim().split("\n").length - 3;
    return { seconds: (performance.now() - began) / 1000, events };
  };
  await told();
  const runs = [];
  while (runs.length < RUNS) runs.push(await told());
  const seconds = median(runs.map((run) => run.seconds));
  const all = await told("--since", "2015-05-21");
  const row = (
    words: string,
    seconds: number,
    events: number,
  ) => [words, `${seconds.toFixed(2)} s`, String(events)];
  return {
    text: `The history of a group in etcd with ${HOLDERS} holders and as many revisions, each a document of ${
      (bytes / 1024).toFixed(0)
    } KiB. Without
\`--since\` only the newest are read; median of ${RUNS}.

${
      grid(["command", "wall", "events"], [
        row("history", seconds, runs[0]?.events ?? NaN),
        row("history --since 2015-05-21", all.seconds, all.events),
      ])
    }`,
    figures: [
      atMost(`history of ${HOLDERS} holders and ${HOLDERS} revisions`, seconds, SECONDS_MAX, 2, " s"),
    ],
  };
}

/** One document after the other, as the confirms of all holders make them; gives the length of one, in bytes. */
async function changeOften(endpoint: string): Promise<number> {
  const store = openEtcd({ endpoints: [endpoint] });
  try {
    const mark = () => crypto.randomUUID().replaceAll("-", "");
    const since = new Date().toISOString();
    const held = Array.from({ length: HOLDERS }, (_, index): [string, Hold] => [mark(), {
      ...{ host: `web${index}.example.org`, boot: mark(), since, by: "locksmithd", reason: "new kernel" },
      ...{ phase: GRANTED, grant: mark(), memory: "disk", extra: {} },
    }]);
    const holds = new Map(held);
    const holders = [...holds.keys()].sort();
    let value = "";
    for (const [machine, hold] of held) {
      holds.set(machine, { ...hold, phase: REBOOTING, confirm: mark() });
      const changed = { at: new Date().toISOString(), by: "locksmithd", what: "confirm", machine, extra: {} };
      value = serializeSemaphore({ max: HOLDERS, holders, holds, changed, extra: {} });
      await store.commit({ expect: [], put: [{ key: semaphoreKey(""), value }] }, { timeoutMs: 5_000 });
    }
    return value.length;
  } finally {
    await store.close();
  }
}
