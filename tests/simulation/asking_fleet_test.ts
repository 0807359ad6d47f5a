/** Roll-outs through a server, of hosts that poll every five minutes and hosts that wait for their answer. */

import { assert, assertEquals } from "@std/assert";
import { type AskingPlan, askingRollout } from "./asking_fleet.ts";

const PLAN = { hosts: 180, slots: 3, seed: 7 };

const PLANS: Readonly<Record<string, Partial<AskingPlan>>> = {
  "that wait": { ...PLAN, polling: 0 },
  "that wait at two servers": { ...PLAN, polling: 0, servers: 2 },
  "half of which poll": { ...PLAN, polling: 90 },
  "half of which poll, at two servers": { ...PLAN, polling: 90, servers: 2 },
  "that poll": { ...PLAN, polling: 180 },
};

for (const [which, plan] of Object.entries(PLANS)) {
  Deno.test(`Hosts ${which} are through in 1.05 of the ideal and one poll, in order where they wait`, async () => {
    const { throughMs, idealMs, most, bugs, passedWaiting, plan: { slots, pollMs } } = await askingRollout(
      plan,
    );
    assertEquals([bugs, most], [[], slots]);
    const share = (throughMs - pollMs) / idealMs;
    assert(share <= 1.05, `${share} of the ideal`);
    // between one request and the next nobody is there
    assert(passedWaiting <= 2, `${passedWaiting} times passed over while waiting`);
  });
}
