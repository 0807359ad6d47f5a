/**
 * The strategy `auto` on a host whose etcd may come late, or never: no reboot without a lock while one may still come.
 */

import { assertEquals } from "@std/assert";
import { awaitEtcd, listensAt, LOOK_MS, PATIENCE_MS, unlessEtcd } from "../../lib/cli/auto_strategy.ts";
import type { Host } from "../../lib/daemon.ts";
import { TestMachine, until } from "../support/daemon_process.ts";
import { Virtual } from "../support/virtual.ts";

const ENDPOINT = "http://127.0.0.1:2379";
const PROJECT = new URL("../..", import.meta.url).pathname;

/** A look for an etcd that comes after so many milliseconds; `Infinity`: never. */
function looking(comesMs: number, signal = new AbortController().signal) {
  const time = new Virtual();
  const log: string[] = [];
  const state = { looks: 0, answer: undefined as boolean | undefined };
  const listens = () => {
    state.looks++;
    return Promise.resolve(time.elapsed() >= comesMs);
  };
  const write = (level: string, text: string) => void log.push(`${level}: ${text}`);
  awaitEtcd(ENDPOINT, listens, time, write, signal).then((answer) => state.answer = answer);
  return { time, log, state };
}

Deno.test("awaitEtcd() takes an etcd that is there at once, without a word", async () => {
  const { time, log, state } = looking(0);
  await time.advance(0);
  assertEquals([state.answer, state.looks, log], [true, 1, []]);
});

Deno.test("awaitEtcd() takes an etcd that comes seconds or minutes later, and gives no answer before", async () => {
  for (const comesMs of [4_000, PATIENCE_MS - LOOK_MS]) {
    const { time, log, state } = looking(comesMs);
    await time.advance(comesMs - LOOK_MS);
    assertEquals(state.answer, undefined);
    await time.advance(LOOK_MS);
    assertEquals(state.answer, true);
    assertEquals(log, [
      "info: strategy auto: nothing listens at http://127.0.0.1:2379; waiting 5m for etcd before this machine may reboot " +
      "without a lock",
    ]);
  }
});

Deno.test("awaitEtcd() says that there is none only when nobody listened for as long as its patience", async () => {
  const { time, state } = looking(Infinity);
  await time.advance(PATIENCE_MS - LOOK_MS);
  assertEquals(state.answer, undefined);
  await time.advance(LOOK_MS);
  assertEquals(state.answer, false);
});

Deno.test("awaitEtcd() ends when the daemon is told to stop", async () => {
  const stop = new AbortController();
  const { time, state } = looking(Infinity, stop.signal);
  await time.advance(LOOK_MS);
  stop.abort();
  await time.advance(LOOK_MS);
  assertEquals(state.answer, false);
});

Deno.test("unlessEtcd() looks once more right before the reboot, and refuses it where an etcd has come", async () => {
  const calls: string[] = [];
  let there = false;
  const host = { reboot: () => Promise.resolve({ kind: "accepted" }) } as unknown as Host; // nothing else is asked of it
  const guarded = unlessEtcd(host, ENDPOINT, () => Promise.resolve(there), () => calls.push("came"));
  assertEquals([await guarded.reboot(1, "kernel"), calls], [{ kind: "accepted" }, []]);
  there = true;
  assertEquals([await guarded.reboot(1, "kernel"), calls], [
    { kind: "refused", why: "something now listens at http://127.0.0.1:2379" },
    ["came"],
  ]);
});

Deno.test("listensAt() tells whether somebody takes connections", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const endpoint = `http://127.0.0.1:${listener.addr.port}`;
  assertEquals(await listensAt(endpoint), true);
  listener.close();
  assertEquals(await listensAt(endpoint), false);
});

Deno.test("daemon with auto on a host whose etcd starts after it waits for it, and reboots under its lock", async () => {
  await using machine = await TestMachine.make();
  await machine.need();
  const dir = await Deno.makeTempDir();
  // a network of its own: what listens at the default address of this machine is none of this test
  const script = `ip link set lo up
"$DENO" run -A --quiet "$MAIN" daemon --root "$ROOT" --reboot-strategy auto --reboot-command 'touch "$LOCKSMITH_ROOT/rebooted"' & daemon=$!
read go
etcd --data-dir "$DIR/etcd" >/dev/null 2>&1 & etcd=$!
read go
kill $daemon $etcd
wait`;
  const child = new Deno.Command("unshare", {
    args: [...(Deno.uid() === 0 ? ["-n"] : ["-rn"]), "sh", "-c", script],
    clearEnv: true,
    env: {
      ...Object.fromEntries(
        Object.entries(Deno.env.toObject()).filter(([name]) =>
          !/^(LOCKSMITH|REBOOT_|JOURNAL|DBUS)/.test(name)
        ),
      ),
      DENO: Deno.execPath(),
      MAIN: `${PROJECT}main.ts`,
      ROOT: machine.root,
      DIR: dir,
      DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/nonexistent/bus",
      // nobody can tell who is logged in without a bus
      LOCKSMITHD_SESSION_GRACE: "0s",
    },
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  let text = "";
  const reading = (async () => {
    for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) text += part;
  })();
  const line = (pattern: RegExp) => until(() => Promise.resolve(text), (text) => pattern.test(text));
  const go = () => input.write(new TextEncoder().encode("\n"));
  try {
    await line(/strategy auto: nothing listens at http:\/\/127\.0\.0\.1:2379;/);
    assertEquals(await machine.read("rebooted"), "");
    await go();
    await line(
      /strategy etcd-lock: auto is configured by --reboot-strategy, and etcd listens at http:\/\/127\.0\.0\.1:2379/,
    );
    await line(/got a slot[^]*the reboot is accepted/);
  } finally {
    await go();
    await input.close();
    await reading;
    await child.status;
    await Deno.remove(dir, { recursive: true });
  }
});
