/** The commands: each with its help, and what does it, which is loaded when it is called. */

import { type Command, holderFaults } from "./command.ts";
import { attempt } from "./option.ts";
import type { CommandName } from "./options.ts";
import { didYouMean } from "../suggest.ts";
import { parsePauseLength, parseServerUrl } from "./values.ts";

const NONE = { text: "", most: 0 };
const MACHINE = { text: "[MACHINE-ID]", most: 1 };

/** What the operands of `token` may be. */
function freezeFaults([verb, ...rest]: readonly string[]): readonly string[] {
  switch (verb) {
    case "add":
      return rest.length > 1
        ? []
        : ["give dates and a name: locksmith freeze add 2026-12-20..2027-01-02 Christmas"];
    case "remove":
      return rest.length > 0 ? [] : ["name the freeze: locksmith freeze remove Christmas"];
    case "list":
      return rest.length === 0 ? [] : [`unexpected argument '${rest[0]}'`];
    default:
      return ["say what to do: add, remove or list"];
  }
}

function tokenFaults([verb, name]: readonly string[]): readonly string[] {
  if (verb === undefined) return ["missing argument: add, list or remove"];
  if (verb === "remove") {
    return name === undefined ? ["missing argument: the name of the credential to remove"] : [];
  }
  if (verb === "add" || verb === "list") return name === undefined ? [] : [`unexpected argument '${name}'`];
  return [`unexpected argument '${verb}'${didYouMean(verb, ["add", "list", "remove"])}`];
}

