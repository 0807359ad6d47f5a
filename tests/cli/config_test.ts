/** What the settings mean, and that every fault is told at once, with the option, variable or line as it was written. */

import { assertEquals, assertThrows } from "@std/assert";
import { type Config, configure, interpret, UsageError } from "../../lib/cli/config.ts";
import { ALL_GROUPS } from "../../lib/group.ts";
import type { CommandName } from "../../lib/cli/options.ts";
import { ALWAYS } from "../../lib/schedule.ts";
import type { Setting, Settings } from "../../lib/cli/settings.ts";

type Given = Record<string, string | string[] | Setting>;

/** Settings as if given by flags, unless they say where they are from. */
function settings(given: Given): Settings {
  const values = Object.entries(given).map(([name, value]): [string, Setting] => [
    name,
    typeof value === "object" && "texts" in value ? value : { texts: [value].flat(), origin: `--${name}` },
  ]);
  return { values: new Map(values), faults: [], hints: [], warnings: [] };
}

function filed(text: string, origin = "/etc/locksmith/locksmith.conf:3"): Setting {
  return { texts: [text], origin, filed: true };
}

const FILES: Record<string, string> = {
  "/ca.pem": "ca",
  "/cert.pem": "cert",
  "/key.pem": "key",
  "/token": "lks_secret\n",
  "/two-lines": "one\ntwo\n",
};

function readFile(path: string): Uint8Array {
  const text = FILES[path];
  if (text === undefined) throw new Deno.errors.NotFound(path);
  return new TextEncoder().encode(text);
}

function configOf<C extends CommandName>(command: C, given: Given): Config<C> {
  return configure(command, settings(given), readFile);
}

function faultsOf(command: CommandName, given: Given): readonly string[] {
  return assertThrows(() => configOf(command, given), UsageError).faults;
}

/** A daemon's, which has a strategy. */
function daemonFaults(given: Given): readonly string[] {
  return faultsOf("daemon", { "reboot-strategy": "off", ...given });
}

Deno.test("configure() gives a command a value for each of its options, from defaults where nothing is set", () => {
  assertEquals(configOf("pause", {}), {
    endpoint: ["http://127.0.0.1:2379"],
    "etcd-cafile": undefined,
    "etcd-certfile": undefined,
    "etcd-keyfile": undefined,
    "etcd-username": undefined,
    "etcd-password": undefined,
    server: undefined,
    "server-token-file": undefined,
    "server-token": undefined,
    "server-cafile": undefined,
    "server-certfile": undefined,
    "server-keyfile": undefined,
    group: "",
    root: "/",
    debug: false,
    reason: undefined,
    for: undefined,
    all: false,
    store: { kind: "etcd", endpoints: ["http://127.0.0.1:2379"] },
    scope: "",
  });
  const { "session-grace": graceMs, "hold-overdue": overdueMs, priority, sentinel, schedule } = configOf(
    "daemon",
    {
      "reboot-strategy": "off",
    },
  );
  assertEquals([graceMs, overdueMs, priority, sentinel, schedule.schedule], [
    300_000,
    3_600_000,
    0,
    "/run/reboot-required",
    ALWAYS,
  ]);
});

Deno.test("configure() reads what people who are logged in mean, and refuses other words", () => {
  const sessions = (given: Given) => {
    const config = configOf("daemon", { "reboot-strategy": "off", ...given });
    return [
      config.sessions,
      config["session-ignore-users"],
      config["max-reboots"],
      config["ignore-inhibitors"],
    ];
  };
  assertEquals(sessions({}), ["warn", [], 3, false]);
  assertEquals(
    sessions({ sessions: "wait", "session-ignore-users": "backup, a.b@c", "max-reboots": "0" }),
    ["wait", ["backup", "a.b@c"], 0, false],
  );
  assertEquals(daemonFaults({ sessions: "wai", "session-ignore-users": "root,a b", "max-reboots": "-1" }), [
    "--sessions: unknown mode 'wai', did you mean 'wait'? allowed: wait, warn, ignore",
    '--session-ignore-users: "a b" is not the name of a user',
    "--max-reboots: '-1' is not a whole number from 0 to 1000",
  ]);
});

