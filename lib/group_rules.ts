/**
 * What a server is told of its groups: which there are, and when their hosts may reboot. Pure.
 */

import { ALWAYS, type Schedule } from "./schedule.ts";

/** When hosts of a group may reboot, and how many at once. */
export interface GroupRules extends Schedule {
  /** How many may hold a slot at once; absent: as the store has it. */
  readonly max?: number;
}

/** Which groups there are. */
export interface KnownGroups {
  /** `undefined`: there is no such group. */
  rulesOf(group: string): GroupRules | undefined;
}

/** Every group that somebody asks for. */
export const ANY_GROUP: KnownGroups = { rulesOf: () => ALWAYS };
