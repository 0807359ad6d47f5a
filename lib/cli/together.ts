/**
 * What several options mean together: the store, the window, the strategy, the plan of a simulation. Each is put together
 * from the values of its options, or it is told what is wrong with them beside each other.
 */

import { ALL_GROUPS } from "../group.ts";
import { type Composer, FAULTY, type Faulty, present } from "./composer.ts";
import { choose, composeFleetLock, composeUnderFleetLock } from "./fleet_lock_config.ts";
import { attempt } from "./option.ts";
import { composeChecks } from "./own_work_config.ts";
import { composeSchedule } from "./schedule_config.ts";
import { composeUpkeep } from "./upkeep_config.ts";
import { composeServer, type ServerConfig } from "./server_config.ts";
import { exampleLine, OWN_FILE } from "./settings.ts";
import {
  formatListenAddress,
  isLocal,
  type ListenAddress,
  parseListenAddress,
} from "../serve/listen_address.ts";
import { fateFaults, planFaults, type RolloutPlan } from "../simulation/plan.ts";
import type { StrategyChoice } from "../strategy.ts";
import { reasonOf } from "../system_error.ts";
import { parseInstant } from "./window_report.ts";

/** Where the semaphores are kept. */
export type StoreConfig =
  | {
    readonly kind: "etcd";
    readonly endpoints: readonly string[];
    readonly ca?: Uint8Array;
    readonly cert?: Uint8Array;
    readonly key?: Uint8Array;
    readonly username?: string;
    readonly password?: string;
    /** The files that `ca`, `cert` and `key` came from: certificates are renewed. */
    readonly files?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  }
  | { readonly kind: "sqlite"; readonly path: string }
  | ServerConfig;

/** For how long a reboot and a pause may last before a check reports them, in milliseconds. */
export interface CheckLimits {
  readonly rebootMs: number;
  readonly pauseMs: number;
}

/** By field of the configuration. The first of `of` says which commands want it. */
export const TOGETHER = {
  store: { of: ["endpoint"], compose: composeStore },
  hasStore: {
    of: ["reboot-strategy"],
    compose: ({ part }: Composer) => part("endpoint").origin !== undefined,
  },
  schedule: { of: ["reboot-window-start"], compose: composeSchedule },
  strategy: { of: ["max-reboots", "reboot-strategy"], compose: composeStrategy },
  fleetLock: { of: ["fleet-lock-url"], compose: composeFleetLock },
  underFleetLock: { of: ["reboot-command", "fleet-lock-url"], compose: composeUnderFleetLock },
  ownChecks: { of: ["check-timeout"], compose: composeChecks },
  moment: { of: ["at"], compose: composeMoment },
  plan: { of: ["machines"], compose: composePlan },
  checking: { of: ["check"], compose: composeChecking },
  scope: { of: ["all"], compose: composeScope },
  removal: { of: ["remove"], compose: composeRemoval },
  serving: { of: ["listen"], compose: composeServing },
  grantedGroup: { of: ["role"], compose: composeNamedGroup },
} as const;
export type Together = typeof TOGETHER;

function composeStore(composer: Composer): StoreConfig | Faulty {
  const { part, readFile, faults } = composer;
  const before = faults.length;
  const server = composeServer(composer);
  if (server !== undefined) return server;
  const { value: endpoints = [], origin = "the default endpoint" } = part("endpoint");
  const files = (["etcd-cafile", "etcd-certfile", "etcd-keyfile"] as const).map(part);
  const [username, password] = [part("etcd-username"), part("etcd-password")];
  const access = [...files, username, password].filter(({ origin }) => origin !== undefined);
  for (const [one, other] of PAIRS) {
    const [given, missing] = part(one).origin === undefined ? [other, one] : [one, other];
    if (part(given).origin !== undefined && part(missing).origin === undefined) {
      faults.push(`${part(given).origin}: needs --${missing} too`);
    }
  }
  const [ca, cert, key] = files.map(({ value, origin }) => {
    try {
      return value === undefined ? undefined : readFile(value);
    } catch (error) {
      faults.push(`${origin}: cannot read '${value}': ${reasonOf(error)}`);
      return undefined;
    }
  });
  const [embedded] = endpoints.filter((endpoint) => endpoint.startsWith("sqlite:"));
  if (embedded !== undefined) {
    if (endpoints.length > 1) faults.push(`${origin}: sqlite:PATH cannot be combined with other endpoints`);
    if (access.length > 0) faults.push(`${origin}: the --etcd-... options have no effect with sqlite:PATH`);
    return faults.length > before ? FAULTY : { kind: "sqlite", path: embedded.slice("sqlite:".length) };
  }
  const secure = endpoints.filter((endpoint) => endpoint.startsWith("https:")).length;
  if (secure > 0 && secure < endpoints.length) {
    faults.push(`${origin}: do not mix http:// and https:// endpoints`);
  }
  const [file] = files.filter(({ origin }) => origin !== undefined);
  if (secure === 0 && endpoints.length > 0 && file !== undefined) {
    faults.push(
      `${file.origin}: has no effect with http:// endpoints, which are not encrypted; use https://`,
    );
  }
  if (faults.length > before || endpoints.length === 0) return FAULTY;
  const paths = present({ ca: files[0]?.value, cert: files[1]?.value, key: files[2]?.value });
  return {
    kind: "etcd",
    endpoints: [...new Set(endpoints)],
    ...present({ ca, cert, key, username: username.value, password: password.value }),
    ...(Object.keys(paths).length > 0 ? { files: paths } : {}),
  };
}

