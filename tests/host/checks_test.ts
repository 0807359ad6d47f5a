import { assertEquals, assertMatch } from "@std/assert";
import { askChecks, type CheckPhase } from "../../lib/host/checks.ts";
import { OwnHost } from "../support/own_host.ts";

/** Asks; what speaks against it, or `yes`. */
async function ask(
  host: OwnHost,
  more: { units?: string[]; urls?: string[]; timeoutMs?: number } = {},
  phase: CheckPhase = "before",
): Promise<string> {
  const options = { units: [], urls: [], timeoutMs: 20_000, reasons: () => ["new kernel"], ...more };
  const { root, group, machine, log } = host;
  const verdict = await askChecks({ root, group, machine, log, ...options }, phase);
  return verdict.kind === "well" ? "yes" : verdict.why;
}

Deno.test("askChecks() says yes where every program exits with 0, and tells each of them phase and reason", async () => {
  await using host = await OwnHost.make();
  assertEquals(await ask(host), "yes");
  await host.script("check", "a", 'echo "$LOCKSMITH_PHASE $LOCKSMITH_REASON" >>"$LOCKSMITH_ROOT/calls"');
  await host.script("check", "b", "echo all is fine");
  for (const phase of ["before", "granted", "after"] as const) {
    assertEquals(await ask(host, {}, phase), "yes");
  }
  assertEquals(await host.calls(), ["before new kernel", "granted new kernel", "after new kernel"]);
  assertEquals(host.lines, []);
});

Deno.test("askChecks() asks all, and names each no with its last line, its exit code, or that it was late", async () => {
  await using host = await OwnHost.make();
  await host.script("check", "10-raid", "exit 4");
  await host.script("check", "20-ceph", "echo checking; echo HEALTH_WARN >&2; exit 1");
  await host.script("check", "30-slow", "sleep 30");
  await host.script("check", "40-open", "exit 0");
  await Deno.chmod(`${host.root}/etc/locksmith/check.d/40-open`, 0o777);
  const path = `${host.root}/etc/locksmith/check.d/40-open`;
  assertEquals(
    await ask(host, { timeoutMs: 1_000 }),
    `10-raid: exit code 4; 20-ceph: HEALTH_WARN; 30-slow: it did not end within 1 s; ` +
      `40-open: not run: ${path} can be written by everybody`,
  );
});

Deno.test("askChecks() wants every required unit to be active, and takes no answer for a no", async () => {
  await using host = await OwnHost.make();
  const units = ["a.service", "b.service", "c.service"];
  await host.program(
    "systemctl",
    '[ "$1 $2 $3" = "is-active -- a.service" ] && printf "active\\nfailed\\ninactive\\n"; exit 3',
  );
  await host.withPrograms(async () => {
    assertEquals(await ask(host, { units }), "b.service is failed; c.service is inactive");
    await host.program("systemctl", 'printf "active\\nactive\\nactive\\n"');
    assertEquals(await ask(host, { units }), "yes");
    await host.program("systemctl", "echo 'Failed to connect to bus' >&2; exit 1");
    assertEquals(
      await ask(host, { units: ["a.service"] }),
      "cannot ask systemctl about a.service: Failed to connect to bus",
    );
  });
});

Deno.test("askChecks() wants 2xx of every URL: no redirect, no error, no silence", async () => {
  await using host = await OwnHost.make();
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    return new Response(null, { status: Number(pathname.slice(1)), headers: { location: "/200" } });
  });
  const url = (path: string) => `http://127.0.0.1:${server.addr.port}/${path}`;
  const answer = async (path: string) =>
    (await ask(host, { urls: [url(path)], timeoutMs: 300 })).replace(url(path), "URL");
  assertEquals(await answer("204"), "yes");
  assertEquals(await answer("503"), "URL: it answers with status 503");
  assertEquals(await answer("302"), "URL: it answers with status 302, and redirects are not followed");
  // it accepts, and says nothing; then nobody is there
  const silent = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const address = `http://127.0.0.1:${silent.addr.port}/`;
  assertEquals(await ask(host, { urls: [address], timeoutMs: 300 }), `${address}: no answer within 0 s`);
  silent.close();
  assertMatch(await ask(host, { urls: [address] }), /^http:\/\/127\.0\.0\.1:\d+\/: Connection refused/);
});
