/**
 * The protocol fuzzed, over connections of its own: requests of which each part may be wrong, in every way that one can
 * think of, and whole ones among them; several on a connection, in pieces, in a pipeline, cut off.
 *
 * Each group has one sender, so what the server has to answer is known: a slot is granted to a sound request alone, and
 * only while there is one or the host has it; a host that has one is never refused; whatever is not sound is refused with
 * a code of its own, and never with 5xx. In the end the document has the holders that were told so, to the code unit.
 *
 *     deno task fuzz                              1,000,000 requests to a built server
 *     deno task fuzz --requests 50000 --seed 7
 */

import fc from "fast-check";
import { parseArgs } from "@std/cli/parse-args";
import { TestLock } from "../support/daemon_process.ts";
import { TestServer } from "../support/test_server.ts";
import { joined, type Request, soundRequest, type Turn, turns } from "./fuzz_requests.ts";

/** How long an answer may take that nobody waits for, in milliseconds. */
const HANG_MS = 30_000;
const MAX = 3;
const UTF8 = new TextDecoder();
const LATIN1 = new TextDecoder("latin1");
const SENDERS = 8;
/** So many turns are drawn at once, and so often each is taken: to draw one takes longer than to answer it. */
const BATCH = 8;
const ROUNDS = 20;

/** A wrong answer, or none. */
export class Finding extends Error {
  override readonly name = "Finding";
}

/** One sender, with a group of its own. */
class Sender {
  readonly holders = new Set<string>();
  sent = 0;
  granted = 0;
  #connection: Connection | undefined;

  constructor(readonly group: string, private readonly port: number) {}

  async take({ requests, way, end, garbage }: Turn): Promise<void> {
    for (let next = 0; next < requests.length;) {
      const batch = way === "one by one" ? requests.slice(next, next + 1) : requests.slice(next);
      this.#connection ??= await Connection.open(this.port);
      const connection = this.#connection;
      const sending = connection.send(joined(batch.map(({ bytes }) => bytes)), way === "pieces");
      for (const request of batch) {
        const answer = await connection.answer(request.bytes);
        next++;
        this.#judge(request, answer);
        if (answer.ends) {
          // what came after it on this connection was not read
          this.#drop();
          break;
        }
      }
      await sending.catch(() => {});
    }
    await this.#makeRoom();
    if (end === "keep") return;
    this.#connection ??= await Connection.open(this.port);
    if (end === "garbage") await this.#garbage(this.#connection, garbage);
    else if (end === "half") {
      const [{ bytes }] = requests as [Request];
      await this.#connection.send(bytes.subarray(0, Math.floor(bytes.length / 2)), false).catch(() => {});
    }
    this.#drop();
  }

  /** Where all slots are taken one is given back, or those who never ask again would keep them. */
  async #makeRoom(): Promise<void> {
    const [id] = this.holders;
    if (this.holders.size < MAX || id === undefined) return;
    const request = soundRequest(this.group, "steady-state", id);
    this.#connection ??= await Connection.open(this.port);
    await this.#connection.send(request.bytes, false);
    const answer = await this.#connection.answer(request.bytes);
    this.#judge(request, answer);
    if (answer.ends) this.#drop();
  }

  /** A document as it must be. */
  check(holders: readonly string[]): void {
    const [told, found] = [[...this.holders].sort(), [...holders].sort()];
    if (JSON.stringify(told) !== JSON.stringify(found)) {
      throw new Finding(
        `group ${this.group}: told ${JSON.stringify(told)}, and has ${JSON.stringify(found)}`,
      );
    }
  }

  close(): void {
    this.#drop();
  }

  #judge({ bytes, sound, verb, id }: Request, { status, body }: Reply): void {
    this.sent++;
    const wrong = (why: string) => {
      const shown = UTF8.decode(bytes).slice(0, 2_000);
      throw new Finding(`${why}: ${status} ${body}\nto ${JSON.stringify(shown)}`);
    };
    if (status >= 500) wrong("an error of the server");
    if (!sound) {
      if (status < 400 && isHosts(bytes)) wrong("a request that is not sound succeeded");
      return;
    }
    if (verb === "steady-state") {
      if (status !== 200) wrong("a steady-state was refused");
      this.holders.delete(id);
    } else if (status === 200) {
      if (this.holders.size >= MAX && !this.holders.has(id)) wrong("a slot was granted, and none is free");
      this.holders.add(id);
      this.granted++;
    } else {
      const { kind, value } = JSON.parse(body);
      if (this.holders.has(id)) wrong("a holder was refused");
      if (status !== 409 || kind !== "full" || typeof value !== "string" || value === "") {
        wrong("no word of why");
      }
    }
  }

  /** It is answered with a refusal, or the connection ends. */
  async #garbage(connection: Connection, bytes: Uint8Array): Promise<void> {
    await connection.send(bytes, false).catch(() => {});
    await connection.finish().catch(() => {});
    const answers = await connection.rest(bytes);
    if (/^HTTP\/1\.1 [25]/m.test(answers) && (isHosts(bytes) || /^HTTP\/1\.1 5/m.test(answers))) {
      throw new Finding(`garbage was answered: ${answers.slice(0, 300)}\nto ${JSON.stringify([...bytes])}`);
    }
  }

  #drop(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }
}

/** Whether it is for the door for hosts; others may answer what is not of the protocol. */
function isHosts(bytes: Uint8Array): boolean {
  return / \/v1\/(pre-reboot|steady-state)[? ]/.test(LATIN1.decode(bytes.subarray(0, 60)));
}

