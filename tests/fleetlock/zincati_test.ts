/** Zincati (Fedora CoreOS) played against a built server: how it asks, and how it goes on asking. */

import { assert, assertEquals } from "@std/assert";
import { request } from "node:http";
import { zincatiId } from "../../lib/fleetlock/zincati_id.ts";
import { TestLock } from "../support/daemon_process.ts";
import { TestServer } from "../support/test_server.ts";
import { mostAtOnce, type Outage } from "../demo/judge.ts";

const HOSTS = 5;
const MAX = 2;
/** Between two questions; in the field it is five minutes and a bit. */
const POLL_MS = 40;
const REBOOT_MS = 100;

class Zincati {
  readonly asked: string[] = [];

  private constructor(readonly id: string, private readonly base: URL, private readonly group: string) {}

  static async on(machineId: string, base: string, group: string): Promise<Zincati> {
    return new Zincati(await zincatiId(machineId), new URL(base), group);
  }

  /** As reqwest sends it: no content type, and the user and password of the base URL as Basic. */
  ask(verb: "pre-reboot" | "steady-state"): Promise<[number, string]> {
    const { username, password, hostname, port } = this.base;
    const body = JSON.stringify({ client_params: { id: this.id, group: this.group } }, null, 2);
    const headers = {
      "fleet-lock-protocol": "true",
      authorization: `Basic ${btoa(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)}`,
      accept: "*/*",
      "content-length": body.length,
    };
    const path = new URL(`v1/${verb}`, this.base).pathname;
    return new Promise((resolve, reject) => {
      const sent = request({ method: "POST", hostname, port, path, headers }, async (reply) => {
        let text = "";
        for await (const chunk of reply) text += chunk;
        this.asked.push(`${verb} ${reply.statusCode}`);
        resolve([reply.statusCode ?? 0, text]);
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }

  /** Goes on until it is told yes. It takes every 2xx for that. */
  async insist(verb: "pre-reboot" | "steady-state"): Promise<void> {
    for (let polls = 0; polls < 1_000; polls++) {
      const [status] = await this.ask(verb);
      if (status >= 200 && status < 300) return;
      await later(POLL_MS * (1 + 0.1 * Math.random()));
    }
    throw new Error(`${this.id} was never told yes: ${this.asked.slice(-5).join(", ")}`);
  }

  /** Its agent: reports that it is well, finds an update, asks, reboots, and reports again. */
  async update(): Promise<Outage> {
    await this.insist("steady-state");
    await this.insist("pre-reboot");
    const fromMs = Date.now();
    await later(REBOOT_MS);
    const toMs = Date.now();
    await this.insist("steady-state");
    return { machine: this.id, fromMs, toMs };
  }
}

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

Deno.test("hosts that run Zincati roll through the built server by polls, never more than max at once, under the ids that it derives", async () => {
  await using server = await TestServer.make();
  const token = await server.token("add", "--role=host", "--group=workers", "--name=fcos");
  await server.start();
  const base = server.url.replace("//", `//fcos:${encodeURIComponent(token)}@`);
  await using lock = await TestLock.open(server.store, "workers");
  await lock.setMax(MAX);
  const machines = Array.from({ length: HOSTS }, (_, number) => `${number}`.padStart(32, "c"));
  const fleet = await Promise.all(machines.map((id) => Zincati.on(id, `${base}/`, "workers")));
  const [first] = fleet as [Zincati];

  assertEquals(await first.ask("pre-reboot"), [200, ""]);
  assertEquals((await lock.read()).holders, [first.id]);
  assertEquals(await first.ask("steady-state"), [200, ""]);

  const outages = await Promise.all(fleet.map((zincati) => zincati.update()));
  assert(mostAtOnce(outages, []) <= MAX);
  assertEquals((await lock.read()).holders, []);
  assert(fleet.some(({ asked }) => asked.includes("pre-reboot 409")), "nobody had to wait");

  const stranger = await Zincati.on(
    "d".repeat(32),
    `${server.url.replace("//", "//fcos:wrong@")}/`,
    "workers",
  );
  const elsewhere = await Zincati.on("e".repeat(32), base, "control");
  for (
    const [zincati, code, kind] of [[stranger, 401, "unauthenticated"], [
      elsewhere,
      403,
      "forbidden",
    ]] as const
  ) {
    const [status, text] = await zincati.ask("pre-reboot");
    assertEquals([status, JSON.parse(text).kind], [code, kind]);
  }
});
