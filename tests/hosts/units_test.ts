import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { violations } from "../support/chronicle.ts";
import { until } from "../support/daemon_process.ts";
import { capture } from "./command.ts";
import { Fleet } from "./fleet.ts";
import type { Host } from "./host.ts";
import { CONFIGURATION } from "./image.ts";
import { hostTest, siteOfFile } from "./story.ts";

const UNITS = new URL("../../dist/systemd", import.meta.url).pathname;
const WIDER_RULES = {
  "/etc/systemd/system/locksmithd.service.d/reboot-command.conf": await Deno.readTextFile(
    `${UNITS}/reboot-command.conf`,
  ),
};
const LIMIT_MS = 60_000;
/** What may count against each unit; systemd counts in tenths. */
const EXPOSURE_MAX = { "locksmithd": 50, "locksmith-serve": 20 };

const site = siteOfFile("units");

for (const [name, most] of Object.entries(EXPOSURE_MAX)) {
  const unit = `${UNITS}/${name}.service`;

  Deno.test(`${name} is so closed that systemd-analyze counts no more than ${most / 10} against it`, async () => {
    const { code, stdout, stderr } = await security(unit, `--threshold=${most}`);
    assertEquals(code, 0, stdout.split("\n").at(-2) ?? stderr);
  });

  Deno.test(`${name} names whatever it leaves open, and says why`, async () => {
    const { stdout } = await security(unit, "--json=short");
    const assessments: { readonly name: string; readonly set: boolean | null }[] = JSON.parse(stdout);
    const open = assessments.filter(({ set }) => set === false).map(({ name }) => name.replace(/=.*/, "="));
    const lines = (await Deno.readTextFile(unit)).split("\n");
    const comments = lines.filter((line) => line.startsWith("#")).join("\n");
    assertEquals(open.filter((setting) => !comments.includes(setting)), []);
  });
}

function security(unit: string, option: string) {
  return capture(["systemd-analyze", "security", "--offline=true", "--no-pager", option, unit], LIMIT_MS);
}

hostTest("systemctl start fails while the configuration is at fault, and nothing tries again", async () => {
  await using fleet = await Fleet.one(await site(), "faulty", { settings: { REBOOT_STRATEGY: "best" } });
  const { host } = fleet;
  const { code, stderr } = await host.capture("systemctl", "start", "locksmithd");
  assertEquals(code, 1);
  assertMatch(stderr, /^Job for locksmithd\.service failed because the control process exited/);
  assertEquals(await properties(host, "ActiveState", "ExecMainStatus", "NRestarts"), ["failed", "2", "0"]);
  await host.journal.line(/unknown|best/);
  await host.write(CONFIGURATION, (await host.read(CONFIGURATION)).replace("best", "etcd-lock"));
  await host.run("systemctl", "start", "locksmithd");
  assertEquals(await properties(host, "ActiveState"), ["active"]);
});

hostTest("systemctl start succeeds with the strategy off, and the daemon has nothing to do", async () => {
  await using fleet = await Fleet.one(await site(), "off", { settings: { REBOOT_STRATEGY: "off" } });
  const { host } = fleet;
  await host.run("systemctl", "start", "locksmithd");
  // it looks for what this host may still have, before it ends
  const ended = () => properties(host, "Result", "ExecMainStatus", "ActiveState");
  await until(ended, (values) => values.join(" ") === "success 0 inactive");
});

hostTest("the unit stands systemd-analyze verify, alone and with the wider rules", async () => {
  await using fleet = await Fleet.one(await site(), "verified");
  const { host } = fleet;
  const verify = () => host.capture("systemd-analyze", "verify", "--man=yes", "locksmithd.service");
  assertEquals(await verify(), { code: 0, stdout: "", stderr: "" });
  for (const [path, text] of Object.entries(WIDER_RULES)) await host.write(path, text);
  assertEquals(await verify(), { code: 0, stdout: "", stderr: "" });
});

hostTest("under the unit's rules the first run unpacks, and the boot id is the host's own", async () => {
  await using fleet = await Fleet.one(await site(), "closed");
  const { host } = fleet;
  await host.run("sh", "-c", "rm -r /var/cache/locksmith/*");
  await host.run("systemctl", "restart", "locksmithd");
  const asDaemon = (command: string) => host.capture("sh", "-c", `exec nsenter -t $(${PID}) -m ${command}`);
  const { stdout } = await asDaemon("cat /proc/sys/kernel/random/boot_id");
  assertEquals(stdout, `${host.life.boot}\n`);
  for (const place of ["/usr/x", "/etc/x", "/boot/x", "/var/x", "/proc/sys/kernel/domainname", "/sys/x"]) {
    assertMatch((await asDaemon(`touch ${place}`)).stderr, /Read-only file system/);
  }
  const status = await host.run("sh", "-c", `grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/$(${PID})/status`);
  assertEquals(status, "CapBnd:\t0000000000000002\nNoNewPrivs:\t1\nSeccomp:\t2\n");
});

