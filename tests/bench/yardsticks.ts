/**
 * What `locksmith serve` is compared with, each a process of its own that prints its address:
 *
 *     bare [CERT KEY CA]      reads each request and refuses it with the same words: what the runtime's HTTP costs alone
 *     airlock ENDPOINT SLOTS  the logic of airlock, for one group on etcd: reads the semaphore, changes it, and puts it
 *                             if nobody else did meanwhile; says 500 if somebody did, and to everybody when it is full
 */

import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { openEtcd } from "../../lib/etcd/store.ts";
import { leashedDeno } from "../support/child.ts";

const KEY = "com.coreos.airlock/groups/default/v1/semaphore";
const CALL = { timeoutMs: 5_000 };
const REFUSAL = `${
  JSON.stringify({
    kind: "full",
    value: "the only slot of group web is taken: by holder since 14:03Z; place 500 of 1000 in line",
  })
}\n`;

/** A server that was started. */
export interface Yardstick extends AsyncDisposable {
  readonly url: string;
}

/** Starts one of them. */
export async function startYardstick(...words: string[]): Promise<Yardstick> {
  const args = ["run", "-A", "--quiet", new URL(import.meta.url).pathname, ...words];
  const child = leashedDeno(args, { stdin: "null", stdout: "piped", stderr: "inherit" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value: url } = await reader.read();
  if (url === undefined) throw new Error(`${words[0]} did not start`);
  return {
    url: url.trim(),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    },
  };
}

type Answer = readonly [status: number, body: string];

function serve(tls: readonly string[], answer: (path: string, body: string) => Answer | Promise<Answer>) {
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    const reply = ([status, body]: Answer) => {
      response.writeHead(status, ["content-type", "application/json", "content-length", `${body.length}`]);
      response.end(body);
    };
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const answered = answer(request.url ?? "", Buffer.concat(chunks).toString());
      if (answered instanceof Promise) answered.then(reply);
      else reply(answered);
    });
  };
  const [cert, key, ca] = tls.map((path) => Deno.readTextFileSync(path));
  const server = cert !== undefined && key !== undefined && ca !== undefined
    ? createTlsServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, handle)
    : createServer(handle);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    if (address !== null && typeof address !== "string") console.log(`http://127.0.0.1:${address.port}`);
  });
}

function airlock(endpoint: string, slots: number) {
  const store = openEtcd({ endpoints: [endpoint] });
  serve([], async (path, body) => {
    const { id } = JSON.parse(body).client_params;
    const entry = await store.read(KEY, CALL);
    const holders: string[] = entry === null ? [] : JSON.parse(entry.value).holders;
    const takes = path === "/v1/pre-reboot";
    if (holders.includes(id) === takes) return [200, ""];
    if (takes && holders.length >= slots) return [500, failed("all slots are taken")];
    const next = takes ? [...holders, id].sort() : holders.filter((holder) => holder !== id);
    const value = JSON.stringify({ total_slots: slots, holders: next });
    const expect = [{ key: KEY, revision: entry?.revision ?? null }];
    const { kind } = await store.commit({ expect, put: [{ key: KEY, value }] }, CALL);
    return kind === "committed" ? [200, ""] : [500, failed("conflict")];
  });
}

function failed(value: string): string {
  return JSON.stringify({ kind: "failed_lock", value });
}

if (import.meta.main) {
  const [what, ...words] = Deno.args;
  if (what === "airlock") airlock(words[0] ?? "", Number(words[1]));
  else serve(words, (_path, body) => [409, JSON.parse(body).client_params ? REFUSAL : ""]);
}
