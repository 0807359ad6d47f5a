import { assertEquals } from "@std/assert";
import { didYouMean, suggest } from "../lib/suggest.ts";

const WORDS = ["status", "set-max", "send-need-reboot", "lock", "unlock"];

Deno.test("suggest() names the nearest word, whatever its case, where it is near enough", () => {
  const asked = ["stauts", "STATUS", "setmax", "send-ned-rebot", "lok", "unlok", "statuses"];
  assertEquals(asked.map((word) => suggest(word, WORDS)), [
    "status",
    "status",
    "set-max",
    "send-need-reboot",
    "lock",
    "unlock",
    "status",
  ]);
});

Deno.test("suggest() names nothing where nothing is near, or nothing was said", () => {
  for (const word of ["", "reboot", "xyz", "l"]) assertEquals(suggest(word, WORDS), undefined, word);
  assertEquals(suggest("status", []), undefined);
});

Deno.test("didYouMean() ends a message, or adds nothing to it", () => {
  assertEquals(didYouMean("grop", ["group"], "--"), ", did you mean '--group'?");
  assertEquals(didYouMean("xyz", ["group"], "--"), "");
});
