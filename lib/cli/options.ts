/**
 * The table of all options, a row each. A new option is a row here, and a line in the command that uses its value;
 * `option.ts` says what the columns are. One noun: it is long because there are many options, and in the order of the help.
 */

import { FLEET_LOCK_OPTIONS, parseTestGroup } from "./fleet_lock_options.ts";
import { type Option, parseLength, parsePath, parseSwitch, parseText, wholeNumber } from "./option.ts";
import { PRIORITY_LIMIT } from "../queue.ts";
import { MAX_LIMIT } from "../semaphore.ts";
import { MACHINES_LIMIT } from "../simulation/plan.ts";
import { parseNeed, parseNeedInterval } from "./need_values.ts";
import { OWN_WORK_OPTIONS } from "./own_work_options.ts";
import { UPKEEP_OPTIONS } from "./upkeep_options.ts";
import {
  parseCredentialName,
  parseEndpoint,
  parseGrace,
  parseGroup,
  parseHolder,
  parseListen,
  parsePast,
  parsePauseLength,
  parseReason,
  parseRebootTime,
  parseRole,
  parseServer,
  parseSessions,
  parseShare,
  parseStrategy,
  parseTextfile,
  parseToken,
  parseUsers,
  parseWait,
  parseWithin,
} from "./values.ts";
import { MAX_REPORT_COUNT } from "./window_report.ts";
import { hostZone } from "./process.ts";
import { parseZone } from "../window.ts";

/** Every command, in the order of the help. */
export const COMMAND_NAMES = [
  "status",
  "groups",
  "lock",
  "unlock",
  "set-max",
  "pause",
  "resume",
  "freeze",
  "history",
  "reboot",
  "postpone",
  "needs-reboot",
  "send-need-reboot",
  "reset",
  "window",
  "simulate",
  "repair",
  "config",
  "daemon",
  "serve",
  "token",
  "fleetlock-check",
  "completions",
] as const;

export type CommandName = typeof COMMAND_NAMES[number];
/** Who reads an option: a command, or one where another option is given. */
export type Reader = CommandName | "lock --wait" | "status --check" | "groups --check";

/** Commands that talk to the store about a group. */
const GROUP = [
  "status",
  "lock",
  "unlock",
  "set-max",
  "pause",
  "resume",
  "freeze",
  "history",
  "reboot",
  "repair",
  "daemon",
] as const;
const STORE = [...GROUP, "groups", "serve", "window"] as const;
const WINDOW = ["daemon", "window", "simulate"] as const;

/**
 * Where a server keeps what it has. A folder of its own, since it belongs to the server's user, and the daemon beside it
 * believes only in files of root.
 */
const SERVER_FOLDER = "/var/lib/locksmith-serve";

/** Columns that several rows share. */
const OF_STORE = { by: STORE, common: true, variable: "prefixed" } as const;
const SWITCH = { fallback: "false", parse: parseSwitch } as const;

