import { assertEquals } from "@std/assert";
import { Bus } from "../../lib/host/bus.ts";
import { listSessions, wall } from "../../lib/host/sessions.ts";
import { startBus } from "../support/bus.ts";

const SOON = { timeoutMs: 20_000 };

Deno.test("listSessions() is empty when nobody is logged in", async () => {
  await using test = await startBus();
  assertEquals(await listSessions(test.client(), SOON), { kind: "known", sessions: [] });
});

for (const extended of [false, true]) {
  const how = extended ? "with ListSessionsEx" : "without ListSessionsEx";
  Deno.test(`listSessions() ${how} counts people, and whoever cannot be told from one, but no greeter or manager`, async () => {
    await using test = await startBus();
    if (extended) await test.logind.listSessionsEx();
    const classes: [string, string | null][] = [
      ["ann", "user"],
      ["gdm", "greeter"],
      ["root", "user-early"],
      ["new", "user-incomplete"],
      ["cron", "user-light"],
      ["job", "background"],
      ["thin", "background-light"],
      ["service", "manager"],
      ["first", "manager-early"],
      ["locked", "lock-screen"],
      ["none", "none"],
      ["bob", null],
    ];
    for (const [index, [user, kind]] of classes.entries()) {
      await test.logind.addSession({ id: `c${index}`, user, uid: 1000 + index, class: kind });
    }
    const seen = await listSessions(test.client(), SOON);
    assertEquals(seen.kind === "known" && seen.sessions.map(({ user }) => user), [
      "ann",
      "root",
      "new",
      "cron",
      "bob",
    ]);
    assertEquals(seen.kind === "known" && seen.sessions[0], {
      id: "c0",
      uid: 1000,
      user: "ann",
      seat: "seat0",
    });
    await test.logind.endSession("c0");
    const left = await listSessions(test.client(), SOON);
    assertEquals(left.kind === "known" && left.sessions[0]?.user, "root");
  });

  Deno.test(`listSessions() ${how} takes a session that is closing for nobody's`, async () => {
    await using test = await startBus();
    if (extended) await test.logind.listSessionsEx();
    await test.logind.addSession({ id: "c1", user: "ann", uid: 1000, state: "closing" });
    assertEquals(await listSessions(test.client(), SOON), { kind: "known", sessions: [] });
    await test.logind.addSession({ id: "c2", user: "ann", uid: 1000, state: "online" });
    const seen = await listSessions(test.client(), SOON);
    assertEquals(seen.kind === "known" && seen.sessions.map(({ id }) => id), ["c2"]);
  });
}

Deno.test("listSessions() does not know, and never says nobody, without logind", async () => {
  assertEquals(await listSessions(new Bus({ address: "unix:path=/nonexistent/bus" }), SOON), {
    kind: "unknown",
    why: "cannot ask logind who is logged in: Failed to connect to bus: No such file or directory",
  });
});

async function withProgram(script: string, test: (program: string, directory: string) => Promise<void>) {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/wall`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    await test(`${directory}/wall`, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("wall() gives its message to the program's stdin", async () => {
  await withProgram('cat > "$0.out"', async (program) => {
    assertEquals(await wall("-h: reboot in 5 minutes", { ...SOON, program }), { kind: "sent" });
    assertEquals(await Deno.readTextFile(`${program}.out`), "-h: reboot in 5 minutes\n");
  });
});

Deno.test("wall() reports why a message could not be sent", async () => {
  assertEquals(await wall("x", { ...SOON, program: "/nonexistent/wall" }), {
    kind: "failed",
    why: "cannot run /nonexistent/wall: no such file or directory",
  });
  await withProgram("echo 'wall: no terminals' >&2; exit 1", async (program) => {
    assertEquals(await wall("x", { ...SOON, program }), { kind: "failed", why: "wall: no terminals" });
  });
  await withProgram("exec sleep 600", async (program) => {
    assertEquals(await wall("x", { timeoutMs: 200, program }), {
      kind: "failed",
      why: `${program} did not end within 200 ms`,
    });
  });
});
