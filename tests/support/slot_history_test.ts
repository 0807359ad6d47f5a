import { assertEquals } from "@std/assert";
import { type Asking, slotFaults } from "./slot_history.ts";

/** `a pre 0-5 yes; b steady 2-3 lost`. */
function history(text: string): Asking[] {
  return text.split("; ").map((line) => {
    const [, id = "", verb, from, to, told] = /^(\w+) (pre|steady) (\d+)-(\d+) (yes|no|lost)$/.exec(line) ??
      [];
    return {
      id,
      url: "http://one",
      verb: verb === "pre" ? "pre-reboot" : "steady-state",
      beganMs: Number(from),
      endedMs: Number(to),
      told: told as Asking["told"],
      text: "409 full",
    };
  });
}

Deno.test("slotFaults() accepts what one counter can have answered, in whatever order it took what overlaps", () => {
  const fine: [string, string[]][] = [
    ["a pre 0-1 yes; b pre 2-3 no; a steady 4-5 yes; b pre 6-7 yes", ["b"]],
    // b got it while a gave it back
    ["a pre 0-1 yes; a steady 2-9 yes; b pre 3-4 yes", ["b"]],
    // it may have come about, or not
    ["a pre 0-9 lost; b pre 1-2 no", ["a"]],
    ["a pre 0-9 lost; b pre 1-2 yes", ["b"]],
    ["a pre 0-1 yes; a steady 2-3 lost", ["a"]],
    ["a pre 0-1 yes; a steady 2-3 lost; b pre 3-4 yes", ["b"]],
    // owned, and asked for twice
    ["a pre 0-1 yes; a pre 2-3 yes; a pre 3-4 lost", ["a"]],
  ];
  for (const [text, holders] of fine) assertEquals(slotFaults(history(text), 1, holders), [], text);
});

Deno.test("slotFaults() tells what no counter can have answered", () => {
  const wrong: [string, string[], string][] = [
    ["a pre 0-1 yes; b pre 2-3 yes", ["b"], "a was granted a slot, which is lost"],
    ["a pre 0-1 yes; b pre 2-3 yes; a steady 4-5 yes", ["b"], "2 had one of 1 slots at 3 ms: a, b"],
    ["a pre 0-1 yes; a pre 2-3 no", [], "a was refused (409 full), and had a slot"],
    ["a pre 0-1 yes; a steady 2-3 yes", ["a"], "a holds a slot that it gave back or never got"],
    ["a pre 0-1 no", ["b"], "b holds a slot, and never asked"],
    ["a pre 0-1 yes", ["a", "a"], "one holds two slots: a, a"],
  ];
  for (const [text, holders, fault] of wrong) {
    assertEquals(slotFaults(history(text), 1, holders)[0], fault, text);
  }
});
