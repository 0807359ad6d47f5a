/**
 * What a server can be watched by: its groups as the mirror shows them, what has happened since it began, and how it is
 * itself. Ids stand only on holds, of which there are few; nothing here grows with the hosts that ask.
 */

import {
  CONTENT_TYPE,
  Counts,
  exposition,
  type Family,
  Histogram,
  type Labels,
  type Sample,
} from "../exposition.ts";
import process from "node:process";
import type { Door } from "./door.ts";
import { ANSWERS, type Api, APIS } from "./hosts_door.ts";
import { protocolName } from "../fleetlock/group_name.ts";
import { groupOfKey, ROOT } from "../group.ts";
import type { Opening } from "../schedule.ts";
import { type GroupReading, readingOf } from "../groups.ts";
import { LockError, parseEntry } from "../lock_error.ts";
import type { Mirror, MirrorNews } from "../mirror.ts";
import { phaseOf } from "../description.ts";
import { FRESH, type Hold, pauseInForce, REBOOTING, type Semaphore } from "../semaphore.ts";
import type { Entry, Store } from "../store.ts";
import type { StoreMeter } from "./store_meter.ts";
import type { Surroundings } from "../surroundings.ts";

export interface MetricsOptions {
  readonly mirror: Mirror;
  readonly store: Pick<Store, "name">;
  readonly meter: StoreMeter;
  readonly surroundings: Surroundings;
  overdueOf(group: string, semaphore: Semaphore, now: number): readonly string[];
  readonly version: string;
  /** Groups that are listed, whether or not anybody used them. */
  listed?(): readonly string[];
  /** When a group may reboot: see {@linkcode Opening}; `undefined`: always. */
  openingsOf?(group: string, fromMs: number): Iterable<Opening> | undefined;
  /** How many hosts wait for an answer. */
  waiting?(): number;
}

/** Ends of the buckets of how long a reboot takes, in seconds: a minute to four hours. */
const REBOOT_S = [60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14_400];

export class Metrics {
  readonly #startedMs: number;
  readonly #requests: Counts;
  readonly #grants = new Counts();
  readonly #releases = new Counts();
  readonly #reboots = new Histogram(REBOOT_S);
  readonly #subscription: { close(): void };

