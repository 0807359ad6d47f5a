import { assertEquals } from "@std/assert";
import { Bus } from "../../lib/host/bus.ts";
import { listSessions, wall } from "../../lib/host/sessions.ts";
import { startBus } from "../support/bus.ts";

const SOON = { timeoutMs: 20_000 };

Deno.test("listSessions() is empty when nobody is logged in", async () => {
  await using test = await startBus();
  assertEquals(await listSessions(test.client(), SOON), { kind: "known", sessions: [] });
});

Deno.test("listSessions() counts people, and whoever cannot be told from one, but no greeter or manager", async () => {
  await using test = await startBus();
  await test.logind.addSession({ id: "c1", user: "ann", uid: 1000 });
  await test.logind.addSession({ id: "c2", user: "gdm", uid: 42, class: "greeter" });
  await test.logind.addSession({ id: "c3", user: "root", uid: 0, class: "user-early" });
  await test.logind.addSession({ id: "c4", user: "ann", uid: 1000, class: "manager" });
  await test.logind.addSession({ id: "c5", user: "cron", uid: 1001, class: "background" });
  await test.logind.addSession({ id: "c6", user: "bob", uid: 1002, class: null });
  assertEquals(await listSessions(test.client(), SOON), {
    kind: "known",
    sessions: [
      { id: "c1", uid: 1000, user: "ann", seat: "seat0" },
      { id: "c3", uid: 0, user: "root", seat: "seat0" },
      { id: "c6", uid: 1002, user: "bob", seat: "seat0" },
    ],
  });
  await test.logind.endSession("c1");
  const left = await listSessions(test.client(), SOON);
  assertEquals(left.kind === "known" && left.sessions.map(({ user }) => user), ["root", "bob"]);
});

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