/** Neither is of use without the other. */
const PAIRS = [["etcd-certfile", "etcd-keyfile"], ["etcd-username", "etcd-password"]] as const;

/** The strategy that is in effect. A machine that nobody configured is not rebooted: then it is a fault. */
function composeStrategy({ part, faults, hints }: Composer): StrategyChoice | Faulty {
  const { value, origin } = part("reboot-strategy");
  if (value === undefined && origin !== undefined) return FAULTY;
  const { choice, fleetLock, ambiguity } = choose(part);
  const [endpoint, server] = [part("endpoint"), part("server")];
  if (choice?.strategy === "etcd-lock" && endpoint.origin === undefined && server.origin !== undefined) {
    faults.push(
      `${server.origin}: is for the commands of operators; the strategy etcd-lock needs --endpoint`,
    );
    return FAULTY;
  }
  if (choice?.strategy === "fleet-lock" && fleetLock === undefined) {
    faults.push(`${origin}: the strategy fleet-lock needs --fleet-lock-url too`);
    return FAULTY;
  }
  if (choice !== undefined) return choice;
  if (ambiguity !== undefined) {
    faults.push(ambiguity);
    return FAULTY;
  }
  faults.push("neither a reboot strategy nor an endpoint is configured: the daemon does not start");
  hints.push(
    `add two lines to ${OWN_FILE}, then check with 'locksmith config':`,
    `  ${exampleLine("reboot-strategy")}`,
    `  ${exampleLine("endpoint")}`,
  );
  return FAULTY;
}

/** The time of `--at` on the clock of the zone; `undefined`: now. */
function composeMoment({ part, faults }: Composer): Temporal.ZonedDateTime | undefined | Faulty {
  const [{ value: text, origin }, { value: zone }] = [part("at"), part("zone")];
  if (text === undefined) return undefined;
  const attempted = attempt(() => parseInstant(text, zone ?? "UTC"), "");
  if ("value" in attempted) return attempted.value;
  faults.push(...attempted.faults.map((fault) => `${origin}: ${fault}`));
  return FAULTY;
}

/** By which limits to check; `null`: show it. */
function composeChecking({ part, faults }: Composer): CheckLimits | null | Faulty {
  if (part("check").value !== true) return null;
  const before = faults.length;
  for (const form of ["json", "verbose", "watch"] as const) {
    if (part(form).value === true) faults.push(`--${form}: has no effect with --check`);
  }
  const [rebootMs, pauseMs] = [part("hold-overdue").value, part("pause-overdue").value];
  if (rebootMs === undefined || pauseMs === undefined) return FAULTY;
  return faults.length > before ? FAULTY : { rebootMs, pauseMs };
}

/** The group that a command speaks of, or {@linkcode ALL_GROUPS}. */
function composeScope({ part, faults }: Composer): string | Faulty {
  const group = part("group");
  if (part("all").value !== true) return group.value ?? FAULTY;
  // one that a file or the environment sets is this host's, and nobody meant it here
  if (group.origin?.startsWith("--") !== true) return ALL_GROUPS;
  faults.push(`--all: ${group.origin} names one group; give only one of the two`);
  return FAULTY;
}

/** The group that is to be removed; `undefined`: none. */
function composeRemoval({ part, faults }: Composer): string | undefined | Faulty {
  const remove = part("remove");
  const others = (["json", "check"] as const).filter((form) => part(form).value === true);
  if (remove.origin === undefined || others.length === 0) return remove.value;
  faults.push(...others.map((form) => `--${form}: has no effect with --remove`));
  return FAULTY;
}

