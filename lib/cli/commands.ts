/** The commands: each with its options, its help and what does it. */

import type { OptionSpec } from "./args.ts";
import { groups, pause, repair, resume, setMax, status } from "./client.ts";
import type { Command } from "./command.ts";
import { config, needReboot, reboot, showWindow } from "./host_commands.ts";
import { lock, unlock } from "./lock_commands.ts";
import {
  DAEMON_OPTIONS,
  OVERDUE_OPTION,
  PRIORITY_OPTION,
  REBOOT_COMMAND_OPTION,
  WINDOW_OPTIONS,
} from "./settings.ts";

const JSON_OPTION: OptionSpec = { name: "json", help: "for programs: one line of JSON" };
const REASON_OPTION: OptionSpec = { name: "reason", value: "TEXT", help: "why; 'status --verbose' shows it" };
const ZONE_OPTIONS = WINDOW_OPTIONS.filter(({ name }) => name === "zone");

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  {
    name: "status",
    operands: "",
    summary: "Show the slots of the group and who holds them",
    description:
      "Reads and never writes. Available may be negative after set-max below the number of holders. A paused " +
      "group and machines that are overdue are named.",
    options: [
      { name: "verbose", help: "since when, on which host, by whom and why; and who waits in line" },
      JSON_OPTION,
      OVERDUE_OPTION,
    ],
    example: "locksmith status --verbose --group db",
    run: status,
  },
  {
    name: "groups",
    operands: "",
    summary: "Show every group with its figures",
    description:
      "Every group that the store has a semaphore of. A document that cannot be read is told on stderr, exit 1.",
    options: [JSON_OPTION, OVERDUE_OPTION],
    example: "locksmith groups --endpoint https://etcd1:2379 --etcd-cafile /etc/ssl/etcd-ca.pem",
    run: groups,
  },
  {
    name: "lock",
    operands: "[MACHINE-ID]",
    summary: "Take a slot by hand",
    description:
      "For this machine, or for the one that is named. A slot that was taken by hand ends by 'unlock' only, " +
      "no reboot gives it back. Exit 1 where none is free or the machine has one. At once, whoever waits; with " +
      "--wait it stands in line until it has the slot. Interrupted, it gives its place up, and has no slot.",
    options: [
      {
        name: "wait",
        value: "DURATION",
        optional: true,
        help: "wait in line; no longer than DURATION, then exit 75",
      },
      PRIORITY_OPTION,
      REASON_OPTION,
    ],
    example: "locksmith lock 69d27b356a94476da859461d3a3bc6fd --reason 'disk swap'",
    run: lock,
  },
  {
    name: "unlock",
    operands: "[MACHINE-ID]",
    summary: "Give a slot back by hand",
    description:
      "For this machine, or for the one that is named, whoever took the slot. Mind: a machine that is just " +
      "rebooting does not count any more afterwards. Exit 1 where it holds none.",
    options: [],
    example: "locksmith unlock 69d27b356a94476da859461d3a3bc6fd",
    run: unlock,
  },
  {
    name: "set-max",
    operands: "NUMBER",
    summary: "Set how many machines of the group may reboot at once",
    description:
      "Below the number of holders it frees nobody: Available is negative until they are done. 0 stops new grants.",
    options: [],
    example: "locksmith set-max 2 --group web",
    run: setMax,
  },
  {
    name: "pause",
    operands: "",
    summary: "Grant no new slots in the group",
    description:
      "Who holds a slot goes on, and is named; who waits keeps its place. Until 'resume'. A group that is paused " +
      "already gets the new reason.",
    options: [REASON_OPTION],
    example: "locksmith pause --group db --reason 'storage maintenance'",
    run: pause,
  },
  {
    name: "resume",
    operands: "",
    summary: "Grant slots in the group again",
    description: "Ends a pause. Of a group that is not paused it says so, exit 0.",
    options: [],
    example: "locksmith resume --group db",
    run: resume,
  },
  {
    name: "history",
    operands: "",
    summary: "Show what happened to the group",
    description:
      "Grants, locks by hand, reboots begun (confirm), releases, unlocks, changes of max, pauses, repairs; when, by " +
      "whom and why. From what the store keeps of the group's key anyway: etcd until its next compaction, an " +
      "embedded store the last changes. The first line says from when on that is.",
    options: [
      { name: "since", value: "TIME", help: "from a time on, '2015-05-21 23:00'; or the last so long: 24h" },
      JSON_OPTION,
    ],
    example: "locksmith history --group db --since 24h",
    run: async (context) => (await import("./history_command.ts")).history(context),
  },
  {
    name: "reboot",
    operands: "",
    summary: "Take a slot and reboot this machine",
    description:
      "Now, without asking for windows or for who is logged in. The daemon gives the slot back after the boot. " +
      "Where the reboot is refused the slot is given back at once.",
    options: [REASON_OPTION, REBOOT_COMMAND_OPTION],
    example: "locksmith reboot --reason 'new kernel'",
    run: reboot,
  },
  {
    name: "send-need-reboot",
    operands: "",
    summary: "Tell the daemon of this host that a reboot is needed",
    description:
      "Asks the daemon of this host for a reboot, to try the whole chain without an update. The daemon then reboots in earnest. Only for root.",
    options: [],
    example: "locksmith send-need-reboot",
    run: needReboot,
  },
  {
    name: "window",
    operands: "",
    summary: "Show the reboot windows",
    description:
      "Whether the window is open, and the next ones; of this host's configuration, or of --start and --length.",
    options: [
      { name: "start", value: "TIME", help: "'HH:MM' or 'Day HH:MM'" },
      { name: "length", value: "DURATION", help: "such as 1h30m" },
      ...ZONE_OPTIONS,
      { name: "at", value: "TIME", help: "seen from this time in place of now: '2015-05-21 23:00'" },
      { name: "count", value: "N", help: "how many windows; default: 5" },
      JSON_OPTION,
    ],
    example: "locksmith window --start 'Thu 23:00' --length 1h30m --zone Europe/Berlin",
    run: showWindow,
  },
  {
    name: "simulate",
    operands: "",
    summary: "Tell when a roll-out would be through",
    description:
      "Plays it in virtual time, on the rules of the daemon, the queue and the windows: every machine needs a " +
      "reboot at the start, and nothing fails. No store is asked. Exit 1 where it is never through, or not within " +
      "366 days.",
    options: [
      { name: "machines", value: "N", help: "how many machines there are, up to 20000" },
      { name: "max", value: "N", help: "how many may reboot at once; default: 1" },
      {
        name: "reboot-time",
        value: "DURATION",
        help: "how long a reboot takes, or from..to: 60s..180s; default: 60s",
      },
      {
        name: "window",
        value: "TIME",
        help: "start of the window, 'HH:MM' or 'Day HH:MM'; without: always open",
      },
      { name: "length", value: "DURATION", help: "length of the window, such as 1h30m" },
      ...ZONE_OPTIONS,
      {
        name: "grace",
        value: "DURATION",
        help: "somebody is logged in everywhere, and gets so long; default: 0s",
      },
      { name: "at", value: "TIME", help: "it starts then in place of now: '2015-05-21 23:00'" },
      { name: "seed", value: "N", help: "draws other reboot times; default: 1" },
      { name: "svg", value: "FILE", help: "write a picture: machines as rows, what each does and when" },
      JSON_OPTION,
    ],
    example:
      "locksmith simulate --machines 500 --max 5 --reboot-time 90s --window 'Thu 23:00' --length 1h30m",
    run: async (context) => (await import("./simulate_command.ts")).simulate(context),
  },
  {
    name: "repair",
    operands: "",
    summary: "Mend a semaphore that cannot be read",
    description:
      "Recounts, sorts, drops duplicates; shows before and after. Asks before it writes; a document that " +
      "changed meanwhile is left as it is.",
    options: [
      { name: "dry-run", help: "show only" },
      { name: "reset", help: "start anew: max 1, no holders" },
      { name: "yes", help: "write without asking" },
    ],
    example: "locksmith repair --dry-run",
    run: repair,
  },
  {
    name: "config",
    operands: "",
    summary: "Show each setting of this host and where it comes from",
    description:
      "A flag beats the environment, that beats update.conf in /etc, that beats the one in /usr/share.",
    options: [...DAEMON_OPTIONS, JSON_OPTION],
    example: "locksmith config",
    run: config,
  },
  {
    name: "daemon",
    operands: "",
    summary: "Wait for the need of a reboot, then reboot under the lock",
    description:
      "Also when called as locksmithd. Without --reboot-strategy it is etcd-lock, if an endpoint is configured " +
      `or one answers at the default address when it starts, else reboot. SIGTERM ends it; a slot stays held.`,
    options: DAEMON_OPTIONS,
    example: "locksmith daemon --reboot-window-start 'Thu 23:00' --reboot-window-length 1h30m",
    run: async (context) => (await import("./daemon_command.ts")).daemon(context),
  },
];
