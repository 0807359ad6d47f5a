/** Since when a reboot is needed, across restarts of the daemon and boots. */

import { assertEquals, assertMatch } from "@std/assert";
import { NEED_FILE, NeedMemory, readNeedSince } from "../../lib/host/need_memory.ts";
import type { Answer } from "../../lib/need.ts";

const HOUR_MS = 3_600_000;
const T0 = Date.UTC(2026, 10, 28, 1);
const needed = (fingerprint: string): Answer => ({ kind: "needed", reasons: ["r"], fingerprint });

class Host implements AsyncDisposable {
  readonly log: string[] = [];
  now = T0;

  private constructor(readonly root: string) {}

  static async make(): Promise<Host> {
    const root = await Deno.makeTempDir();
    await Deno.mkdir(`${root}/var/lib/locksmith`, { recursive: true });
    return new Host(root);
  }

  daemon(boot: string): Promise<NeedMemory> {
    return NeedMemory.open({
      root: this.root,
      boot,
      surroundings: { now: () => this.now },
      zone: "UTC",
      log: (level, text) => void this.log.push(`${level}: ${text}`),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}

Deno.test("since when a reboot is needed outlives the daemon and the boot, and is told when it is found again", async () => {
  await using host = await Host.make();
  const first = await host.daemon("b1");
  assertEquals(first.since, undefined);
  first.take("kernel", needed("6.1 6.2"));
  await first.settled();
  host.now += HOUR_MS;
  for (const boot of ["b1", "b2"]) {
    const later = await host.daemon(boot);
    assertEquals(later.since, undefined, "nobody has said so yet");
    later.take("kernel", needed("6.1 6.2"));
    assertEquals(later.since, T0, boot);
    await later.settled();
    assertEquals(
      host.log.splice(0),
      ["info: a reboot has been needed since Sat 2026-11-28 01:00 +00:00, 1 h ago"],
    );
  }
  assertEquals(await readNeedSince(host.root), "2026-11-28T01:00:00.000Z");
});

Deno.test("a source keeps its instant while it goes on asking in one boot, for more too; another need after a boot is new", async () => {
  await using host = await Host.make();
  const before = await host.daemon("b1");
  before.take("debian", needed("libc"));
  host.now += HOUR_MS;
  before.take("debian", needed("libc kernel"));
  before.take("kernel", needed("k"));
  before.take("debian", { kind: "unknown", why: ["it failed"] });
  assertEquals(before.since, T0, "the oldest counts, and who does not know has not changed its mind");
  before.take("debian", { kind: "not-needed" });
  assertEquals(before.since, T0 + HOUR_MS);
  await before.settled();
  const after = await host.daemon("b2");
  after.take("kernel", needed("another"));
  assertEquals(after.since, host.now);
  after.take("kernel", { kind: "silent" });
  await after.settled();
  assertEquals([after.since, await readNeedSince(host.root)], [undefined, undefined]);
});

Deno.test("what is not asked any more is forgotten, and a detector's answers pass through", async () => {
  await using host = await Host.make();
  const before = await host.daemon("b1");
  before.take("gone", needed("x"));
  await before.settled();
  host.now += HOUR_MS;
  const after = await host.daemon("b1");
  const heard: Answer[] = [];
  const detectors = after.remembering(
    new Map([["kernel", (_: AbortSignal, tell: (answer: Answer) => void) => {
      tell(needed("k"));
      return Promise.resolve();
    }]]),
  );
  await detectors.get("kernel")?.(new AbortController().signal, (answer) => heard.push(answer));
  await after.settled();
  assertEquals([heard, after.since], [[needed("k")], host.now]);
  assertEquals(await readNeedSince(host.root), new Date(host.now).toISOString());
});

Deno.test("a disk that takes no file is told of, and the daemon knows all the same; a damaged file is set aside", async () => {
  await using host = await Host.make();
  await Deno.mkdir(host.root + NEED_FILE);
  const memory = await host.daemon("b1");
  host.log.length = 0;
  memory.take("kernel", needed("k"));
  await memory.settled();
  assertEquals(memory.since, T0);
  assertMatch(
    host.log.join(),
    /^warning: cannot write .*; since when a reboot is needed would be forgotten$/,
  );
  await Deno.remove(host.root + NEED_FILE);
  await Deno.writeTextFile(host.root + NEED_FILE, '{"kernel":{"since":"once"}}', { mode: 0o600 });
  host.log.length = 0;
  await host.daemon("b1");
  assertMatch(
    host.log.join(),
    /is damaged and was renamed to need-since\.damaged: a reboot counts as needed since now$/,
  );
});
