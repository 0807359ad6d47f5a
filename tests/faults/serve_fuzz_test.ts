import { assert, assertEquals } from "@std/assert";
import { fuzz } from "../fleetlock/fuzz.ts";
import { TestServer } from "../support/test_server.ts";

/** `deno task fuzz` sends a million. */
const REQUESTS = 3_000;

Deno.test("whatever is sent as FleetLock, the built server answers it, grants to sound requests alone, and goes on", async () => {
  await using server = await TestServer.make();
  await server.start();
  const { sent, granted } = await fuzz(server, { count: REQUESTS, seed: 9 });
  assert(sent >= REQUESTS && granted > 0, `${granted} granted of ${sent}`);
  assertEquals(await server.fleetlock("/v1/pre-reboot", "", "a"), [200, ""]);
  assertEquals((await server.process.stop()).code, 0);
  assertEquals(server.process.count(/bug|^error/), 0, server.process.text);
});
