/** Where a setting comes from, which place wins, and how update.conf is read. */

import { assertEquals } from "@std/assert";
import {
  below,
  CONFIG_FILES,
  parseAssignments,
  readSettings,
  type Settings,
  variableNames,
} from "../../lib/cli/settings.ts";

interface Given {
  readonly options?: Record<string, string[]>;
  readonly env?: Record<string, string>;
  readonly files?: Record<string, string>;
  readonly program?: "locksmithctl" | "locksmithd";
}

function read({ options = {}, env = {}, files = {}, program = "locksmithd" }: Given): Settings {
  return readSettings({
    options: new Map(Object.entries(options)),
    env: (name) => env[name],
    readText: (path) => files[path],
    program,
  });
}

/** The values of one setting and where they come from. */
function setting(name: string, given: Given): [readonly string[], string] | undefined {
  const { values, faults } = read(given);
  assertEquals(faults, []);
  const found = values.get(name);
  return found === undefined ? undefined : [found.values, found.origin];
}

/** What a shell would make of `KEY=` and this text. */
function value(text: string): string | undefined {
  return parseAssignments(`KEY=${text}`).get("KEY")?.value;
}

Deno.test("readSettings() prefers the flag, then the environment, then /etc, then /usr/share", () => {
  const [flatcar = "", coreos = "", shareFlatcar = "", shareCoreos = ""] = CONFIG_FILES;
  const places: [Given, [string[], string]][] = [
    [{ options: { group: ["flag"] } }, [["flag"], "--group"]],
    [{ env: { LOCKSMITHD_GROUP: "env" } }, [["env"], "LOCKSMITHD_GROUP"]],
    [{ files: { [flatcar]: "LOCKSMITHD_GROUP=f\n" } }, [["f"], "/etc/flatcar/update.conf:1"]],
    [{ files: { [coreos]: "\nLOCKSMITHD_GROUP=c\n" } }, [["c"], "/etc/coreos/update.conf:2"]],
    [{ files: { [shareFlatcar]: "LOCKSMITHD_GROUP=sf" } }, [["sf"], "/usr/share/flatcar/update.conf:1"]],
    [{ files: { [shareCoreos]: "LOCKSMITHD_GROUP=sc" } }, [["sc"], "/usr/share/coreos/update.conf:1"]],
  ];
  // each with all that is weaker
  for (let first = 0; first < places.length; first++) {
    const given = places.slice(first).reduce<Given>((all, [place]) => ({
      ...all,
      ...place,
      files: { ...all.files, ...place.files },
    }), {});
    assertEquals(setting("group", given), places[first]?.[1]);
  }
  assertEquals(setting("group", {}), undefined);
});

Deno.test("readSettings() lets the endpoint of the environment stand alone (fault 9 of the old locksmith: it came beside the default ones)", () => {
  const given: Given = { env: { LOCKSMITHCTL_ENDPOINT: "https://etcd1:2379" }, program: "locksmithctl" };
  assertEquals(setting("endpoint", given), [["https://etcd1:2379"], "LOCKSMITHCTL_ENDPOINT"]);
  // a flag in its turn replaces the environment's
  assertEquals(setting("endpoint", { ...given, options: { endpoint: ["http://a:1", "http://b:1"] } }), [
    ["http://a:1", "http://b:1"],
    "--endpoint",
  ]);
});

Deno.test("readSettings() takes both prefixes, each program its own first", () => {
  const env = { LOCKSMITHD_GROUP: "daemon", LOCKSMITHCTL_GROUP: "client" };
  assertEquals(setting("group", { env, program: "locksmithd" }), [["daemon"], "LOCKSMITHD_GROUP"]);
  assertEquals(setting("group", { env, program: "locksmithctl" }), [["client"], "LOCKSMITHCTL_GROUP"]);
  assertEquals(setting("group", { env: { LOCKSMITHD_GROUP: "daemon" }, program: "locksmithctl" }), [
    ["daemon"],
    "LOCKSMITHD_GROUP",
  ]);
});

