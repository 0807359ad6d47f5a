/**
 * Starts the daemon: everything is validated and told at once, then the strategy is chosen, and only then anything
 * runs.
 */

import { type Context, limitOperands, throwFaults, UsageError } from "./command.ts";
import {
  resolveGroup,
  resolveHoldOverdue,
  resolvePath,
  resolvePriority,
  resolveSessionGrace,
  resolveStore,
  resolveStrategy,
  resolveSwitch,
  resolveWindow,
  type StoreConfig,
} from "./config.ts";
import { Coordinator, CoordinatorError } from "../host/coordinator.ts";
import { Daemon, TICK_INTERVAL_MS } from "../daemon.ts";
import { Bus } from "../host/bus.ts";
import { formatDuration } from "../duration.ts";
import { groupLabel, semaphoreKey } from "../group.ts";
import { realHost, told } from "../host/host.ts";
import { notifyReady } from "../host/notify.ts";
import { rebootMethod } from "./host_commands.ts";
import { type Keeper, LockKeeper, NO_KEEPER } from "../keeper.ts";
import { Lock } from "../lock.ts";
import { readMachine } from "../host/identity.ts";
import { type Detector, watchNeed } from "../need.ts";
import { openStore } from "./open_store.ts";
import { logLine, printError } from "./output.ts";
import { below, DEFAULT_ENDPOINT, DEFAULT_SENTINEL } from "./settings.ts";
import { StoreError } from "../store.ts";
import { chooseStrategy, type Strategy, type StrategyChoice, windowStateAt } from "../strategy.ts";
import { watchUpdateEngine } from "../need/update_engine.ts";
import { LOOK_INTERVAL_MS } from "../wait.ts";
import { describeWindow, localZone } from "../window.ts";
import type { Log } from "../surroundings.ts";
import { watchSentinel } from "../need/sentinel.ts";

const COORDINATOR = "/run/update-engine/coordinator.conf";
/** How long the default endpoint has to answer when the daemon starts, in milliseconds. */
const PROBE_TIMEOUT_MS = 2_000;
/** How long a daemon that is told to stop may take to give its place in the line up, in milliseconds. */
const LEAVE_LIMIT_MS = 500;
/** How often an idle daemon looks for a slot that it knows nothing of, in milliseconds; lengthened by up to a half. */
const IDLE_LOOK_MS = 15 * 60_000;

