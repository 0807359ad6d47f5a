/** What a waiter finds in its mailbox, whatever a watch tells and when. */

import { assertEquals } from "@std/assert";
import { type Mail, Mailbox } from "../lib/mailbox.ts";
import { type Change, type Entry, exactly, type KeyRange, type Store, type Watch } from "../lib/store.ts";

/** A box, and the watches that it has opened: what they are told is the test's word. */
function opened() {
  const watches: { range: KeyRange; after: string | undefined; open: boolean; tell(change: Change): void }[] =
    [];
  const store = {
    watch(range: KeyRange, listener: (change: Change) => void, after?: string): Watch {
      const watch = { range, after, open: true, tell: listener };
      watches.push(watch);
      return { close: () => watch.open = false };
    },
  } as Store;
  return {
    box: new Mailbox(store, (error) => {
      throw error;
    }),
    watches,
  };
}

const entry = (revision: string): Entry => ({ key: "k", value: `v${revision}`, revision, created: "1" });
const changed = (revision: string): Change => ({
  kind: "changed",
  key: "k",
  entry: entry(revision),
  revision,
});
const mail = (revision: string): Mail => ({ kind: "entry", entry: entry(revision), revision });

/** A box that watches `k`, with these changes in it. */
function filled(...changes: Change[]) {
  const { box, watches } = opened();
  box.watch("k", "1");
  for (const change of changes) watches[0]?.tell(change);
  return { box, watches };
}

Deno.test("Mailbox.take() gives what came before it, and waits for what has not come yet", async () => {
  const { box } = filled(changed("2"));
  assertEquals(await box.take(), mail("2"));
  const { box: empty, watches } = filled();
  const taken = empty.take();
  watches[0]?.tell({ kind: "changed", key: "k", entry: null, revision: "3" });
  assertEquals(await taken, { kind: "entry", entry: null, revision: "3" });
});

Deno.test("Mailbox.take() gives the newest of several changes, in whatever order they came", async () => {
  assertEquals(await filled(changed("2"), changed("10"), changed("9")).box.take(), mail("10"));
  assertEquals(await filled(changed("2"), changed("2")).box.take(), mail("2"));
});

Deno.test("Mailbox.take() does not forget for a change that a look was asked for", async () => {
  assertEquals(await filled({ kind: "missed" }, changed("5")).box.take(), { kind: "look" });
  assertEquals(await filled(changed("5"), { kind: "missed" }).box.take(), { kind: "look" });
  const { box, watches } = filled();
  box.ask();
  watches[0]?.tell(changed("5"));
  assertEquals(await box.take(), { kind: "look" });
});

Deno.test("Mailbox.watch() of the same key goes on, and of another drops what came of the first", async () => {
  const { box, watches } = filled(changed("2"));
  box.watch("k", "3");
  assertEquals(watches.length, 1);
  box.watch("other", "4");
  assertEquals(watches.map(({ range, after, open }) => [range, after, open]), [
    [exactly("k"), "1", false],
    [exactly("other"), "4", true],
  ]);
  const taken = box.take();
  watches[1]?.tell(changed("6"));
  assertEquals(await taken, mail("6"));
  box.close();
  assertEquals(watches[1]?.open, false);
});

Deno.test("Mailbox.arrival() resolves for what comes from then on, not for what is there", async () => {
  const { box, watches } = filled(changed("2"));
  let arrived = false;
  const arrival = box.arrival().then(() => arrived = true);
  await Promise.resolve();
  assertEquals(arrived, false);
  watches[0]?.tell(changed("1"));
  await arrival;
  assertEquals(await box.take(), mail("2"), "an old one wakes, and is not believed");
});
