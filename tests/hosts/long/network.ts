import { assertEquals } from "@std/assert";
import { until } from "../../support/daemon_process.ts";
import { linesOf } from "../command.ts";
import { Fleet } from "../fleet.ts";
import { GATEWAY } from "../network.ts";
import { Person } from "../person.ts";
import { ANOTHER, isInGrace, standsInLine } from "../phases.ts";
import { hostTest, siteOfFile } from "../story.ts";

const site = siteOfFile("network");
const NAME_SERVER = new URL("../name_server.ts", import.meta.url).pathname;
/** A place expires after half a minute, and what failed is tried again within a minute. */
const LIMIT_MS = 150_000;

hostTest("an etcd that comes later than the daemon is waited for, and its slots count", async () => {
  await using fleet = await Fleet.one(await site(), "early");
  const { host, lock } = fleet;
  const { etcd } = await site();
  await lock.lock(ANOTHER);
  await host.losePower();
  await etcd.kill();
  await host.powerOn();
  await host.booted();
  await host.need();
  await host.journal.line(/refused/);
  assertEquals(host.lives.length, 2);
  await etcd.start();
  await until(() => lock.queue(), (machines) => machines.includes(host.id), LIMIT_MS);
  await lock.unlock(ANOTHER);
  await host.lived(3, LIMIT_MS);
  await lock.until(({ holders }) => holders.length === 0);
});

hostTest("a host whose names are not answered at first reboots when they are", async () => {
  const { etcd: { endpoint }, lab } = await site();
  await using fleet = await Fleet.one(await site(), "nameless", {
    settings: { LOCKSMITHD_ENDPOINT: `http://etcd.example.net:${new URL(endpoint).port}` },
    files: { "/etc/resolv.conf": `nameserver ${GATEWAY}\noptions timeout:1 attempts:1\n` },
  });
  const { host } = fleet;
  await host.need();
  await host.journal.line(/etcd\.example\.net.*(resolve|lookup|name)/i);
  assertEquals(host.lives.length, 1);
  await using _server = await nameServer(lab.networkOnly, new URL(endpoint).hostname);
  await host.lived(2, LIMIT_MS);
  await fleet.lock.until(({ holders }) => holders.length === 0);
});

hostTest("a host that has no route to etcd reboots when it has one", async () => {
  await using fleet = await Fleet.one(await site(), "lost");
  const { host, lock } = fleet;
  await host.plug.forgetRoute();
  await host.run("systemctl", "restart", "locksmithd");
  await host.need();
  await host.journal.line(/unreachable|no route/i);
  assertEquals(await lock.queue(), []);
  await host.plug.learnRoute();
  await host.lived(2, LIMIT_MS);
  await lock.until(({ holders }) => holders.length === 0);
});

hostTest("a host that is cut off in line loses its place, and gets in line again", async () => {
  await using fleet = await Fleet.one(await site(), "cut-in-line");
  const { host, lock } = fleet;
  await lock.lock(ANOTHER);
  await host.need();
  await standsInLine(fleet, host);
  await host.plug.pull();
  await until(() => lock.queue(), (machines) => machines.length === 0, LIMIT_MS);
  await lock.unlock(ANOTHER);
  await host.plug.plugIn();
  await host.lived(2, LIMIT_MS);
  await lock.until(({ holders }) => holders.length === 0);
});

hostTest("a host that is cut off in the grace does not reboot before etcd has confirmed it", async () => {
  await using fleet = await Fleet.one(await site(), "cut-in-grace", {
    settings: { LOCKSMITHD_SESSION_GRACE: "3s" },
  });
  const { host, lock } = fleet;
  await Person.logIn(host);
  await host.need();
  await isInGrace(fleet, host);
  await host.plug.pull();
  host.journal.skip();
  await host.journal.line(/confirm/);
  assertEquals(host.lives.length, 1);
  assertEquals((await lock.read()).holders, [host.id]);
  await host.plug.plugIn();
  await host.lived(2, LIMIT_MS);
  await lock.until(({ holders }) => holders.length === 0);
});

/** Answers for every name with `address`, in the network of the laboratory, until it is disposed of. */
async function nameServer(within: readonly string[], address: string): Promise<AsyncDisposable> {
  const [program = "", ...args] = [
    ...within,
    ...[Deno.execPath(), "run", "-A", "--no-check", "--quiet", "--unstable-net"],
    ...[NAME_SERVER, GATEWAY, address],
  ];
  const server = new Deno.Command(program, { args, stdin: "null", stdout: "piped", stderr: "inherit" })
    .spawn();
  const { done } = await linesOf(server.stdout).next();
  if (done) throw new Error("the name server ended before it listened");
  return {
    async [Symbol.asyncDispose]() {
      server.kill("SIGKILL");
      await server.status;
    },
  };
}
