/** A need that is the same right after a reboot for it: another reboot would not help, and must not loop. */

import { assertEquals } from "@std/assert";
import type { Event } from "../lib/agent.ts";
import type { Need } from "../lib/need.ts";
import { at, need, NEEDED, NOBODY, NOTHING, TO_GRACE } from "./support/agent_story.ts";

const served = (fingerprint: string | null, repeated = false): Event => ({
  kind: "served",
  served: fingerprint === null ? null : { fingerprint, repeated },
});
const STILL =
  "warning: a reboot is still needed (a new kernel) right after a reboot for it: not rebooting again; " +
  "fix the cause, or allow another reboot with 'locksmith reset'";

Deno.test("step() does not reboot for what the last reboot was for, and says so once", () => {
  const story = at([served("kernel"), NOTHING]);
  assertEquals(story.kinds(need(NEEDED), need(NEEDED)), []);
  assertEquals([story.phase, story.log], ["idle", [STILL]]);
  assertEquals(story.wake(), ["recover"]);
  assertEquals(story.kinds(NOTHING), []);
  assertEquals(story.log, [STILL]);
});

Deno.test("step() reboots for what is new, and for more than the last reboot was for", () => {
  for (const fingerprint of ["another", "kernel libc"]) {
    const more: Need = { kind: "needed", reasons: ["more"], fingerprint };
    assertEquals(at([served("kernel"), NOTHING]).kinds(need(more)), ["inquire"], fingerprint);
  }
});

Deno.test("step() reboots again when a person says so", () => {
  const story = at([served("kernel"), NOTHING, need(NEEDED)]);
  assertEquals(story.kinds(served(null)), ["inquire"]);
  assertEquals(story.kinds(NOBODY), ["wait"]);
});

Deno.test("step() forgets what the last reboot was for once it has helped for a while", () => {
  const story = at([served("kernel"), NOTHING, need({ kind: "not-needed" })]);
  assertEquals(story.wake(), ["forget-served", "recover"]);
  assertEquals(story.kinds(NOTHING), []);
  assertEquals(story.kinds(need(NEEDED)), ["inquire"]);
});

Deno.test("step() gives its slot back when it hears that the need was served", () => {
  assertEquals(at(TO_GRACE).kinds(served("kernel")), ["cancel"]);
});

const AGAIN =
  "warning: a reboot is needed again (a new kernel) right after a reboot for it: rebooting for it once more after a while, " +
  "or at once after 'locksmith reset'";
const GONE = need({ kind: "not-needed" });

Deno.test("step() takes a need that was gone after the boot and came again for a new one, after a rest", () => {
  for (const before of [[GONE], [need(NEEDED), GONE]]) {
    const story = at([served("kernel"), NOTHING, ...before]);
    assertEquals(story.kinds(need(NEEDED)), []);
    assertEquals([story.phase, story.log.at(-1)], ["idle", AGAIN]);
    assertEquals(story.wake(), ["recover"]);
    assertEquals(story.kinds(NOTHING), ["inquire"]);
  }
});

Deno.test("step() does not reboot for it once more when the same comes again after that, too", () => {
  const story = at([served("kernel", true), NOTHING, GONE]);
  assertEquals(story.kinds(need(NEEDED)), []);
  assertEquals(story.log.at(-1), STILL);
  assertEquals(story.wake(), ["recover"]);
  assertEquals(story.kinds(NOTHING), []);
});

Deno.test("step() forgets a need that came again and is gone when it has rested", () => {
  const story = at([served("kernel"), NOTHING, GONE, need(NEEDED), GONE]);
  assertEquals(story.wake(), ["forget-served", "recover"]);
});