Deno.test("configure() takes the last of several values, and of an endpoint all", () => {
  const { group, endpoint } = configOf("status", {
    group: ["a", "b"],
    endpoint: ["http://a,http://b", "http://c"],
  });
  assertEquals([group, endpoint], ["b", ["http://a:2379", "http://b:2379", "http://c:2379"]]);
});

Deno.test("configure() judges only what the command reads", () => {
  const wrong = { endpoint: "nowhere", priority: "high", "hold-overdue": "soon", machines: "3" };
  assertEquals(configOf("simulate", wrong).plan.machines, 3);
  assertEquals(faultsOf("set-max", wrong), [
    "--endpoint: 'nowhere' is not an endpoint, did you mean 'http://nowhere'?",
  ]);
});

Deno.test("configure() reads what is for 'lock --wait' only with --wait, and refuses it as a flag without", () => {
  const fromFile = { priority: filed("high"), "hold-overdue": filed("soon") };
  const { wait, priority } = configOf("lock", fromFile);
  assertEquals([wait, priority], [undefined, 0]);
  assertEquals(faultsOf("lock", { ...fromFile, wait: "" }).length, 2);
  assertEquals(faultsOf("lock", { priority: "5" }), ["--priority has an effect only with --wait"]);
  assertEquals([configOf("lock", { wait: "" }).wait, configOf("lock", { wait: "5m" }).wait], [
    Infinity,
    300_000,
  ]);
});

Deno.test("configure() takes several endpoints, each once, with their ports", () => {
  assertEquals(
    configOf("status", { endpoint: ["http://a, http://b:4001/", "http://[::1]:80", "HTTP://A:2379"] }).store,
    { kind: "etcd", endpoints: ["http://a:2379", "http://b:4001", "http://[::1]:80"] },
  );
  assertEquals(configOf("status", { endpoint: "https://etcd1:443" }).store, {
    kind: "etcd",
    endpoints: ["https://etcd1:443"],
  });
});

Deno.test("configure() takes sqlite:PATH for the embedded store", () => {
  assertEquals(configOf("status", { endpoint: "sqlite:/var/lib/lock smith.db" }).store, {
    kind: "sqlite",
    path: "/var/lib/lock smith.db",
  });
});

Deno.test("configure() takes the CA alone, and a certificate with its key (fault 10 of the old locksmith: all three or none)", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const etcd = { kind: "etcd", endpoints: ["https://a:2379"] };
  const storeOf = (given: Given): unknown => configOf("status", { endpoint: "https://a", ...given }).store;
  assertEquals(storeOf({ "etcd-cafile": "/ca.pem" }), { ...etcd, ca: bytes("ca"), files: { ca: "/ca.pem" } });
  assertEquals(storeOf({ "etcd-certfile": "/cert.pem", "etcd-keyfile": "/key.pem" }), {
    ...etcd,
    cert: bytes("cert"),
    key: bytes("key"),
    files: { cert: "/cert.pem", key: "/key.pem" },
  });
  assertEquals(storeOf({ "etcd-username": "root", "etcd-password": "" }), {
    ...etcd,
    username: "root",
    password: "",
  });
});

