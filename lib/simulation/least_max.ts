/**
 * The question the other way round: how many machines have to be let down at once, so that a roll-out finishes in time?
 *
 * What an ideal roll-out needs is computed, which costs little and is nearly right; from there on roll-outs are played,
 * until one is enough and the one with a slot less is not.
 */

import { idealEnd, openingsOf, type RolloutPlan, WORK_LIMIT } from "./plan.ts";
import { drawMachines, idealTimes, type Rollout, simulateRollout } from "./rollout.ts";

/** By when a roll-out has to have finished: before the window after so many, or after so many milliseconds. */
export type Limit = { readonly windows: number } | { readonly ms: number };

/** The roll-out with the least max that is enough, or `null` where none is, of those that can be played. */
export async function leastMax(
  plan: Omit<RolloutPlan, "max">,
  limit: Limit,
  progress: (max: number, done: number) => void = () => {},
): Promise<Rollout | null> {
  const openings = openingsOf({ ...plan, max: 1 });
  const rebootsMs = idealTimes(plan, drawMachines({ ...plan, max: 1 }));
  const endMs = "ms" in limit ? limit.ms : openings[limit.windows]?.startMs ?? Infinity;
  const most = Math.max(1, Math.min(plan.machines, Math.floor(WORK_LIMIT / plan.machines)));
  const ideal = await least(1, most, (max) => {
    return Promise.resolve(idealEnd({ ...plan, max }, rebootsMs, openings) <= endMs ? max : null);
  });
  if (ideal === null) return null;

  const play = async (max: number): Promise<Rollout | null> => {
    const rollout = await simulateRollout({ ...plan, max }, (done) => progress(max, done));
    return rollout.throughMs !== null && rollout.throughMs <= endMs ? rollout : null;
  };
  let enough = await play(ideal);
  if (enough === null) {
    for (let [below, step] = [ideal, 1]; enough === null && below < most; step *= 2) {
      const max = Math.min(below + step, most);
      enough = await play(max);
      if (enough !== null) return await least(below + 1, max - 1, play) ?? enough;
      below = max;
    }
    return null;
  }
  for (let max = ideal - 1; max > 0; max--) {
    const fewer = await play(max);
    if (fewer === null) break;
    enough = fewer;
  }
  return enough;
}

/** What `tried` gives for the least number of a range for which it gives anything: more never fails where less is enough. */
async function least<T>(
  from: number,
  to: number,
  tried: (number: number) => Promise<T | null>,
): Promise<T | null> {
  let found: T | null = null;
  while (from <= to) {
    const middle = Math.floor((from + to) / 2);
    const result = await tried(middle);
    if (result === null) from = middle + 1;
    else {
      found = result;
      to = middle - 1;
    }
  }
  return found;
}