export async function daemon(context: Context): Promise<number> {
  limitOperands(context, 0);
  const { settings } = context;
  const store = resolveStore(settings, context.readFile);
  const group = resolveGroup(settings);
  const configured = resolveStrategy(settings);
  const schedule = resolveWindow(settings, localZone());
  const graceMs = resolveSessionGrace(settings);
  const overdueMs = resolveHoldOverdue(settings);
  const priority = resolvePriority(settings);
  const sentinel = resolvePath(settings, "sentinel", DEFAULT_SENTINEL);
  const debug = resolveSwitch(settings, "debug");
  throwFaults(settings.faults);
  if (
    !store || group === undefined || schedule === undefined || graceMs === undefined ||
    sentinel === undefined ||
    overdueMs === undefined || priority === undefined
  ) {
    throw new UsageError(["the configuration cannot be used"]);
  }

  const stop = new AbortController();
  const log = logger(context, debug);
  const running: { keeper?: Keeper } = {};
  let stopping: Promise<unknown> | undefined;
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(name, () => {
      log("info", `${name}: stopping`);
      stop.abort();
      // calls end with the process, and a slot that is held stays held; a reboot command goes on, it may be what stops us
      const late = new Promise((resolve) => setTimeout(resolve, LEAVE_LIMIT_MS));
      stopping = Promise.race([running.keeper?.stop(), late]);
      stopping.finally(() => Deno.exit(0));
    });
  }

  const machine = await readMachine(context.root);
  const choice = await choose(
    configured,
    settings.values.get("reboot-strategy")?.origin,
    settings.values.get("endpoint")?.origin,
    store,
  );
  let coordinator: Coordinator;
  try {
    coordinator = await Coordinator.open(below(context.root, COORDINATOR));
    await coordinator.set(choice.strategy, choice.strategy === "off" ? "disabled" : "starting");
  } catch (error) {
    if (!(error instanceof CoordinatorError)) throw error;
    printError(context, error.message, error.hint);
    return 1;
  }
  await notifyReady(log);
  log("info", `strategy ${choice.strategy}: ${choice.why}`);
  if (choice.strategy === "off") {
    log("notice", "the strategy is off: this machine is not rebooted by locksmith; nothing to do");
    coordinator.close();
    return 0;
  }
  log("info", `machine ${machine.id} (${machine.hostname}), boot ${machine.bootId}`);
  const lock = choice.strategy === "etcd-lock"
    ? new Lock(await openStore(store), group, context.surroundings, "locksmithd")
    : null;
  if (lock !== null) {
    log("info", `group ${groupLabel(group)}: ${lock.key} at ${lock.store.name}`);
  }
  log(
    "info",
    schedule === null
      ? "no reboot window: reboots are allowed at any time"
      : `reboot window: ${describeWindow(schedule.window)}, ${schedule.zone}`,
  );
  if (schedule !== null && schedule.window.lengthMs < graceMs) {
    log(
      "warning",
      `the window is shorter than the ${
        formatDuration(graceMs)
      } of grace: while somebody is logged in, there is no reboot`,
    );
  }
  const bus = new Bus();
  const broken = Promise.withResolvers<never>();
  const keeper = lock === null
    ? NO_KEEPER
    : new LockKeeper({ lock, machine, priority, overdueMs, lookMs: LOOK_INTERVAL_MS, failed: broken.reject });
  running.keeper = keeper;
  const daemon = new Daemon({
    strategy: choice.strategy,
    graceMs,
    idleLookMs: IDLE_LOOK_MS * (1 + context.surroundings.random() / 2),
    windowAt: (now) => windowStateAt(schedule, now),
    surroundings: context.surroundings,
    keeper,
    tickMs: TICK_INTERVAL_MS,
    host: realHost({
      bus,
      rebootMethod: rebootMethod(context, machine, group),
      coordinator,
      strategy: choice.strategy,
      graceMs,
      log,
    }),
  }, stop.signal);
  const detectors = told(
    new Map<string, Detector>([
      ["update-engine", (signal, listener) => watchUpdateEngine(bus, signal, listener)],
      ["sentinel", (signal, listener) => watchSentinel(below(context.root, sentinel), signal, listener)],
    ]),
    log,
  );
  await Promise.race([
    daemon.failed,
    broken.promise,
    Promise.all([
      daemon.start(),
      watchNeed(detectors, stop.signal, (need) => {
        log("debug", `need of a reboot: ${JSON.stringify(need)}`);
        daemon.dispatch({ kind: "need", need });
      }),
    ]),
  ]);
  await stopping;
  return 0;
}

function logger(context: Context, debug: boolean): Log {
  const journal = context.env("JOURNAL_STREAM") !== undefined;
  return (level, text) => {
    if (level === "debug" && !debug) return;
    context.err(logLine(level, text, journal, Date.now()));
  };
}

/** The strategy; asks the default endpoint where nothing is configured. */
async function choose(
  configured: Strategy | undefined,
  strategyOrigin: string | undefined,
  endpointOrigin: string | undefined,
  store: StoreConfig,
): Promise<StrategyChoice> {
  const named = configured === undefined
    ? undefined
    : { strategy: configured, origin: strategyOrigin ?? "default" };
  const ask = named === undefined && endpointOrigin === undefined;
  return chooseStrategy(named, endpointOrigin, ask && await answers(store), DEFAULT_ENDPOINT);
}

/** Whether something that speaks etcd is there; one that turns us away is there too. */
async function answers(config: StoreConfig): Promise<boolean> {
  const store = await openStore(config);
  try {
    await store.read(semaphoreKey(""), { timeoutMs: PROBE_TIMEOUT_MS });
    return true;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return error.kind === "authentication" || error.kind === "permission" || error.kind === "failed";
  } finally {
    await store.close();
  }
}
