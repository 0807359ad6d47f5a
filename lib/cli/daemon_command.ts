/**
 * The daemon: its configuration comes whole and checked; here it is wired, and nothing runs before the strategy is known.
 */

import type { Agent } from "../agent.ts";
import { awaitEtcd, listensAt, unlessEtcd } from "./auto_strategy.ts";
import type { Context } from "./command.ts";
import { Coordinator } from "../host/coordinator.ts";
import { DAEMON_LOCK, LockedFileError, openLocked } from "../host/locked_file.ts";
import { Daemon, type Host, TICK_INTERVAL_MS } from "../daemon.ts";
import { DeadlineReminder } from "../deadline.ts";
import { rehearsing } from "./dry_run.ts";
import { Bus } from "../host/bus.ts";
import { formatDuration } from "../duration.ts";
import { LiveSchedule } from "./live_schedule.ts";
import { describeDistance, describeInstant } from "../description.ts";
import { groupLabel } from "../group.ts";
import { type HostOptions, realHost, showOnTerminals, told } from "../host/host.ts";
import { happeningsOf } from "../happening.ts";
import { DISABLE_FILE, POSTPONED_FILE, postponedFile, readHoldOff } from "../host/hold_off.ts";
import { Lookout } from "../host/lookout.ts";
import { MachineFile } from "../host/machine_file.ts";
import { MachinePublisher } from "./machine_publisher.ts";
import { NeedMemory } from "../host/need_memory.ts";
import { readOrders, watchOrders } from "../host/orders.ts";
import { RebootLimit, REBOOTS_FILE } from "../host/reboot_limit.ts";
import { SessionMessages } from "../host/session_messages.ts";
import { DiskLedger } from "../host/ledger.ts";
import { type LeftoverOptions, Leftovers } from "../leftovers.ts";
import { MEMORY_FILE, RebootMemory } from "../host/reboot_memory.ts";
import { Notifier } from "../host/notifier.ts";
import { notifyReady } from "../host/notify.ts";
import { rebootMethod } from "./host_commands.ts";
import type { Keeper } from "../keeper.ts";
import { readMachine, readUptimeMs } from "../host/identity.ts";
import { requireLastingId } from "../host/lasting_id.ts";
import { type Machine, machineName } from "../machine.ts";
import { VERSION } from "./version.ts";
import { watchNeed } from "../need.ts";
import { describeNeedSources, needDetectors } from "./need_detectors.ts";
import { idsOf, openServerAt } from "./open_server.ts";
import { OwnWork } from "../host/own_work.ts";
import { openKeeper } from "./slot_keeper.ts";
import type { Store } from "../store.ts";
import { RemoteLeftovers } from "../remote_leftovers.ts";
import { addressOf, withStoreAt } from "./store_address.ts";
import { logLine, printError } from "./output.ts";
import { ignoresHangup, isJournal } from "./process.ts";
import { below } from "./settings.ts";
import { reasons } from "../served.ts";
import { type ActiveStrategy, AUTO, takesSlots } from "../strategy.ts";
import { delayOf, describeSchedule, isLimited, type Schedule, windowStateAt } from "../schedule.ts";
import { seldom } from "../seldom.ts";
import { BY_DAEMON } from "../semaphore.ts";
import type { Log } from "../surroundings.ts";
import { reasonOf } from "../system_error.ts";

const COORDINATOR = "/run/update-engine/coordinator.conf";
/** How long a daemon that is told to stop may take to give its place in the line up, in milliseconds. */
const LEAVE_LIMIT_MS = 500;
/** How often an idle daemon looks for a slot that it knows nothing of, in milliseconds; lengthened by up to a half. */
const IDLE_LOOK_MS = 15 * 60_000;

type DaemonContext = Context<"daemon">;

