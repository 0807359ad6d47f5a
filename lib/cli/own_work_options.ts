/** The rows of the table of options that are about checks, hooks, and what a machine proves after its boot. */

import { formatDuration } from "../duration.ts";
import { type Option, parseLength, ValueError } from "./option.ts";
import { quoted } from "../plain_text.ts";
import { didYouMean } from "../suggest.ts";

const SECOND_MS = 1_000;
const DAY_MS = 24 * 3_600_000;

const OF_DAEMON = { by: ["daemon"], variable: "prefixed" } as const;
/** `window` asks the checks too. */
const OF_CHECKS = { by: ["daemon", "window"], variable: "prefixed" } as const;

export const OWN_WORK_OPTIONS = {
  "require-units": {
    value: "UNITS",
    repeatable: ",",
    help: "reboot, and give the slot back, only while these systemd units are active; separated by commas",
    ...OF_CHECKS,
    sample: "nginx.service",
    parse: parseUnit,
  },
  "check-url": {
    value: "URL",
    repeatable: ",",
    help: "the same while this URL answers with a status of 2xx; several separated by commas or repeated",
    ...OF_CHECKS,
    sample: "http://localhost:8080/health",
    parse: parseCheckUrl,
  },
  "check-timeout": {
    value: "DURATION",
    help: "how long a check may take, of /etc/locksmith/check.d too",
    ...OF_CHECKS,
    by: ["daemon", "window", "simulate"],
    fallback: "1m",
    sample: "30s",
    parse: lengthBetween(SECOND_MS, DAY_MS),
  },
  "hook-timeout": {
    value: "DURATION",
    help: "how long each hook may take, of /etc/locksmith/pre-reboot.d and post-boot.d",
    by: ["daemon", "reboot", "simulate"],
    variable: "prefixed",
    fallback: "10m",
    sample: "30m",
    parse: lengthBetween(SECOND_MS, DAY_MS),
  },
  "wait-for-boot": {
    value: "DURATION",
    help:
      "how long systemd may take to finish the boot before the machine counts as unhealthy; 0: do not wait",
    ...OF_DAEMON,
    fallback: "5m",
    sample: "10m",
    parse: parseLength,
  },
  "soak": {
    value: "DURATION",
    help: "how long a machine must be up, and well, before it gives its slot back",
    ...OF_DAEMON,
    by: ["daemon", "simulate"],
    fallback: "0s",
    sample: "5m",
    parse: parseLength,
  },
} as const satisfies Readonly<Record<string, Option>>;

/** The suffixes of units, systemd.unit(5). */
const SUFFIXES = [
  "service",
  "socket",
  "target",
  "mount",
  "automount",
  "timer",
  "path",
  "slice",
  "scope",
  "swap",
  "device",
];

/** The name of a unit, with its suffix: `.service` where none is written. */
export function parseUnit(text: string): string {
  if (!/^[A-Za-z0-9:_.\\@-]{1,255}$/.test(text) || text.startsWith("-")) {
    throw new ValueError(`${quoted(text)} is not the name of a unit, such as nginx.service`);
  }
  const suffix = /\.([a-z]+)$/.exec(text)?.[1];
  if (suffix === undefined) return `${text}.service`;
  if (SUFFIXES.includes(suffix)) return text;
  const meant = didYouMean(suffix, SUFFIXES);
  throw new ValueError(`${quoted(text)} is not the name of a unit: unknown suffix .${suffix}${meant}`);
}

/** A URL whose answer can be asked for. Its user and password would be shown to everybody. */
export function parseCheckUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ValueError(
      `${quoted(text)} is not an http:// or https:// URL, such as http://localhost:8080/health`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new ValueError(
      `the URL of ${url.host} has a user in it, who would be shown; use a program in check.d`,
    );
  }
  return url.href;
}

/** A duration within limits, in milliseconds. */
function lengthBetween(fromMs: number, toMs: number): (text: string) => number {
  return (text) => {
    const ms = parseLength(text);
    if (ms >= fromMs && ms <= toMs) return ms;
    throw new ValueError(`'${text}' is not between ${formatDuration(fromMs)} and ${formatDuration(toMs)}`);
  };
}
