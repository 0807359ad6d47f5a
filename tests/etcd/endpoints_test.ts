/** In which order endpoints are asked, and what is told of those that failed. */

import { assertEquals, assertRejects } from "@std/assert";
import { EtcdAnswerError, EtcdTimeoutError } from "../../lib/etcd/connection.ts";
import { EtcdEndpoints } from "../../lib/etcd/endpoints.ts";
import { StoreError } from "../../lib/store.ts";

const NO_LEADER = new EtcdAnswerError(14, "etcdserver: no leader");

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

Deno.test("ask() tells what etcd answered last, and asks nobody again who would have no time to answer", async () => {
  const endpoints = new EtcdEndpoints({ endpoints: ["http://127.0.0.1:1"] }, () => 0);
  let calls = 0;
  const error = await assertRejects(() =>
    endpoints.ask<void>({
      what: `cannot read "a"`,
      timeoutMs: 400,
      call: async (_, deadlineMs) => {
        const leftMs = deadlineMs - performance.now();
        if (calls++ === 0) {
          await sleep(leftMs * 0.75);
          throw NO_LEADER;
        }
        await sleep(leftMs);
        throw new EtcdTimeoutError(leftMs);
      },
    }), StoreError);
  assertEquals(calls, 1);
  assertEquals(error.message, `cannot read "a": http://127.0.0.1:1: no leader`);
  endpoints.close();
});

Deno.test("ask() asks again as long as there is time", async () => {
  const endpoints = new EtcdEndpoints({ endpoints: ["http://127.0.0.1:1"] }, () => 0);
  let calls = 0;
  const answer = await endpoints.ask({
    what: `cannot read "a"`,
    timeoutMs: 4_000,
    call: () => calls++ === 0 ? Promise.reject(NO_LEADER) : Promise.resolve("b"),
  });
  assertEquals([answer, calls], ["b", 2]);
  endpoints.close();
});
