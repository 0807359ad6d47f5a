/** What the settings mean, and that every fault is told at once, with the option, variable or line as it was written. */

import { assertEquals } from "@std/assert";
import {
  resolveGroup,
  resolvePath,
  resolveSessionGrace,
  resolveStore,
  resolveStrategy,
  resolveSwitch,
  resolveText,
  resolveWindow,
} from "../../lib/cli/config.ts";
import type { Settings } from "../../lib/cli/settings.ts";

/** Settings as if given by flags. */
function settings(given: Record<string, string | string[]>): Settings {
  const values = Object.entries(given).map(([name, value]) =>
    [name, { values: [value].flat(), origin: `--${name}` }] as const
  );
  return { values: new Map(values), faults: [] };
}

const FILES: Record<string, string> = { "/ca.pem": "ca", "/cert.pem": "cert", "/key.pem": "key" };

function readFile(path: string): Uint8Array {
  const text = FILES[path];
  if (text === undefined) throw new Deno.errors.NotFound(path);
  return new TextEncoder().encode(text);
}

/** The store that a sound configuration names. */
function store(given: Record<string, string | string[]>): unknown {
  const all = settings(given);
  const config = resolveStore(all, readFile);
  assertEquals(all.faults, []);
  return config;
}

/** Every fault of a configuration of the store. */
function storeFaults(given: Record<string, string | string[]>): string[] {
  const all = settings(given);
  assertEquals(resolveStore(all, readFile), undefined);
  return all.faults;
}

Deno.test("resolveStore() is the one etcd of this host where nothing is configured", () => {
  assertEquals(store({}), { kind: "etcd", endpoints: ["http://127.0.0.1:2379"], configured: false });
});

Deno.test("resolveStore() takes several endpoints, repeated or by comma, each once, with their ports", () => {
  assertEquals(store({ endpoint: ["http://a, http://b:4001/", "http://[::1]:80", "HTTP://A:2379"] }), {
    kind: "etcd",
    endpoints: ["http://a:2379", "http://b:4001", "http://[::1]:80"],
    configured: true,
  });
  assertEquals(store({ endpoint: "https://etcd1:443" }), {
    kind: "etcd",
    endpoints: ["https://etcd1:443"],
    configured: true,
  });
});

Deno.test("resolveStore() takes sqlite:PATH for the embedded store", () => {
  assertEquals(store({ endpoint: "sqlite:/var/lib/lock smith.db" }), {
    kind: "sqlite",
    path: "/var/lib/lock smith.db",
    configured: true,
  });
});

Deno.test("resolveStore() takes the CA alone, and a certificate with its key (fault 10 of the old locksmith: all three or none)", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const etcd = { kind: "etcd", endpoints: ["https://a:2379"], configured: true };
  assertEquals(store({ endpoint: "https://a", "etcd-cafile": "/ca.pem" }), { ...etcd, ca: bytes("ca") });
  assertEquals(store({ endpoint: "https://a", "etcd-certfile": "/cert.pem", "etcd-keyfile": "/key.pem" }), {
    ...etcd,
    cert: bytes("cert"),
    key: bytes("key"),
  });
  assertEquals(store({ endpoint: "https://a", "etcd-username": "root", "etcd-password": "" }), {
    ...etcd,
    username: "root",
    password: "",
  });
});

Deno.test("resolveStore() tells every fault at once", () => {
  assertEquals(
    storeFaults({
      endpoint: [
        "localhost:2379",
        "ftp://a",
        "htp://a",
        "http://a:99999",
        "http://a/v3",
        "",
        "http://u:secret@a",
      ],
      "etcd-cafile": "/nowhere.pem",
      "etcd-certfile": "/cert.pem",
      "etcd-username": "root",
    }),
    [
      "--etcd-certfile: needs --etcd-keyfile beside it",
      "--etcd-username: needs --etcd-password beside it",
      "--etcd-cafile: cannot read '/nowhere.pem': no such file",
      "--endpoint: 'localhost:2379' is no endpoint, did you mean 'http://localhost:2379'?",
      "--endpoint: 'ftp://a' has the scheme ftp, allowed are http, https and sqlite",
      "--endpoint: 'htp://a' has the scheme htp, allowed are http, https and sqlite, did you mean 'http'?",
      "--endpoint: 'http://a:99999' is no endpoint: host or port cannot be read; it is http(s)://HOST:PORT",
      "--endpoint: 'http://a/v3' has more than host and port",
      "--endpoint: '' is empty; an endpoint is http(s)://HOST:PORT or sqlite:PATH",
      "--endpoint: 'http://...@a' has a user in it; use --etcd-username and --etcd-password",
    ],
  );
});

Deno.test("resolveStore() refuses what would not be what was meant: mixed schemes, credentials in the clear or for a file", () => {
  assertEquals(storeFaults({ endpoint: "http://a,https://b" }), [
    "--endpoint: http:// and https:// endpoints do not mix",
  ]);
  assertEquals(storeFaults({ endpoint: "http://a", "etcd-cafile": "/ca.pem" }), [
    "--etcd-cafile: is of no use with http:// endpoints, the connection would be in the clear; say https://",
  ]);
  assertEquals(
    storeFaults({ endpoint: ["sqlite:", "http://a"], "etcd-username": "u", "etcd-password": "p" }),
    [
      "--endpoint: sqlite:PATH stands alone, not beside other endpoints: 'sqlite:,http://a'",
      "--endpoint: the --etcd-... options are of no use with sqlite:PATH",
      "--endpoint: sqlite: needs the path of a file: sqlite:/var/lib/locksmith.db",
    ],
  );
});

