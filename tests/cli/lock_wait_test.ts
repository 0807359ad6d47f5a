/**
 * `lock --wait`: on the built file with a real etcd and the embedded store, and, for what comes in between, over a store
 * in memory that answers when it is told to.
 */

import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { startEtcd } from "../support/etcd.ts";
import { CACHE_DIR, locksmith } from "../support/executable.ts";
import { semaphoreKey } from "../../lib/group.ts";
import { Lock } from "../../lib/lock.ts";
import { LockByWaiting } from "../../lib/cli/lock_wait.ts";
import { openStore } from "../../lib/cli/open_store.ts";
import { placeKey } from "../../lib/queue.ts";
import { FRESH } from "../../lib/semaphore.ts";
import { type CommitOutcome, type Store, StoreError, type Transaction } from "../../lib/store.ts";
import { Memory, openMemory } from "../../lib/simulation/memory.ts";
import { REAL } from "../../lib/surroundings.ts";
import { leashed } from "../support/child.ts";

const CALL = { timeoutMs: 5_000 };
/** Who interrupts a program does not wait for a call that gets no answer: that takes longer. */
const INTERRUPTION_LIMIT_MS = 3_000;
const LEFT = "gave up the place in the queue";
const HELD_BY_A =
  /^locksmith: hint: group \(default\) is full, held by A, taken by hand \d+ s ago by admin@.+\n$/;

/** A store with nothing in it, and the program beside it. */
class Place implements AsyncDisposable {
  constructor(
    readonly endpoint: string,
    readonly store: Store,
    private readonly dispose: () => Promise<void>,
  ) {}

  async command(words: readonly string[], options: Deno.CommandOptions = {}): Promise<Deno.Command> {
    return leashed(await locksmith(), {
      args: [...words],
      cwd: "/",
      clearEnv: true,
      env: { LOCKSMITH_CACHE_DIR: CACHE_DIR, USER: "admin", LOCKSMITHCTL_ENDPOINT: this.endpoint },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...options,
    });
  }

  /** Runs a command to its end. */
  async run(...words: string[]): Promise<Ended> {
    return ended(await (await this.command(words)).output());
  }

  /** Starts a command; `ended` resolves with what became of it. */
  async start(...words: string[]) {
    const child = (await this.command(words)).spawn();
    return { child, ended: child.output().then(ended) };
  }

