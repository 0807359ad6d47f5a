/**
 * Hosts that ask a server for slots, as stories in virtual time: who gets one, who is refused and what it is told.
 * `service.ts` holds every story to the count of slots.
 */

import { assertEquals } from "@std/assert";
import { MINUTE_MS, Service, SOON_MS } from "./support/service.ts";

Deno.test("Slots grants a free slot, again to the holder as its confirm, and takes it back when the host is well", async () => {
  const service = new Service();
  const server = service.server();
  assertEquals(await server.poll("a", { host: "web1", boot: "b1", reason: "kernel" }), "granted");
  assertEquals(service.semaphore.holds.get("a")?.phase, "granted");
  assertEquals(await server.poll("a", { boot: "b1" }), "granted");
  const hold = service.semaphore.holds.get("a");
  assertEquals([hold?.phase, hold?.via, hold?.by, hold?.host, hold?.boot, hold?.reason], [
    "rebooting",
    "fleet-lock",
    "fleet-lock",
    "web1",
    "b1",
    "kernel",
  ]);
  assertEquals(await server.ask("b"), {
    kind: "full",
    value: "the only slot of group web is taken: by web1 since 00:00Z; place 1 of 1 in line",
  });
  assertEquals(await server.steady("a"), { kind: "released" });
  assertEquals(service.holders, []);
  assertEquals(await server.steady("a"), { kind: "released" });
  assertEquals([server.granted, server.released], [["a"], ["a"]]);
  assertEquals(service.bugs, []);
});

Deno.test("Slots serves hosts that poll in the order of their first question, whoever of them asks first", async () => {
  const service = new Service();
  const server = service.server();
  await server.poll("holder");
  for (const id of ["a", "b", "c"]) assertEquals(await server.poll(id), "full");
  assertEquals(service.line, ["a away", "b away", "c away"]);
  await server.steady("holder");
  // nobody else is there, so the free slot does not wait
  assertEquals(await server.poll("c"), "granted");
  assertEquals(service.line, ["a away", "b away"]);
});

Deno.test("Slots keeps a slot for a host that was passed over three times, until it asks again", async () => {
  const service = new Service();
  const server = service.server();
  await server.poll("holder");
  await server.poll("old");
  await server.steady("holder");
  for (const id of ["x", "y", "z"]) {
    assertEquals(await server.poll(id), "granted", id);
    await server.steady(id);
    await service.time.advance(SOON_MS);
  }
  assertEquals(service.line, ["old kept"]);
  assertEquals(await server.ask("late"), {
    kind: "full",
    value: "a slot of group web is kept for old, which came earlier; place 2 of 2 in line",
  });
  assertEquals(await server.poll("old"), "granted");
  assertEquals(service.line, ["late away"]);
});

Deno.test("Slots gives a kept slot up when its host was not heard of for a quarter of an hour", async () => {
  const service = new Service();
  const server = service.server();
  await server.poll("holder");
  await server.poll("old");
  await server.steady("holder");
  for (const id of ["x", "y", "z"]) {
    await server.poll(id);
    await server.steady(id);
  }
  await service.time.advance(10 * MINUTE_MS);
  assertEquals(await server.poll("late"), "full");
  await service.time.advance(7 * MINUTE_MS);
  assertEquals(service.line, ["late away"]);
  assertEquals(await server.poll("late"), "granted");
});

Deno.test("Slots hands a slot to the first of those who wait as soon as it is free", async () => {
  const service = new Service();
  const server = service.server();
  await server.poll("holder");
  const a = server.wait("a");
  await service.time.advance(SOON_MS);
  const b = server.wait("b");
  await service.time.advance(SOON_MS);
  assertEquals(service.line, ["a", "b"]);
  await server.steady("holder");
  await service.time.advance(SOON_MS);
  assertEquals([a.said?.kind, b.said, service.holders], ["granted", undefined, ["a"]]);
  await server.steady("a");
  await service.time.advance(SOON_MS);
  assertEquals([b.said?.kind, service.holders, service.line], ["granted", ["b"], []]);
  assertEquals(service.bugs, []);
});
