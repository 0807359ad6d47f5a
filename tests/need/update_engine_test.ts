import { assertEquals, assertRejects } from "@std/assert";
import { Bus, BusError, type BusOptions } from "../../lib/host/bus.ts";
import type { Answer } from "../../lib/need.ts";
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
const brief = (answer: Answer) => answer.kind === "needed" ? `needed: ${answer.reasons.join()}` : answer.kind;
const NOBODY = 65534;

/** A client that tells which operation each reply of `GetStatus` named. */
class Asked extends Bus {
  constructor(options: BusOptions, readonly replies: Heard<string>) {
    super(options);
  }
  override async call(...question: Parameters<Bus["call"]>): Promise<readonly unknown[]> {
    const reply = await super.call(...question);
    if (question[0].member === "GetStatus") this.replies.take(`${reply[2]}`);
    return reply;
  }
}

async function watching(
  test: TestBus,
  story: (heard: Heard<string>, ignored: Heard<string>) => Promise<void>,
  bus = test.client(),
): Promise<void> {
  const stop = new AbortController();
  const heard = new Heard<string>();
  const ignored = new Heard<string>();
  const done = watchUpdateEngine(bus, stop.signal, (answer) => heard.take(brief(answer)), {
    retryMs: 20,
    ignoredPauseMs: 0,
    onIgnored: ignored.take,
  });
  try {
    await story(heard, ignored);
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
  const absent: Word = { from: "absent", why: "none" };
  assertEquals(kindAfter(word("reply", IDLE), absent), "silent");
  assertEquals(kindAfter(word("reply", NEED_REBOOT), absent), "needed");
  assertEquals(kindAfter(absent, fault), "unknown");
  assertEquals(kindAfter(absent, word("signal", NEED_REBOOT)), "needed");
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

Deno.test("watchUpdateEngine() takes no word of an unprivileged user, present or gone, and says so once (as root)", async () => {
  await using test = await startBus();
  await watching(test, async (heard, ignored) => {
    assertEquals(await heard.next(), "not-needed");
    await using user = await test.stranger(NOBODY);
    assertEquals(await user.claimUpdateEngine(), "org.freedesktop.DBus.Error.AccessDenied");
    await user.sendStatus(NEED_REBOOT);
    assertEquals(
      await ignored.next(),
      `ignored a signal in the name of update-engine: a process of uid ${NOBODY} sent it`,
    );
    await user.sendStatus(NEED_REBOOT);
    {
      await using another = await test.stranger(NOBODY);
      await another.sendStatus(NEED_REBOOT);
    }
    // behind all these, a word that counts
    await test.updateEngine.setStatus("UPDATE_STATUS_DOWNLOADING");
    await using root = await test.stranger(0);
    await root.sendStatus("UPDATE_STATUS_VERIFYING");
    await heard.next();
    await heard.next();
    assertEquals(new Set(heard.all), new Set(["not-needed"]));
    assertEquals(ignored.all.length, 1);
  });
});

Deno.test("watchUpdateEngine() is not taken off the need by an unprivileged user either (as root)", async () => {
  await using test = await startBus();
  await watching(test, async (heard, ignored) => {
    assertEquals(await heard.next(), "not-needed");
    await test.updateEngine.setStatus(NEED_REBOOT, { version: "1.2" });
    assertEquals(await heard.next(), "needed: update-engine has installed 1.2");
    await using user = await test.stranger(NOBODY);
    await user.sendStatus(IDLE);
    await ignored.next();
    await test.updateEngine.setStatus(NEED_REBOOT, { version: "1.3" });
    assertEquals(await heard.next(), "needed: update-engine has installed 1.3");
  });
});

Deno.test("watchUpdateEngine() takes root's word, and a reconnection does not take it back (as root)", async () => {
  await using test = await startBus();
  const replies = new Heard<string>();
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "not-needed");
    assertEquals(await replies.next(), IDLE);
    {
      await using root = await test.stranger(0);
      await root.sendStatus(NEED_REBOOT);
      assertEquals(await heard.next(), "needed: update-engine has installed 6.6.6");
    }
    await test.stop();
    await test.start();
    assertEquals(await replies.next(), IDLE); // asked anew, and idle as before the signal
    await test.updateEngine.setStatus("UPDATE_STATUS_CHECKING_FOR_UPDATE");
    await heard.until((need) => need === "not-needed");
    assertEquals(new Set(heard.all.slice(1, -1)), new Set(["needed: update-engine has installed 6.6.6"]));
  }, new Asked({ address: test.address, minBackoffMs: 10, maxBackoffMs: 100 }, replies));
});

