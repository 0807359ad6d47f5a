/** What the FleetLock protocol calls the groups that this program names otherwise. */

import { DEFAULT_GROUP } from "../group.ts";

/** The name of the group that has none here. */
const DEFAULT_NAME = "default";
export const GROUP_NAME = /^[a-zA-Z0-9.-]+$/;

/** What the protocol calls a group. */
export function protocolName(group: string): string {
  return group === DEFAULT_GROUP ? DEFAULT_NAME : group;
}

/** The group that the protocol calls so. */
export function groupOfName(name: string): string {
  return name === DEFAULT_NAME ? DEFAULT_GROUP : name;
}

/** Why a group cannot be asked for by this protocol, or `undefined`. */
export function protocolGroupFault(group: string): string | undefined {
  if (group === DEFAULT_NAME) {
    return `'${DEFAULT_NAME}' is what FleetLock calls the default group`;
  }
  return GROUP_NAME.test(protocolName(group))
    ? undefined
    : "FleetLock allows letters, digits, '.' and '-' in a group";
}
