/** All groups paused on a real etcd, while machines of several groups wait: judged by etcd's own revisions. */

import { assertEquals } from "@std/assert";
import { openEtcd } from "../../lib/etcd/store.ts";
import { ALL_GROUPS } from "../../lib/group.ts";
import { pastEvents, withEventsOfAll } from "../../lib/history.ts";
import { Lock } from "../../lib/lock.ts";
import { REAL } from "../../lib/surroundings.ts";
import { LOOK_INTERVAL_MS, type WaitNews } from "../../lib/wait.ts";
import { Waiter } from "../../lib/waiter.ts";
import { startEtcd } from "../support/etcd.ts";

const GROUPS = ["", "web", "prod/db"];
const CALL = { timeoutMs: 10_000 };

/** A machine that waits for a slot, and the news that it has told. */
class Machine {
  #news: WaitNews[] = [];
  #wake = () => {};
  readonly ended: Promise<void>;

  constructor(lock: Lock) {
    const id = `m-${lock.group}`;
    this.ended = new Waiter(lock, {
      waits: { id, bootId: "b1", hostname: id },
      hold: { boot: "b1", grant: id, extra: {} },
      priority: 0,
      overdueMs: Infinity,
      lookMs: LOOK_INTERVAL_MS,
    }, (news) => {
      this.#news.push(news);
      this.#wake();
    }).start();
  }

  /** Resolves when it tells this. */
  async tells(wanted: (news: WaitNews) => boolean): Promise<void> {
    while (!this.#news.some(wanted)) await new Promise<void>((resolve) => this.#wake = resolve);
  }
}

const isPaused = (news: WaitNews) =>
  news.kind === "waiting" && news.obstacle.kind === "paused" && news.obstacle.all;

Deno.test("pause --all on etcd stops the machines that wait in every group, and resume --all wakes them", async () => {
  await using etcd = await startEtcd();
  const store = openEtcd({ endpoints: [etcd.endpoint] });
  try {
    const lockOf = (group: string) => new Lock(store, group, REAL, "anna@desk");
    const all = lockOf(ALL_GROUPS);
    const locks = GROUPS.map(lockOf);
    for (const lock of locks) await lock.acquire("anna", { grant: "by hand", extra: {} });
    const machines = locks.map((lock) => new Machine(lock));
    for (const machine of machines) await machine.tells(({ kind }) => kind === "waiting");
    await all.pause({ by: "anna@desk", reason: "a bad update", extra: {} });
    // each slot is free now, and each machine that takes it for its own is refused
    for (const lock of locks) await lock.unlock("anna");
    for (const machine of machines) await machine.tells(isPaused);
    for (const lock of locks) assertEquals((await lock.read()).holders, []);
    await all.resume();
    for (const machine of machines) await machine.ended;
    const told = async ({ key }: Lock) => {
      const { changes, complete } = await store.history(key, CALL);
      return pastEvents(changes, complete);
    };
    for (const lock of locks) {
      const events = withEventsOfAll(await told(lock), await told(all));
      assertEquals(events.map(({ what }) => what), ["lock", "pause-all", "unlock", "resume-all", "grant"]);
    }
  } finally {
    await store.close();
  }
});
