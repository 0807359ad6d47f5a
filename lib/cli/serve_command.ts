/**
 * The server: its configuration comes whole and checked; here its doors are put together with the store. It listens at
 * once, and says that it is not ready while its store is away.
 */

import { CredentialAccess } from "../serve/access.ts";
import type { Context } from "./command.ts";
import { UsageError } from "./config.ts";
import type { SlotObserver } from "../counter.ts";
import type { Caller, Door } from "../serve/door.ts";
import { groupPhrase } from "../group.ts";
import { GroupsFileError } from "../serve/groups_file.ts";
import { hostsDoor } from "../serve/hosts_door.ts";
import { machineName } from "../machine.ts";
import { ServedGroups } from "./served_groups.ts";
import { Slots } from "../slots.ts";
import { formatListenAddress, isLocal } from "../serve/listen_address.ts";
import { healthDoor } from "../serve/health_door.ts";
import { CALL_TIMEOUT_MS } from "../lock.ts";
import { isJournal } from "./process.ts";
import { logLine, printError } from "./output.ts";
import { Metrics, metricsDoor } from "../serve/metrics.ts";
import { notifyReady } from "../host/notify.ts";
import { openStore } from "./open_store.ts";
import { readCredentialList } from "../serve/tokens_file.ts";
import { readRegularFile } from "../host/regular_file.ts";
import { ApiDoor } from "../serve/api_door.ts";
import { Fleet } from "../serve/fleet.ts";
import { openingsOf } from "../schedule.ts";
import { Operations } from "../serve/operations.ts";
import { PageDoor } from "../serve/page_door.ts";
import { serveDoors, type Server } from "../serve/server.ts";
import type { ServingConfig } from "./together.ts";
import { storeDoor } from "../serve/store_door.ts";
import { StoreMeter } from "../serve/store_meter.ts";
import { type TlsFiles, TlsFilesError } from "../serve/tls_files.ts";
import type { Store } from "../store.ts";
import { type Mirror, StoreMirror } from "../mirror.ts";
import { EVERYTHING } from "../group.ts";
import { reasonOf } from "../system_error.ts";
import { VERSION } from "./version.ts";
import { dirname } from "node:path";
import { watchFiles } from "../serve/watched_files.ts";
import type { Log } from "../surroundings.ts";

type ServeContext = Context<"serve">;

/** What the doors are made of. */
interface Ground {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly meter: StoreMeter;
}

/** Throws {@linkcode StoreError} where an embedded store cannot be written: nothing would make that better. */
async function openGround({ config, surroundings }: ServeContext): Promise<Ground> {
  const meter = new StoreMeter(surroundings);
  const store = meter.measured(await openStore(config.store));
  if (config.store.kind === "sqlite") {
    await Deno.mkdir(dirname(config.store.path), { recursive: true, mode: 0o700 }).catch(() => {});
    const made = await store.commit({ expect: [], put: [] }, { timeoutMs: CALL_TIMEOUT_MS });
    if (made.kind === "unknown") throw made.cause;
  }
  return { store, mirror: new StoreMirror(store, EVERYTHING, surroundings), meter };
}

/** What the doors need beside. */
interface Serving extends Ground {
  readonly context: ServeContext;
  readonly access: CredentialAccess;
  readonly slots: Slots;
  readonly groups: ServedGroups | undefined;
}

/** The doors of the server; another one is another line. */
function doorsOf(serving: Serving): Door[] {
  const { context: { surroundings, config }, store, mirror, meter, slots, groups } = serving;
  const fleet = new Fleet({
    store,
    mirror,
    surroundings,
    overdueMs: config["hold-overdue"],
    ...listedBy(groups),
  });
  const metrics = new Metrics({
    mirror,
    store,
    meter,
    surroundings,
    overdueOf: (...judged) => fleet.overdueOf(...judged),
    version: VERSION,
    waiting: () => slots.waiting,
    ...listedBy(groups),
  });
  const mayAsk = groups === undefined
    ? {}
    : { mayAsk: (caller: Caller, group: string) => groups.mayAsk(caller.name, group) };
  return [
    healthDoor(() => unready(mirror)),
    storeDoor({ store }),
    hostsDoor({
      slots,
      ...mayAsk,
      answered: (...answer) => metrics.answered(...answer),
      close: () => slots.close(),
    }),
    metricsDoor(metrics),
    ...peopleDoors(serving, fleet),
  ];
}

/** What a file of groups says to those who only look. */
function listedBy(groups: ServedGroups | undefined) {
  return groups === undefined ? {} : {
    listed: () => groups.names,
    openingsOf: (group: string, from: number) => {
      const rules = groups.rulesOf(group);
      return rules === undefined ? undefined : openingsOf(rules, from);
    },
  };
}

/** The page, and the API for what looks like it. */
function peopleDoors({ context, access, groups, store }: Serving, fleet: Fleet): Door[] {
  const { surroundings, config } = context;
  const isListed = (group: string) => groups === undefined || groups.rulesOf(group) !== undefined;
  const operations = new Operations(store, surroundings, isListed, fleet.sources.mirror);
  const judge = (token: string) => {
    const identity = access.byToken(token);
    return identity.kind === "known" ? identity.caller : undefined;
  };
  const secure = config.serving.tls !== undefined;
  return [
    new PageDoor({ fleet, operations, surroundings, secure, judge }),
    new ApiDoor(fleet, operations),
  ];
}

/** Grants and returns of hosts are told, each once. */
function observing(log: Log): SlotObserver {
  return {
    granted: (group, id) => log("info", `${groupPhrase(group)}: granted a slot to ${id}`),
    released(group, id, hold) {
      log(
        "info",
        `${groupPhrase(group)}: ${hold === undefined ? id : machineName(id, hold.host)} gave its slot back`,
      );
    },
  };
}