interface Reply {
  readonly status: number;
  readonly body: string;
  /** The server closes the connection. */
  readonly ends: boolean;
}

/** One connection, read as strictly as a proxy would. */
class Connection {
  #kept: Uint8Array = new Uint8Array();

  private constructor(private readonly socket: Deno.TcpConn) {}

  static async open(port: number): Promise<Connection> {
    return new Connection(await Deno.connect({ port }));
  }

  async send(bytes: Uint8Array, pieces: boolean): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const end = pieces ? at + 1 + Math.floor(bytes.length / 7) : bytes.length;
      at += await this.socket.write(bytes.subarray(at, end));
    }
  }

  finish(): Promise<void> {
    return this.socket.closeWrite();
  }

  /** The next answer. Throws {@linkcode Finding} where there is none. */
  async answer(to: Uint8Array): Promise<Reply> {
    while (true) {
      const head = await this.#until((kept) => endOfHead(kept) >= 0, to);
      const at = endOfHead(head);
      const text = LATIN1.decode(head.subarray(0, at));
      this.#kept = head.subarray(at);
      const [, code] = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n/.exec(text) ?? [];
      if (code === undefined) throw new Finding(`no answer of HTTP: ${JSON.stringify(text)}`);
      const status = Number(code);
      if (status === 100) continue;
      const length = Number(/^content-length: (\d+)\r$/im.exec(text)?.[1] ?? 0);
      const silent = status === 204 || UTF8.decode(to.subarray(0, 5)) === "HEAD ";
      if (/^transfer-encoding:/im.test(text)) throw new Finding(`a stream in answer to FleetLock: ${text}`);
      const size = silent ? 0 : length;
      const kept = await this.#until((kept) => kept.length >= size, to);
      this.#kept = kept.subarray(size);
      return {
        status,
        body: UTF8.decode(kept.subarray(0, size)),
        ends: /^connection: close\r$/im.test(text),
      };
    }
  }

  /** Everything until the server closes the connection. */
  async rest(to: Uint8Array): Promise<string> {
    await this.#until(() => false, to).catch((error) => {
      if (!(error instanceof Closed)) throw error;
    });
    return UTF8.decode(this.#kept);
  }

  close(): void {
    try {
      this.socket.close();
    } catch {
      // it is closed
    }
  }

  async #until(enough: (kept: Uint8Array) => boolean, to: Uint8Array): Promise<Uint8Array> {
    const chunk = new Uint8Array(16_384);
    while (!enough(this.#kept)) {
      let hangs = false;
      const late = setTimeout(() => {
        hangs = true;
        this.close();
      }, HANG_MS);
      const size = await this.socket.read(chunk).catch(() => null);
      clearTimeout(late);
      const shown = JSON.stringify(UTF8.decode(to).slice(0, 2_000));
      if (hangs) throw new Finding(`no answer within ${HANG_MS} ms to ${shown}`);
      if (size === null) throw new Closed(`the connection ended without an answer to ${shown}`);
      this.#kept = joined([this.#kept, chunk.subarray(0, size)]);
    }
    return this.#kept;
  }
}

class Closed extends Finding {}

/** Where the headers of an answer end, or -1. */
function endOfHead(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(13); at >= 0; at = bytes.indexOf(13, at + 1)) {
    if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at + 4;
  }
  return -1;
}

/** What a run came to. */
export interface FuzzResult {
  readonly sent: number;
  readonly granted: number;
}

/** Sends at least so many requests to a server without tokens. Rejects with a {@linkcode Finding}. */
export async function fuzz(
  server: TestServer,
  { count, seed, progress = () => {} }: {
    readonly count: number;
    readonly seed: number;
    progress?(sent: number): void;
  },
): Promise<FuzzResult> {
  const senders = Array.from(
    { length: SENDERS },
    (_, number) => new Sender(`fuzz-${seed}-${number}`, server.port),
  );
  const total = (of: "sent" | "granted") => senders.reduce((sum, sender) => sum + sender[of], 0);
  await Promise.all(senders.map(async (sender, number) => {
    await using lock = await TestLock.open(server.store, sender.group);
    await lock.setMax(MAX);
    for (let batch = 0; total("sent") < count; batch++) {
      const sample = fc.sample(turns(sender.group), {
        numRuns: BATCH,
        seed: seed * 1_000_003 + batch * SENDERS + number,
      });
      // what a request does depends on what came before it
      for (let round = 0; round < ROUNDS && total("sent") < count; round++) {
        for (const turn of sample) await sender.take(turn);
        progress(total("sent"));
      }
    }
    sender.close();
    sender.check((await lock.read()).holders);
  }));
  return { sent: total("sent"), granted: total("granted") };
}

async function main(args: readonly string[]): Promise<number> {
  const { requests = "1000000", seed = String(Date.now() % 1_000_000) } = parseArgs(args, {
    string: ["requests", "seed"],
  });
  await using server = await TestServer.make();
  await server.start();
  const began = performance.now();
  const seconds = () => ((performance.now() - began) / 1000).toFixed(0);
  let told = 0;
  const progress = (sent: number) => {
    if (sent - told < 50_000) return;
    told = sent;
    console.log(`${sent} requests in ${seconds()} s`);
  };
  console.log(`seed ${seed}`);
  try {
    const result = await fuzz(server, { count: Number(requests), seed: Number(seed), progress });
    console.log(
      `${result.sent} requests, ${result.granted} of them granted, in ${seconds()} s: nothing found`,
    );
    return 0;
  } catch (error) {
    if (!(error instanceof Finding)) throw error;
    console.error(`${error.message}\n${server.process.text.split("\n").slice(-20).join("\n")}`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