export async function daemon(context: DaemonContext): Promise<number> {
  const { config, warnings } = context;
  const stop = new AbortController();
  const log = logger(context, config.debug);
  const running: Running = {};
  let stopping: Promise<unknown> | undefined;
  if (await ignoresHangup()) Deno.addSignalListener("SIGHUP", () => {});
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(name, () => {
      log("info", `${name}: stopping`);
      stop.abort();
      // calls end with the process, and a slot that is held stays held; a reboot command goes on, it may be what stops us
      const late = new Promise((resolve) => setTimeout(resolve, LEAVE_LIMIT_MS));
      const stopped = Promise.all([
        running.keeper?.stop(),
        running.work?.settled(),
        running.published?.remove(),
      ]);
      stopping = Promise.race([stopped, late]);
      stopping.finally(() => Deno.exit(0));
    });
  }

  // before anything may refuse to start: a misspelt setting may be why
  for (const warning of warnings) log("warning", warning);
  const machine = await readMachine(config.root);
  await requireLastingId(config.root, machine.id);
  const { strategy: chosen, why } = config.strategy;
  const delayMs = delayOf(machine.id, config.group, config.schedule.spreadMs);
  const schedule = await LiveSchedule.open(config.schedule, delayMs, context.surroundings.now());
  let coordinator: HostOptions["coordinator"];
  try {
    coordinator = await beTheOnlyOne(config.root, log);
  } catch (error) {
    if (!(error instanceof LockedFileError)) throw error;
    printError(context, error.message, error.hint);
    return 1;
  }
  const state = chosen === "off" ? "disabled" : "starting";
  await coordinator.set(chosen, state).catch((error) => log("warning", reasonOf(error)));
  await notifyReady(log);
  log(
    "info",
    `locksmith ${VERSION} on ${machineName(machine.id, machine.hostname)}, boot ${machine.bootId}`,
  );
  if (chosen !== AUTO) log("info", `strategy ${chosen}: ${why}`);
  if (chosen === "off") {
    log("notice", "the strategy is off: locksmith does not reboot this machine; nothing to do");
    const { hasStore, store } = config;
    const ledger = new DiskLedger(config.root, log);
    const configured = hasStore ? addressOf(store) : null;
    const withStore = storesOf(context);
    const left = await leftovers({ context, machine, log, ledger, own: null, configured, withStore });
    await Promise.all([left.run(stop.signal), endHooks(context, machine, log, stop.signal)]);
    await stopping;
    return 0;
  }
  if (config["dry-run"]) log("notice", "dry run: doing everything except the reboot call");
  const { "session-grace": graceMs } = config;
  log("info", `reboot requests come from: ${await describeNeedSources(config)}`);
  const now = context.surroundings.now();
  log("info", describeWindowNow(schedule.at(now), config.zone, now));
  const { windows } = config.schedule.schedule;
  if (windows.length > 0 && windows.every(({ window }) => window.lengthMs < graceMs)) {
    log(
      "warning",
      `the window is shorter than the ${
        formatDuration(graceMs)
      } of grace: no reboot while somebody is logged in`,
    );
  }
  const following = await schedule.follow(context.surroundings, log);
  stop.signal.addEventListener("abort", () => following.close());
  const serving = { context, machine, schedule, coordinator, log, running };
  await (chosen === AUTO
    ? serveByWhatIsThere(serving, why, stop.signal)
    : serve(chosen, serving, stop.signal));
  await stopping;
  return 0;
}

/** `reboot window: every Sat at 02:00 for 1h, Europe/Berlin; opens Sat 2026-11-28 02:00 +01:00, in 2 days 11 h`. */
function describeWindowNow(schedule: Schedule, zone: string, now: number): string {
  if (!isLimited(schedule)) return "no reboot window: reboots are allowed at any time";
  const state = windowStateAt(schedule, now, zone);
  const [verb, at] = state.open ? ["open, closes", state.closesAt] : ["opens", state.nextOpensAt];
  const { delayMs = 0, windows } = schedule;
  return [
    `reboot ${windows.length > 1 ? "windows" : "window"}: ${describeSchedule(schedule, zone)}`,
    ...(delayMs > 0 ? [`this machine begins ${formatDuration(delayMs)} after the start`] : []),
    ...(state.open || state.why === undefined ? [] : [state.why]),
    at === Infinity
      ? state.open ? "open, and stays so" : "no time is known at which it opens"
      : `${verb} ${describeInstant(at, zone)}, ${describeDistance(at - now)}`,
  ].join("; ");
}

/** What the daemon works with, whatever its strategy. */
interface Serving {
  readonly context: DaemonContext;
  readonly machine: Machine;
  readonly schedule: LiveSchedule;
  readonly coordinator: HostOptions["coordinator"];
  readonly log: Log;
  readonly running: Running;
}

/** What has to end, or to be told, before the process ends. */
interface Running {
  keeper?: Keeper;
  work?: OwnWork;
  published?: MachineFile;
}