Deno.test("configure() tells every fault of the store at once", () => {
  assertEquals(
    faultsOf("status", {
      endpoint: [
        "localhost:2379",
        "ftp://a",
        "htp://a",
        "http://a:99999",
        "http://a/v3",
        "",
        "http://u:s3/cret@a",
      ],
      "etcd-cafile": "/nowhere.pem",
      "etcd-certfile": "/cert.pem",
      "etcd-username": "root",
    }),
    [
      "--endpoint: 'localhost:2379' is not an endpoint, did you mean 'http://localhost:2379'?",
      "--endpoint: 'ftp://a' has the scheme ftp; allowed: http, https and sqlite",
      "--endpoint: 'htp://a' has the scheme htp; allowed: http, https and sqlite, did you mean 'http'?",
      "--endpoint: 'http://a:99999' is not an endpoint: host or port cannot be read; an endpoint is http(s)://HOST:PORT or sqlite:PATH",
      "--endpoint: 'http://a/v3' has more than a host and a port; an endpoint is http(s)://HOST:PORT or sqlite:PATH",
      "--endpoint: '' is empty; an endpoint is http(s)://HOST:PORT or sqlite:PATH",
      "--endpoint: 'http://...@a' is not an endpoint: host or port cannot be read; an endpoint is http(s)://HOST:PORT or sqlite:PATH",
      "--etcd-certfile: needs --etcd-keyfile too",
      "--etcd-username: needs --etcd-password too",
      "--etcd-cafile: cannot read '/nowhere.pem': no such file or directory",
    ],
  );
});

Deno.test("configure() shows no password of an endpoint", () => {
  assertEquals(faultsOf("status", { endpoint: ["http://u:secret@a", "u:secret@a:2379"] }), [
    "--endpoint: 'http://...@a' contains a user; use --etcd-username and --etcd-password",
    "--endpoint: '...@a:2379' is not an endpoint, did you mean 'http://...@a:2379'?",
  ]);
});

Deno.test("configure() refuses a store that would not be what was meant: mixed schemes, credentials in the clear or for a file", () => {
  assertEquals(faultsOf("status", { endpoint: "http://a,https://b" }), [
    "--endpoint: do not mix http:// and https:// endpoints",
  ]);
  assertEquals(faultsOf("status", { endpoint: "http://a", "etcd-cafile": "/ca.pem" }), [
    "--etcd-cafile: has no effect with http:// endpoints, which are not encrypted; use https://",
  ]);
  assertEquals(
    faultsOf("status", { endpoint: ["sqlite:/x", "http://a"], "etcd-username": "u", "etcd-password": "p" }),
    [
      "--endpoint: sqlite:PATH cannot be combined with other endpoints",
      "--endpoint: the --etcd-... options have no effect with sqlite:PATH",
    ],
  );
  assertEquals(faultsOf("status", { endpoint: "sqlite:" }), [
    "--endpoint: sqlite: needs the path of a file: sqlite:/var/lib/locksmith.db",
  ]);
});

Deno.test("configure() names a wrong group", () => {
  assertEquals(faultsOf("status", { group: ".." }), [
    '--group: "..": a group must not be named . or .., which would point outside the tree of groups',
  ]);
});

Deno.test("configure() takes --all for every group, whatever group this host is of, and refuses two answers", () => {
  assertEquals(configOf("pause", { all: "true", group: filed("web") }).scope, ALL_GROUPS);
  assertEquals(configOf("resume", { group: "web" }).scope, "web");
  assertEquals(faultsOf("pause", { all: "true", group: "web" }), [
    "--all: --group names one group; give only one of the two",
  ]);
});

Deno.test("configure() bounds what people type of a pause: its reason and its length", () => {
  assertEquals(configOf("pause", { for: "2h", reason: "a fair" }).for, 7_200_000);
  assertEquals(faultsOf("pause", { for: "8761h", reason: "x".repeat(201) }), [
    "--reason: a reason must not be longer than 200 characters; this one has 201",
    "--for: '8761h' is not between 1s and 8760h (a year)",
  ]);
  assertEquals(faultsOf("unlock", { reason: "a\nb" }), [
    "--reason: a reason must not contain control characters",
  ]);
  assertEquals(faultsOf("pause", { for: "0s" }), ["--for: '0s' is not between 1s and 8760h (a year)"]);
});

Deno.test("configure() takes the group that is to be removed, the default group too", () => {
  assertEquals(configOf("groups", {}).removal, undefined);
  assertEquals(configOf("groups", { remove: "" }).removal, "");
  assertEquals(faultsOf("groups", { remove: "web", json: "true" }), ["--json: has no effect with --remove"]);
});