/** The options, in the order of the help. */
export const OPTIONS = {
  "endpoint": {
    value: "URL",
    repeatable: ",",
    help:
      "etcd at http(s)://HOST:PORT, several separated by commas or repeated; or sqlite:PATH, a file for the processes " +
      "of one host",
    ...OF_STORE,
    fallback: "http://127.0.0.1:2379",
    fallbacks: { serve: `sqlite:${SERVER_FOLDER}/locksmith.db` },
    sample: "https://etcd1.example.net:2379",
    parse: parseEndpoint,
  },
  "etcd-cafile": {
    value: "FILE",
    help: "trust the etcd servers whose certificates this CA signed",
    ...OF_STORE,
    sample: "/etc/ssl/etcd-ca.pem",
    parse: parseText,
  },
  "etcd-certfile": {
    value: "FILE",
    help: "client certificate for etcd",
    ...OF_STORE,
    sample: "/etc/ssl/locksmith.pem",
    parse: parseText,
  },
  "etcd-keyfile": {
    value: "FILE",
    help: "private key of the client certificate",
    ...OF_STORE,
    sample: "/etc/ssl/locksmith.key",
    parse: parseText,
  },
  "etcd-username": {
    value: "NAME",
    help: "user of etcd",
    ...OF_STORE,
    sample: "locksmith",
    parse: parseText,
  },
  "etcd-password": {
    value: "TEXT",
    help: "password of the user; a configuration file keeps it out of the process list",
    ...OF_STORE,
    secret: true,
    credential: true,
    sample: "secret",
    parse: (text: string) => text,
  },
  "server": {
    value: "URL",
    help: "a 'locksmith serve' at https://HOST, in place of --endpoint; for people, not for hosts",
    ...OF_STORE,
    sample: "https://lock.example.net",
    parse: parseServer,
  },
  "server-token-file": {
    value: "FILE",
    help: "file with your token for the server",
    ...OF_STORE,
    sample: "/etc/locksmith/token",
    parse: parseText,
  },
  "server-token": {
    value: "TEXT",
    help: "the token itself; a variable or a file keeps it out of the process list",
    ...OF_STORE,
    variable: "environment",
    secret: true,
    sample: "secret",
    parse: parseToken,
  },
  "server-cafile": {
    value: "FILE",
    help: "trust the server if this CA signed its certificate",
    ...OF_STORE,
    sample: "/etc/ssl/locksmith-ca.pem",
    parse: parseText,
  },
  "server-certfile": {
    value: "FILE",
    help: "client certificate for the server",
    ...OF_STORE,
    sample: "/etc/ssl/operator.pem",
    parse: parseText,
  },
  "server-keyfile": {
    value: "FILE",
    help: "private key of the client certificate",
    ...OF_STORE,
    sample: "/etc/ssl/operator.key",
    parse: parseText,
  },
  ...FLEET_LOCK_OPTIONS,
  "group": {
    value: "NAME",
    help: "the group of machines that share one semaphore",
    by: [...GROUP, "token", "window"],
    common: true,
    variable: "prefixed",
    fallback: "",
    sample: "web",
    parse: parseGroup,
  },
  "root": {
    value: "DIR",
    help:
      "the directory that stands for /: machine id, boot id, configuration and sentinel are read below it",
    by: COMMAND_NAMES,
    common: true,
    variable: "environment",
    fallback: "/",
    sample: "/host",
    parse: parsePath,
  },
  "debug": {
    help: "print more on stderr",
    by: COMMAND_NAMES,
    common: true,
    variable: "prefixed",
    fallback: "false",
    sample: "true",
    parse: parseSwitch,
  },
  "help": { help: "show this, or the help of a command", by: [], common: true, parse: parseSwitch },
  "version": { help: "show the version", by: [], common: true, parse: parseSwitch },
  "reboot-strategy": {
    value: "NAME",
    help:
      "etcd-lock, fleet-lock, reboot (without a lock), off; or auto: etcd-lock where an etcd runs, else reboot",
    by: ["daemon", "reboot"],
    variable: "plain",
    sample: "etcd-lock",
    parse: parseStrategy,
  },
  "reboot-window-start": {
    aliases: ["start", "window"],
    value: "TIME",
    repeatable: ";",
    help:
      "start of the reboot window: 'HH:MM', 'Day HH:MM' or systemd.time(7); several separated by semicolons or " +
      "repeated; none: always open",
    by: WINDOW,
    variable: "plain",
    fallback: "none",
    sample: "Thu 23:00",
    parse: parseText,
  },
  "reboot-window-length": {
    aliases: ["length"],
    value: "DURATION",
    repeatable: ";",
    help: "length of the reboot window, such as 1h30m: one for all windows, or as many as there are",
    by: WINDOW,
    variable: "plain",
    sample: "1h30m",
    parse: parseText,
  },
  "freeze": {
    value: "DATES",
    repeatable: ";",
    help:
      "no reboots then, whatever the window: 'FROM..TO NAME', whole days or times such as 2026-12-20T18:00; several " +
      "separated by semicolons or repeated",
    by: WINDOW,
    variable: "prefixed",
    sample: "2026-12-20..2027-01-02 Christmas",
    parse: parseText,
  },
  "freeze-file": {
    value: "FILE",
    repeatable: ";",
    help: "no reboots during the events of this calendar (iCalendar, .ics), read again when it changes",
    by: WINDOW,
    variable: "prefixed",
    sample: "/etc/locksmith/changes.ics",
    parse: parsePath,
  },
  "spread": {
    value: "DURATION",
    help:
      "begin at a moment of this long after a window opens, always the same of one machine, so that not all come at once",
    by: WINDOW,
    variable: "prefixed",
    fallback: "0s",
    sample: "30m",
    parse: parseLength,
  },
  "window-margin": {
    value: "DURATION",
    help: "how much of the window must be left to queue; default: what checks, hooks and grace may take",
    by: ["daemon"],
    variable: "prefixed",
    sample: "15m",
    parse: parseLength,
  },
  "zone": {
    value: "ZONE",
    help: "time zone of the window, such as Europe/Berlin; default: this machine's",
    by: [...WINDOW, "freeze"],
    variable: "prefixed",
    fallback: hostZone,
    sample: "Europe/Berlin",
    parse: parseZone,
  },
  "sentinel": {
    value: "FILE",
    help: "a reboot is needed while this file exists",
    by: ["daemon"],
    variable: "prefixed",
    fallback: "/run/reboot-required",
    sample: "/run/reboot-required",
    parse: parsePath,
  },
  "need": {
    value: "LIST",
    help:
      "what says whether a reboot is needed: auto (all that is there), or names separated by commas, file:PATH, " +
      "command:COMMAND (the last)",
    by: ["needs-reboot", "daemon"],
    variable: "prefixed",
    fallback: "auto",
    sample: "debian,kernel",
    parse: parseNeed,
  },
  "need-interval": {
    value: "DURATION",
    help: "how often programs are asked whether a reboot is needed",
    by: ["daemon"],
    variable: "prefixed",
    fallback: "15m",
    sample: "1h",
    parse: parseNeedInterval,
  },
  ...OWN_WORK_OPTIONS,
  "skip-hooks": {
    help: "reboot without the hooks of /etc/locksmith/pre-reboot.d and post-boot.d",
    by: ["reboot"],
    ...SWITCH,
  },
  "reboot-command": {
    value: "COMMAND",
    help: "reboot with this shell command instead of logind",
    by: ["daemon", "reboot", "window"],
    variable: "prefixed",
    sample: "systemctl reboot",
    parse: parseText,
  },
  "session-grace": {
    value: "DURATION",
    help: "how long people have to log out before the reboot; 0: none",
    by: ["daemon", "window"],
    variable: "prefixed",
    fallback: "5m",
    sample: "10m",
    parse: parseLength,
  },
  "sessions": {
    value: "MODE",
    help:
      "people who are logged in: wait until they are gone, warn them and give them the grace, or ignore them",
    by: ["daemon", "window"],
    variable: "prefixed",
    fallback: "warn",
    sample: "wait",
    parse: parseSessions,
  },
  "session-ignore-users": {
    value: "USERS",
    help: "users whose sessions do not count, separated by commas",
    by: ["daemon", "window"],
    variable: "prefixed",
    fallback: "",
    sample: "backup,monitoring",
    parse: parseUsers,
  },
  "ignore-inhibitors": {
    help: "reboot although somebody inhibits a shutdown; from systemd 257 on polkit must allow it",
    by: ["daemon", "reboot", "window"],
    variable: "prefixed",
    fallback: "false",
    sample: "false",
    parse: parseSwitch,
  },
  "max-reboots": {
    value: "N",
    help: "stop after so many reboots by the daemon within 24 hours, until 'locksmith reset'; 0: no limit",
    by: ["daemon"],
    variable: "prefixed",
    fallback: "3",
    sample: "3",
    parse: wholeNumber(0, 1000),
  },
  "wait": {
    value: "DURATION",
    optional: true,
    help: "queue for a slot; for no longer than DURATION, then exit 75",
    by: ["lock"],
    parse: parseWait,
  },
  "priority": {
    value: "NUMBER",
    help: `place in the queue, higher first, from -${PRIORITY_LIMIT} to ${PRIORITY_LIMIT}`,
    by: ["lock --wait", "daemon", "window"],
    variable: "prefixed",
    fallback: "0",
    sample: "10",
    parse: wholeNumber(-PRIORITY_LIMIT, PRIORITY_LIMIT),
  },
  "hold-overdue": {
    value: "DURATION",
    help: "report machines whose reboot takes longer than this",
    by: ["status", "groups", "lock --wait", "daemon", "serve", "window"],
    variable: "prefixed",
    fallback: "1h",
    sample: "30m",
    parse: parseLength,
  },
  "textfile": {
    value: "FILE",
    help: "write figures for node_exporter's textfile collector; the folder must exist",
    by: ["daemon"],
    variable: "prefixed",
    sample: "/var/lib/prometheus/node-exporter/locksmith.prom",
    parse: parseTextfile,
  },
  "metrics-listen": {
    value: "ADDR",
    help: "give the same figures at /metrics: HOST:PORT, [::]:PORT or unix:PATH",
    by: ["daemon"],
    variable: "prefixed",
    sample: "127.0.0.1:9054",
    parse: parseListen,
  },
  "pause-overdue": {
    value: "DURATION",
    help: "--check reports a pause that lasts longer than this",
    by: ["status --check", "groups --check"],
    variable: "prefixed",
    fallback: "24h",
    sample: "8h",
    parse: parseLength,
  },
  "reason": {
    value: "TEXT",
    help: "why; 'status --verbose' and 'history' show it",
    by: ["lock", "unlock", "set-max", "pause", "resume", "reboot", "postpone"],
    parse: parseReason,
  },
  "for": {
    value: "DURATION",
    help: "end the pause by itself after so long, such as 2h",
    by: ["pause"],
    parse: parsePauseLength,
  },
  "all": {
    help: "all groups instead of one",
    by: ["pause", "resume", "freeze", "repair", "history"],
    ...SWITCH,
  },
  "remove": {
    value: "NAME",
    help: "remove a group in which nobody holds a slot and nobody waits; '' is the default group",
    by: ["groups"],
    parse: parseGroup,
  },
  "since": {
    value: "TIME",
    help: "since this time, '2015-05-21 23:00', or for the last 24h",
    by: ["history"],
    parse: parsePast,
  },
  "machines": {
    value: "N",
    help: `how many machines there are, up to ${MACHINES_LIMIT}`,
    by: ["simulate"],
    required: `how many machines there are, from 1 to ${MACHINES_LIMIT}`,
    parse: wholeNumber(1, MACHINES_LIMIT),
  },
  "max": {
    value: "N",
    help: "how many may reboot at once; default: 1",
    by: ["simulate"],
    parse: wholeNumber(0, MAX_LIMIT),
  },
  "reboot-time": {
    value: "DURATION",
    help: "how long a reboot takes, or from..to: 60s..180s",
    by: ["simulate"],
    fallback: "60s",
    parse: parseRebootTime,
  },
  "grace": {
    value: "DURATION",
    help: "somebody is logged in on every machine, and gets this long",
    by: ["simulate"],
    fallback: "0s",
    parse: parseGrace,
  },
  "fail": {
    value: "PERCENT",
    help: "this share of the machines never comes back, such as 1%",
    by: ["simulate"],
    fallback: "0%",
    parse: parseShare,
  },
  ...UPKEEP_OPTIONS,
  "within": {
    value: "N",
    help: "find the smallest max that finishes within N windows, or within a time such as 48h",
    by: ["simulate"],
    parse: parseWithin,
  },
  "at": {
    value: "TIME",
    help: "as of this time instead of now: '2015-05-21 23:00'",
    by: ["window", "simulate"],
    parse: parseText,
  },
  "count": {
    value: "N",
    help: "how many windows to list",
    by: ["window"],
    fallback: "5",
    parse: wholeNumber(1, MAX_REPORT_COUNT),
  },
  "seed": {
    value: "N",
    help: "a different number draws different reboot times",
    by: ["simulate"],
    fallback: "1",
    parse: wholeNumber(0, 2 ** 32 - 1),
  },
  "svg": {
    value: "FILE",
    help: "draw it, one row per machine; - is stdout",
    by: ["simulate"],
    parse: parseText,
  },
  "listen": {
    value: "ADDR",
    repeatable: ",",
    help: "HOST:PORT, [::]:PORT or unix:PATH; several separated by commas or repeated",
    by: ["serve"],
    variable: "prefixed",
    fallback: "127.0.0.1:9053",
    sample: "[::]:9053",
    parse: parseListen,
  },
  "tls-cert": {
    value: "FILE",
    help: "the server's certificate, followed by intermediate ones; read again when it changes",
    by: ["serve"],
    variable: "prefixed",
    sample: "/etc/ssl/lock.example.net.pem",
    parse: parsePath,
  },
  "tls-key": {
    value: "FILE",
    help: "private key of the server's certificate",
    by: ["serve"],
    variable: "prefixed",
    sample: "/etc/ssl/lock.example.net.key",
    parse: parsePath,
  },
  "client-ca": {
    value: "FILE",
    help: "identify hosts and people by client certificates that this CA signed",
    by: ["serve"],
    variable: "prefixed",
    sample: "/etc/ssl/hosts-ca.pem",
    parse: parsePath,
  },
  "tokens": {
    value: "FILE",
    help: "who may use the server: the file that 'locksmith token' writes",
    by: ["serve", "token"],
    variable: "prefixed",
    fallback: `${SERVER_FOLDER}/tokens`,
    sample: `${SERVER_FOLDER}/tokens`,
    parse: parsePath,
  },
  "groups": {
    value: "FILE",
    help: "serve only the groups that this TOML file lists; read again when it changes",
    by: ["serve"],
    variable: "prefixed",
    sample: "/etc/locksmith/groups.toml",
    parse: parsePath,
  },
  "place-ttl": {
    value: "DURATION",
    help: "how long a polling host keeps its place in the queue without asking again",
    by: ["serve"],
    variable: "prefixed",
    fallback: "15m",
    sample: "15m",
    parse: parseLength,
  },
  "insecure": {
    help:
      "listen beyond this host, and answer by any name, without credentials: anybody who reaches it may do everything",
    by: ["serve"],
    variable: "prefixed",
    fallback: "false",
    sample: "false",
    parse: parseSwitch,
  },
  "role": {
    value: "NAME",
    help: "what the credential allows: host (its own slots), viewer (looking), operator (everything)",
    by: ["token"],
    parse: parseRole,
  },
  "id": {
    value: "ID",
    help: "the only id that the host may use; default: any",
    by: ["token"],
    parse: parseHolder,
  },
  "name": {
    value: "NAME",
    help: "what the log calls it, and what 'token remove' takes",
    by: ["token"],
    parse: parseCredentialName,
  },
  "certificate": {
    value: "NAME",
    help: "no token: whoever shows a client certificate with this name (--client-ca)",
    by: ["token"],
    parse: parseText,
  },
  "test-group": {
    value: "NAME",
    help: "a group that no host uses: its slots are taken and given back",
    by: ["fleetlock-check"],
    required: "a group that no host uses",
    parse: parseTestGroup,
  },
  "verbose": {
    help: "show since when, on which host, by whom and why; and the queue",
    by: ["status"],
    ...SWITCH,
  },
  "watch": {
    help: "stay and show what changes: redrawn on a terminal until q or Ctrl-C, else a line per change",
    by: ["status"],
    ...SWITCH,
  },
  "check": {
    help: "for monitoring: exit 1 and one line per problem if anything needs a person",
    by: ["status", "groups"],
    ...SWITCH,
  },
  "example": {
    help: "print a configuration file with every setting, to edit",
    by: ["config"],
    ...SWITCH,
  },
  "dry-run": {
    help: "do everything but the last step, and say what it would be",
    by: ["repair", "reboot", "daemon"],
    ...SWITCH,
  },
  "cancel": {
    help: "take it back: the reboot that is about to come, or the postponement",
    by: ["reboot", "postpone"],
    ...SWITCH,
  },
  "force": {
    help: "although reboots are disabled or postponed on this host",
    by: ["reboot"],
    ...SWITCH,
  },
  "reset": {
    help: "start over: max 1, no holders",
    by: ["repair"],
    ...SWITCH,
  },
  "yes": { help: "write without asking", by: ["repair"], ...SWITCH },
  "json": {
    help: "one line of JSON, for programs",
    by: [
      "status",
      "groups",
      "freeze",
      "history",
      "needs-reboot",
      "window",
      "simulate",
      "config",
      "fleetlock-check",
      "token",
    ],
    ...SWITCH,
  },
} as const satisfies Readonly<Record<string, Option & { readonly by: readonly Reader[] }>>;

export type OptionName = keyof typeof OPTIONS;
/** Any table of options. */
export type OptionTable = Readonly<Record<string, Option>>;

/** The value of an option: a list of those that may be repeated, maybe `undefined` where nothing is set. */
export type Value<N extends OptionName> = Row<N> extends { parse(text: string): infer T }
  ? Row<N> extends { repeatable: string } ? readonly T[]
  : Row<N> extends { fallback: unknown } | { required: string } ? T
  : T | undefined
  : never;
type Row<N extends OptionName> = typeof OPTIONS[N];
