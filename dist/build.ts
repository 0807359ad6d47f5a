/**
 * Builds `dist/locksmith`, the one file that is shipped, and the links `locksmithctl` and `locksmithd` to it.
 *
 * With denort at hand (`DENORT_BIN`, a file beside deno, or the network) `deno compile` makes it. Without, it is a file
 * that unpacks itself: the shell text of header.sh, and behind it a gzip'd tar of the bundle and of this very deno. Both
 * need nothing on the host but its libc, and take the same permissions.
 *
 * The same sources and the same deno make the same file. What is there is replaced in one step, when the new one is
 * complete: who runs the old one goes on with it.
 */

import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { VERSION } from "../lib/cli/version.ts";
import { bundle, type Groups } from "./bundle.ts";

/** What the program may do beside running programs. */
const PERMISSIONS: readonly string[] = [
  "--no-prompt",
  // Names of hosts are known only when it runs, and each would need every address that it resolves to.
  "--allow-net",
  // Certificates, sqlite files and --root lie where the operator says.
  "--allow-read",
  "--allow-write",
  "--allow-sys",
  // Libraries ask for a dozen other variables, and find none.
  "--ignore-env",
  `--allow-env=${
    [
      "LOCKSMITH*",
      "REBOOT_STRATEGY",
      "REBOOT_WINDOW_START",
      "REBOOT_WINDOW_LENGTH",
      "CREDENTIALS_DIRECTORY",
      "JOURNAL_STREAM",
      "NOTIFY_SOCKET",
      "NO_COLOR",
      "TERM",
      "USER",
      "LOGNAME",
      "SUDO_USER",
      "HOSTNAME",
      "TZ",
      "DBUS_SYSTEM_BUS_ADDRESS",
      "PATH",
    ].join(",")
  }`,
];

/** The programs that it may run; sh runs the commands of the operator. */
const RUN: readonly string[] = [
  "busctl",
  "sh",
  "systemd-notify",
  "wall",
  // what says whether a reboot is needed: see lib/need/
  "bootc",
  "dnf",
  "dnf5",
  "needrestart",
  "needs-restarting",
  "rpm-ostree",
  "/snap/bin/canonical-livepatch",
  "/usr/lib/systemd/systemd-sysupdate",
];

/** Variables that would change how the runtime works, and are not meant for it. */
const VARIABLES: readonly string[] = [
  ...[
    "AUDIT_PERMISSIONS",
    "AUTH_TOKENS",
    "AUTO_SERVE",
    "CACHE_DB_MODE",
    "CACHE_LSC_ENDPOINT",
    "CERT",
    "COMPAT",
    "CONDITIONS",
    "COVERAGE_DIR",
    "DIR",
    "EMIT_CACHE_MODE",
    "FROZEN",
    "JOBS",
    "LOG",
    "NODE_TRACE_EVENT_CATEGORIES",
    "NODE_USE_OPENSSL_CA",
    "NO_PACKAGE_JSON",
    "NO_PROMPT",
    "NO_UPDATE_CHECK",
    "SERVE_ADDRESS",
    "TLS_CA_STORE",
    "TOKIO_EVENT_INTERVAL",
    "TOKIO_MAX_IO_EVENTS_PER_TICK",
    "TRACE_PERMISSIONS",
    "TRUST_PROXY_HEADERS",
    "UNSTABLE_CONTROL_SOCK",
    "V8_FLAGS",
  ].map((name) => `DENO_${name}`),
  ...[
    "CHANNEL_FD",
    "CHANNEL_SERIALIZATION_MODE",
    "CLUSTER_SCHED_POLICY",
    "DEBUG",
    "DEBUG_NATIVE",
    "EXTRA_CA_CERTS",
    "NO_WARNINGS",
    "OPTIONS",
    "PATH",
    "PENDING_DEPRECATION",
    "TLS_REJECT_UNAUTHORIZED",
    "UNIQUE_ID",
    "USE_ENV_PROXY",
    "USE_SYSTEM_CA",
    "V8_COVERAGE",
  ].map((name) => `NODE_${name}`),
  "OTEL_DENO",
];

