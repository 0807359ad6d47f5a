/** Where a setting comes from, which place wins, and what is told of words that nobody reads. */

import { assertEquals } from "@std/assert";
import {
  below,
  OWN_FILE,
  OWN_FOLDER,
  readSettings,
  type Setting,
  type Settings,
  SHARED_FILES,
  variableNames,
} from "../../lib/cli/settings.ts";

interface Given {
  readonly flags?: Record<string, Setting>;
  readonly env?: Record<string, string>;
  readonly files?: Record<string, string | Uint8Array>;
  readonly program?: "locksmithctl" | "locksmithd";
}

const [FLATCAR = "", COREOS = "", SHARE_FLATCAR = "", SHARE_COREOS = ""] = SHARED_FILES;

function read({ flags = {}, env = {}, files = {}, program = "locksmithd" }: Given): Settings {
  return readSettings({
    flags: new Map(Object.entries(flags)),
    env,
    program,
    readFile(path) {
      const file = files[path];
      return typeof file === "string" ? new TextEncoder().encode(file) : file;
    },
    // in no order, as folders are
    readFolder: (path) =>
      Object.keys(files).filter((file) => file.startsWith(`${path}/`)).map((file) =>
        file.slice(path.length + 1)
      )
        .reverse(),
  });
}

/** The texts of one setting and where they come from; nothing is wrong with any other. */
function setting(name: string, given: Given): [readonly string[], string] | undefined {
  const { values, faults, warnings } = read(given);
  assertEquals([faults, warnings], [[], []]);
  const found = values.get(name);
  return found === undefined ? undefined : [found.texts, found.origin];
}

/** What is told of a file of our own, and of update.conf, with this text; without the place. */
function warnings(text: string): { own: string[]; shared: string[] } {
  const told = (path: string) =>
    read({ files: { [path]: text } }).warnings.map((warning) => warning.replace(`${path}:`, ""));
  return { own: told(OWN_FILE), shared: told(FLATCAR) };
}