/** Where a server listens, and by which files it is known and knows others. */
export interface ServingConfig {
  readonly listen: readonly ListenAddress[];
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
}

/** Beyond this host nobody listens by accident for whom everybody is an operator. */
function composeServing({ part, readFile, faults, hints }: Composer): ServingConfig | Faulty {
  const before = faults.length;
  const listen = part("listen");
  const [cert, key, clientCa] = [part("tls-cert"), part("tls-key"), part("client-ca")];
  for (const [given, missing, name] of [[cert, key, "tls-key"], [key, cert, "tls-cert"]] as const) {
    if (given.origin !== undefined && missing.origin === undefined) {
      faults.push(`${given.origin}: needs --${name} too`);
    }
  }
  if (clientCa.origin !== undefined && cert.origin === undefined) {
    faults.push(
      `${clientCa.origin}: needs --tls-cert and --tls-key: only who connects by TLS can show a certificate`,
    );
  }
  for (const { value, origin } of [cert, key, clientCa]) {
    try {
      if (value !== undefined) readFile(value);
    } catch (error) {
      faults.push(`${origin}: cannot read '${value}': ${reasonOf(error)}`);
    }
  }
  const addresses = (listen.value ?? []).flatMap((text) => parseListenAddress(text) ?? []);
  const exposed = addresses.find((address) => !isLocal(address));
  if (exposed !== undefined && part("insecure").value !== true && clientCa.origin === undefined) {
    const { value: tokens } = part("tokens");
    try {
      if (tokens !== undefined) readFile(tokens);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) {
        faults.push(
          `${listen.origin ?? "--listen"}: ${
            formatListenAddress(exposed)
          } is reached from other hosts, and without ` +
            "tokens and client certificates everybody there may do everything",
        );
        hints.push(
          "make a token first: locksmith token add --role operator",
          "or name a CA with --client-ca; --insecure lets everybody in",
        );
      } else {faults.push(
          `${part("tokens").origin ?? "--tokens"}: cannot read '${tokens}': ${reasonOf(error)}`,
        );}
    }
  }
  if (faults.length > before || addresses.length === 0) return FAULTY;
  if (cert.value === undefined || key.value === undefined) return { listen: addresses };
  return {
    listen: addresses,
    tls: { cert: cert.value, key: key.value, ...present({ clientCa: clientCa.value }) },
  };
}

/** The group that the command line names; one that a file or the environment sets is this host's, and nobody meant it here. */
function composeNamedGroup({ part }: Composer): string | undefined {
  const { value, origin } = part("group");
  return origin?.startsWith("--") ? value : undefined;
}

/** What is to be simulated. It begins now where `--at` says nothing. */
function composePlan(composer: Composer): Omit<RolloutPlan, "startMs" | "schedule"> | Faulty {
  const { part, faults } = composer;
  const before = faults.length;
  const [max, within, svg] = [part("max"), part("within"), part("svg")];
  const window = part("reboot-window-start");
  if (svg.value === "-" && part("json").value) faults.push("--svg=-: --json writes to stdout too");
  if (within.value !== undefined && max.origin !== undefined) {
    faults.push("--max: cannot be combined with --within, which finds it");
  }
  if (within.value !== undefined && "windows" in within.value && window.value?.[0] === "none") {
    faults.push("--within: there is no window to count; give a time such as 48h, or a window");
  }
  const [machines, rebootMs, graceMs] = [
    part("machines").value,
    part("reboot-time").value,
    part("grace").value,
  ];
  const [seed, failShare, spreadMs] = [part("seed").value, part("fail").value, part("spread").value];
  const upkeep = composeUpkeep(composer);
  if (
    machines === undefined || rebootMs === undefined || graceMs === undefined || seed === undefined ||
    failShare === undefined || spreadMs === undefined || upkeep === FAULTY ||
    (max.value === undefined && max.origin !== undefined)
  ) return FAULTY;
  const drawn = { graceMs, seed, failShare, spreadMs, ...present({ upkeep }) };
  const plan = { machines, max: max.value ?? 1, rebootMs, ...drawn };
  faults.push(...planFaults(plan).map((fault) => `--machines, --max: ${fault}`));
  faults.push(...fateFaults(plan).map((fault) => `--fail, --check-fails, --unhealthy: ${fault}`));
  return faults.length > before ? FAULTY : plan;
}