Deno.test("configure() names a mistyped strategy, and what 'best-effort' is called now (fault 11 of the old locksmith: noticed only when the update came)", () => {
  const allowed = "allowed: etcd-lock, fleet-lock, reboot, off, auto";
  const texts: [string, string][] = [
    ["etcdlock", `unknown strategy 'etcdlock', did you mean 'etcd-lock'? ${allowed}`],
    ["Off", `unknown strategy 'Off', did you mean 'off'? ${allowed}`],
    ["best", `unknown strategy 'best'; ${allowed}`],
    ["best-effort", "unknown strategy 'best-effort'; it is now called 'auto'"],
  ];
  for (const [name, fault] of texts) {
    assertEquals(faultsOf("daemon", { "reboot-strategy": name }), [`--reboot-strategy: ${fault}`]);
  }
});

Deno.test("configure() gives the daemon the strategy that is in effect, and why", () => {
  assertEquals(configOf("daemon", { "reboot-strategy": filed("off") }).strategy, {
    strategy: "off",
    why: "configured by /etc/locksmith/locksmith.conf:3",
  });
  assertEquals(configOf("daemon", { endpoint: "http://a" }).strategy.strategy, "etcd-lock");
  assertEquals(configOf("daemon", { "reboot-strategy": "auto" }).strategy.strategy, "auto");
});

Deno.test("configure() refuses a daemon without a strategy and an endpoint, and says which two lines to write", () => {
  const { faults, hints } = assertThrows(() => configOf("daemon", {}), UsageError);
  assertEquals(faults, [
    "neither a reboot strategy nor an endpoint is configured: the daemon does not start",
  ]);
  assertEquals(hints, [
    "add two lines to /etc/locksmith/locksmith.conf, then check with 'locksmith config':",
    "  LOCKSMITHD_REBOOT_STRATEGY=etcd-lock",
    "  LOCKSMITHD_ENDPOINT=https://etcd1.example.net:2379",
  ]);
});

Deno.test("configure() gives the windows in their zone and what set them, none where there is none", () => {
  const given = { "reboot-window-start": "Thu 23:00", "reboot-window-length": "1h30m" };
  for (const command of ["daemon", "window", "simulate"] as const) {
    const base = { "reboot-strategy": "off", machines: "1" };
    const windowsOf = (settings: Given) => {
      const { schedule: { windows }, zone, origin } = configOf(command, settings).schedule;
      return [windows.map(({ window, zone }) => [window.lengthMs, zone]), zone, origin];
    };
    assertEquals(windowsOf({ ...base, zone: "UTC" }), [[], "UTC", undefined]);
    assertEquals(windowsOf({ ...base, ...given, zone: "America/New_York" }), [
      [[90 * 60_000, "America/New_York"]],
      "America/New_York",
      "--reboot-window-start",
    ]);
    const none = { ...base, "reboot-window-start": "none", "reboot-window-length": filed("1h"), zone: "UTC" };
    assertEquals(windowsOf(none), [[], "UTC", undefined]);
  }
});

Deno.test("configure() tells every fault of start, length and zone at once (fault 11 of the old locksmith: noticed only when the update came)", () => {
  assertEquals(daemonFaults({ "reboot-window-length": "1h" }), [
    "--reboot-window-length: needs --reboot-window-start too: a window has a start and a length",
  ]);
  assertEquals(daemonFaults({ "reboot-window-start": { texts: ["23:00"], origin: "--start" } }), [
    "--start: needs --reboot-window-length too: a window has a start and a length",
  ]);
  const wrong = { "reboot-window-start": "25:00", "reboot-window-length": "1j", zone: "Europe/Berln" };
  assertEquals(daemonFaults(wrong).map((fault) => fault.replace(/(["'][^"']*["']).*/, "$1")), [
    '--zone: time zone "Europe/Berln"',
    '--reboot-window-start: window start "25:00"',
    '--reboot-window-length: window length "1j"',
  ]);
});