/** What commands import that ask a store for something, and no more: they are typed, and start fast. */
const ASKING: readonly string[] = [
  "cli/client.ts",
  "cli/groups_command.ts",
  "cli/lock_commands.ts",
  "cli/lock_wait.ts",
  "cli/pause_commands.ts",
  "cli/screen_report.ts",
  "cli/status_check.ts",
  "etcd/store.ts",
];

/** What `needs-reboot` imports, which scripts and monitoring run again and again. */
const NEED: readonly string[] = [
  "cli/needs_command.ts",
  "description.ts",
  "host/machine_file.ts",
  "host/need_memory.ts",
];

/** The server, whose page and certificates load what no command needs. */
const SERVE: readonly string[] = ["cli/serve_command.ts"];

/** What the daemon imports, which stays in memory for weeks, and nothing that it does not need. */
const DAEMON: readonly string[] = ["cli/agent_metrics.ts", "cli/daemon_command.ts"];

/**
 * How the runtime is to work for commands. Before a short one is done, V8 would collect garbage three times and compile a
 * hundred functions to machine code that hardly run again.
 */
const BRIEF: readonly string[] = ["--v8-flags=--min-semi-space-size=16,--no-sparkplug"];
/**
 * How the runtime is to work for the daemon, which does next to nothing for weeks: with little memory, without what was
 * compiled for others, which stays in memory, and with the garbage of the start collected at once instead of after half a
 * minute.
 */
const LASTING: readonly string[] = [
  "--no-code-cache",
  "--v8-flags=--lite-mode,--no-compilation-cache," +
  "--gc-memory-reducer-start-delay-ms=1000,--memory-reducer-delay-ms=1000",
];

/** How the file was made, where it is and how large. */
export interface Build {
  /** `compile` by `deno compile`, or `self-extracting`. */
  readonly way: "compile" | "self-extracting";
  readonly path: string;
  readonly sizeBytes: number;
}

/** What to build from, and where. */
export interface BuildOptions {
  /** The program's first module. */
  readonly entry: string;
  /** See {@linkcode bundle}. */
  readonly groups?: Groups;
  /** Where `locksmith`, its links and the folder `build` with what is between go. */
  readonly outDir: string;
  /** A denort; `null`: build the self-extracting file. Absent: look for one. */
  readonly denort?: string | null;
}

const DIST = new URL(".", import.meta.url).pathname;
/** In place of a path: deno fetches its denort itself. */
const DOWNLOAD = "download";
const PROBE_TIMEOUT_MS = 5000;
const PROBE = `https://dl.deno.land/release/v${Deno.version.deno}/denort-${Deno.build.target}.zip`;

/**
 * Builds the program. Throws an `Error` when the bundle cannot be made, when a denort that was named is none, or when
 * this deno is not a native program.
 */
export async function build(options: BuildOptions): Promise<Build> {
  const work = `${options.outDir}/build`;
  const path = `${options.outDir}/locksmith`;
  await Deno.mkdir(work, { recursive: true });
  // Its age tells whether it is older than the sources: they may change while this goes on.
  const started = new Date();
  const bundled = `${work}/bundle`;
  await Deno.remove(bundled, { recursive: true }).catch(() => {});
  const scripts = await bundle(options.entry, bundled, "locksmith", options.groups);

  const made = `${work}/locksmith.new`;
  const denort = options.denort === undefined ? await findDenort() : options.denort;
  const compiled = denort !== null && await compile(`${bundled}/${scripts[0]}`, made, denort);
  if (!compiled) await selfExtracting(bundled, scripts, made, work);
  await Deno.utime(made, started, started);
  await Deno.rename(made, path);
  for (const name of ["locksmithctl", "locksmithd"]) {
    await Deno.remove(`${options.outDir}/${name}`).catch(() => {});
    await Deno.symlink("locksmith", `${options.outDir}/${name}`);
  }
  return { way: compiled ? "compile" : "self-extracting", path, sizeBytes: (await Deno.stat(path)).size };
}