Deno.test("readSettings() prefers the flag, then the environment, then our own files, then update.conf in /etc and in /usr/share", () => {
  const places: [Given, [string[], string]][] = [
    [{ flags: { group: { texts: ["flag"], origin: "--group" } } }, [["flag"], "--group"]],
    [{ env: { LOCKSMITHD_GROUP: "env" } }, [["env"], "LOCKSMITHD_GROUP"]],
    [{ files: { [`${OWN_FOLDER}/b.conf`]: "LOCKSMITHD_GROUP=b" } }, [["b"], `${OWN_FOLDER}/b.conf:1`]],
    [{ files: { [`${OWN_FOLDER}/a.conf`]: "LOCKSMITHD_GROUP=a" } }, [["a"], `${OWN_FOLDER}/a.conf:1`]],
    [{ files: { [OWN_FILE]: "#\nLOCKSMITHD_GROUP=own\n" } }, [["own"], `${OWN_FILE}:2`]],
    [{ files: { [FLATCAR]: "LOCKSMITHD_GROUP=f\n" } }, [["f"], "/etc/flatcar/update.conf:1"]],
    [{ files: { [COREOS]: "\nLOCKSMITHD_GROUP=c\n" } }, [["c"], "/etc/coreos/update.conf:2"]],
    [{ files: { [SHARE_FLATCAR]: "LOCKSMITHD_GROUP=sf" } }, [["sf"], "/usr/share/flatcar/update.conf:1"]],
    [{ files: { [SHARE_COREOS]: "LOCKSMITHD_GROUP=sc" } }, [["sc"], "/usr/share/coreos/update.conf:1"]],
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

Deno.test("readSettings() takes the files of locksmith.conf.d by name, the later wins, whatever is no *.conf is none", () => {
  const files = {
    [OWN_FILE]: "LOCKSMITHD_GROUP=main\nLOCKSMITHD_ZONE=UTC\n",
    [`${OWN_FOLDER}/10-group.conf`]: "LOCKSMITHD_GROUP=ten\n",
    [`${OWN_FOLDER}/20-group.conf`]: "LOCKSMITHD_GROUP=twenty\n",
    [`${OWN_FOLDER}/99-group.conf.bak`]: "LOCKSMITHD_GROUP=backup\n",
    [`${OWN_FOLDER}/.99-group.conf`]: "LOCKSMITHD_GROUP=hidden\n",
  };
  assertEquals(setting("group", { files }), [["twenty"], `${OWN_FOLDER}/20-group.conf:1`]);
  assertEquals(setting("zone", { files }), [["UTC"], `${OWN_FILE}:2`]);
  // an empty value takes back what stands before it, and what is weaker counts
  const emptied = {
    ...files,
    [`${OWN_FOLDER}/30.conf`]: "LOCKSMITHD_GROUP=\n",
    [COREOS]: "LOCKSMITHD_GROUP=c\n",
  };
  assertEquals(setting("group", { files: emptied }), [["c"], "/etc/coreos/update.conf:1"]);
});

Deno.test("readSettings() lets the endpoint of the environment stand alone (fault 9 of the old locksmith: it came beside the default ones)", () => {
  const given: Given = { env: { LOCKSMITHCTL_ENDPOINT: "https://etcd1:2379" }, program: "locksmithctl" };
  assertEquals(setting("endpoint", given), [["https://etcd1:2379"], "LOCKSMITHCTL_ENDPOINT"]);
  // a flag in its turn replaces the environment's
  const flag = { texts: ["http://a:1", "http://b:1"], origin: "--endpoint" };
  assertEquals(setting("endpoint", { ...given, flags: { endpoint: flag } }), [
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
  assertEquals(variableNames("json", "locksmithd"), []);
  const files = { [COREOS]: 'REBOOT_STRATEGY="off"' };
  assertEquals(setting("reboot-strategy", { files }), [["off"], "/etc/coreos/update.conf:1"]);
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
  assertEquals(setting("group", { files: { [FLATCAR]: "LOCKSMITHD_GROUP=" } }), undefined);
});

Deno.test("readSettings() reads every file below the root directory, which is named by a flag or in the environment", () => {
  for (const file of [OWN_FILE, `${OWN_FOLDER}/x.conf`, FLATCAR]) {
    const files = { [`/host${file}`]: "REBOOT_STRATEGY=off", [file]: "REBOOT_STRATEGY=reboot" };
    const given = [
      { flags: { root: { texts: ["/host/"], origin: "--root" } } },
      { env: { LOCKSMITHD_ROOT: "/host" } },
    ];
    for (const place of given) {
      assertEquals(setting("reboot-strategy", { ...place, files }), [["off"], `/host${file}:1`]);
    }
  }
  assertEquals([below("/", "/etc/x"), below("/a//", "/etc/x")], ["/etc/x", "/a/etc/x"]);
  const { values, warnings } = read({ files: { [OWN_FILE]: "LOCKSMITHD_ROOT=/host\n" } });
  assertEquals(values.has("root"), false);
  assertEquals(warnings, [
    `${OWN_FILE}:1: LOCKSMITHD_ROOT has no effect in a file, set it in the environment`,
  ]);
});

Deno.test("readSettings() tells of a file that cannot be read or is no UTF-8 text, and reads on", () => {
  const { values, faults, hints } = readSettings({
    flags: new Map(),
    env: {},
    program: "locksmithd",
    readFile(path) {
      if (path === FLATCAR) throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
      if (path === COREOS) return new Uint8Array([0xff, 0xfe, 0x41, 0x00]);
      return path === SHARE_COREOS ? new TextEncoder().encode("LOCKSMITHD_GROUP=web\n") : undefined;
    },
    readFolder() {
      throw Object.assign(new Error("Input/output error (os error 5)"), { code: "EIO" });
    },
  });
  assertEquals(faults, [
    "cannot read /etc/locksmith/locksmith.conf.d: input/output error",
    "cannot read /etc/flatcar/update.conf: permission denied",
    "cannot read /etc/coreos/update.conf: it is UTF-16; save it as UTF-8",
  ]);
  assertEquals(hints, [
    "run this with sudo, or, if no password is in it, let everybody read it: chmod a+rX /etc/flatcar/update.conf",
  ]);
  assertEquals(values.get("group")?.texts, ["web"]);
});

Deno.test("readSettings() marks a value of ours whose quote is not closed, or that is not UTF-8", () => {
  const latin1 = new Uint8Array([...new TextEncoder().encode("# a\nLOCKSMITHD_GROUP=b"), 0xe9, 0x0a]);
  assertEquals(read({ files: { [OWN_FILE]: latin1 } }).values.get("group")?.fault, "the value is not UTF-8");
  const open = read({ files: { [FLATCAR]: 'REBOOT_STRATEGY="off\nLOCKSMITHD_GROUP=web\n' } });
  assertEquals(open.values.get("reboot-strategy")?.fault, "the quote is not closed");
  assertEquals(open.warnings, [
    `${FLATCAR}:1: LOCKSMITHD_GROUP has no effect inside the value of REBOOT_STRATEGY, whose quote is not closed`,
  ]);
});

Deno.test("readSettings() warns of a misspelt variable, in the environment and in every file", () => {
  assertEquals(
    read({ env: { LOCKSMITHD_GROPU: "web", LOCKSMITHCTL_FOO: "1", LOCKSMITH_CACHE_DIR: "/x" } }).warnings,
    [
      "LOCKSMITHD_GROPU is not a setting and has no effect, did you mean 'LOCKSMITHD_GROUP'?",
      "LOCKSMITHCTL_FOO is not a setting and has no effect",
    ],
  );
  const misspelt = [
    "1: LOCKSMITHD_GROPU is not a setting and has no effect, did you mean 'LOCKSMITHD_GROUP'?",
  ];
  assertEquals(warnings("LOCKSMITHD_GROPU=web"), { own: misspelt, shared: misspelt });
  const plain = ["1: REBOOT_STRATEGI is not a setting and has no effect, did you mean 'REBOOT_STRATEGY'?"];
  assertEquals(warnings("REBOOT_STRATEGI=off"), { own: plain, shared: plain });
});

Deno.test("readSettings() warns of every other line of our own file, and leaves those of an updater alone", () => {
  assertEquals(warnings("# ours\nGROUP=web\nFOO=1\nwords\n"), {
    own: [
      "2: GROUP is not a setting and has no effect, did you mean 'LOCKSMITHD_GROUP'?",
      "3: FOO is not a setting and has no effect",
      "4: this line is not an assignment and has no effect, write KEY=value",
    ],
    shared: [],
  });
});

Deno.test("readSettings() warns where one of our keys stands and sets nothing, without a value that may be a password", () => {
  const lines: [string, string][] = [
    ["REBOOT_STRATEGY: off", "this line is not an assignment and has no effect, write REBOOT_STRATEGY=VALUE"],
    [
      "REBOOT_STRATEGY etcd-lock",
      "this line is not an assignment and has no effect, write REBOOT_STRATEGY=VALUE",
    ],
    [
      "LOCKSMITHD_ETCD_PASSWORD: secret",
      "this line is not an assignment and has no effect, write LOCKSMITHD_ETCD_PASSWORD=VALUE",
    ],
  ];
  for (const [line, told] of lines) {
    assertEquals(warnings(`#\n${line}\n`), { own: [`2: ${told}`], shared: [`2: ${told}`] });
  }
  const inside = "1: REBOOT_STRATEGY has no effect inside the value of A, give it a line of its own";
  assertEquals(warnings("A=1; REBOOT_STRATEGY=off").shared, [inside]);
  const open = "1: REBOOT_STRATEGY has no effect inside the value of MOTD, whose quote is not closed";
  assertEquals(warnings("MOTD='it is\nREBOOT_STRATEGY=off\n").shared, [open]);
});

Deno.test("readSettings() reads values as systemd does: blanks around =, to the end of the line, CR alone", () => {
  const cases: [string, string, string][] = [
    ["reboot-strategy", "REBOOT_STRATEGY = off", "off"],
    ["reboot-window-start", "LOCKSMITHD_REBOOT_WINDOW_START=Thu 23:00", "Thu 23:00"],
    ["reboot-command", "LOCKSMITHD_REBOOT_COMMAND=/x/shutdown -r now", "/x/shutdown -r now"],
    ["session-grace", "LOCKSMITHD_SESSION_GRACE=1h 30m", "1h 30m"],
    ["group", "A=b\rLOCKSMITHD_GROUP=web\rC=d\r", "web"],
  ];
  for (const [name, text, value] of cases) {
    assertEquals(read({ files: { [FLATCAR]: text } }).values.get(name)?.texts, [value], text);
  }
});