hostTest(
  "the server runs under its unit as a user of its own, and heeds the tokens that root makes",
  async () => {
    const drop = "[Service]\nEnvironment=LOCKSMITHD_ENDPOINT=sqlite:/var/lib/locksmith-serve/locksmith.db\n";
    await using fleet = await Fleet.one(await site(), "server", {
      files: {
        "/etc/systemd/system/locksmith-serve.service": await Deno.readTextFile(
          `${UNITS}/locksmith-serve.service`,
        ),
        "/etc/systemd/system/locksmith-serve.service.d/store.conf": drop,
      },
    });
    const { host } = fleet;
    await host.run("systemctl", "start", "locksmith-serve");
    const add = ["locksmith", "token", "add", "--role", "operator"];
    const [, token] = /^(lsm_\S+)$/m.exec(await host.run(...add)) ?? [];
    const journal = () => host.run("journalctl", "-u", "locksmith-serve", "-o", "cat");
    await until(journal, (lines) => lines.includes("tokens: read again"));
    const ask = (path: string) =>
      host.run(
        "bash",
        "-c",
        `exec 3<>/dev/tcp/127.0.0.1/9053; printf 'GET ${path} HTTP/1.0\\r\\nhost: localhost\\r\\n\\r\\n' >&3; cat <&3`,
      );
    await until(() => ask("/readyz"), (reply) => reply.startsWith("HTTP/1.1 200"));
    assertMatch(token ?? "", /^lsm_/);
    const [user, folder, file] = (await host.run(
      "sh",
      "-c",
      "ps -o uid= -p $(systemctl show -P MainPID locksmith-serve); stat -Lc '%u %a' /var/lib/locksmith-serve /var/lib/locksmith-serve/tokens",
    )).trim().split("\n").map((line) => line.trim());
    assertNotEquals(user, "0");
    assertEquals([folder, file], [`${user} 700`, `${user} 600`]);
    await host.run("systemctl", "stop", "locksmith-serve");
    assertEquals(await host.run("systemctl", "show", "-P", "Result", "locksmith-serve"), "success\n");
  },
);

hostTest("with the wider rules an operator's command chooses the next boot, and reboots", async () => {
  await using fleet = await Fleet.one(await site(), "command", {
    settings: { LOCKSMITHD_REBOOT_COMMAND: "date >/boot/next && systemctl reboot" },
    files: WIDER_RULES,
  });
  await fleet.round();
  assertNotEquals(await fleet.host.read("/boot/next"), "");
  await fleet.chronicle.read();
  assertEquals(violations(fleet.chronicle.snapshots, fleet.reboots), []);
});

hostTest("a daemon that a shutdown stops has nothing to say of a bus that is gone", async () => {
  await using fleet = await Fleet.one(await site(), "quiet");
  const { host } = fleet;
  await fleet.round();
  await host.run("systemctl", "poweroff", "--no-wall");
  await host.off();
  const said = (await host.journal.whole()).filter(({ by }) => by === "locksmithd");
  const boots = host.lives.map(({ boot }) => boot.replaceAll("-", ""));
  for (const boot of boots) {
    const lines = said.filter((line) => line.boot === boot).map(({ text }) => text);
    const stopped = lines.findIndex((text) => text.startsWith("SIGTERM"));
    assert(stopped >= 0, lines.join("\n"));
    assertEquals(lines.slice(stopped + 1).filter((text) => !/^the reboot is accepted/.test(text)), []);
  }
});

/** Prints the id of the daemon's process. */
const PID = "systemctl show -P MainPID locksmithd";

async function properties(host: Host, ...names: string[]): Promise<string[]> {
  const text = await host.run(
    "systemctl",
    "show",
    ...names.map((name) => `--property=${name}`),
    "locksmithd",
  );
  const values = new Map(
    text.trim().split("\n").map((line) => [line.split("=")[0], line.replace(/^\w+=/, "")]),
  );
  return names.map((name) => values.get(name) ?? "");
}
