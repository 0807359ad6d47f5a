/**
 * `status --watch` and `lock --wait` while somebody looks: the built file on a terminal, which script(1) makes, and in a
 * pipe; over each kind of store. The words of both.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { changeLine, doneLine } from "../../lib/cli/status_watch.ts";
import { waitText } from "../../lib/cli/wait_line.ts";
import { Lock } from "../../lib/lock.ts";
import { openStore } from "../../lib/cli/open_store.ts";
import { placeKey } from "../../lib/queue.ts";
import { openSqlite } from "../../lib/sqlite/store.ts";
import { FRESH } from "../../lib/semaphore.ts";
import type { Seen } from "../../lib/status.ts";
import { REAL } from "../../lib/surroundings.ts";
import { CACHE_DIR, locksmith } from "../support/executable.ts";
import { leashed } from "../support/child.ts";
import { startEtcd } from "../support/etcd.ts";
import { startServe } from "../support/serve_process.ts";

const NOW = Date.parse("2026-05-21T12:00:00Z");
const MINUTE_MS = 60_000;

const holding = (max: number, ...hosts: string[]): Seen["semaphore"] => ({
  ...FRESH,
  max,
  holders: hosts,
  holds: new Map(hosts.map((host) => [host, {
    ...{ host, boot: "b", since: "2026-05-21T11:58:00Z", by: "locksmithd", phase: "rebooting", extra: {} },
  }])),
});
const waiting = (...hosts: string[]): Seen["queue"] =>
  hosts.map((host) => ({ machine: host, host, priority: 0, by: "anna@desk" }));
const SEEN: Seen = {
  ...{ semaphore: holding(1, "web1"), all: FRESH, stored: true },
  ...{ queue: waiting("web2", "web3", "web4"), overdue: [] },
};
const REBOOTS = [5 * MINUTE_MS];

Deno.test("doneLine() tells when all will have rebooted, or why nobody can tell", () => {
  const line = (seen: Partial<Seen>, reboots = REBOOTS) =>
    doneLine({ ...SEEN, ...seen }, reboots, { now: NOW, screen: { zone: "Europe/Berlin" } });
  assertEquals(line({}), "\nDone: in about 18 min (Thu 2026-05-21 14:18 +02:00)\n");
  assertEquals(line({}, []), "\nDone: no estimate until a reboot of this group was recorded\n");
  assertEquals(line({ semaphore: holding(1), queue: [] }), "");
  assertEquals(line({ semaphore: holding(0) }), "\nDone: never, the group has no slots\n");
  assertEquals(
    line({ overdue: ["web1"] }),
    "\nDone: never as things are; every slot is overdue or was taken by hand\n",
  );
  const paused = { ...SEEN.semaphore, paused: { since: "2026-05-21T11:00:00Z", extra: {} } };
  assertEquals(line({ semaphore: paused }), "\nDone: about 18 min after the pause ends\n");
});

Deno.test("changeLine() has a group in a line", () => {
  assertEquals(
    changeLine("web", SEEN, NOW),
    "group web: 0 of 1 slots free, 3 waiting; held by web1, rebooting for 2 min; first in line is web2",
  );
  assertEquals(
    changeLine("", { ...SEEN, semaphore: holding(2), queue: [] }, NOW),
    "group (default): 2 of 2 slots free, 0 waiting",
  );
});

Deno.test("waitText() tells the place, when its turn should come, and who holds", () => {
  const waits = { holder: "web3", by: "anna@desk", waitedMs: 41_000 };
  assertEquals(
    waitText("web", SEEN, waits, REBOOTS, NOW),
    "place 2 of 3 in group web, turn in about 8 min, waited 41 s; held by web1, rebooting for 2 min",
  );
  assertEquals(
    waitText("web", { ...SEEN, semaphore: holding(0) }, waits, REBOOTS, NOW),
    "place 2 of 3 in group web, the group has no slots, waited 41 s",
  );
  const all = { ...FRESH, paused: { since: "2026-05-21T11:00:00Z", extra: {} } };
  assertStringIncludes(
    waitText("web", { ...SEEN, all }, waits, [], NOW),
    ", all groups are paused, waited 41 s",
  );
  assertStringIncludes(
    waitText("web", SEEN, waits, [], NOW),
    "place 2 of 3 in group web, waited 41 s; held by",
  );
});

/** A command whose output is read while it runs. */
class Running {
  text = "";
  #changed = () => {};
  readonly code: Promise<number>;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;