Deno.test("sendNeedReboot() is heard on the bus, and proves nothing to the daemon: its sender is gone", async () => {
  await using test = await startBus();
  const seen = new Heard<unknown>();
  const ready = new Heard<true>();
  const stop = new AbortController();
  const listening = test.client().monitor(["type='signal',interface='com.coreos.update1.Manager'"], {
    onReady: () => ready.take(true),
    onSignal: ({ path, member, data }) => seen.take([path, member, data]),
    onLost: () => {},
  }, stop.signal);
  await ready.next();
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "not-needed");
    await sendNeedReboot(test.client(), SOON);
    assertEquals(await seen.next(), ["/com/coreos/update1", "StatusUpdate", [0, 0, NEED_REBOOT, "", 0]]);
    await test.updateEngine.setStatus("UPDATE_STATUS_DOWNLOADING");
    assertEquals(await heard.next(), "not-needed");
  });
  stop.abort();
  await listening;
});

Deno.test("watchUpdateEngine() is silent without the service, and asks as soon as it comes", async () => {
  await using test = await startBus();
  await test.updateEngine.setPresent(false);
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "silent");
    await test.updateEngine.setStatus(NEED_REBOOT, { version: "1.2", signal: false });
    await test.updateEngine.setPresent(true);
    assertEquals(await heard.next(), "needed: update-engine has installed 1.2");
  });
});

Deno.test("watchUpdateEngine() no longer knows 'not needed' when the service goes, and keeps a need", async () => {
  await using test = await startBus();
  await watching(test, async (heard) => {
    assertEquals(await heard.next(), "not-needed");
    await test.updateEngine.setPresent(false);
    assertEquals(await heard.next(), "silent");
    await test.updateEngine.setStatus(NEED_REBOOT, { version: "1.2", signal: false });
    await test.updateEngine.setPresent(true);
    assertEquals(await heard.next(), "needed: update-engine has installed 1.2");
    await test.updateEngine.setPresent(false);
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

Deno.test("watchUpdateEngine() finds no fault in a host without a bus or without busctl", async () => {
  for (
    const [options, why] of [
      [{ address: "unix:path=/nonexistent/bus" }, "Failed to connect to bus: No such file or directory"],
      [{ program: "/nonexistent/busctl" }, "cannot run /nonexistent/busctl: no such file or directory"],
    ] as const
  ) {
    const stop = new AbortController();
    const heard = new Heard<Answer>();
    const done = watchUpdateEngine(new Bus(options), stop.signal, heard.take);
    assertEquals(await heard.next(), { kind: "silent", why: `cannot listen on the system bus: ${why}` });
    stop.abort();
    await done;
  }
});

Deno.test("watchUpdateEngine() looks up few senders in a flood of signals, and hears the service all the while (as root)", async () => {
  await using test = await startBus();
  const stop = new AbortController();
  const heard = new Heard<string>();
  const ignored = new Heard<string>();
  const looked: string[] = [];
  class Counted extends Bus {
    override userOf(...question: Parameters<Bus["userOf"]>): Promise<number | null> {
      looked.push(question[0]);
      return super.userOf(...question);
    }
  }
  const done = watchUpdateEngine(
    new Counted({ address: test.address }),
    stop.signal,
    (answer) => heard.take(brief(answer)),
    { ignoredPauseMs: 3_600_000, onIgnored: ignored.take },
  );
  assertEquals(await heard.next(), "not-needed");
  await using user = await test.stranger(NOBODY);
  for (let i = 0; i < 100; i++) await user.sendStatus(NEED_REBOOT);
  await ignored.next();
  await using another = await test.stranger(NOBODY);
  for (let i = 0; i < 100; i++) await another.sendStatus(NEED_REBOOT);
  await test.updateEngine.setStatus(NEED_REBOOT, { version: "1.2" });
  assertEquals(await heard.next(), "needed: update-engine has installed 1.2");
  assertEquals(looked.length, 1);
  stop.abort();
  await done;
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
