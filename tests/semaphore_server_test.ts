/** Holds that a server granted: who has them, how they are renewed, and what ends them. */

import { assertEquals } from "@std/assert";
import { parseSemaphore, serializeSemaphore } from "../lib/document.ts";
import { describeHolder } from "../lib/description.ts";
import { pastEvents } from "../lib/history.ts";
import {
  FLEET_LOCK,
  FRESH,
  type Hold,
  isByHand,
  isOverdue,
  ownership,
  REBOOTING,
  renew,
  type Semaphore,
  settle,
} from "../lib/semaphore.ts";

const SINCE = "2026-05-21T23:00:00.000Z";
/** Nothing is frozen. */
const RULED = { all: FRESH, now: 0 };
const LATER_MS = Date.parse(SINCE) + 3_600_000;
const GRANTED: Hold = {
  via: FLEET_LOCK,
  by: FLEET_LOCK,
  since: SINCE,
  phase: "granted",
  grant: "g",
  extra: {},
};

function held(hold: Hold): Semaphore {
  return { ...FRESH, holders: ["a"], holds: new Map([["a", hold]]) };
}

Deno.test("A hold of a server is told apart from one by hand, and is overdue like that of a daemon", () => {
  const byHand: Hold = { since: SINCE, grant: "g", extra: {} };
  assertEquals([isByHand(GRANTED), isByHand(byHand), isByHand(undefined)], [false, true, true]);
  assertEquals(isOverdue(GRANTED, LATER_MS, 1_000), true);
  assertEquals(isOverdue(byHand, LATER_MS, 1_000), false);
  assertEquals(parseSemaphore(serializeSemaphore(held(GRANTED))), held(GRANTED));
  assertEquals(
    describeHolder("a", { ...GRANTED, host: "web1" }, LATER_MS),
    "web1 (a), granted 1 h ago through the server",
  );
  const change = {
    revision: "2",
    entry: { key: "k", revision: "2", created: "2", value: serializeSemaphore(held(GRANTED)) },
  };
  assertEquals(pastEvents([change], true).map(({ what, by }) => [what, by]), [["grant", FLEET_LOCK]]);
});

Deno.test("renew() marks the hold, records a boot that it is told, and has nothing to do the next time", () => {
  const first = renew(held({ ...GRANTED, boot: "b1" }), { holder: "a", host: "web1", boot: "b1" }, RULED);
  const next = first.kind === "held" ? first.next : undefined;
  assertEquals(next?.holds.get("a"), { ...GRANTED, host: "web1", boot: "b1", phase: REBOOTING });
  assertEquals(renew(next ?? FRESH, { holder: "a", boot: "b1" }, RULED), { kind: "held" });
  assertEquals(renew(next ?? FRESH, { holder: "a" }, RULED), { kind: "held" });
  const rebooted = renew(next ?? FRESH, { holder: "a", boot: "b2" }, RULED);
  assertEquals(rebooted.kind === "held" && rebooted.next?.holds.get("a")?.boot, "b2");
  assertEquals(renew(FRESH, { holder: "a" }, RULED), { kind: "not-held" });
  assertEquals(renew(held({ extra: {} }), { holder: "a" }, RULED).kind, "by-hand");
});

Deno.test("settle() ends a hold of a server, and one of a daemon only after a reboot", () => {
  const daemon: Hold = { boot: "b1", by: "locksmithd", grant: "g", extra: {} };
  assertEquals(settle(held(GRANTED), { holder: "a" }).kind, "released");
  assertEquals(settle(held({ extra: {} }), { holder: "a" }).kind, "kept");
  assertEquals(settle(held(daemon), { holder: "a" }).kind, "kept");
  assertEquals(settle(held(daemon), { holder: "a", boot: "b1" }).kind, "kept");
  assertEquals(settle(held(daemon), { holder: "a", boot: "b2" }).kind, "released");
  assertEquals(settle(FRESH, { holder: "a" }).kind, "not-held");
});

Deno.test("A daemon that uses the store itself by now gives back what its host has of a server from an earlier boot", () => {
  const machine = { id: "a", bootId: "b2", hostname: "web1" };
  const kind = (hold: Hold) => ownership(held(hold), machine).kind;
  assertEquals(kind({ ...GRANTED, host: "web1", boot: "b1" }), "earlier-boot");
  // nothing was rebooted since: it goes on with it
  assertEquals(kind({ ...GRANTED, host: "web1", boot: "b2" }), "ours");
  assertEquals(kind({ ...GRANTED, host: "db1", boot: "b1" }), "other-host");
  // nobody told the boot: another agent of this host may be about to reboot it
  assertEquals(kind(GRANTED), "by-hand");
});