Deno.test("readSettings() takes strategy and window without a prefix too, and nothing else", () => {
  assertEquals(variableNames("reboot-window-start", "locksmithd"), [
    "LOCKSMITHD_REBOOT_WINDOW_START",
    "LOCKSMITHCTL_REBOOT_WINDOW_START",
    "REBOOT_WINDOW_START",
  ]);
  assertEquals(
    setting("reboot-strategy", { files: { "/etc/coreos/update.conf": 'REBOOT_STRATEGY="off"' } }),
    [
      ["off"],
      "/etc/coreos/update.conf:1",
    ],
  );
  const env = {
    REBOOT_WINDOW_START: "14:00",
    REBOOT_WINDOW_LENGTH: "1h",
    GROUP: "web",
    ENDPOINT: "http://a",
  };
  assertEquals([...read({ env }).values.keys()], ["reboot-window-start", "reboot-window-length"]);
});

Deno.test("readSettings() takes an empty value for none", () => {
  assertEquals(setting("group", { env: { LOCKSMITHD_GROUP: "", LOCKSMITHCTL_GROUP: "web" } }), [
    ["web"],
    "LOCKSMITHCTL_GROUP",
  ]);
  assertEquals(setting("group", { files: { "/etc/flatcar/update.conf": "LOCKSMITHD_GROUP=" } }), undefined);
});

Deno.test("readSettings() reads update.conf below the root directory, wherever that is named", () => {
  const files = {
    "/host/etc/flatcar/update.conf": "REBOOT_STRATEGY=off",
    "/etc/flatcar/update.conf": "REBOOT_STRATEGY=reboot",
  };
  for (const given of [{ options: { root: ["/host/"] } }, { env: { LOCKSMITHD_ROOT: "/host" } }]) {
    assertEquals(setting("reboot-strategy", { ...given, files }), [
      ["off"],
      "/host/etc/flatcar/update.conf:1",
    ]);
  }
  assertEquals([below("/", "/etc/x"), below("/a//", "/etc/x")], ["/etc/x", "/a/etc/x"]);
});

Deno.test("readSettings() tells of a file that cannot be read and of quoting that does not end, and reads on", () => {
  const { values, faults } = readSettings({
    options: new Map(),
    env: () => undefined,
    readText: (path) => {
      if (path === "/etc/flatcar/update.conf") throw new Error("permission denied");
      return path === "/etc/coreos/update.conf" ? 'REBOOT_STRATEGY="off\nLOCKSMITHD_GROUP=web\n' : undefined;
    },
    program: "locksmithd",
  });
  assertEquals(faults, [
    "cannot read /etc/flatcar/update.conf: permission denied",
    "/etc/coreos/update.conf:1: the quoting does not end",
  ]);
  assertEquals(values.get("group")?.values, ["web"]);
});

Deno.test("parseAssignments() reads values as a shell does", () => {
  const texts: [string, string | undefined][] = [
    ["etcd-lock", "etcd-lock"],
    ['"Thu 23:00"', "Thu 23:00"],
    ["'Thu 23:00'", "Thu 23:00"],
    ["Thu\\ 23:00", "Thu 23:00"],
    [`a"b c"'d e'`, "ab cd e"],
    ['"a \\"b\\" \\$c \\d"', 'a "b" $c \\d'],
    [`'a\\b "c"'`, 'a\\b "c"'],
    ["off # never", "off"],
    // a # within a word, as passwords have it, begins no comment
    ["a#b", "a#b"],
    ["#a", "#a"],
    [`'a'#"b"`, "a#b"],
    ["off   ", "off"],
    ["off\r", "off"],
    ["", ""],
    ['""', ""],
    ['"open', undefined],
    ["'open", undefined],
    ["open\\", undefined],
  ];
  for (const [text, expected] of texts) assertEquals(value(text), expected, text);
});

Deno.test("parseAssignments() takes the last assignment of a key, with its line, and passes over the rest", () => {
  const text =
    "# REBOOT_STRATEGY=off\nGROUP=stable\n  export REBOOT_STRATEGY=reboot\nnot ours\nREBOOT_STRATEGY = x\nREBOOT_STRATEGY='etcd-lock'\n";
  assertEquals(Object.fromEntries(parseAssignments(text)), {
    GROUP: { line: 2, value: "stable" },
    REBOOT_STRATEGY: { line: 6, value: "etcd-lock" },
  });
});
