/** Which holder is meant by what people type. */

import { assertEquals } from "@std/assert";
import { parseSemaphore } from "../lib/document.ts";
import { findHolder, type Meant } from "../lib/holder.ts";
import { machineName } from "../lib/machine.ts";

const [DB3, WEB1, WEB2] = [
  "69d27b356a94476da859461d3a3bc6fd",
  "bcbd63b7d1f04e5ab2c81d9c8e1f0a2b",
  "bcbd9999d1f04e5ab2c81d9c8e1f0a2b",
];
const HELD = parseSemaphore(JSON.stringify({
  semaphore: 0,
  max: 5,
  holders: [DB3, "bcbd", WEB1, WEB2, "by hand"].sort(),
  holds: { [DB3]: { host: "db3" }, [WEB1]: { host: "web" }, [WEB2]: { host: "web" }, "by hand": {} },
}));

Deno.test("findHolder() takes a whole id first, then a host name, then four digits or more, if one holder fits", () => {
  const one = (id: string): Meant => ({ kind: "one", id });
  const words: [string, Meant][] = [
    [DB3, one(DB3)],
    ["bcbd", one("bcbd")],
    ["db3", one(DB3)],
    ["by hand", one("by hand")],
    ["bcbd6", one(WEB1)],
    ["bcbd63b7\u2026", one(WEB1)],
    ["69d2...", one(DB3)],
    ["web", { kind: "several", ids: [WEB1, WEB2] }],
    ["69d", { kind: "none" }],
    ["db", { kind: "none" }],
    ["bcbd0", { kind: "none" }],
    ["", { kind: "none" }],
  ];
  assertEquals(words.map(([word]) => [word, findHolder(HELD, word)]), words);
});

Deno.test("machineName() has the host first and the first 8 digits of the id; without a host the whole id", () => {
  assertEquals(machineName(WEB1, "web1"), "web1 (bcbd63b7\u2026)");
  assertEquals([machineName(WEB1, undefined), machineName(WEB1, "")], [WEB1, WEB1]);
  assertEquals([machineName("A", "web1"), machineName("web1", "web1")], ["web1 (A)", "web1"]);
});