Deno.test("configure() refuses a duration in two words, and does not cut it", () => {
  assertEquals(
    daemonFaults({ "session-grace": filed("1h 30m") })[0]?.replace(/;.*/, ""),
    '/etc/locksmith/locksmith.conf:3: cannot read duration "1h 30m": unknown unit "h "',
  );
  assertEquals(daemonFaults({ "session-grace": "-5m" }), ["--session-grace: '-5m' is negative"]);
});

Deno.test("configure() says where a comment has to stand, of a value that is none because of one", () => {
  assertEquals(faultsOf("daemon", { "reboot-strategy": filed("off # never") }), [
    "/etc/locksmith/locksmith.conf:3: unknown strategy 'off # never'; allowed: etcd-lock, fleet-lock, reboot, off, auto; " +
    "put the comment on a line of its own",
  ]);
});

Deno.test("configure() names a fault of how a line was written, for the option that it sets", () => {
  const open = {
    texts: ["off"],
    origin: "/etc/coreos/update.conf:1",
    filed: true,
    fault: "the quote is not closed",
  };
  assertEquals(faultsOf("daemon", { "reboot-strategy": open }), [
    "/etc/coreos/update.conf:1: the quote is not closed",
  ]);
  assertEquals(configOf("status", { "reboot-strategy": open }).group, "");
});

Deno.test("configure() takes switches from files in the words that people use, and names paths that are none", () => {
  for (
    const [text, on] of [["true", true], ["1", true], ["Yes", true], ["off", false], [
      "FALSE",
      false,
    ]] as const
  ) {
    assertEquals(configOf("status", { debug: text }).debug, on);
  }
  assertEquals(daemonFaults({ sentinel: "here", debug: "maybe", root: "" }), [
    "--root: '' is not an absolute path",
    "--debug: 'maybe' is neither true nor false",
    "--sentinel: 'here' is not an absolute path",
  ]);
});

Deno.test("configure() tells what options of a simulation do not mean beside each other", () => {
  const simulation = (given: Given) => faultsOf("simulate", { machines: "9", ...given });
  assertEquals(faultsOf("simulate", {}), [
    "--machines is missing: how many machines there are, from 1 to 20000",
  ]);
  assertEquals(simulation({ within: "2" }), [
    "--within: there is no window to count; give a time such as 48h, or a window",
  ]);
  assertEquals(simulation({ within: "48h", max: "3", svg: "-", json: "true" }), [
    "--svg=-: --json writes to stdout too",
    "--max: cannot be combined with --within, which finds it",
  ]);
  assertEquals(simulation({ "reboot-time": "1m-5m" }), ["--reboot-time: '1m-5m': write a range as 1m..5m"]);
  assertEquals(simulation({ fail: "3" }), ["--fail: '3' is not a share from 0% to 100%"]);
});

Deno.test("interpret() reads for 'config' all that has a variable, whatever is wrong with some of it", () => {
  const { parts, together, faults } = interpret(
    "config",
    settings({ group: "web", priority: "high", "reboot-strategy": "off" }),
    readFile,
  );
  assertEquals(parts.get("group"), { value: "web", origin: "--group" });
  assertEquals(parts.get("priority"), { value: undefined, origin: "--priority" });
  assertEquals(together.get("strategy"), { strategy: "off", why: "configured by --reboot-strategy" });
  assertEquals(faults, ["--priority: 'high' is not a whole number from -100 to 100"]);
});

const SERVER = "https://lock.example.net";

Deno.test("configure() goes through a server where one is given, with its token and its certificates", () => {
  const { store } = configOf("status", {
    server: `${SERVER}:8443/locks/`,
    "server-token-file": "/token",
    "server-cafile": "/ca.pem",
    "server-certfile": "/cert.pem",
    "server-keyfile": "/key.pem",
  });
  const bytes = (text: string) => new TextEncoder().encode(text);
  assertEquals(store, {
    kind: "http",
    url: `${SERVER}:8443/locks`,
    token: "lks_secret",
    ca: bytes("ca"),
    cert: bytes("cert"),
    key: bytes("key"),
    files: { token: "/token", ca: "/ca.pem", cert: "/cert.pem", key: "/key.pem" },
  });
  for (const filedToken of [{}, { "server-token-file": filed("/token") }]) {
    assertEquals(configOf("groups", { server: SERVER, "server-token": "t", ...filedToken }).store, {
      kind: "http",
      url: SERVER,
      token: "t",
      files: {},
    });
  }
});