  /** The same through another program, which becomes this one. */
  async startBy([program = "", ...args]: readonly string[], ...words: string[]) {
    const env = { LOCKSMITH_CACHE_DIR: CACHE_DIR, USER: "admin", LOCKSMITHCTL_ENDPOINT: this.endpoint };
    const child = new Deno.Command(program, {
      args: [...args, await locksmith(), ...words],
      cwd: "/",
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return { child, ended: child.output().then(ended) };
  }

  /** Resolves when so many wait by hand for the machine. Each has a key that only it knows, so there is none to watch. */
  async inLine(machine: string, priority = 0, count = 1): Promise<void> {
    const key = placeKey("", priority, machine);
    const range = { from: `${key}@`, to: `${key}A` };
    while ((await this.store.view([{ range }], CALL)).found[0]?.length !== count) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async status(): Promise<{ holders: string[]; waiting: string[] }> {
    const { stdout } = await this.run("status", "--json");
    const { holders, queue } = JSON.parse(stdout);
    return { holders, waiting: queue.map(({ machine }: { machine: string }) => machine) };
  }

  async [Symbol.asyncDispose]() {
    await this.store.close();
    await this.dispose();
  }
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function ended({ code, stdout, stderr }: Deno.CommandOutput): Ended {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

const STORES: Readonly<Record<string, () => Promise<Place>>> = {
  async etcd() {
    const etcd = await startEtcd();
    const store = await openStore({ kind: "etcd", endpoints: [etcd.endpoint] });
    return new Place(etcd.endpoint, store, async () => await etcd[Symbol.asyncDispose]());
  },
  async "the embedded store"() {
    const dir = await Deno.makeTempDir();
    const store = await openStore({ kind: "sqlite", path: `${dir}/locksmith.db` });
    return new Place(`sqlite:${dir}/locksmith.db`, store, () => Deno.remove(dir, { recursive: true }));
  },
};

for (const [name, setUp] of Object.entries(STORES)) {
  const test = (promise: string, story: (place: Place) => Promise<void>) =>
    Deno.test(`lock --wait with ${name} ${promise}`, async () => {
      await using place = await setUp();
      await story(place);
    });

  test("takes a free slot at once and says nothing", async (place) => {
    assertEquals(await place.run("lock", "A", "--wait"), { code: 0, stdout: "", stderr: "" });
    assertEquals(await place.status(), { holders: ["A"], waiting: [] });
  });

  test("has the slot when it is given back, by hand: no boot ends it", async (place) => {
    await place.run("lock", "A");
    const waiter = await place.start("lock", "B", "--wait", "--reason", "disk swap");
    await place.inLine("B");
    assertEquals(await place.status(), { holders: ["A"], waiting: ["B"] });
    await place.run("unlock", "A");
    assertEquals(await waiter.ended, { code: 0, stdout: "", stderr: "" });
    const { holders, holds, queue } = JSON.parse((await place.run("status", "--json")).stdout);
    assertEquals([holders, queue], [["B"], []]);
    const { since, by, grant, ...rest } = holds.B;
    assertEquals(rest, { reason: "disk swap" });
    assertMatch(`${since} ${by} ${grant}`, /^\S+Z admin@\S+( host)? \S{36}$/);
  });

  test("comes first by priority, and within one in the order of arrival", async (place) => {
    await place.run("lock", "A");
    const waiters = new Map<string, Promise<Ended>>();
    for (const [machine, priority] of [["B", 0], ["C", 7], ["D", 0]] as const) {
      waiters.set(machine, (await place.start("lock", machine, "--wait", `--priority=${priority}`)).ended);
      await place.inLine(machine, priority);
    }
    assertEquals(await place.status(), { holders: ["A"], waiting: ["C", "B", "D"] });
    for (const [holder, next] of [["A", "C"], ["C", "B"], ["B", "D"]] as const) {
      await place.run("unlock", holder);
      assertEquals(await waiters.get(next), { code: 0, stdout: "", stderr: "" });
      assertEquals((await place.status()).holders, [next]);
    }
  });

  test("goes on when the terminal hangs up under nohup", async (place) => {
    await place.run("lock", "A");
    const waiter = await place.startBy(["nohup"], "lock", "B", "--wait");
    await place.inLine("B");
    waiter.child.kill("SIGHUP");
    assertEquals(await place.status(), { holders: ["A"], waiting: ["B"] });
    await place.run("unlock", "A");
    assertEquals((await waiter.ended).code, 0);
    assertEquals(await place.status(), { holders: ["B"], waiting: [] });
  });

  test("exits 75 when its time is over, says who holds, and has left the line", async (place) => {
    await place.run("lock", "A");
    const { code, stdout, stderr } = await place.run("lock", "B", "--wait=250ms");
    const [first, hint] = stderr.split(/(?<=\n)/);
    assertEquals([code, stdout, first], [75, "", `Error locking: no slot within 250ms, ${LEFT}\n`]);
    assertMatch(hint ?? "", HELD_BY_A);
    assertEquals(await place.status(), { holders: ["A"], waiting: [] });
  });

  test("of no time is one fair try: a free slot is taken, a full group is not waited for", async (place) => {
    assertEquals(await place.run("lock", "A", "--wait=0"), { code: 0, stdout: "", stderr: "" });
    const { code, stderr } = await place.run("lock", "B", "--wait=0");
    assertEquals([code, stderr.split("\n")[0]], [75, `Error locking: no slot within 0s, ${LEFT}`]);
    assertEquals(await place.status(), { holders: ["A"], waiting: [] });
  });

  test("gives its place up at SIGHUP, SIGINT and SIGTERM, and exits as a shell would say", async (place) => {
    await place.run("lock", "A");
    for (const [signal, code] of [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const) {
      // whoever runs these tests may ignore the hang-up
      const waiter = await place.startBy(["env", "--default-signal=HUP"], "lock", "B", "--wait");
      await place.inLine("B");
      const sent = performance.now();
      waiter.child.kill(signal);
      assertEquals(await waiter.ended, {
        code,
        stdout: "",
        stderr: `Error locking: ${signal}, ${LEFT}\n`,
      });
      assertLess(performance.now() - sent, INTERRUPTION_LIMIT_MS);
      assertEquals(await place.status(), { holders: ["A"], waiting: [] });
    }
  });

  test("of a machine that has a slot fails as a plain lock does", async (place) => {
    await place.run("lock", "A");
    const { code, stdout, stderr } = await place.run("lock", "A", "--wait");
    assertEquals([code, stdout], [1, ""]);
    assertMatch(
      stderr,
      /^Error locking: holder exists\nlocksmith: hint: it already holds a slot: A, taken by hand \d+ s ago by admin@.+\n$/,
    );
  });

  test("fails the same when somebody else gives the machine a slot meanwhile", async (place) => {
    await place.run("lock", "A");
    const waiter = await place.start("lock", "B", "--wait");
    await place.inLine("B");
    const lock = new Lock(place.store, "", REAL, "somebody");
    const entry = await lock.entry();
    assert(await lock.replace(entry, { ...FRESH, max: 2, holders: ["A", "B"] }));
    const { code, stderr } = await waiter.ended;
    assertEquals(
      [code, stderr],
      [1, "Error locking: holder exists\nlocksmith: hint: it already holds a slot: B\n"],
    );
    assertEquals(await place.status(), { holders: ["A", "B"], waiting: [] });
  });

  test("twice for one machine: one has the slot, and the other is told so", async (place) => {
    await place.run("lock", "A");
    const first = await place.start("lock", "B", "--wait");
    await place.inLine("B");
    const second = await place.start("lock", "B", "--wait");
    await place.inLine("B", 0, 2);
    await place.run("unlock", "A");
    const ends = await Promise.all([first.ended, second.ended]);
    assertEquals(ends.map(({ code }) => code).sort(), [0, 1]);
    const other = ends.find(({ code }) => code === 1)?.stderr ?? "";
    assertMatch(other, /^Error locking: holder exists\nlocksmith: hint: it already holds a slot: B, /);
    assertEquals(await place.status(), { holders: ["B"], waiting: [] });
  });

  test("waits through a pause, and says that there is one when its time is over", async (place) => {
    await place.run("pause", "--reason", "storage");
    const { code, stderr } = await place.run("lock", "B", "--wait=250ms");
    const [first, hint] = stderr.split("\n");
    assertEquals([code, first], [75, `Error locking: no slot within 250ms, ${LEFT}`]);
    assertMatch(
      hint ?? "",
      /^locksmith: hint: no slots are granted in group \(default\) \(since .+ ago, by admin@.+, because: storage\)$/,
    );
    const waiter = await place.start("lock", "C", "--wait");
    await place.inLine("C");
    await place.run("resume");
    assertEquals(await waiter.ended, { code: 0, stdout: "", stderr: "" });
    assertEquals(await place.status(), { holders: ["C"], waiting: [] });
  });

  test("ends when the document cannot be read any more: somebody has to mend it", async (place) => {
    await place.run("lock", "A");
    const waiter = await place.start("lock", "B", "--wait");
    await place.inLine("B");
    const key = semaphoreKey("");
    const outcome = await place.store.commit({ expect: [], put: [{ key, value: "garbage" }] }, CALL);
    assertEquals(outcome.kind, "committed");
    const { code, stderr } = await waiter.ended;
    assertEquals(code, 1);
    assertStringIncludes(stderr, `locksmith: error: ${key} at `);
    assertStringIncludes(stderr, "see what a repair would do: locksmith repair --dry-run\n");
    const { found: [places = []] } = await place.store.view(
      [{ range: { from: `${key.slice(0, -9)}queue/`, to: `${key.slice(0, -9)}queue0` } }],
      CALL,
    );
    assertEquals(places, []);
  });

  test("shows on a terminal its place, and tells in a line that stays what needs a person", async (place) => {
    await place.run("lock", "A");
    const terminal = leashed("script", {
      args: ["-qefc", `${await locksmith()} lock B --wait`, "/dev/null"],
      env: {
        ...{ LOCKSMITH_CACHE_DIR: CACHE_DIR, USER: "admin", LOCKSMITHCTL_ENDPOINT: place.endpoint },
        TERM: "xterm",
      },
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const lines = terminal.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let seen = "";
    const until = async (text: string) => {
      while (!seen.includes(text)) {
        const { value, done } = await lines.read();
        assert(!done, `the program ended, and said only ${JSON.stringify(seen)}`);
        seen += value;
      }
    };
    const waiting = "locksmith: waiting for a slot in group (default): first in line, ";
    await until("locksmith: place 1 of 1 in group (default), waited ");
    await place.run("pause");
    await until(`${waiting}the group is paused (since `);
    await place.run("unlock", "A");
    await place.run("resume");
    while (!(await lines.read()).done);
    assertEquals((await terminal.status).code, 0);
    assertEquals(await place.status(), { holders: ["B"], waiting: [] });
  });
}

Deno.test("lock --wait on a frozen etcd does not wait for it after SIGTERM, and says that its place expires", async () => {
  await using etcd = await startEtcd();
  const store = await openStore({ kind: "etcd", endpoints: [etcd.endpoint] });
  await using place = new Place(etcd.endpoint, store, () => Promise.resolve());
  await place.run("lock", "A");
  const waiter = await place.start("lock", "B", "--wait");
  await place.inLine("B");
  etcd.freeze();
  try {
    const sent = performance.now();
    waiter.child.kill("SIGTERM");
    const { code, stderr } = await waiter.ended;
    assertLess(performance.now() - sent, INTERRUPTION_LIMIT_MS);
    assertEquals([code, stderr], [
      143,
      `Error locking: SIGTERM\nlocksmith: hint: ${etcd.endpoint} does not answer; ` +
      "the place in the queue expires within 30s\n",
    ]);
  } finally {
    etcd.thaw();
  }
});

Deno.test("lock --wait whose time is over while etcd is frozen still ends, with 75", async () => {
  await using etcd = await startEtcd();
  const store = await openStore({ kind: "etcd", endpoints: [etcd.endpoint] });
  await using place = new Place(etcd.endpoint, store, () => Promise.resolve());
  await place.run("lock", "A");
  const waiter = await place.start("lock", "B", "--wait=6s");
  await place.inLine("B");
  etcd.freeze();
  try {
    assertEquals(await waiter.ended, {
      code: 75,
      stdout: "",
      stderr: `Error locking: no slot within 6s\nlocksmith: hint: ${etcd.endpoint} does not answer; ` +
        "the place in the queue expires within 30s\n",
    });
  } finally {
    etcd.thaw();
  }
});

Deno.test("lock --wait rides out a restart of etcd, and has the slot when it comes", async () => {
  await using etcd = await startEtcd();
  const store = await openStore({ kind: "etcd", endpoints: [etcd.endpoint] });
  await using place = new Place(etcd.endpoint, store, () => Promise.resolve());
  await place.run("lock", "A");
  const waiter = await place.start("lock", "B", "--wait");
  await place.inLine("B");
  await etcd.kill();
  await etcd.start();
  await place.run("unlock", "A");
  assertEquals(await waiter.ended, { code: 0, stdout: "", stderr: "" });
});

Deno.test("lock --wait of who may not write ends at once, and says so", async () => {
  await using etcd = await startEtcd({ users: true });
  const { code, stdout, stderr } = ended(
    await leashed(await locksmith(), {
      args: ["lock", "B", "--wait", "--endpoint", etcd.endpoint, "--etcd-username", "reader"],
      clearEnv: true,
      env: { LOCKSMITH_CACHE_DIR: CACHE_DIR, USER: "admin", LOCKSMITHCTL_ETCD_PASSWORD: "reader-secret" },
      stdin: "null",
    }).output(),
  );
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^locksmith: error: .*permission/);
});

/** A wait of this process over a store in memory, of whose grant the test decides what becomes. */
async function waitInMemory(commit: (grant: () => Promise<CommitOutcome>) => Promise<CommitOutcome>) {
  const memory = new Memory();
  const store = openMemory(memory);
  const isGrant = ({ put }: Transaction) =>
    put.some(({ key, value }) => key === semaphoreKey("") && value.includes('"grant"'));
  const doubtful: Store = {
    ...store,
    commit: (transaction, options) =>
      isGrant(transaction)
        ? commit(() => store.commit(transaction, options))
        : store.commit(transaction, options),
  };
  let stderr = "";
  const context = {
    out: () => {},
    err: (text: string) => {
      stderr += text;
    },
    surroundings: REAL,
    watched: false,
  };
  const lock = new Lock(doubtful, "", REAL, "admin@here");
  const hold = { by: "admin@here", grant: "g1", extra: {} };
  const wait = { limitMs: Infinity, priority: 0, overdueMs: 3_600_000 };
  // nothing else keeps this process alive until its signal comes
  const alive = setInterval(() => {}, 60_000);
  const code = await new LockByWaiting(context, lock, "B", hold, wait).run().finally(() => {
    clearInterval(alive);
  });
  const { holders } = await new Lock(store, "", REAL, "looker").read();
  return { code, stderr, holders, memory };
}

const interrupt = () => Deno.kill(Deno.pid, "SIGTERM");

Deno.test("a slot that comes while the wait is being interrupted is given back", async () => {
  const heard = Promise.withResolvers<void>();
  const { code, stderr, holders } = await waitInMemory(async (grant) => {
    const done = () => heard.resolve();
    Deno.addSignalListener("SIGTERM", done);
    interrupt();
    await heard.promise;
    Deno.removeSignalListener("SIGTERM", done);
    return await grant();
  });
  assertEquals([code, stderr, holders], [143, "Error locking: SIGTERM, the slot was given back\n", []]);
});

Deno.test({
  name:
    "an interrupted wait whose grant is not answered says that nobody can tell, and does not say that it has none",
  // the wait gives up on an answer, as it promises; what it waits for is there still
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const { promise: never, resolve: cease } = Promise.withResolvers<CommitOutcome>();
    const { code, stderr, memory } = await waitInMemory((grant) => {
      interrupt();
      return grant().then(() => never);
    });
    assertEquals([code, stderr], [
      143,
      "locksmith: error: cannot tell whether lock in group (default) took effect: memory does not answer\n" +
      "locksmith: hint: the request may have reached the store; check with 'locksmith status' before you continue\n",
    ]);
    cease({ kind: "refused", ...memory.view([]) });
  },
});

Deno.test("an interrupted wait whose grant was answered by silence makes sure that it never happens", async () => {
  const cause = new StoreError("timeout", "memory: no answer in time");
  let late: (() => Promise<CommitOutcome>) | undefined;
  const { code, stderr, holders } = await waitInMemory((grant) => {
    late = grant;
    interrupt();
    return Promise.resolve({ kind: "unknown", cause });
  });
  assertEquals([code, stderr, holders], [143, `Error locking: SIGTERM, ${LEFT}\n`, []]);
  assertEquals((await late?.())?.kind, "refused");
});
