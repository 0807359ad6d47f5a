/** The options that speak of a window and of a time, for the commands that take them from the command line. */

import { type Context, option } from "./command.ts";
import { resolveWindow, type WindowConfig } from "./config.ts";
import { localZone, ZoneError } from "../host/zone.ts";
import { parseZone, WindowError } from "../window.ts";
import { parseInstant } from "./window_report.ts";

/**
 * The window of the options `start` (as it is called there) and `length`; `null` where neither is given; `undefined`
 * after adding to the faults.
 */
export function windowOption(context: Context, startName: string): WindowConfig | null | undefined {
  const { values, faults } = context.settings;
  const [start, length] = [option(context, startName), option(context, "length")];
  const own = new Map(values);
  own.delete("reboot-window-start");
  own.delete("reboot-window-length");
  if (start !== undefined && length !== undefined) {
    own.set("reboot-window-start", { values: [start], origin: `--${startName}` });
    own.set("reboot-window-length", { values: [length], origin: "--length" });
  } else if (start !== undefined || length !== undefined) {
    const [given, missing] = start === undefined ? ["length", startName] : [startName, "length"];
    faults.push(`--${given} needs --${missing} beside it`);
    return undefined;
  }
  return resolveWindow({ values: own, faults }, () => machineZone(context));
}

/** The zone of this machine. Throws {@linkcode ZoneError}. */
export function machineZone({ env, surroundings }: Context): string {
  return localZone({ tz: env("TZ"), nowMs: surroundings.now() });
}

/** The configured zone, else that of this machine; one that cannot be told is a fault, which a window may have told. */
export function zoneOption(context: Context): string {
  const { values, faults } = context.settings;
  const name = values.get("zone")?.values.at(-1);
  try {
    return name === undefined ? machineZone(context) : parseZone(name);
  } catch (error) {
    if (!(error instanceof WindowError || error instanceof ZoneError)) throw error;
    const fault = `time zone: ${error.message}`;
    if (error instanceof ZoneError && !faults.includes(fault)) faults.push(fault);
    return "UTC";
  }
}

/** The time of `--at` on the clock of `zone`, else now; `undefined` after adding to the faults. */
export function atOption(context: Context, zone: string): Temporal.ZonedDateTime | undefined {
  const text = option(context, "at");
  try {
    return text === undefined
      ? Temporal.Instant.fromEpochMilliseconds(context.surroundings.now()).toZonedDateTimeISO(zone)
      : parseInstant(text, zone);
  } catch (error) {
    if (!(error instanceof WindowError)) throw error;
    context.settings.faults.push(...error.faults.map((fault) => `--at: ${fault}`));
    return undefined;
  }
}
