/**
 * Real etcd servers for tests: each in a temporary directory, on free loopback ports, ready when the promise resolves,
 * and killed when it is disposed of or when the process ends; what it wrote goes when it is disposed of.
 */

import { Buffer } from "node:buffer";
import { type Certificates, makeTokenKeys, type Pair } from "./certificates.ts";
import { leashed, lives } from "./child.ts";
import { freePorts } from "./ports.ts";

/** How long a server may take until it is healthy. */
const START_MS = 60_000;
/** How long a cluster may take until it has a leader. */
const LEADER_MS = 60_000;
/** When members of a cluster count their leader as lost: a machine that is busy must not make them elect another. */
const ELECTION = { solo: { beatMs: 50, lostMs: 500 }, cluster: { beatMs: 100, lostMs: 1_000 } };
/** How often a server is started anew when somebody else took its port in between. */
const STARTS_MAX = 3;

export interface EtcdServerOptions {
  readonly tls?: Certificates;
  /** The certificate to show; `server` of `tls` when left out. */
  readonly certificate?: Pair;
  /** Refuse who has no client certificate of the CA. */
  readonly clientCertificates?: boolean;
  /** With users: root (password `root-secret`), and reader (`reader-secret`), who may read `coreos.com/...` only. */
  readonly users?: boolean;
  /** How long a login is good, in seconds. */
  readonly loginSeconds?: number;
  /** Logins that are signed (jwt), in place of ones that etcd remembers. */
  readonly signedLogins?: boolean;
  /** Further options of etcd. */
  readonly args?: readonly string[];
  /** The address that it listens on; 127.0.0.1 when left out. */
  readonly host?: string;
  /** The one that it listens on for the other members; `host` when left out. */
  readonly peerHost?: string;
  /** The command that is to start it, such as one that enters a namespace: it must become the server. */
  readonly through?: readonly string[];
  /** The folder for what it writes, which stays; a temporary one when left out. */
  readonly folder?: string;
}

/** A running server. */
export interface EtcdServer extends AsyncDisposable {
  readonly endpoint: string;
  readonly pid: number;
  /** It stays connected and answers nobody. */
  freeze(): void;
  thaw(): void;
  /** Ends it at once, as a power cut would. Its data stay. */
  kill(): Promise<void>;
  /** Starts it again on the same ports and data. */
  start(): Promise<void>;
  /** Keeps its data as they are, and gives a function that puts them in the place of later ones while it is not running. */
  backUp(): Promise<() => Promise<void>>;
  /** How many calls of each gRPC method it has seen since it was started, such as `KV/Range`. */
  requests(): Promise<Record<string, number>>;
  /** What it counts, in the text format of Prometheus. */
  metrics(): Promise<string>;
  /** Whether it leads its cluster. */
  leads(): Promise<boolean>;
  /** Runs etcdctl against it, as root where there are users, and returns what it printed. */
  ctl(...args: string[]): Promise<string>;
}

/** Starts one server. */
export async function startEtcd(options: EtcdServerOptions = {}): Promise<EtcdServer> {
  const server = await retried(async () => {
    const [client, peer, metrics] = freePorts(3);
    return await begin(new Member("solo", { client, peer, metrics }, options));
  });
  if (options.users) await addUsers(server);
  return server;
}

/** A running cluster. */
export interface EtcdCluster extends AsyncDisposable {
  readonly members: EtcdServer[];
}

/** Starts a cluster; its members know of each other and one of them leads. `options`: of each member by its number. */
export async function startEtcdCluster(
  size = 3,
  options: (member: number) => EtcdServerOptions = () => ({}),
): Promise<EtcdCluster> {
  const members = await retried(async () => {
    const ports = freePorts(3 * size);
    const started = Array.from({ length: size }, (_, index) => {
      const [client, peer, metrics] = ports.slice(3 * index);
      return new Member(`m${index}`, { client, peer, metrics }, options(index));
    });
    const cluster = started.map((member) => member.peerUrl).join(",");
    try {
      await Promise.all(started.map((member) => member.start(cluster)));
    } catch (error) {
      for (const member of started) await member[Symbol.asyncDispose]();
      throw error;
    }
    const [first] = started;
    if (first !== undefined && options(0).users) await addUsers(first, started);
    return started;
  });
  return {
    members,
    async [Symbol.asyncDispose]() {
      for (const member of members) await member[Symbol.asyncDispose]();
    },
  };
}

