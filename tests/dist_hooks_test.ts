/** The example hooks, each with programs that only note what they were asked for. */

import { assertEquals, assertMatch } from "@std/assert";
import { runOwn } from "../lib/host/own_program.ts";

const HOOKS = new URL("../dist/hooks", import.meta.url).pathname;

/** Runs a hook in both phases, or one; what its programs were asked for, and how it ended. */
async function run(
  hook: string,
  phases: readonly ("pre-reboot" | "post-boot")[],
  programs: Readonly<Record<string, string>>,
  conf = "",
) {
  await using folder = await makeFolder();
  const { root } = folder;
  for (const [name, script] of Object.entries({ sleep: "exit 0", ...programs })) {
    await Deno.writeTextFile(`${root}/bin/${name}`, `#!/bin/sh\necho "${name} $*" >>"$CALLS"\n${script}\n`);
    await Deno.chmod(`${root}/bin/${name}`, 0o755);
  }
  const ends: string[] = [];
  const lines: string[] = [];
  for (const phase of phases) {
    const end = await runOwn({ name: hook, path: `${HOOKS}/${hook}` }, {
      env: {
        LOCKSMITH_PHASE: phase,
        LOCKSMITH_HOST: "web1.example.net",
        LOCKSMITH_REASON: 'a "new" kernel',
        CALLS: `${root}/calls`,
        STATE_DIR: root,
        PATH: `${root}/bin:${Deno.env.get("PATH")}`,
        ...Object.fromEntries(conf.split("\n").filter(Boolean).map((line) => line.split(/=(.*)/s, 2))),
      },
      timeoutMs: 20_000,
      tell: (line) => lines.push(line),
    });
    ends.push(end.kind === "done" ? "done" : end.why);
  }
  const calls = (await Deno.readTextFile(`${root}/calls`).catch(() => "")).split("\n").filter(Boolean);
  return { calls, ends, lines };
}

async function makeFolder() {
  const root = await Deno.makeTempDir({ prefix: "locksmith-hooks-" });
  await Deno.mkdir(`${root}/bin`);
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

const BOTH = ["pre-reboot", "post-boot"] as const;

Deno.test("ceph-noout sets noout for this host alone, and unsets it", async () => {
  const { calls, ends } = await run("ceph-noout", BOTH, { ceph: "exit 0" });
  assertEquals([calls, ends], [
    ["ceph osd set-group noout web1", "ceph osd unset-group noout web1"],
    ["done", "done"],
  ]);
  assertEquals((await run("ceph-noout", ["pre-reboot"], { ceph: "echo 'no quorum' >&2; exit 1" })).ends, [
    "no quorum",
  ]);
});

Deno.test("alertmanager-silence silences this host for a while, and ends that very silence", async () => {
  const curl = `case "$*" in *DELETE*) ;; *) echo '{"silenceID":"7d8a"}';; esac`;
  const { calls, ends, lines } = await run(
    "alertmanager-silence",
    BOTH,
    { curl },
    "ALERTMANAGER_URL=https://am.example.net",
  );
  assertEquals(ends, ["done", "done"]);
  const text = calls.join("\n");
  assertMatch(text, /"name":"instance","value":"web1\.example\.net\(:\[0-9\]\+\)\?","isRegex":true/);
  assertMatch(text, /"endsAt":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ".*"comment":"reboot: a \\"new\\" kernel"/s);
  assertMatch(text, /https:\/\/am\.example\.net\/api\/v2\/silences\n/);
  assertMatch(text, /curl .*-X DELETE https:\/\/am\.example\.net\/api\/v2\/silence\/7d8a$/);
  assertMatch(lines[0] ?? "", /for 30 minutes at most: 7d8a$/);
  assertMatch(
    (await run("alertmanager-silence", ["pre-reboot"], { curl })).ends[0] ?? "",
    /ALERTMANAGER_URL: is not set/,
  );
});

Deno.test("haproxy-drain drains each server, waits for its clients, and lets them in again", async () => {
  const socat = `read -r order; echo "order $order" >>"$CALLS"
case $order in "show stat") n=$(grep -c "show stat" "$CALLS"); [ "$n" -gt 2 ] && n=0; echo "web,web1,0,0,$n,9"; esac`;
  const { calls, ends } = await run("haproxy-drain", BOTH, { socat }, "HAPROXY_SERVERS=web/web1");
  assertEquals(ends, ["done", "done"]);
  assertEquals(calls.filter((call) => !call.startsWith("socat")), [
    "order set server web/web1 state drain",
    "order show stat",
    "sleep 1",
    "order show stat",
    "sleep 1",
    "order show stat",
    "order set server web/web1 state ready",
  ]);
  const unknown = { socat: "echo 'No such server.'" };
  assertEquals((await run("haproxy-drain", ["pre-reboot"], unknown, "HAPROXY_SERVERS=web/web1")).ends, [
    "/run/haproxy/admin.sock: set server web/web1 state drain: No such server.",
  ]);
});

Deno.test("patroni-switchover gives the leadership away if this host has it, and fails where nobody takes it", async () => {
  const curl = (leads: string) =>
    `case "$*" in */leader) ${leads};; */patroni) echo '{"patroni":{"name": "pg1"}}' | sed 's/.*{"name/{"name/';; esac`;
  const handed = curl('[ "$(grep -c leader "$CALLS")" -lt 4 ] || exit 22');
  const { calls, ends } = await run("patroni-switchover", BOTH, { curl: handed });
  assertEquals(ends, ["done", "done"]);
  assertMatch(calls.join("\n"), /-d \{"leader":"pg1"\} http:\/\/127\.0\.0\.1:8008\/switchover/);
  assertEquals((await run("patroni-switchover", ["pre-reboot"], { curl: curl("exit 22") })).calls.length, 1);
  const stuck = await run(
    "patroni-switchover",
    ["pre-reboot"],
    { curl: curl("exit 0") },
    "PATRONI_SECONDS=2",
  );
  assertEquals(stuck.ends, ["this host still leads"]);
  const silent = await run("patroni-switchover", ["pre-reboot"], { curl: curl("exit 7") });
  assertEquals(silent.ends, ["Patroni does not answer at http://127.0.0.1:8008"]);
});

Deno.test("consul-maintenance takes the node out, with the reason, and puts it back", async () => {
  const { calls, ends } = await run("consul-maintenance", BOTH, { consul: "exit 0" });
  assertEquals([calls, ends], [
    ['consul maint -enable -reason locksmith: a "new" kernel', "sleep 5", "consul maint -disable"],
    ["done", "done"],
  ]);
});

Deno.test("every example hook can run as it is shipped, and the README names it", async () => {
  const readme = await Deno.readTextFile(`${HOOKS}/README.md`);
  for await (const { name } of Deno.readDir(HOOKS)) {
    if (name === "README.md") continue;
    assertMatch(name, /^[A-Za-z0-9_-]+$/);
    assertEquals(((await Deno.stat(`${HOOKS}/${name}`)).mode ?? 0) & 0o111, 0o111, name);
    assertEquals(readme.includes(`| \`${name}\``), true, name);
  }
});