/** Serves by one strategy until `signal` aborts. `guard` may change what the daemon asks of its host. */
async function serve(
  strategy: ActiveStrategy,
  { context, machine, schedule, coordinator, log, running }: Serving,
  signal: AbortSignal,
  guard: (host: Host) => Host = (host) => host,
): Promise<void> {
  const { config, surroundings } = context;
  const { root, group, zone, "session-grace": graceMs } = config;
  const { marginMs } = config.schedule;
  const bus = new Bus();
  const method = rebootMethod(config, machine);
  const rarely = seldom(log, surroundings);
  const memory = new RebootMemory(root, machine.bootId, rarely);
  const ledger = new DiskLedger(root, rarely);
  const work = ownWork(context, machine, log, signal, () => reasons(daemon.state));
  const windowAt = (now: number) => schedule.windowAt(now);
  const remembering = { root, boot: machine.bootId, surroundings, zone };
  const limit = new RebootLimit({
    ...remembering,
    max: config["max-reboots"],
    uptimeMs: () => readUptimeMs(root),
    log: rarely,
  });
  const needMemory = await NeedMemory.open({ ...remembering, log: rarely });
  const needSince = () => needMemory.since;
  const postponed = postponedFile(root, rarely);
  const heldOff = () => readHoldOff(root, postponed, { now: surroundings.now(), zone });
  const paths = [MEMORY_FILE, REBOOTS_FILE, DISABLE_FILE, POSTPONED_FILE].map((path) => below(root, path));
  const orders = { memory, limit, heldOff, paths };
  const messages = new SessionMessages({ show: showOnTerminals, surroundings, zone, log });
  const state = () => daemon.state;
  const published = running.published = new MachineFile(root, rarely);
  const publisher = new MachinePublisher({
    file: published,
    facts: { machine: machine.id, host: machine.hostname, boot: machine.bootId, group, strategy },
    surroundings,
    state,
    needSince,
    windowAt,
    follow: (phase) => messages.observe(phase),
  });
  const host = realHost({
    bus,
    rebootMethod: method,
    coordinator,
    memory,
    limit,
    own: work,
    strategy,
    sessions: { mode: config.sessions, graceMs, ignored: new Set(config["session-ignore-users"]) },
    messages,
    heldOff,
    tell: (event) => daemon.dispatch(event),
    calling: () => publisher.publish(),
    log,
  });
  const broken = Promise.withResolvers<never>();
  const { keeper, own, store } = await openKeeper(strategy, {
    config,
    machine,
    ledger,
    surroundings,
    log,
    failed: broken.reject,
  });
  const configured = store !== undefined || config.hasStore ? addressOf(config.store) : null;
  const withStore = storesOf(context, store);
  Object.assign(running, { keeper, work });
  const dryRun = config["dry-run"];
  const notifier = new Notifier({
    root: config.root,
    group,
    machine,
    strategy,
    dryRun,
    surroundings,
    log: rarely,
  });
  await work.describe();
  const prepared = dryRun ? await work.preparation() === "prepared" : await work.takeOver();
  const afterBoot = await work.afterBoot(takesSlots(strategy));
  const isWell = async () => {
    const { verdict, upMs } = await work.prove();
    return verdict.kind === "well" && upMs >= (afterBoot?.soakMs ?? 0);
  };
  const left = await leftovers({
    ...{ context, machine, log, ledger, own, configured, withStore },
    ...(afterBoot === undefined ? {} : { isWell }),
  });
  const daemon: Daemon = new Daemon({
    strategy,
    graceMs,
    idleLookMs: IDLE_LOOK_MS * (1 + surroundings.random() / 2),
    windowAt,
    ...(marginMs === undefined ? {} : { marginMs }),
    surroundings,
    keeper,
    group: groupLabel(group),
    zone,
    tickMs: TICK_INTERVAL_MS,
    observe: (before, event, after) => {
      void publisher.publish();
      happeningsOf(before, event, after).forEach((happening) => notifier.tell(happening));
    },
    ...(afterBoot === undefined ? {} : { afterBoot }),
    host: guard(dryRun ? rehearsing(host, method) : host),
  }, signal);
  const lookout = new Lookout(surroundings);
  using reminder = new DeadlineReminder(surroundings, log);
  const detectors = needMemory.remembering(
    told(await needDetectors(config, { bus, lookout, machine, log, surroundings }), log),
  );
  const started = daemon.start();
  if (prepared) daemon.dispatch({ kind: "prepared" });
  // known before any need is: a need that was served already is none, and neither is one that is not to be met now
  const first = await readOrders(orders);
  for (const order of first) daemon.dispatch(order);
  await Promise.race([
    daemon.failed,
    broken.promise,
    Promise.all([
      started,
      left.run(signal),
      publish(context, strategy, log, { state, needSince }, signal),
      publisher.run(signal),
      watchOrders(orders, first, lookout, signal, (event) => daemon.dispatch(event)),
      watchNeed(detectors, signal, (need) => {
        log("debug", `need of a reboot: ${JSON.stringify(need)}`);
        reminder.hear(need.deadline);
        daemon.dispatch({ kind: "need", need });
      }),
    ]),
  ]);
  await work.end();
}

/** The checks and hooks of this host. `because`: why a reboot is needed. */
function ownWork(
  { config, surroundings }: DaemonContext,
  machine: Machine,
  log: Log,
  signal: AbortSignal,
  because: () => readonly string[],
): OwnWork {
  return new OwnWork({
    root: config.root,
    group: config.group,
    machine,
    checks: config.ownChecks,
    hookTimeoutMs: config["hook-timeout"],
    bootWaitMs: config["wait-for-boot"],
    soakMs: config.soak,
    reasons: because,
    surroundings,
    signal,
    log,
  });
}