export async function serve(context: ServeContext): Promise<number> {
  const { config, warnings, surroundings } = context;
  const { listen, tls } = config.serving;
  const log = logger(context, config.debug);
  for (const warning of warnings) log("warning", warning);
  // the database and the socket are nobody else's to read
  Deno.umask(0o077);
  const list = await readCredentialList(config.tokens);
  if (list.kind === "broken") {
    printError(context, list.why, "nobody would be let in: repair the file, or remove it");
    return 1;
  }
  const access = new CredentialAccess(list, { certificates: tls?.clientCa !== undefined });
  const groups = config.groups === undefined ? undefined : readGroups(config.groups);
  const ground = await openGround(context);
  const slots = new Slots({
    ...ground,
    surroundings,
    by: "locksmith serve",
    placeTtlMs: config["place-ttl"],
    observer: observing(log),
    failed: (error) => log("error", `this is a bug in locksmith ${VERSION}: ${reasonOf(error)}`),
    ...(groups === undefined ? {} : { groups }),
  });
  let server: Server;
  try {
    server = serveDoors(doorsOf({ ...ground, context, access, slots, groups }), {
      access,
      surroundings,
      log,
      debug: config.debug,
      byAnyName: config.insecure,
      ...(tls === undefined ? {} : { tls: readTls(tls) }),
    });
    const scheme = tls === undefined ? "http" : "https";
    for (const address of listen) {
      const bound = formatListenAddress(
        await server.listen(address).catch((error) => {
          if (error instanceof TlsFilesError) throw error;
          throw new StartError(`cannot listen at ${formatListenAddress(address)}: ${listenReason(error)}`);
        }),
      );
      log("info", `listening at ${bound.startsWith("unix:") ? bound : `${scheme}://${bound}`}`);
    }
  } catch (error) {
    slots.close();
    ground.mirror.close();
    await ground.store.close();
    if (!(error instanceof StartError) && !(error instanceof TlsFilesError)) throw error;
    const hint = error instanceof TlsFilesError ? "check --tls-cert, --tls-key and --client-ca" : undefined;
    printError(context, error.message, hint);
    return 1;
  }
  log("info", `locksmith ${VERSION} serves ${ground.store.name}`);
  if (list.kind === "none" && tls?.clientCa === undefined) {
    log(
      "notice",
      "there are no tokens and no client certificates: anybody who reaches this server may do everything",
    );
  } else if (tls === undefined && listen.some((address) => !isLocal(address))) {
    log("warning", "without TLS, tokens travel unencrypted; give --tls-cert and --tls-key");
  }
  const watches = [
    tellState(ground.mirror, log),
    ...(groups === undefined
      ? []
      : [groups.follow({ ...ground, surroundings, log, changed: () => slots.rulesChanged() })]),
    watchFiles([config.tokens], async () => {
      const list = await readCredentialList(config.tokens);
      access.update(list);
      if (list.kind === "broken") log("error", `${list.why}; nobody is let in until it is repaired`);
      else log("info", `${config.tokens}: read again`);
    }, surroundings),
    ...(tls === undefined ? [] : [watchFiles(Object.values(tls), () => {
      try {
        server.renew(readTls(tls));
        log("info", "certificates: read again");
      } catch (error) {
        log("error", `certificates: ${reasonOf(error)}; the previous ones stay in use`);
      }
    }, surroundings)]),
  ];
  const stopped = Promise.withResolvers<void>();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(name, () => {
      log("info", `${name}: stopping`);
      server.stop().finally(() => stopped.resolve());
    });
  }
  await notifyReady(log);
  await stopped.promise;
  for (const watch of watches) watch.close();
  ground.mirror.close();
  await ground.store.close();
  log("info", "stopped");
  return 0;
}

/** The server cannot start. */
class StartError extends Error {}

/** Throws where a file cannot be read. */
function readTls({ cert, key, clientCa }: NonNullable<ServingConfig["tls"]>): TlsFiles {
  const text = (path: string) => new TextDecoder().decode(readRegularFile(path));
  return {
    cert: text(cert),
    key: text(key),
    ...(clientCa === undefined ? {} : { clientCa: text(clientCa) }),
  };
}

function listenReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (code === "EADDRINUSE") return "the address is in use";
  if (code === "EADDRNOTAVAIL") return "this host does not have that address";
  return reasonOf(error);
}

/** Throws {@linkcode UsageError}. */
function readGroups(path: string): ServedGroups {
  try {
    return new ServedGroups(path);
  } catch (error) {
    if (error instanceof GroupsFileError) throw new UsageError(error.faults);
    throw error;
  }
}

/** Why the server cannot serve now, or `undefined`. */
function unready({ state }: Mirror): string | undefined {
  if (state.kind === "current") return undefined;
  return state.error?.message ?? "the store has not been read yet";
}

/** Tells once when the store goes, and when it is there. */
function tellState(mirror: Mirror, log: Log): { close(): void } {
  let told = mirror.state.kind;
  return mirror.subscribe(({ kind }) => {
    if (kind !== "state" || mirror.state.kind === told) return;
    told = mirror.state.kind;
    const why = unready(mirror);
    if (why === undefined) log("info", "the store answers: ready");
    else log("warning", `${why}; not ready`);
  });
}

function logger(context: ServeContext, debug: boolean): Log {
  const journal = isJournal();
  return (level, text) => {
    if (level === "debug" && !debug) return;
    context.err(logLine(level, text, journal, Date.now()), level);
  };
}