/** The member that leads, as soon as one does. */
export async function leaderOf(members: readonly EtcdServer[]): Promise<EtcdServer> {
  const deadline = Date.now() + LEADER_MS;
  while (Date.now() < deadline) {
    for (const member of members) {
      if (await member.leads().catch(() => false)) return member;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`no leader was elected within ${LEADER_MS / 1000} s`);
}

interface Ports {
  readonly client: number | undefined;
  readonly peer: number | undefined;
  readonly metrics: number | undefined;
}

class Member implements EtcdServer {
  readonly endpoint: string;
  readonly peerUrl: string;
  readonly #metricsUrl: string;
  readonly #name: string;
  readonly #options: EtcdServerOptions;
  #dir: string | undefined;
  #process: Deno.ChildProcess | undefined;
  #cluster: string | undefined;

  constructor(name: string, ports: Ports, options: EtcdServerOptions) {
    this.#name = name;
    this.#options = options;
    const { host = "127.0.0.1", peerHost = host } = options;
    this.endpoint = `${options.tls ? "https" : "http"}://${host}:${ports.client}`;
    this.peerUrl = `${name}=http://${peerHost}:${ports.peer}`;
    this.#metricsUrl = `http://${host}:${ports.metrics}`;
  }

  get pid(): number {
    if (!this.#process) throw new Error("the etcd server is not running");
    return this.#process.pid;
  }

  async start(cluster: string = this.#cluster ?? this.peerUrl): Promise<void> {
    this.#cluster = cluster;
    this.#dir ??= this.#options.folder ?? await temporaryDir();
    const { tls, clientCertificates, users, loginSeconds, signedLogins, through = [] } = this.#options;
    const certificate = this.#options.certificate ?? tls?.server;
    const peer = this.peerUrl.slice(this.#name.length + 1);
    const { beatMs, lostMs } = ELECTION[cluster.includes(",") ? "cluster" : "solo"];
    const log = await Deno.open(`${this.#dir}/log`, { create: true, append: true });
    const args = [
      `--name=${this.#name}`,
      `--data-dir=${this.#dir}/data`,
      `--listen-client-urls=${this.endpoint}`,
      `--advertise-client-urls=${this.endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${cluster}`,
      `--listen-metrics-urls=${this.#metricsUrl}`,
      `--heartbeat-interval=${beatMs}`,
      `--election-timeout=${lostMs}`,
      "--logger=zap",
      "--log-outputs=stderr",
      ...certificate ? [`--cert-file=${certificate.cert.path}`, `--key-file=${certificate.key.path}`] : [],
      ...tls && clientCertificates ? [`--trusted-ca-file=${tls.ca.path}`, "--client-cert-auth"] : [],
      ...users ? ["--bcrypt-cost=4"] : [],
      ...loginSeconds ? [`--auth-token-ttl=${loginSeconds}`] : [],
      ...signedLogins ? [await this.#signedLogins(loginSeconds ?? 300)] : [],
      ...this.#options.args ?? [],
    ];
    const [program = "etcd", ...rest] = [...through, "etcd", ...args];
    const child = leashed(program, { args: rest, stdin: "null", stdout: "null", stderr: "piped" }).spawn();
    child.stderr.pipeTo(log.writable).catch(() => {});
    this.#process = child;
    await this.#healthy(child);
  }

  freeze(): void {
    this.#signal("SIGSTOP");
    // each of its threads stops at its own time, and may answer until then
    while (!this.#stands()) { /* a moment */ }
  }

  /** Whether every thread of it is stopped (`T`, proc(5)). */
  #stands(): boolean {
    const tasks = `/proc/${this.pid}/task`;
    return Array.from(Deno.readDirSync(tasks)).every(({ name }) => {
      try {
        return /\) T /.test(Deno.readTextFileSync(`${tasks}/${name}/stat`));
      } catch {
        // it has just ended: look again
        return false;
      }
    });
  }

  thaw(): void {
    this.#signal("SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#signal("SIGKILL");
    this.#process = undefined;
    await child?.status;
  }

  async backUp(): Promise<() => Promise<void>> {
    const snapshot = `${this.#dir}/snapshot`;
    await this.ctl("snapshot", "save", snapshot);
    return async () => {
      await Deno.remove(`${this.#dir}/data`, { recursive: true });
      const peer = this.peerUrl.slice(this.#name.length + 1);
      await run(
        "etcdctl",
        "snapshot",
        "restore",
        snapshot,
        `--name=${this.#name}`,
        `--data-dir=${this.#dir}/data`,
        `--initial-cluster=${this.#cluster}`,
        `--initial-advertise-peer-urls=${peer}`,
      );
    };
  }

  async requests(): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    const line =
      /^grpc_server_started_total\{grpc_method="(\w+)",grpc_service="etcdserverpb\.(\w+)".*\} (\S+)$/gm;
    for (const [, method, service, count] of (await this.metrics()).matchAll(line)) {
      if (Number(count) > 0) found[`${service}/${method}`] = Number(count);
    }
    return found;
  }

  async leads(): Promise<boolean> {
    return /^etcd_server_is_leader 1$/m.test(await this.metrics());
  }

  async ctl(...args: string[]): Promise<string> {
    const { tls, users } = this.#options;
    const flags = [
      `--endpoints=${this.endpoint}`,
      ...tls
        ? [`--cacert=${tls.ca.path}`, `--cert=${tls.client.cert.path}`, `--key=${tls.client.key.path}`]
        : [],
      ...users && this.hasUsers ? ["--user=root:root-secret"] : [],
    ];
    return await run("etcdctl", ...flags, ...args);
  }

  async #signedLogins(seconds: number): Promise<string> {
    const { secret, open } = await makeTokenKeys(this.#dir ?? "");
    return `--auth-token=jwt,pub-key=${open},priv-key=${secret},sign-method=ES256,ttl=${seconds}s`;
  }

  /** Whether there are users by now. */
  hasUsers = false;

  async addUsers(): Promise<void> {
    await this.ctl("user", "add", "root:root-secret");
    await this.ctl("user", "grant-role", "root", "root");
    await this.ctl("role", "add", "reader");
    await this.ctl("role", "grant-permission", "--prefix=true", "reader", "read", "coreos.com/");
    await this.ctl("user", "add", "reader:reader-secret");
    await this.ctl("user", "grant-role", "reader", "reader");
    await this.ctl("auth", "enable");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#dir && !this.#options.folder) await Deno.remove(this.#dir, { recursive: true });
    this.#dir = undefined;
  }

  #signal(signal: Deno.Signal): void {
    try {
      this.#process?.kill(signal);
    } catch (error) {
      // It ended by itself: there is nobody to signal.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async metrics(): Promise<string> {
    return await (await fetch(`${this.#metricsUrl}/metrics`)).text();
  }

  async #healthy(child: Deno.ChildProcess): Promise<void> {
    const deadline = Date.now() + START_MS;
    let ended = false;
    child.status.then(() => ended = true);
    while (Date.now() < deadline && !ended) {
      try {
        const answer = await fetch(`${this.#metricsUrl}/health`);
        if ((await answer.text()).includes('"true"')) return;
      } catch {
        // It does not listen yet.
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const log = await Deno.readTextFile(`${this.#dir}/log`);
    throw new Error(`etcd at ${this.endpoint} did not start:\n${log.split("\n").slice(-15).join("\n")}`);
  }
}

async function begin(member: Member): Promise<Member> {
  try {
    await member.start();
  } catch (error) {
    await member[Symbol.asyncDispose]();
    throw error;
  }
  return member;
}

async function addUsers(server: Member, members: readonly Member[] = [server]): Promise<void> {
  try {
    await server.addUsers();
    for (const member of members) member.hasUsers = true;
  } catch (error) {
    for (const member of members) await member[Symbol.asyncDispose]();
    throw error;
  }
}

/** Ports are free when they are looked for, and may be taken when they are used. */
async function retried<T>(start: () => Promise<T>): Promise<T> {
  for (let left = STARTS_MAX - 1;; left--) {
    try {
      return await start();
    } catch (error) {
      if (left === 0 || !String(error).includes("address already in use")) throw error;
    }
  }
}

/** Where there is such a place, in memory: what these servers write need not outlive anything. */
const MEMORY = "/dev/shm";

async function temporaryDir(): Promise<string> {
  try {
    await sweep();
    return await Deno.makeTempDir({ dir: MEMORY, prefix: `locksmith-etcd-${Deno.pid}-` });
  } catch {
    return await Deno.makeTempDir({ prefix: "locksmith-etcd-" });
  }
}

/** Removes what test runs left that were killed: memory is dear. */
async function sweep(): Promise<void> {
  for await (const { name } of Deno.readDir(MEMORY)) {
    const [, pid] = /^locksmith-etcd-(\d+)-/.exec(name) ?? [];
    if (pid === undefined || await lives(Number(pid))) continue;
    await Deno.remove(`${MEMORY}/${name}`, { recursive: true }).catch(() => {});
  }
}

async function run(command: string, ...args: string[]): Promise<string> {
  const env = { ETCDCTL_API: "3" };
  const { success, stdout, stderr } = await new Deno.Command(command, { args, env }).output();
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${Buffer.from(stderr).toString()}`);
  return Buffer.from(stdout).toString();
}
