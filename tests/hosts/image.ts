/**
 * What is on the disk of every host of a laboratory: this machine's own system, in which nothing of its services, logs and
 * configuration is to be seen, with the built program and the shipped units installed as their comments say.
 *
 * A host's root is an overlay over this layer and the machine's root, so that what a host writes is its own.
 */

import { locksmith } from "../support/executable.ts";
import type { Lab } from "./lab.ts";

const SCRIPT = new URL("./image.sh", import.meta.url).pathname;
const UNITS = new URL("../../dist/systemd", import.meta.url).pathname;
/** Where it is in a laboratory. */
export const LAYER = "/run/layer";
/** Where a host is configured, as README says. */
export const CONFIGURATION = "/etc/coreos/update.conf";

/** Makes the shared layer. */
export async function makeImage(lab: Lab): Promise<void> {
  await lab.run("sh", SCRIPT, LAYER, await locksmith(), UNITS);
}