  constructor(readonly child: Deno.ChildProcess) {
    const reading = (async () => {
      for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
        // control sequences as caret notation has them
        this.text += piece.replaceAll("\u001b", "^[");
        this.#changed();
      }
    })();
    this.#keys = child.stdin.getWriter();
    this.code = Promise.all([child.status, reading]).then(([{ code }]) => code);
  }

  /** Resolves once what came after the first `from` characters fits. */
  async shows(pattern: RegExp, from = 0): Promise<number> {
    while (!pattern.test(this.text.slice(from))) {
      const more = new Promise<boolean>((resolve) => this.#changed = () => resolve(true));
      if (await Promise.race([more, this.code.then(() => false)])) continue;
      assertMatch(this.text.slice(from), pattern);
    }
    return this.text.length;
  }

  async press(keys: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  async [Symbol.asyncDispose]() {
    await this.#keys.close().catch(() => {});
    await this.code;
  }
}

function start(program: string, args: readonly string[], endpoint: Record<string, string>) {
  const env = {
    LOCKSMITH_CACHE_DIR: CACHE_DIR,
    TZ: "Europe/Berlin",
    TERM: "xterm",
    USER: "anna",
    ...endpoint,
  };
  return new Running(
    leashed(program, { args: [...args], env, stdin: "piped", stdout: "piped", stderr: "null" }).spawn(),
  );
}

Deno.test("on a terminal a group and a wait are drawn in place as they change, and leave the terminal as it was", async () => {
  const dir = await Deno.makeTempDir();
  const store = openSqlite(`${dir}/locksmith.db`);
  try {
    const lock = new Lock(store, "", REAL, "bob@desk");
    const take = (id: string) =>
      lock.acquire(id, { since: new Date().toISOString(), by: "bob@desk", grant: id, extra: {} });
    await take("web1");
    const path = await locksmith();
    const show = (words: string) =>
      start("script", ["-qefc", `stty cols 100 rows 20; ${path} ${words}`, "/dev/null"], {
        LOCKSMITHCTL_ENDPOINT: `sqlite:${dir}/locksmith.db`,
      });

    await using watch = await show("status --watch");
    await using other = await show("status --watch");
    await Promise.all([watch.shows(/\^\[\[\?1049h[^]*web1[^]*q ends/), other.shows(/q ends/)]);
    const before = watch.text.length;
    await using wait = await show("lock web2 --wait");
    await wait.shows(
      /llocksmith: place 1 of 1 in group \(default\), waited \d+ s; held by web1, taken by hand/,
    );
    await watch.shows(/\^\[\[H[^]*PLACE[^]*web2/, before);
    const waited = watch.text.length;
    await lock.unlock("web1");
    assertEquals(await wait.code, 0);
    assert(wait.text.endsWith("\r^[[K"), "the line is taken away");
    await watch.shows(/\^\[\[H[^]*web2[^]*q ends/, waited);

    await watch.press("q");
    await other.press("\x03");
    assertEquals(await Promise.all([watch.code, other.code]), [0, 130]);
    // the last picture stays, on the screen that was there before
    const [, after = ""] = watch.text.split("^[[?1049l");
    assertMatch(after, /^group \(default\)\r\nAvailable: 0\r\nMax: 1\r\n\r\nMACHINE [^]*web2 /);
    assertStringIncludes(watch.text, "^[[?7h^[[?25h^[[?1049l");
  } finally {
    await store.close();
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("in a pipe there is a line for each change, over every kind of store, until a signal or nobody reads", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await using etcd = await startEtcd();
    await using server = await startServe(`${dir}/served.db`, dir);
    const path = await locksmith();
    const sqlite = { kind: "sqlite", path: `${dir}/own.db` } as const;
    const served = { kind: "sqlite", path: `${dir}/served.db` } as const;
    const places = [
      [{ kind: "etcd", endpoints: [etcd.endpoint] } as const, { LOCKSMITHCTL_ENDPOINT: etcd.endpoint }],
      [sqlite, { LOCKSMITHCTL_ENDPOINT: `sqlite:${sqlite.path}` }],
      [served, { LOCKSMITHCTL_SERVER: server.url, LOCKSMITHCTL_SERVER_TOKEN: server.tokens.viewer }],
    ] as const;
    for (const [config, endpoint] of places) {
      const store = await openStore(config);
      try {
        const lock = new Lock(store, "web", REAL, "bob@desk");
        await lock.setMax(2);
        await using plain = await start(path, ["status", "--watch", "--group", "web"], endpoint);
        await using json = await start(path, ["status", "--watch", "--json", "--group", "web"], endpoint);
        const [seen] = await Promise.all([plain.shows(/2 of 2 slots free/), json.shows(/"available":2/)]);
        await using read = await start(
          "sh",
          ["-c", `${path} status --watch --group web | head -n 1`],
          endpoint,
        );
        await read.shows(/free/);
        await store.commit({ expect: [], put: [{ key: placeKey("web", 0, "web7"), value: "{}" }] }, {
          timeoutMs: 4_000,
        });
        await Promise.all([
          plain.shows(/^\S+Z group web: 2 of 2 slots free, 1 waiting; first in line is web7\n$/, seen),
          json.shows(/"queue":\[\{"machine":"web7"/),
        ]);
        assertEquals(await read.code, 0, "nobody reads any more");
        plain.child.kill("SIGTERM");
        json.child.kill("SIGINT");
        assertEquals(await Promise.all([plain.code, json.code]), [143, 130]);
        const lines = plain.text.trimEnd().split("\n");
        assertEquals(lines.length, 2, plain.text);
      } finally {
        await store.close();
      }
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