/** The path of a denort, {@linkcode DOWNLOAD} when deno can fetch it, `null` when there is none. */
async function findDenort(): Promise<string | null> {
  const named = Deno.env.get("DENORT_BIN");
  if (named) return named;
  const beside = `${Deno.execPath().replace(/[^/]*$/, "")}denort`;
  if (await exists(beside)) return beside;
  try {
    const reply = await fetch(PROBE, { method: "HEAD", signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return reply.ok ? DOWNLOAD : null;
  } catch {
    return null;
  }
}

/** The arguments of deno that compile `bundled` into `made`. */
export function compileArguments(bundled: string, made: string): string[] {
  return [
    "compile",
    "--quiet",
    "--no-check",
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--no-npm",
    // The cache would be a file with a known name in /tmp, where others could put theirs.
    "--no-code-cache",
    ...PERMISSIONS,
    // Not a list of programs: with LD_PRELOAD and the like in the environment a listed one could not be started.
    "--allow-run",
    "--output",
    made,
    bundled,
  ];
}

/** Compiles the program; false when denort was to be fetched and that failed. */
async function compile(bundled: string, made: string, denort: string): Promise<boolean> {
  const fetched = denort === DOWNLOAD;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: compileArguments(bundled, made),
    env: fetched ? {} : { DENORT_BIN: denort },
    stdin: "null",
  }).output();
  if (!success && fetched) return false;
  if (!success) throw new Error(`cannot compile the program: ${new TextDecoder().decode(stderr).trim()}`);
  // Any program can be taken for a denort, and the result is then that program: deno itself, for one.
  const trial = await new Deno.Command(made, { args: ["version"], clearEnv: true, stdin: "null" }).output();
  const line = new TextDecoder().decode(trial.stdout);
  if (!trial.success || !line.includes(` version ${VERSION}`)) {
    await Deno.remove(made);
    throw new Error(
      `cannot use ${denort} as denort: what was compiled with it does not know the command version; ` +
        "set DENORT_BIN to the denort of this version of deno, or unset it",
    );
  }
  return true;
}

/** Writes the file that unpacks itself. */
async function selfExtracting(
  bundled: string,
  scripts: readonly string[],
  made: string,
  work: string,
): Promise<void> {
  const deno = await Deno.readFile(Deno.execPath());
  if (new TextDecoder().decode(deno.subarray(0, 4)) !== "\x7fELF") {
    throw new Error(`cannot put ${Deno.execPath()} into the file: it is not a native program`);
  }
  const runtime = tarEntry("locksmith", deno, 0o700);
  const program = concat(
    ...await Promise.all(
      scripts.map(async (name) => {
        const text = unseen(await Deno.readTextFile(`${bundled}/${name}`), scripts);
        return tarEntry(name, new TextEncoder().encode(text), 0o600);
      }),
    ),
  );
  const end = new Uint8Array(1024);
  const id = await sha256(runtime, program, end);
  // A gzip file may be several, one after the other: the runtime's part is kept for the next build.
  const payload = [await compressedRuntime(runtime, work), await compress(concat(program, end))];
  const unpackedMib = Math.ceil((runtime.length + program.length) / 2 ** 20) + 10;

  const template = await Deno.readTextFile(`${DIST}header.sh`);
  const fill = (offset: number) =>
    template.replaceAll(/@([A-Z]+)@/g, (_, name: string) => {
      const value = {
        ID: id,
        VERSION,
        VARIABLES: VARIABLES.join(" "),
        RUN: RUN.join(","),
        SCRIPTS: scripts.join(" "),
        BRIEF: BRIEF.join(" "),
        LASTING: LASTING.join(" "),
        PERMISSIONS: PERMISSIONS.map(quote).join(" "),
        OFFSET: `${offset}`.padStart(6, "0"),
        MIB: `${unpackedMib}`,
      }[name];
      if (value === undefined) throw new Error(`cannot fill in header.sh: nobody knows @${name}@`);
      return value;
    });
  // `tail -c +N` counts from 1. The number has a fixed width, so that it does not move what it counts.
  const header = new TextEncoder().encode(fill(new TextEncoder().encode(fill(0)).length + 1));
  await Deno.writeFile(made, concat(header, ...payload), { mode: 0o755 });
  await Deno.chmod(made, 0o755);
}

