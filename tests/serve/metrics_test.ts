/** What the server tells Prometheus, and what is made of it: alerts and the dashboard. */

import { assert, assertEquals } from "@std/assert";
import { exposition, Histogram } from "../../lib/exposition.ts";
import { planFreeze } from "../../lib/planned_freezes.ts";
import { ANSWERS, APIS } from "../../lib/serve/hosts_door.ts";
import { Metrics } from "../../lib/serve/metrics.ts";
import { StoreMeter } from "../../lib/serve/store_meter.ts";
import { overdueHolders } from "../../lib/semaphore.ts";
import { leashed } from "../support/child.ts";
import { MINUTE_MS, Service, SOON_MS } from "../support/service.ts";

const HERE = new URL(".", import.meta.url).pathname;
const DASHBOARD = new URL("../../dist/grafana/locksmith.json", import.meta.url);

async function promtool(args: readonly string[], stdin = ""): Promise<void> {
  const child = leashed("promtool", {
    args: [...args],
    cwd: HERE,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(stdin));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert(success && !/metric names should|no help text/.test(said), said);
}

/** A server of slots in virtual time, and its figures. */
async function measured() {
  const service = new Service();
  const server = await service.server();
  const metrics = new Metrics({
    mirror: server.mirror,
    store: server.store,
    meter: new StoreMeter(service.time),
    surroundings: service.time,
    overdueOf: (_, semaphore, now) => overdueHolders(semaphore, now, 60 * MINUTE_MS),
    version: "1.2.3",
    listed: () => ["web", "quiet"],
    openingsOf: (group, from) =>
      group === "quiet" ? [{ startMs: from + 5_000, endMs: from + 9_000 }] : undefined,
    waiting: () => server.slots.waiting,
  });
  return { service, server, metrics };
}

/** The samples of a name. */
function samples(metrics: Metrics, name: string): string[] {
  return metrics.text().split("\n").filter((line) => line.startsWith(name) && !line.includes("_bucket"));
}

Deno.test("metrics: groups with their slots, holders, line and pauses; ids only on holds, times as timestamps", async () => {
  const { service, server, metrics } = await measured();
  await server.poll("a", { host: 'we"b\\1\n' });
  await server.poll("b");
  const now = service.time.now() / 1000;
  assertEquals(samples(metrics, "locksmith_group_slots"), [
    'locksmith_group_slots{group="quiet"} 1',
    'locksmith_group_slots{group="web"} 1',
  ]);
  const [hold = "", ...more] = samples(metrics, "locksmith_group_holder_since_timestamp_seconds");
  assertEquals(more, []);
  assert(
    hold.startsWith('locksmith_group_holder_since_timestamp_seconds{group="web",machine="a",host="'),
    hold,
  );
  assert(Math.abs(Number(hold.split(" ").at(-1)) - now) < 5, hold);
  assertEquals(samples(metrics, "locksmith_group_queue_length"), [
    'locksmith_group_queue_length{group="quiet"} 0',
    'locksmith_group_queue_length{group="web"} 1',
  ]);
  assert(!metrics.text().includes('"b"'), "who waits is only counted");
  assertEquals(samples(metrics, "locksmith_group_window"), [
    'locksmith_group_window_open{group="quiet"} 0',
    `locksmith_group_window_next_open_timestamp_seconds{group="quiet"} ${service.time.now() / 1000 + 5}`,
  ]);
  const since = new Date(service.time.now()).toISOString();
  await service.time.ended(service.lock().pause({ since, extra: {} }));
  await service.time.advance(SOON_MS);
  assertEquals(samples(metrics, 'locksmith_group_paused{group="web"}'), [
    'locksmith_group_paused{group="web"} 1',
  ]);
  await service.time.advance(61 * MINUTE_MS);
  assertEquals(samples(metrics, 'locksmith_group_overdue{group="web"}'), [
    'locksmith_group_overdue{group="web"} 1',
  ]);
});

Deno.test("metrics: grants and releases are counted whoever made them, and a reboot is timed when its host gives back the slot", async () => {
  const { service, server, metrics } = await measured();
  const counts = () =>
    samples(metrics, "locksmith_").filter((line) => /_(grants|releases)_total|reboot_duration/.test(line));
  await server.poll("a");
  await server.poll("a");
  await service.time.advance(2 * MINUTE_MS);
  await server.steady("a");
  const { holder, hold } = { holder: "by-hand", hold: { grant: "g", extra: {} } };
  await service.time.ended(service.lock().acquire(holder, hold));
  await service.time.ended(service.lock().unlock(holder));
  await service.time.advance(SOON_MS);
  const [grants, releases, sum = "", count] = counts().filter((line) => line.includes('group="web"'));
  assertEquals([grants, releases, count], [
    'locksmith_grants_total{group="web"} 2',
    'locksmith_releases_total{group="web"} 2',
    'locksmith_reboot_duration_seconds_count{group="web"} 1',
  ]);
  assert(Math.abs(Number(sum.split(" ").at(-1)) - 120) < 5, sum);
});

/** What dashboards and alerts may count on in a first scrape: the names, and the labels beside them. */
const FROM_THE_START = [
  "locksmith_group_slots{group}",
  "locksmith_group_holders{group}",
  "locksmith_group_overdue{group}",
  "locksmith_group_unhealthy{group}",
  "locksmith_group_queue_length{group}",
  "locksmith_group_paused{group}",
  "locksmith_group_frozen{group}",
  "locksmith_group_corrupt{group}",
  "locksmith_group_window_open{group}",
  "locksmith_group_window_next_open_timestamp_seconds{group}",
  "locksmith_grants_total{group}",
  "locksmith_releases_total{group}",
  "locksmith_reboot_duration_seconds{group}",
  "locksmith_fleetlock_requests_total{api,code,kind}",
  "locksmith_store_request_duration_seconds{operation}",
  "locksmith_store_request_failures_total{operation}",
  "locksmith_store_current{}",
  "locksmith_waiting_requests{}",
  "locksmith_build_info{version}",
  "locksmith_time_seconds{}",
  "locksmith_heap_bytes{}",
  "process_cpu_seconds_total{}",
  "process_resident_memory_bytes{}",
  "process_start_time_seconds{}",
];
/** What is there only where there is something to tell. */
const LATER = [
  "locksmith_group_holder_since_timestamp_seconds{group,host,machine,phase}",
  "locksmith_group_queue_oldest_timestamp_seconds{group}",
  "locksmith_group_paused_since_timestamp_seconds{group}",
];

/** Each family of a scrape with the labels that its samples have. */
function families(text: string): string[] {
  const found = new Map<string, Set<string>>();
  for (const [, name = ""] of text.matchAll(/^# TYPE (\S+)/gm)) found.set(name, new Set());
  for (const [, name = "", labels = ""] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const family = found.get(name) ?? found.get(name.replace(/_(?:bucket|sum|count)$/, ""));
    for (const [, label = ""] of labels.matchAll(/(\w+)="/g)) if (label !== "le") family?.add(label);
  }
  return [...found].map(([name, labels]) => `${name}{${[...labels].sort()}}`).sort();
}

Deno.test("metrics: every figure has its name and labels from the first scrape on, and what is counted begins at zero", async () => {
  const { service, server, metrics } = await measured();
  const first = metrics.text();
  assertEquals(families(first), FROM_THE_START.toSorted());
  const counted = first.split("\n").filter((line) => {
    return /^locksmith_\w+_(total|count|bucket|sum)\{/.test(line) && !line.startsWith("locksmith_store");
  });
  assertEquals(counted.filter((line) => !line.endsWith(" 0")), []);
  for (const group of ["web", "quiet"]) {
    for (const name of ["grants_total", "releases_total", "reboot_duration_seconds_count"]) {
      assert(counted.includes(`locksmith_${name}{group="${group}"} 0`), `${name} of ${group}`);
    }
  }
  await server.poll("a", { host: "web1" });
  await server.poll("b");
  const since = new Date(service.time.now()).toISOString();
  await service.time.ended(service.lock().pause({ since, extra: {} }));
  await service.time.advance(SOON_MS);
  assertEquals(families(metrics.text()), [...FROM_THE_START, ...LATER].sort());
});

Deno.test("metrics: a freeze is told from a pause: nobody has to end it", async () => {
  const { service, metrics } = await measured();
  const [from, until] = [-MINUTE_MS, MINUTE_MS].map((ms) => new Date(service.time.now() + ms).toISOString());
  const freeze = { from: from ?? "", until: until ?? "", name: "sale", extra: {} };
  await service.time.ended(planFreeze(service.lock(), freeze));
  await service.time.advance(SOON_MS);
  const told = () =>
    ["paused", "frozen"].flatMap((name) => samples(metrics, `locksmith_group_${name}{group="web"}`));
  assertEquals(told(), ['locksmith_group_paused{group="web"} 1', 'locksmith_group_frozen{group="web"} 1']);
  await service.time.advance(MINUTE_MS);
  assertEquals(told(), ['locksmith_group_paused{group="web"} 0', 'locksmith_group_frozen{group="web"} 0']);
});

Deno.test("metrics: every answer that a host may get is there from the start, at zero", async () => {
  const { metrics } = await measured();
  const zeros = samples(metrics, "locksmith_fleetlock_requests_total");
  const pairs = (lines: readonly string[]) => lines.map((line) => /\{(.*)\}/.exec(line)?.[1] ?? "").sort();
  assertEquals(
    pairs(zeros),
    APIS.flatMap((api) => ANSWERS[api].map(([kind, code]) => `api="${api}",code="${code}",kind="${kind}"`))
      .sort(),
  );
  assert(zeros.every((line) => line.endsWith(" 0")), zeros.join("\n"));
  metrics.answered("pre-reboot", "full", 409);
  assertEquals(
    samples(metrics, 'locksmith_fleetlock_requests_total{api="pre-reboot",code="409",kind="full"}'),
    [
      'locksmith_fleetlock_requests_total{api="pre-reboot",code="409",kind="full"} 1',
    ],
  );
});

Deno.test("metrics: promtool finds no fault in the text, whatever hosts are called", async () => {
  const { server, metrics } = await measured();
  for (const host of ['q"uote', "back\\slash", "\u202eevil\u2066", "\u{1f512}", "}{"]) {
    await server.poll("a", { host });
    await server.steady("a");
  }
  await server.poll("a", { host: 'we"b\\1' });
  await promtool(["check", "metrics"], metrics.text());
});

Deno.test("exposition: buckets add up, and end with one for everything", () => {
  const histogram = new Histogram([1, 10]);
  for (const value of [0.5, 1, 5, 100]) histogram.observe({ x: "y" }, value);
  assertEquals(
    exposition([{ name: "t", type: "histogram", help: "How\nlong.", samples: histogram.samples }]),
    `# HELP t How\\nlong.
# TYPE t histogram
t_bucket{x="y",le="1"} 2
t_bucket{x="y",le="10"} 3
t_bucket{x="y",le="+Inf"} 4
t_sum{x="y"} 106.5
t_count{x="y"} 4
`,
  );
});

Deno.test("alerts: each fires for what it is about, and for nothing else", async () => {
  await promtool(["test", "rules", "alerts.test.yml"]);
});

Deno.test("alerts and the dashboard speak of figures that there are", async () => {
  const { server, metrics } = await measured();
  // so that every family has a sample
  await server.poll("a", { host: "web1" });
  await server.poll("a", { host: "web1" });
  await server.steady("a");
  await server.poll("a", { host: "web1" });
  await server.poll("b");
  const known = new Set([...metrics.text().matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name));
  // of a pause, of the hosts
  const others = [
    "locksmith_group_paused_since_timestamp_seconds",
    "locksmith_agent_last_run_timestamp_seconds",
  ];
  const texts = [
    await Deno.readTextFile(DASHBOARD),
    await Deno.readTextFile(new URL("../../dist/prometheus/locksmith.rules.yml", import.meta.url)),
  ];
  for (const text of texts) {
    for (const [name] of text.matchAll(/locksmith_[a-z_]+/g)) {
      const family = name.replace(/_(?:bucket|sum|count)$/, "");
      assert(known.has(family) || others.includes(family), `${name} is not among them`);
    }
  }
  JSON.parse(texts[0] ?? "");
});