/** What hooks have prepared for a reboot is taken back, also where the machine is not to reboot by itself any more. */
async function endHooks(
  context: DaemonContext,
  machine: Machine,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const own = ownWork(context, machine, log, signal, () => []);
  if (context.config["dry-run"]) return;
  if (await own.takeOver()) await own.takeBack(false);
  if (await own.preparation() === "earlier-boot") await own.takeBack(true);
}

/** Publishes the figures of the daemon where somebody wants them. */
async function publish(
  { config: { textfile, "metrics-listen": listen }, surroundings }: DaemonContext,
  strategy: string,
  log: Log,
  told: { state(): Agent; needSince(): number | undefined },
  signal: AbortSignal,
): Promise<void> {
  if (textfile === undefined && listen === undefined) return;
  const { publishFigures } = await import("./agent_metrics.ts");
  await publishFigures({ textfile, listen, version: VERSION, strategy, surroundings, log, ...told }, signal);
}

/** What this machine may still have elsewhere than under the lock that its daemon serves by. */
async function leftovers(
  { context, ...rest }:
    & Pick<Serving, "context" | "machine" | "log">
    & Pick<LeftoverOptions, "ledger" | "own" | "configured" | "withStore" | "isWell">,
): Promise<Leftovers> {
  const { config, surroundings } = context;
  const { machine, ledger, log, isWell } = rest;
  return new Leftovers({
    ...rest,
    remote: new RemoteLeftovers({
      machine,
      ids: await idsOf(machine),
      ledger,
      open: (url) => openServerAt(url, config.fleetLock),
      ...(isWell === undefined ? {} : { isWell }),
      surroundings,
      log,
    }),
    surroundings,
    by: BY_DAEMON,
    zone: config.zone,
    lookMs: IDLE_LOOK_MS,
  });
}

/** Opens stores by their addresses; the daemon's own is open already. */
function storesOf({ config: { store: today } }: DaemonContext, open?: Store): LeftoverOptions["withStore"] {
  const own = addressOf(today);
  return (address, work) => {
    return open !== undefined && address === own ? work(open) : withStoreAt(address, today, work);
  };
}

/**
 * Locks the files by which a second daemon is refused, and gives the one that others read. As root a file that cannot be
 * written is a warning: the other one is enough, and nothing else depends on them. Throws {@linkcode LockedFileError}.
 */
async function beTheOnlyOne(root: string, log: Log): Promise<HostOptions["coordinator"]> {
  const unlessFull = <T>(opening: Promise<T>, consequence: string): Promise<T | null> =>
    opening.catch((error) => {
      if (!(error instanceof LockedFileError) || error.kind === "held" || Deno.uid() !== 0) throw error;
      log("warning", `${error.message}; ${consequence}`);
      return null;
    });
  const coordinator = await unlessFull(
    Coordinator.open(below(root, COORDINATOR)),
    "other programs cannot read what this daemon is doing",
  );
  // it is held until the process ends
  await unlessFull(
    openLocked(below(root, DAEMON_LOCK), { mode: 0o600 }),
    "only coordinator.conf would show another locksmithd",
  );
  return coordinator ?? { set: () => Promise.resolve() };
}

/** Serves under the lock where there is an etcd on this host, and without one where there is none, until one comes. */
async function serveByWhatIsThere(serving: Serving, why: string, signal: AbortSignal): Promise<void> {
  const { context: { config: { store }, surroundings }, log } = serving;
  const [endpoint = ""] = store.kind === "etcd" ? store.endpoints : [];
  const listens = () => listensAt(endpoint);
  if (!await awaitEtcd(endpoint, listens, surroundings, log, signal)) {
    if (signal.aborted) return;
    log(
      "info",
      `strategy reboot: auto is ${why}, no endpoint is configured, and nothing listens at ${endpoint}`,
    );
    const came = new AbortController();
    const guard = (host: Host) => unlessEtcd(host, endpoint, listens, () => came.abort());
    await serve("reboot", serving, AbortSignal.any([signal, came.signal]), guard);
    if (signal.aborted) return;
  }
  log("info", `strategy etcd-lock: auto is ${why}, and etcd listens at ${endpoint}`);
  await serve("etcd-lock", serving, signal);
}

function logger(context: DaemonContext, debug: boolean): Log {
  const journal = isJournal();
  return (level, text) => {
    if (level === "debug" && !debug) return;
    context.err(logLine(level, text, journal, Date.now()), level);
  };
}
