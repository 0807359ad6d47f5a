/** What is said of a max that needs much room in etcd. */

import { assert, assertEquals } from "@std/assert";
import { roomHint } from "../../lib/etcd/room.ts";

Deno.test("roomHint() says from max 201 on how soon etcd's database is full, and from where on a document is too large", () => {
  assertEquals([0, 1, 200].map(roomHint), [undefined, undefined, undefined]);
  assertEquals(
    roomHint(1_000),
    "with 1,000 holders each change writes 340 kB: without compaction etcd's 2 GiB fill up after about 2,000 reboots, " +
      "and then not even unlock works; start etcd with --auto-compaction-retention=1h",
  );
  assert(roomHint(201)?.includes("after about 9,900 reboots"));
  assertEquals(
    roomHint(5_000),
    "etcd accepts no document larger than 1.5 MiB, about 4,626 holders; beyond that no more slots are granted",
  );
});