Deno.test("resolveGroup() gives the group, the last where several are, and names a wrong one", () => {
  assertEquals([resolveGroup(settings({})), resolveGroup(settings({ group: ["a", "b"] }))], ["", "b"]);
  const wrong = settings({ group: ".." });
  assertEquals([resolveGroup(wrong), wrong.faults], [undefined, [
    '--group: "..": a group must not be called . or .., which would point out of the tree of groups',
  ]]);
});

Deno.test("resolveStrategy() gives a known one, none where none is set, and names a mistyped one (fault 11 of the old locksmith: noticed only when the update came)", () => {
  assertEquals(resolveStrategy(settings({})), undefined);
  for (const name of ["etcd-lock", "reboot", "off"]) {
    assertEquals<unknown>(resolveStrategy(settings({ "reboot-strategy": name })), name);
  }
  const texts: [string, string][] = [
    ["etcdlock", ", did you mean 'etcd-lock'?"],
    ["Off", ", did you mean 'off'?"],
    ["best-effort", ""],
  ];
  for (const [name, hint] of texts) {
    const wrong = settings({ "reboot-strategy": name });
    assertEquals([resolveStrategy(wrong), wrong.faults], [undefined, [
      `--reboot-strategy: '${name}' is no strategy, allowed are etcd-lock, reboot, off${hint}`,
    ]]);
  }
});

Deno.test("resolveWindow() gives the window in its zone, null where none is set", () => {
  assertEquals(resolveWindow(settings({}), () => "UTC"), null);
  const window = { "reboot-window-start": "Thu 23:00", "reboot-window-length": "1h30m" };
  assertEquals(resolveWindow(settings(window), () => "Europe/Berlin")?.zone, "Europe/Berlin");
  const zoned = resolveWindow(settings({ ...window, zone: "America/New_York" }), () => "Europe/Berlin");
  assertEquals([zoned?.zone, zoned?.window.lengthMs], ["America/New_York", 90 * 60_000]);
});

Deno.test("resolveWindow() tells every fault of start, length and zone at once (fault 11 of the old locksmith: noticed only when the update came)", () => {
  const half = settings({ "reboot-window-length": "1h" });
  assertEquals([resolveWindow(half, () => "UTC"), half.faults], [undefined, [
    "--reboot-window-length: needs --reboot-window-start beside it: a window has a start and a length",
  ]]);
  const wrong = settings({
    "reboot-window-start": "25:00",
    "reboot-window-length": "1j",
    zone: "Europe/Berln",
  });
  assertEquals(resolveWindow(wrong, () => "UTC"), undefined);
  assertEquals(wrong.faults.map((fault) => fault.replace(/(["'][^"']*["']).*/, "$1")), [
    '--zone: time zone "Europe/Berln"',
    '--reboot-window-start: window start "25:00"',
    '--reboot-window-length: window length "1j"',
  ]);
});

Deno.test("resolveSessionGrace() is five minutes, or what is set, never less than nothing", () => {
  assertEquals(resolveSessionGrace(settings({})), 300_000);
  assertEquals(resolveSessionGrace(settings({ "session-grace": "0" })), 0);
  assertEquals(resolveSessionGrace(settings({ "session-grace": "90s" })), 90_000);
  const negative = settings({ "session-grace": "-5m" });
  assertEquals([resolveSessionGrace(negative), negative.faults], [undefined, [
    "--session-grace: '-5m' is negative",
  ]]);
  const wrong = settings({ "session-grace": "5" });
  assertEquals([resolveSessionGrace(wrong), wrong.faults.length], [undefined, 1]);
});

Deno.test("resolvePath(), resolveSwitch() and resolveText() take what they can use, and name what they cannot", () => {
  assertEquals(resolvePath(settings({}), "sentinel", "/run/x"), "/run/x");
  assertEquals(resolvePath(settings({ sentinel: "/a" }), "sentinel", "/run/x"), "/a");
  assertEquals(resolveText(settings({ "reboot-command": ["a", "b c"] }), "reboot-command"), "b c");
  for (
    const [text, on] of [["true", true], ["1", true], ["Yes", true], ["off", false], [
      "FALSE",
      false,
    ]] as const
  ) {
    assertEquals(resolveSwitch(settings({ debug: text }), "debug"), on);
  }
  assertEquals(resolveSwitch(settings({}), "debug"), false);
  const wrong = settings({ sentinel: "here", debug: "maybe" });
  resolvePath(wrong, "sentinel", "/run/x");
  resolveSwitch(wrong, "debug");
  assertEquals(wrong.faults, [
    "--sentinel: 'here' is not an absolute path",
    "--debug: 'maybe' is neither true nor false",
  ]);
});
