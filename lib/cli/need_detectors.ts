/** By what a daemon hears that its machine needs a reboot: update-engine, the sentinel, a person, and the system's own ways. */

import type { Config } from "./config.ts";
import type { Bus } from "../host/bus.ts";
import type { Machine } from "../machine.ts";
import type { Detector } from "../need.ts";
import type { Lookout } from "../host/lookout.ts";
import { detectorOf, Turns } from "../need/detector.ts";
import { fileSource } from "../need/own.ts";
import { requestSource } from "../need/request.ts";
import { type Ground, groundAt, type Source } from "../need/source.ts";
import { chosenSources } from "../need/sources.ts";
import { watchUpdateEngine } from "../need/update_engine.ts";
import { below } from "./settings.ts";
import type { Log, Surroundings } from "../surroundings.ts";

/** The file that `debian` looks at, and a sentinel by default: asked once. */
const REBOOT_REQUIRED = "/run/reboot-required";

type NeedConfig = Pick<Config<"daemon">, "root" | "sentinel" | "need" | "need-interval">;

/** All of them by name, in the order in which their reasons are told. */
export async function needDetectors(
  { root, sentinel, need, "need-interval": intervalMs }: NeedConfig,
  { bus, lookout, machine, log, surroundings }: {
    readonly bus: Bus;
    readonly lookout: Lookout;
    readonly machine: Machine;
    readonly log: Log;
    readonly surroundings: Surroundings;
  },
): Promise<Map<string, Detector>> {
  const ground = groundAt(root);
  const sources = await sourcesBeside(sentinel, need, ground);
  const shared = { ground, lookout, turns: new Turns(), intervalMs, surroundings };
  return new Map<string, Detector>([
    ["update-engine", (signal, listener) => {
      return watchUpdateEngine(bus, signal, listener, { onIgnored: (why) => log("warning", why) });
    }],
    ["sentinel", detectorOf(fileSource(sentinel), shared)],
    ...[requestSource(machine.bootId), ...sources].map((source) =>
      [source.name, detectorOf(source, shared)] as const
    ),
  ]);
}

/** `/run/reboot-required, 'locksmith send-need-reboot', update-engine, kernel`. */
export async function describeNeedSources(
  { root, sentinel, need }: Pick<NeedConfig, "root" | "sentinel" | "need">,
): Promise<string> {
  const sources = await sourcesBeside(sentinel, need, groundAt(root));
  return [
    below(root, sentinel),
    "'locksmith send-need-reboot'",
    "update-engine",
    ...sources.map(({ name }) => name),
  ].join(", ");
}

/** Those that are asked beside the sentinel. */
async function sourcesBeside(sentinel: string, need: NeedConfig["need"], ground: Ground): Promise<Source[]> {
  const sources = await chosenSources(need, ground);
  return sources.filter(({ name }) => name !== "debian" || sentinel !== REBOOT_REQUIRED);
}
