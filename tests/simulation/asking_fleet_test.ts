/** Roll-outs through a server, of hosts that poll every five minutes and hosts that wait for their answer. */

import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  type AskingPlan,
  type AskingRollout,
  askingRollout,
  firstAskersMs,
  MINUTE_MS,
  PLAN as ASKING,
} from "./asking_fleet.ts";

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
    const rollout = await askingRollout(plan);
    const { throughMs, idealMs, most, bugs, passedWaiting, plan: { slots, pollMs } } = rollout;
    assertEquals([bugs, most], [[], slots]);
    const share = (throughMs - pollMs) / idealMs;
    assert(share <= 1.05, `${share} of the ideal`);
    withinFirstAskers(rollout);
    // between one request and the next nobody is there
    assert(passedWaiting <= 2, `${passedWaiting} times passed over while waiting`);
  });
}

/** Fleets whose slots stand idle between the polls of the last hosts, whatever a server does. */
const FEW_ASK: Readonly<Record<string, Partial<AskingPlan>>> = {
  "that poll for a single slot": { hosts: 60, slots: 1, polling: 60 },
  "half of which poll, with short reboots": { ...PLAN, polling: 90, rebootMs: 2 * MINUTE_MS },
  "that poll, with short reboots": { ...PLAN, polling: 180, rebootMs: 2 * MINUTE_MS },
};

for (const [which, plan] of Object.entries(FEW_ASK)) {
  Deno.test(`Hosts ${which} are through in 1.05 of what whoever asks first would need, and one poll`, async () => {
    const rollout = await askingRollout(plan);
    assertEquals([rollout.bugs, rollout.most], [[], rollout.plan.slots]);
    withinFirstAskers(rollout);
  });
}

function withinFirstAskers({ throughMs, firstAskersMs, plan: { pollMs } }: AskingRollout): void {
  const share = (throughMs - pollMs) / firstAskersMs;
  assert(share <= 1.05, `${share} of what it takes where each slot goes to whoever asks first`);
}

Deno.test("firstAskersMs() is the ideal where hosts wait, and more where they poll", () => {
  const plan = { ...ASKING, hosts: 60, slots: 1 };
  const [waiting, polling] = [0, 60].map((polling) => firstAskersMs({ ...plan, polling }));
  const idealMs = 60 * plan.rebootMs;
  // until the first host asks at all
  assert(Math.abs((waiting ?? 0) - idealMs) < plan.pollMs / 10, `${waiting} ms`);
  assertGreater(polling ?? 0, idealMs * 1.03);
});
