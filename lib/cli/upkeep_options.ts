/** The rows of the table of options that say what the machines of a simulated roll-out do besides rebooting. */

import { type Option, parseLength } from "./option.ts";
import { parseGrace, parseShare } from "./values.ts";

const OF_SIMULATE = { by: ["simulate"] } as const;

export const UPKEEP_OPTIONS = {
  "check-fails": {
    value: "PERCENT",
    help: "this share of the machines does not reboot because a check says no, such as 5%",
    ...OF_SIMULATE,
    fallback: "0%",
    parse: parseShare,
  },
  "unhealthy": {
    value: "PERCENT",
    help: "this share of the machines is not well after the boot and keeps its slot",
    ...OF_SIMULATE,
    fallback: "0%",
    parse: parseShare,
  },
  "recover-after": {
    value: "DURATION",
    help:
      "machines of --check-fails and --unhealthy get well this long after the first failure; default: never",
    ...OF_SIMULATE,
    parse: parseLength,
  },
  "hook-time": {
    value: "DURATION",
    help: "how long the hooks take before the reboot, and again after the boot",
    ...OF_SIMULATE,
    fallback: "0s",
    parse: parseGrace,
  },
  "check-time": {
    value: "DURATION",
    help: "how long the checks take each time",
    ...OF_SIMULATE,
    fallback: "0s",
    parse: parseGrace,
  },
} as const satisfies Readonly<Record<string, Option>>;
