/** Many names in one message. */

import { assertEquals } from "@std/assert";
import { enumerate } from "../lib/enumeration.ts";

Deno.test("enumerate() names three, and says how many more there are", () => {
  const names = (count: number) => Array.from({ length: count }, (_, index) => `web${index + 1}`);
  assertEquals([0, 1, 3, 4, 5_000].map((count) => enumerate(names(count))), [
    "",
    "web1",
    "web1, web2, web3",
    "web1, web2, web3 and 1 more",
    "web1, web2, web3 and 4,997 more",
  ]);
});
