/** What is configured of a FleetLock server: its URL, as whom this machine asks it, and what is wrong with either. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Config, configure, interpret, UsageError } from "../../lib/cli/config.ts";
import { configReport } from "../../lib/cli/config_command.ts";
import { readSettings, type Settings } from "../../lib/cli/settings.ts";
import { parseServerUrl } from "../../lib/cli/values.ts";

const CREDENTIALS = "/run/credentials/locksmithd.service";

/** The settings of a daemon, from flags, and from what systemd hands over. */
function settings(flags: Record<string, string>, credentials: Record<string, string> = {}): Settings {
  return readSettings({
    flags: new Map(
      Object.entries(flags).map(([name, text]) => [name, { texts: [text], origin: `--${name}` }]),
    ),
    env: { CREDENTIALS_DIRECTORY: CREDENTIALS },
    program: "locksmithd",
    readFile(path) {
      const text = credentials[path.replace(`${CREDENTIALS}/`, "")];
      return text === undefined ? undefined : new TextEncoder().encode(text);
    },
    readFolder: (path) => path === CREDENTIALS ? Object.keys(credentials) : [],
  });
}

const readFile = (path: string): Uint8Array => {
  if (path.startsWith("/etc/")) return new Uint8Array();
  throw new Deno.errors.NotFound(path);
};

function configOf(flags: Record<string, string>, credentials?: Record<string, string>): Config<"daemon"> {
  return configure("daemon", settings(flags, credentials), readFile);
}

function faultsOf(flags: Record<string, string>): readonly string[] {
  return assertThrows(() => configOf({ "fleet-lock-url": "https://lock", ...flags }), UsageError).faults;
}

Deno.test("parseServerUrl() takes a base URL with a path and a user, and names no password of one that it refuses", () => {
  assertEquals(parseServerUrl("https://lock.example.net"), { url: "https://lock.example.net" });
  assertEquals(parseServerUrl("HTTPS://Lock:8443/fleet//"), { url: "https://lock:8443/fleet" });
  assertEquals(parseServerUrl("http://[::1]:80/"), { url: "http://[::1]" });
  assertEquals(parseServerUrl("https://anna:p%40ss@lock/"), {
    url: "https://lock",
    user: "anna",
    password: "p@ss",
  });
  const wrong = [
    "lock.example.net",
    "ftp://anna:p%40ss@lock",
    "https://anna:p%40ss@lock/?x=1",
    "https://anna:p%40ss@lock/v1/pre-reboot",
    "https://anna@lock",
    "https://:p%40ss@lock",
    "https://anna:p%ss@lock",
    "https://anna:p%40ss@lock:0",
    "",
  ];
  for (const text of wrong) {
    const { message } = assertThrows(() => parseServerUrl(text), Error);
    assert(!/anna|p%40ss|p@ss|p%ss/.test(message), message);
  }
});

Deno.test("configure() takes the server alone for the strategy fleet-lock, and a credential from wherever it may stand", () => {
  const { strategy, underFleetLock, fleetLock: server } = configOf({ "fleet-lock-url": "https://u:p@lock/" });
  assertEquals([strategy, underFleetLock], [
    { strategy: "fleet-lock", why: "a server is configured by --fleet-lock-url" },
    true,
  ]);
  assertEquals(server, {
    url: "https://lock",
    id: "machine-id",
    files: {},
    login: { kind: "password", user: "u", password: "p" },
  });
  const url = { "fleet-lock-url": "https://lock" };
  assertEquals(
    configOf({ ...url, "fleet-lock-user": "u" }, { "fleet-lock-password": "p \n", "motd": "x" }).fleetLock
      ?.login,
    { kind: "password", user: "u", password: "p " },
  );
  const handedOver = configOf({}, { "fleet-lock-url": "https://lock\n", "fleet-lock-token": "t0ken\n" });
  assertEquals(handedOver.fleetLock?.login, { kind: "token", token: "t0ken" });
  assertEquals(handedOver.strategy.why, `a server is configured by ${CREDENTIALS}/fleet-lock-url`);
});

Deno.test("configure() tells every fault of a server at once, and asks a person where there are two to keep the slots", () => {
  assertEquals(
    faultsOf({ "fleet-lock-user": "u", "fleet-lock-certfile": "/etc/c", "fleet-lock-cafile": "/none" }),
    [
      "--fleet-lock-certfile: needs --fleet-lock-keyfile too",
      "--fleet-lock-user: needs --fleet-lock-password too",
      "--fleet-lock-cafile: cannot read '/none': no such file or directory",
    ],
  );
  assertEquals(faultsOf({ "fleet-lock-url": "https://u:p@lock", "fleet-lock-token": "t" }), [
    "--fleet-lock-url, --fleet-lock-token: give one user and password, or one token",
  ]);
  assertEquals(faultsOf({ "fleet-lock-url": "http://lock", "fleet-lock-cafile": "/etc/ca" }), [
    "--fleet-lock-cafile: has no effect with an http:// URL, which is not encrypted; use https://",
  ]);
  for (const group of ["a b", "default", "web/eu"]) {
    assert(faultsOf({ group })[0]?.startsWith(`--group: "${group}": `), group);
  }
  const both = { "fleet-lock-url": "https://lock", endpoint: "http://etcd" };
  const ambiguity =
    "--endpoint, --fleet-lock-url: an endpoint and a server are configured; say which keeps the slots " +
    "with --reboot-strategy: etcd-lock or fleet-lock";
  assertEquals(faultsOf(both), [ambiguity]);
  assertThrows(() => configure("reboot", settings(both), readFile), UsageError, ambiguity);
  assertEquals(configOf({ ...both, "reboot-strategy": "etcd-lock", group: "a b" }).underFleetLock, false);
  const alone = assertThrows(() => configOf({ "reboot-strategy": "fleet-lock" }), UsageError).faults;
  assertEquals(alone, ["--reboot-strategy: the strategy fleet-lock needs --fleet-lock-url too"]);
  const useless = assertThrows(
    () => configOf({ "reboot-strategy": "off", "fleet-lock-token": "t" }),
    UsageError,
  );
  assertEquals(useless.faults, ["--fleet-lock-token: has no effect without --fleet-lock-url"]);
});

Deno.test("config shows the URL of a server without the credential in it, right or wrong", () => {
  for (const url of ["https://anna:s3cret@lock/x", "https://anna:s3cret@lock/?"]) {
    const given = settings({ "fleet-lock-url": url, "fleet-lock-token": "s3cret" });
    const report = configReport(interpret("config", given, readFile), given);
    assert(!JSON.stringify(report).includes("s3cret"), JSON.stringify(report));
  }
  const given = settings({ "fleet-lock-url": "https://anna:s3cret@lock/x" });
  const { settings: rows } = configReport(interpret("config", given, readFile), given);
  assertEquals(rows.find(({ name }) => name === "fleet-lock-url")?.value, "https://lock/x");
  assertEquals(rows.find(({ name }) => name === "reboot-strategy")?.value, "fleet-lock");
});