  constructor(private readonly options: MetricsOptions) {
    const { mirror, surroundings } = options;
    this.#startedMs = surroundings.now();
    this.#requests = new Counts(
      APIS.flatMap((api) => ANSWERS[api].map(([kind, code]) => ({ api, code: String(code), kind }))),
    );
    this.#subscription = mirror.subscribe((news) => this.#hear(news));
  }

  /** A host was answered. */
  answered(api: Api, kind: string, status: number): void {
    this.#requests.add({ api, code: String(status), kind });
  }

  /** The text for a scrape. */
  text(): string {
    return exposition([
      ...this.#groups(),
      ...this.#happenings(),
      ...this.options.meter.families,
      ...this.#itself(),
    ]);
  }

  close(): void {
    this.#subscription.close();
  }

  /** What the groups are now. */
  #groups(): Family[] {
    const { mirror, store, surroundings, overdueOf, listed, openingsOf } = this.options;
    const now = surroundings.now();
    const reading = readingOf(mirror.entries({ from: ROOT, to: `${ROOT.slice(0, -1)}0` }), store);
    const all = reading.all instanceof LockError ? FRESH : reading.all;
    const stored = new Map(reading.groups.map((group) => [group.group, group]));
    const names = [...new Set([...stored.keys(), ...listed?.() ?? []])].sort();
    const rows: Record<string, Sample[]> = {};
    const put = (name: string, labels: Labels, value: number) => (rows[name] ??= []).push({ labels, value });
    for (const name of names) {
      const group = protocolName(name);
      // before anything happens: a figure that begins at one has not grown
      for (const figure of [this.#grants, this.#releases, this.#reboots]) figure.begin({ group });
      const { semaphore = FRESH, queue = [] }: Partial<GroupReading> = stored.get(name) ?? {};
      put("corrupt", { group }, semaphore instanceof LockError ? 1 : 0);
      put("queue_length", { group }, queue.length);
      const oldest = Math.min(
        ...queue.flatMap(({ since }) => since === undefined ? [] : [Date.parse(since)]),
      );
      if (Number.isFinite(oldest)) put("queue_oldest_timestamp_seconds", { group }, oldest / 1000);
      const openings = openingsOf?.(name, now);
      if (openings !== undefined) {
        const [next] = openings;
        const open = next !== undefined && next.startMs <= now;
        put("window_open", { group }, open ? 1 : 0);
        if (!open && next !== undefined) {
          put("window_next_open_timestamp_seconds", { group }, next.startMs / 1000);
        }
      }
      if (semaphore instanceof LockError) continue;
      put("slots", { group }, semaphore.max);
      put("holders", { group }, semaphore.holders.length);
      put("overdue", { group }, overdueOf(name, semaphore, now).length);
      const ill = [...semaphore.holds.values()].filter(({ trouble }) => trouble !== undefined);
      put("unhealthy", { group }, ill.length);
      const paused = pauseInForce(all, now) ?? pauseInForce(semaphore, now);
      put("paused", { group }, paused === undefined ? 0 : 1);
      put("frozen", { group }, paused?.frozen ? 1 : 0);
      if (paused?.since !== undefined) {
        put("paused_since_timestamp_seconds", { group }, Date.parse(paused.since) / 1000);
      }
      for (const machine of semaphore.holders) {
        const hold = semaphore.holds.get(machine);
        if (hold?.since === undefined) continue;
        const labels = { group, machine, host: hold.host ?? "", phase: phaseOf(hold) };
        put("holder_since_timestamp_seconds", labels, Date.parse(hold.since) / 1000);
      }
    }
    return Object.entries(GROUP_HELP).map(([name, help]) => ({
      name: `locksmith_group_${name}`,
      type: "gauge",
      help,
      samples: rows[name] ?? [],
    }));
  }

  /** What has happened since the server began, whoever did it. */
  #happenings(): Family[] {
    return [
      {
        name: "locksmith_grants_total",
        type: "counter",
        help: "Slots that were taken in the group, by whatever way.",
        samples: this.#grants.samples,
      },
      {
        name: "locksmith_releases_total",
        type: "counter",
        help: "Slots that were given back in the group, by whatever way.",
        samples: this.#releases.samples,
      },
      {
        name: "locksmith_reboot_duration_seconds",
        type: "histogram",
        help: "From the confirm before a reboot, or else from the grant, until the slot was given back.",
        samples: this.#reboots.samples,
      },
      {
        name: "locksmith_fleetlock_requests_total",
        type: "counter",
        help: "Requests of hosts that were answered.",
        samples: this.#requests.samples,
      },
    ];
  }

  /** The server itself. */
  #itself(): Family[] {
    const { mirror: { state }, version, surroundings, waiting } = this.options;
    const now = surroundings.now();
    const gauge = (name: string, help: string, value: number, labels: Labels = {}): Family => ({
      name,
      type: "gauge",
      help,
      samples: [{ labels, value }],
    });
    const { rss, heapUsed } = Deno.memoryUsage();
    const { user, system } = process.cpuUsage();
    return [
      gauge("locksmith_build_info", "The version of the server.", 1, { version }),
      gauge(
        "locksmith_store_current",
        "Whether what the server shows is what the store has now.",
        state.kind === "current" ? 1 : 0,
      ),
      gauge(
        "locksmith_waiting_requests",
        "Requests of hosts that wait for a slot at this server.",
        waiting?.() ?? 0,
      ),
      gauge("process_start_time_seconds", "When the server began.", this.#startedMs / 1000),
      {
        name: "process_cpu_seconds_total",
        type: "counter",
        help: "Time that the processor has spent on the server.",
        samples: [{ value: (user + system) / 1e6 }],
      },
      gauge("process_resident_memory_bytes", "Resident memory.", rss),
      gauge("locksmith_heap_bytes", "Memory that the program uses within that.", heapUsed),
      gauge("locksmith_time_seconds", "The clock of the server.", now / 1000),
    ];
  }

  #hear(news: MirrorNews): void {
    if (news.kind !== "changed") return;
    const name = groupOfKey(news.key);
    if (name === undefined) return;
    const [before, after] = [this.#parsed(news.before, name), this.#parsed(news.entry, name)];
    if (before === undefined || after === undefined) return;
    const group = { group: protocolName(name) };
    const taken = after.holders.filter((id) => !before.holders.includes(id)).length;
    const given = before.holders.filter((id) => !after.holders.includes(id));
    // both are there as soon as one of them is
    this.#grants.add(group, taken);
    this.#releases.add(group, given.length);
    for (const id of given) this.#observeReboot(group, before.holds.get(id), after);
  }

  #observeReboot(group: Labels, hold: Hold | undefined, { changed }: Semaphore): void {
    // a slot that was not wanted any more, or that an administrator took away, says nothing of reboots
    if (hold?.phase !== REBOOTING || hold.since === undefined || changed?.what !== "release") return;
    const seconds = (this.options.surroundings.now() - Date.parse(hold.since)) / 1000;
    if (seconds >= 0) this.#reboots.observe(group, seconds);
  }

  #parsed(entry: Entry | null, group: string): Semaphore | undefined {
    if (entry === null) return FRESH;
    try {
      return parseEntry(entry, group, this.options.store);
    } catch (error) {
      if (error instanceof LockError) return undefined;
      throw error;
    }
  }
}

const GROUP_HELP = {
  slots: "How many machines of the group may reboot at once.",
  holders: "How many hold a slot.",
  holder_since_timestamp_seconds: "Since when a machine has held its slot.",
  overdue: "How many have held it for too long.",
  unhealthy: "How many keep it because they are not well after their reboot.",
  queue_length: "How many wait for a slot.",
  queue_oldest_timestamp_seconds: "Since when the one who has waited longest waits.",
  paused: "Whether no slots are granted.",
  frozen: "Whether that is a freeze, which ends by itself.",
  paused_since_timestamp_seconds: "Since when no slots are granted.",
  window_open: "Whether a window of the group is open, where the server knows its windows.",
  window_next_open_timestamp_seconds: "When it opens next, while it is closed.",
  corrupt: "Whether the document of the group cannot be read.",
} as const;

/** `/metrics`, for viewers: a scraper shows a token. */
export function metricsDoor(metrics: Metrics): Door {
  return {
    routes: [{
      path: "/metrics",
      methods: ["GET"],
      who: ["viewer"],
      answer: () => ({
        status: 200,
        headers: { "content-type": CONTENT_TYPE, "cache-control": "no-store" },
        body: metrics.text(),
      }),
    }],
    close: () => metrics.close(),
  };
}