/** By name. */
export const COMMANDS: { readonly [C in CommandName]: Command<C> } = {
  "status": {
    operands: NONE,
    summary: "Show the slots of the group and who holds them",
    description:
      "Only reads. Available is negative while there are more holders than max allows, after set-max. Says whether " +
      "the group is paused, and which machines are overdue. --check is for monitoring: one line and exit 0, or exit " +
      "1 and a line for each overdue machine, forgotten pause or corrupt document. --watch shows on a terminal who " +
      "holds, who waits and when all should have rebooted, from how long the last reboots took; it does not know the " +
      "windows of the machines.",
    example: "locksmith status --verbose --group db",
    run: async (context) => (await import("./client.ts")).status(context),
  },
  "groups": {
    operands: NONE,
    summary: "Show every group and its figures",
    description:
      "Every group in the store. Exits 1 if one of them cannot be read. --check is that of 'status', for all " +
      "groups. --remove NAME removes a group instead, and exits 1 if a machine of it holds a slot or waits for one; " +
      "the next machine that asks for a slot there starts it afresh, with max 1.",
    example: "locksmith groups --remove old-db",
    run: async (context) => (await import("./groups_command.ts")).groups(context),
  },
  "lock": {
    operands: MACHINE,
    summary: "Take a slot by hand",
    description:
      "For this machine or the one named. Only 'unlock' ends a slot taken by hand; a reboot does not. Exits 1 if no " +
      "slot is free or the machine has one. It goes ahead of all that wait, unless --wait puts it in the queue. When " +
      "interrupted it leaves the queue and holds no slot.",
    example: "locksmith lock 69d27b356a94476da859461d3a3bc6fd --reason 'disk swap'",
    faults: holderFaults,
    run: async (context) => (await import("./lock_commands.ts")).lock(context),
  },
  "unlock": {
    operands: { text: "[MACHINE]", most: 1 },
    summary: "Give a slot back by hand",
    description:
      "For this machine or the one named, whoever took the slot: by its machine id, its host name, or the first 4 or " +
      "more characters of the id. Exits 1 if it holds none or several fit; then it lists who holds a slot and changes " +
      "nothing. Warning: if the machine is rebooting right now, another one may reboot at the same time.",
    example: "locksmith unlock web1 --group web",
    faults: holderFaults,
    run: async (context) => (await import("./lock_commands.ts")).unlock(context),
  },
  "set-max": {
    // what it says of a wrong number of them is the old program's
    operands: { text: "NUMBER", most: Infinity },
    summary: "Set how many machines of the group may reboot at once",
    description:
      "Below the number of holders it takes no slot away: Available is negative until they are done. 0 grants no new " +
      "slots.",
    example: "locksmith set-max 2 --group web",
    run: async (context) => (await import("./client.ts")).setMax(context),
  },
  "pause": {
    operands: NONE,
    summary: "Stop granting slots in the group, or in all",
    description:
      "Until 'resume', or until the time of --for is over, by the clock of the machine that asks for a slot. Machines " +
      "that hold a slot may still reboot, and are listed; waiting machines keep their places. It replaces an earlier " +
      "pause. --all pauses every group, independently of the pauses of single groups.",
    example: "locksmith pause --group db --for 2h --reason 'storage maintenance'",
    run: async (context) => (await import("./pause_commands.ts")).pause(context),
  },
  "resume": {
    operands: NONE,
    summary: "Grant slots in the group again, or in all",
    description:
      "Ends a pause. Exits 0 if there is none, and says so. --all ends the pause of all groups; those that were paused " +
      "by themselves stay paused, and are listed.",
    example: "locksmith resume --group db",
    run: async (context) => (await import("./pause_commands.ts")).resume(context),
  },
  "freeze": {
    operands: { text: "add DATES NAME | remove NAME | list", most: 40 },
    summary: "Plan times without reboots for the group, or for all",
    description:
      "During a freeze no slot is granted and no reboot confirmed, also under a slot that was granted before: one command " +
      "stops all. It begins and ends by itself. DATES is FROM..TO: whole days, the last one included, or times such as " +
      "2026-12-20T18:00. 'add' replaces a freeze of the same name. Machines with an older version do not obey a freeze.",
    example: "locksmith freeze add 2026-12-20..2027-01-02 Christmas --all",
    faults: freezeFaults,
    run: async (context) => (await import("./freeze_command.ts")).freeze(context),
  },
  "history": {
    operands: NONE,
    summary: "Show what happened in the group",
    description:
      "Grants, locks by hand, confirmed reboots, releases, unlocks, changes of max, pauses (of all groups too) and " +
      "repairs: when, by whom and why. It comes from what the store keeps anyway: etcd since its last compaction, an embedded store the last " +
      "changes. The first line says how far back that is.",
    example: "locksmith history --group db --since 24h",
    run: async (context) => (await import("./history_command.ts")).history(context),
  },
  "reboot": {
    operands: NONE,
    summary: "Take a slot and reboot this machine",
    description:
      "At once, regardless of the window and of who is logged in, but not while reboots are disabled or postponed on " +
      "this host (--force). The daemon gives the slot back after the boot. If the reboot is refused, the slot is given " +
      "back at once. --cancel reboots nothing: it postpones what the daemon is about to do by 1h, takes back what " +
      "'send-need-reboot' asked for, and exits 1 if it is too late. Only root may do either.",
    example: "locksmith reboot --reason 'new kernel'",
    run: async (context) => (await import("./host_commands.ts")).reboot(context),
  },
  "postpone": {
    operands: { text: "[DURATION]", most: 1 },
    summary: "Let this host's daemon reboot it later",
    description:
      "For so long the daemon does not reboot this host: it leaves the line, and gives a slot back. It replaces an earlier " +
      "postponement; --cancel ends it. Without a duration it says whether reboots are postponed or disabled. Exits 1 if " +
      "the reboot has been called already. Only root may do this. To hold reboots off until further notice, write the " +
      "reason into /etc/locksmith/disable.",
    example: "locksmith postpone 2h --reason 'storage maintenance'",
    faults: ([length]) => {
      const tried = length === undefined ? { value: 0 } : attempt(parsePauseLength, length);
      return "faults" in tried ? tried.faults : [];
    },
    run: async (context) => (await import("./postpone_command.ts")).postpone(context),
  },
  "needs-reboot": {
    operands: NONE,
    summary: "Show whether this machine needs a reboot, and what says so",
    description:
      "Asks every source that this system has, or those of --need. Exits 0 if a reboot is needed, 1 if not, 2 if nobody " +
      "knows: a check that fails is never a need.",
    example: "locksmith needs-reboot && locksmith reboot",
    run: async (context) => (await import("./needs_command.ts")).needsReboot(context),
  },
  "send-need-reboot": {
    operands: NONE,
    summary: "Tell this host's daemon that a reboot is needed",
    description:
      "Asks this host's daemon for a reboot, to try the whole chain without an update. The host really reboots. Only root may ask.",
    example: "locksmith send-need-reboot",
    run: async (context) => (await import("./host_commands.ts")).needReboot(context),
  },
  "reset": {
    operands: NONE,
    summary: "Allow another reboot where the daemon has stopped",
    description:
      "After a reboot, the daemon does not reboot again for the very same need: another reboot would not help. And after " +
      "--max-reboots within 24 hours it does not reboot at all. This makes it forget what the last reboot was for, and how " +
      "many there were. Only root may do this.",
    example: "locksmith reset",
    run: async (context) => (await import("./host_commands.ts")).reset(context),
  },
  "window": {
    operands: NONE,
    summary: "Show the reboot windows",
    description:
      "Whether the window is open, and when it opens next: this host's window, or one from the options.",
    example: "locksmith window --start 'Thu 23:00' --length 1h30m --zone Europe/Berlin",
    run: async (context) => (await import("./window_command.ts")).showWindow(context),
  },
  "simulate": {
    operands: NONE,
    summary: "Predict when a roll-out would finish",
    description:
      "Plays it in virtual time with the rules of the daemon, the queue and the windows. Every machine needs a reboot " +
      "at the start, and nothing goes wrong except what --fail, --check-fails and --unhealthy say. The window, the " +
      "soak and the timeouts of checks and hooks are this host's unless the options name others. No store is asked. " +
      "Exits 1 if the roll-out never finishes, or not within 366 days.",
    example: "locksmith simulate --machines 500 --max 5 --window 'Thu 23:00' --length 1h30m",
    run: async (context) => (await import("./simulate_command.ts")).simulate(context),
  },
  "repair": {
    operands: NONE,
    summary: "Repair a semaphore that cannot be read",
    description:
      "Recounts, sorts and drops duplicates; shows the document before and after, and asks before it writes. A document " +
      "that changes meanwhile is left unchanged.",
    example: "locksmith repair --dry-run",
    run: async (context) => (await import("./client.ts")).repair(context),
  },
  "config": {
    operands: NONE,
    summary: "Check this host's configuration and show it",
    description:
      "Every setting in effect and where it comes from, then every fault, with exit code 2. Flags beat the environment; " +
      "then come /etc/locksmith/locksmith.conf with locksmith.conf.d/*.conf, update.conf in /etc, and update.conf in " +
      "/usr/share.",
    example: "locksmith config --example > /etc/locksmith/locksmith.conf",
    judge: async (...given) => (await import("./config_command.ts")).config(...given),
  },
  "daemon": {
    operands: NONE,
    summary: "Wait until a reboot is needed, then reboot under the lock",
    description:
      "What runs when called as locksmithd. It needs a configured strategy, an endpoint for etcd-lock, or a server for " +
      "fleet-lock, and does not start without one. SIGTERM ends it; a slot stays held.",
    example: "locksmith daemon --dry-run --reboot-strategy reboot",
    run: async (context) => (await import("./daemon_command.ts")).daemon(context),
  },
  "serve": {
    operands: NONE,
    summary: "Keep the slots of hosts that have no access to etcd",
    description:
      "Hosts ask it for slots by the FleetLock protocol; every command works through it with --server. It keeps everything in " +
      "the store: sqlite:/var/lib/locksmith-serve/locksmith.db, unless --endpoint names another. Until there are tokens or client " +
      "certificates, anybody on this host may do everything, and it does not listen beyond it. SIGTERM ends it after what it is doing.",
    example: "locksmith serve --tls-cert /etc/ssl/lock.pem --tls-key /etc/ssl/lock.key",
    run: async (context) => (await import("./serve_command.ts")).serve(context),
  },
  "token": {
    operands: { text: "add|list|remove [NAME]", most: 2 },
    summary: "Manage who may use the server",
    description:
      "'add' makes a token and prints it, once: the server keeps a hash of it. Clients send it as Bearer, or as " +
      "the password in a URL, with any user name. With --certificate it lists a client certificate instead. 'remove' ends " +
      "one. A running server picks up the change within a second. As soon as the file exists, everybody needs a credential.",
    example: "locksmith token add --role host --group web --name web-hosts",
    faults: tokenFaults,
    run: async (context) => (await import("./token_command.ts")).token(context),
  },
  "fleetlock-check": {
    operands: { text: "URL", most: 1 },
    summary: "Check that a FleetLock server keeps the protocol",
    description:
      "Tries each rule of the protocol on the server at this base URL, races included, and says which ones it keeps or " +
      "breaks. It takes up to 64 slots of the test group and gives them back. Exits 1 if a rule is broken. 'open': the " +
      "rule could not be tried.",
    example: "locksmith fleetlock-check https://lock.example.net --test-group spare",
    faults: ([url]) =>
      url === undefined
        ? ["give the base URL of the server, such as https://lock.example.net"]
        : urlFaults(url),
    run: async (context) => (await import("./fleetlock_check_command.ts")).fleetlockCheck(context),
  },
  "completions": {
    operands: { text: "SHELL", most: 1 },
    summary: "Print completions for bash, zsh or fish",
    description: "A script for the shell to load.",
    example: "locksmith completions bash > /etc/bash_completion.d/locksmith",
    run: async (context) => (await import("./completions.ts")).completions(context, COMMANDS),
  },
};

function urlFaults(url: string): readonly string[] {
  const tried = attempt(parseServerUrl, url);
  return "faults" in tried ? tried.faults : [];
}