/**
 * The runtime reads at each start, and keeps in memory, what a module says that it may import later. It does not see what
 * a function has to tell.
 */
function unseen(text: string, scripts: readonly string[]): string {
  return text.replaceAll(
    /\bimport\("\.\/([^"/]+)"\)/g,
    (whole, name: string) => scripts.includes(name) ? whole.replace(/\((.*)\)/, "(String($1))") : whole,
  );
}

/** The gzip'd tar entry of the runtime, from the last build when it is the same. */
async function compressedRuntime(
  runtime: Uint8Array<ArrayBuffer>,
  work: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const kept = `${work}/runtime-${(await sha256(runtime)).slice(0, 16)}.gz`;
  if (await exists(kept)) return await Deno.readFile(kept);
  for await (const { name } of Deno.readDir(work)) {
    if (name.startsWith("runtime-")) await Deno.remove(`${work}/${name}`);
  }
  const compressed = await compress(runtime);
  await Deno.writeFile(`${kept}.new`, compressed);
  await Deno.rename(`${kept}.new`, kept);
  return compressed;
}

/** At level 6: level 9 takes twice the time and saves 0.3 % of the size. */
async function compress(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await promisify(gzip)(data, { level: 6 }));
}

/** A file as POSIX ustar holds it, with nobody's name, no time and whole blocks. */
function tarEntry(name: string, data: Uint8Array, mode: number): Uint8Array<ArrayBuffer> {
  const BLOCK = 512;
  const entry = new Uint8Array(BLOCK + Math.ceil(data.length / BLOCK) * BLOCK);
  const put = (text: string, offset: number) => entry.set(new TextEncoder().encode(text), offset);
  const octal = (value: number, width: number) => value.toString(8).padStart(width - 1, "0");
  put(name, 0);
  put(octal(mode, 8), 100);
  put(octal(0, 8), 108);
  put(octal(0, 8), 116);
  put(octal(data.length, 12), 124);
  put(octal(0, 12), 136);
  put(" ".repeat(8), 148);
  put("0", 156);
  put("ustar\x0000", 257);
  const sum = entry.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  put(`${octal(sum, 7)}\0 `, 148);
  entry.set(data, BLOCK);
  return entry;
}

async function sha256(...parts: Uint8Array<ArrayBuffer>[]): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", concat(...parts));
  return new Uint8Array(digest).toHex();
}

function concat(...parts: Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  if (parts.length === 1 && parts[0] !== undefined) return parts[0];
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function quote(argument: string): string {
  return /^[\w=,.\/-]+$/.test(argument) ? argument : `'${argument}'`;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

function inLib(path: string): string {
  return `${DIST}../lib/${path}`;
}

if (import.meta.main) {
  try {
    const { way, path, sizeBytes } = await build({
      entry: `${DIST}../main.ts`,
      groups: {
        run: [inLib("cli/run.ts")],
        asking: ASKING.map(inLib),
        daemon: DAEMON.map(inLib),
        need: NEED.map(inLib),
        serve: SERVE.map(inLib),
      },
      outDir: DIST.slice(0, -1),
    });
    const how = way === "compile" ? "by deno compile" : "self-extracting, as there is no denort";
    console.log(`${path}: ${(sizeBytes / 2 ** 20).toFixed(1)} MiB (${how})`);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    console.error(`build: error: ${error.message}`);
    Deno.exit(1);
  }
}
