import { assertEquals, assertRejects } from "@std/assert";
import { Bus, BusError, type BusOptions } from "../../lib/host/bus.ts";
import type { Need } from "../../lib/need.ts";
import {
  getStatus,
  laterWord,
  NEED_REBOOT,
  needOf,
  needsReboot,
  parseStatus,
  sendNeedReboot,
  watchUpdateEngine,
  type Word,
} from "../../lib/need/update_engine.ts";
import { Heard, startBus, type TestBus } from "../support/bus.ts";

const IDLE = "UPDATE_STATUS_IDLE";
const SOON = { timeoutMs: 10_000 };
const status = (operation: string, newVersion = "") => ({
  lastCheckedSeconds: 1500000000,
  progress: 0,
  operation,
  newVersion,
  newSizeBytes: 0,
});
const brief = (need: Need) => need.kind === "needed" ? `needed: ${need.reasons.join()}` : need.kind;

/** A client that tells which operation each reply of `GetStatus` named. */
class Asked extends Bus {
  constructor(options: BusOptions, readonly replies: Heard<string>) {
    super(options);
  }
  override async call(...question: Parameters<Bus["call"]>): Promise<readonly unknown[]> {
    const reply = await super.call(...question);
    this.replies.take(`${reply[2]}`);
    return reply;
  }
}

async function watching(
  test: TestBus,
  story: (heard: Heard<string>) => Promise<void>,
  bus = test.client(),
): Promise<void> {
  const stop = new AbortController();
  const heard = new Heard<string>();
  const done = watchUpdateEngine(bus, stop.signal, (need) => heard.take(brief(need)), {
    retryMs: 20,
  });
  try {
    await story(heard);
  } finally {
    stop.abort();
    await done;
  }
}

Deno.test("getStatus() reads the five values", async () => {
  await using test = await startBus();
  await test.updateEngine.setStatus(NEED_REBOOT, { version: "4152.2.0", signal: false });
  const seen = await getStatus(test.client(), SOON);
  assertEquals(seen, status(NEED_REBOOT, "4152.2.0"));
  assertEquals(needsReboot(seen), true);
  assertEquals(needsReboot(status(IDLE)), false);
});

Deno.test("getStatus() refuses a reply of another shape", async () => {
  await using test = await startBus();
  await test.updateEngine.garble();
  const error = await assertRejects(() => getStatus(test.client(), SOON), BusError);
  assertEquals(
    error.message,
    'cannot read the status of update-engine: not the five values of a status: ["what?"]',
  );
});

Deno.test("parseStatus() is null for anything but five values of the right types", () => {
  assertEquals(parseStatus([1, 0.5, IDLE, "1.0", 7])?.progress, 0.5);
  assertEquals(parseStatus([]), null);
  assertEquals(parseStatus(["1", 0, IDLE, "", 0]), null);
  assertEquals(parseStatus([1, 0, 3, "", 0]), null);
});

Deno.test("laterWord() keeps a signal's need over a re-read that knows nothing of it, and over faults", () => {
  const word = (from: "signal" | "reply", operation: string): Word => ({ from, status: status(operation) });
  const fault: Word = { from: "fault", why: "gone" };
  const kindAfter = (...words: Word[]) => {
    let held: Word | null = null;
    for (const each of words) held = laterWord(held, each);
    return held === null ? null : needOf(held).kind;
  };
  assertEquals(kindAfter(word("signal", NEED_REBOOT), word("reply", IDLE)), "needed");
  assertEquals(kindAfter(word("signal", NEED_REBOOT), fault), "needed");
  assertEquals(kindAfter(word("signal", NEED_REBOOT), word("signal", IDLE)), "not-needed");
  assertEquals(kindAfter(word("reply", NEED_REBOOT), word("signal", IDLE)), "not-needed");
  assertEquals(kindAfter(word("reply", NEED_REBOOT), word("reply", IDLE)), "not-needed");
  assertEquals(kindAfter(word("reply", NEED_REBOOT), fault), "needed");
  assertEquals(
    kindAfter(word("signal", NEED_REBOOT), word("reply", NEED_REBOOT), word("reply", IDLE)),
    "not-needed",
  );
  assertEquals(kindAfter(word("reply", IDLE), fault), "unknown");
  assertEquals(kindAfter(fault, word("reply", IDLE)), "not-needed");
});

Deno.test("watchUpdateEngine() tells a need that was there before it", async () => {
  await using test = await startBus();
  await test.updateEngine.setStatus(NEED_REBOOT, { version: "4152.2.0", signal: false });
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "needed: update-engine has installed 4152.2.0");
  });
});

Deno.test("watchUpdateEngine() hears an update come and its reset take the need back", async () => {
  await using test = await startBus();
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "not-needed");
    await test.updateEngine.setStatus("UPDATE_STATUS_DOWNLOADING");
    assertEquals(await heard.next(), "not-needed");
    await test.updateEngine.setStatus(NEED_REBOOT, { version: "1.2" });
    assertEquals(await heard.next(), "needed: update-engine has installed 1.2");
    await test.updateEngine.setStatus(IDLE);
    assertEquals(await heard.next(), "not-needed");
  });
});

Deno.test("sendNeedReboot() is heard, and a reconnection does not take it back", async () => {
  await using test = await startBus();
  const replies = new Heard<string>();
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "not-needed");
    assertEquals(await replies.next(), IDLE);
    await sendNeedReboot(test.client(), SOON);
    assertEquals(await heard.next(), "needed: update-engine has installed an update");
    await test.stop();
    await test.start();
    assertEquals(await replies.next(), IDLE); // asked anew, and idle as before the signal
    await test.updateEngine.setStatus("UPDATE_STATUS_CHECKING_FOR_UPDATE");
    await heard.until((need) => need === "not-needed");
    assertEquals(new Set(heard.all.slice(1, -1)), new Set(["needed: update-engine has installed an update"]));
  }, new Asked({ address: test.address, minBackoffMs: 10, maxBackoffMs: 100 }, replies));
});

Deno.test("watchUpdateEngine() does not know without the service, and asks as soon as it comes", async () => {
  await using test = await startBus();
  await test.updateEngine.setPresent(false);
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "unknown");
    await test.updateEngine.setStatus(NEED_REBOOT, { version: "1.2", signal: false });
    await test.updateEngine.setPresent(true);
    assertEquals(await heard.next(), "needed: update-engine has installed 1.2");
  });
});

Deno.test("watchUpdateEngine() asks again while the service does not answer as it should", async () => {
  await using test = await startBus();
  await test.updateEngine.garble();
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "unknown");
    await test.updateEngine.setStatus(IDLE, { signal: false });
    assertEquals(await heard.until((need) => need !== "unknown"), "not-needed");
  });
});

Deno.test("watchUpdateEngine() no longer knows 'not needed' when the bus is gone, and learns it anew", async () => {
  await using test = await startBus();
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "not-needed");
    await test.stop();
    assertEquals(await heard.next(), "unknown");
    await test.start();
    assertEquals(await heard.until((need) => need !== "unknown"), "not-needed");
  });
});
