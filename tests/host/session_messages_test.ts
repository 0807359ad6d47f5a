/** What people who are logged in are told, and when. */

import { assertEquals } from "@std/assert";
import { SessionMessages } from "../../lib/host/session_messages.ts";
import { Virtual } from "../support/virtual.ts";

const MINUTE_MS = 60_000;

function messages(virtual: Virtual): { messages: SessionMessages; shown: string[]; log: string[] } {
  const shown: string[] = [];
  const log: string[] = [];
  return {
    shown,
    log,
    messages: new SessionMessages({
      show(message) {
        shown.push(message);
        return Promise.resolve(shown.length > 2 ? "no terminal" : null);
      },
      surroundings: virtual,
      zone: "UTC",
      log: (level, text) => void log.push(`${level}: ${text}`),
    }),
  };
}

Deno.test("people are told at the start of their grace and a minute before its end, with reason and time", async () => {
  const virtual = new Virtual();
  const { messages: told, shown, log } = messages(virtual);
  await told.announce(5 * MINUTE_MS, ["new kernel", "libc"]);
  told.observe("grace");
  assertEquals(shown, [
    "locksmith reboots this machine in 5m, Thu 2026-01-01 00:05 +00:00: new kernel; libc",
  ]);
  await virtual.advance(4 * MINUTE_MS);
  assertEquals(shown.slice(1), [
    "locksmith reboots this machine in 1m, Thu 2026-01-01 00:05 +00:00: new kernel; libc",
  ]);
  for (const phase of ["confirming", "calling", "rebooting"] as const) told.observe(phase);
  await virtual.advance(MINUTE_MS);
  assertEquals([shown.length, log], [2, []]);
});

Deno.test("people are told once when the reboot that was announced does not come, and never of one that was not", async () => {
  const virtual = new Virtual();
  const { messages: told, shown, log } = messages(virtual);
  told.observe("cancelling");
  await told.announce(MINUTE_MS, ["new kernel"]);
  told.observe("grace");
  told.observe("cancelling");
  told.observe("awaiting-window");
  await virtual.advance(5 * MINUTE_MS);
  assertEquals(shown, [
    "locksmith reboots this machine in 1m, Thu 2026-01-01 00:01 +00:00: new kernel",
    "locksmith does not reboot this machine now: the reboot that was announced is cancelled",
  ]);
  await told.announce(3 * MINUTE_MS, ["new kernel"]);
  assertEquals(log, ["warning: cannot send a message to logged-in users: no terminal"]);
  told.observe("awaiting-window");
  await virtual.advance(5 * MINUTE_MS);
  assertEquals(shown.length, 4, "the last call is dropped with the reboot");
});