Deno.test("configure() takes the server or the endpoint, whichever was typed rather than set for a shell or in a file", () => {
  const kindOf = (given: Given) => configOf("status", given).store.kind;
  const env = (text: string): Setting => ({ texts: [text], origin: "LOCKSMITHCTL_SERVER" });
  assertEquals(kindOf({ server: SERVER, endpoint: filed("http://etcd1") }), "http");
  assertEquals(kindOf({ server: filed(SERVER), endpoint: "http://etcd1" }), "etcd");
  assertEquals(kindOf({ server: env(SERVER), endpoint: filed("http://etcd1") }), "http");
  assertEquals(faultsOf("status", { server: SERVER, endpoint: "sqlite:/a" }), [
    "--server: cannot be combined with --endpoint",
  ]);
  assertEquals(faultsOf("status", { server: filed(SERVER, "/a:1"), endpoint: filed("http://a", "/a:2") }), [
    "/a:1: cannot be combined with /a:2",
  ]);
});

Deno.test("configure() tells what is wrong with a server and its credential, and never shows a secret", () => {
  assertEquals(faultsOf("status", { server: "lock.example.net" }), [
    "--server: 'lock.example.net' is not a server, did you mean 'https://lock.example.net'?",
  ]);
  assertEquals(faultsOf("status", { server: "https://ann:secret@lock.example.net" }), [
    "--server: 'https://...@lock.example.net' contains a user; use --server-token-file",
  ]);
  assertEquals(faultsOf("status", { server: SERVER, "server-token": "two words" }), [
    "--server-token: the value is not a token: one word of ASCII",
  ]);
  assertEquals(faultsOf("status", { server: SERVER, "server-token-file": "/two-lines" }), [
    "--server-token-file: cannot read '/two-lines': the value is not a token: one word of ASCII",
  ]);
  assertEquals(faultsOf("status", { server: SERVER, "server-token-file": "/token", "server-token": "t" }), [
    "--server-token: cannot be combined with --server-token-file",
  ]);
  assertEquals(faultsOf("status", { server: "http://lock:8080", "server-certfile": "/cert.pem" }), [
    "--server-certfile: needs --server-keyfile too",
    "--server-certfile: has no effect with an http:// server, which is not encrypted; use https://",
  ]);
  assertEquals(faultsOf("status", { server: SERVER, "etcd-username": "u", "etcd-password": "p" }), [
    "--etcd-username: has no effect with --server",
    "--etcd-password: has no effect with --server",
  ]);
  assertEquals(faultsOf("status", { "server-token": "t" }), [
    "--server-token: has no effect without --server",
  ]);
});

Deno.test("configure() lets nothing that acts on a host go through a server", () => {
  assertEquals(faultsOf("reboot", { server: SERVER }), [
    "--server: 'reboot' belongs to this host, which does not go through a server",
  ]);
  assertEquals(daemonFaults({ server: SERVER }), [
    "--server: 'daemon' belongs to this host, which does not go through a server",
  ]);
  assertEquals(faultsOf("daemon", { server: filed(SERVER, "/a:1"), "reboot-strategy": "etcd-lock" }), [
    "/a:1: is for the commands of operators; the strategy etcd-lock needs --endpoint",
  ]);
  // the host of an operator may be one of the fleet
  const host = { server: filed(SERVER), endpoint: filed("http://etcd1:2379") };
  for (const command of ["daemon", "reboot"] as const) {
    assertEquals(configOf(command, { ...host }).store, { kind: "etcd", endpoints: ["http://etcd1:2379"] });
  }
});
