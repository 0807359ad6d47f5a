/** What people who are logged in mean for a reboot. */

/** It waits until they are gone, they are told and get some time, or it does not care. */
export const SESSION_MODES = ["wait", "warn", "ignore"] as const;
export type SessionMode = typeof SESSION_MODES[number];
