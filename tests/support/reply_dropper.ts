/**
 * A TCP proxy on the loopback that catches one request of a client to etcd: the next whose text fits, as it stands in the
 * frames of HTTP/2 (a transaction carries its keys and values there as they are; a connection with TLS shows nothing).
 *
 * Of a connection with a request that was caught nothing comes back to the client any more. The test then looks, by another
 * way, what became of it in etcd, and breaks the connection when it has seen enough: this is how a reply is lost.
 */

/** What becomes of a request that is caught. */
export type Fate =
  /** It goes through, and its reply is withheld. */
  | "withhold the reply"
  /** It stays here until it is forwarded. */
  | "hold the request";

/** A request that is to be caught. */
export interface Catch {
  /** Resolves when it was caught, and went through if it was to. */
  readonly caught: Promise<void>;
  /** Resolves when etcd answered something after that. */
  readonly answered: Promise<void>;
  /** Sends what was held to etcd. */
  forward(): Promise<void>;
  /** Breaks the connection that it came by. */
  cut(): void;
}

/** Text of a connection that is kept, so that what arrives in two parts is seen as well. */
const KEPT_CHARACTERS = 4096;
/** How long anything that a test waits for may take. */
const DEADLINE_MS = 120_000;

export class ReplyDropper implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #target: { readonly hostname: string; readonly port: number };
  readonly #open = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;
  #wanted: Trap[] = [];
  #closed = false;

  /** Stands before the server at `endpoint`, `http://host:port`. */
  constructor(endpoint: string) {
    const { hostname, port } = new URL(endpoint);
    this.#target = { hostname, port: Number(port) };
    this.#serving = this.#serve();
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Waits for the next request that fits. Each catches one. */
  catch(pattern: RegExp, fate: Fate = "withhold the reply"): Catch {
    const trap = new Trap(pattern, fate);
    this.#wanted.push(trap);
    return trap;
  }

  /** Breaks every connection and takes no new one. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) this.#listener.close();
    this.#closed = true;
    for (const connection of this.#open) this.#drop(connection);
    await this.#serving;
  }

  async #serve(): Promise<void> {
    for await (const client of this.#listener) {
      this.#open.add(client);
      const server = await Deno.connect(this.#target).catch(() => null);
      if (server === null) {
        this.#drop(client);
        continue;
      }
      server.setNoDelay();
      client.setNoDelay();
      this.#open.add(server);
      new Line(client, server, (text) => this.#trap(text), (end) => this.#drop(end)).run();
    }
  }

  #trap(text: string): Trap | undefined {
    const trap = this.#wanted.find(({ pattern }) => pattern.test(text));
    this.#wanted = this.#wanted.filter((other) => other !== trap);
    return trap;
  }

  #drop(connection: Deno.Conn): void {
    if (!this.#open.delete(connection)) return;
    try {
      connection.close();
    } catch (error) {
      // the other side closed it
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

class Trap implements Catch {
  readonly caught: Promise<void>;
  readonly answered: Promise<void>;
  cut: () => void = () => {};
  readonly #caught = Promise.withResolvers<void>();
  readonly #answered = Promise.withResolvers<void>();
  #forward: () => Promise<void> = () =>
    Promise.reject(new Error("nothing was caught that could be forwarded"));

  constructor(readonly pattern: RegExp, private readonly fate: Fate) {
    this.caught = inTime(this.#caught.promise, `no request came that fits ${pattern}`);
    this.answered = inTime(this.#answered.promise, `no answer came to the request that fits ${pattern}`);
  }

  /** A connection brought the request. */
  async spring(forward: () => Promise<void>, cut: () => void): Promise<void> {
    this.cut = cut;
    if (this.fate === "withhold the reply") await forward();
    else this.#forward = forward;
    this.#caught.resolve();
  }

  answer(): void {
    this.#answered.resolve();
  }

  forward(): Promise<void> {
    return this.#forward();
  }
}

/** One connection of a client, and the one to the server that belongs to it. */
class Line {
  #text = "";
  #trap: Trap | undefined;

  constructor(
    private readonly client: Deno.Conn,
    private readonly server: Deno.Conn,
    private readonly find: (text: string) => Trap | undefined,
    private readonly drop: (connection: Deno.Conn) => void,
  ) {}

  run(): void {
    this.#pass(this.client, (bytes) => this.#toServer(bytes));
    this.#pass(this.server, (bytes) => this.#toClient(bytes));
  }

  async #pass(from: Deno.Conn, to: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    try {
      for await (const bytes of from.readable) await to(bytes);
    } catch {
      // a connection that breaks is what this is for
    }
    // a server that answers to a held request has a client that may be gone by now, and the other way round
    this.#close();
  }

  #close(): void {
    this.drop(this.client);
    this.drop(this.server);
  }

  async #toServer(bytes: Uint8Array): Promise<void> {
    this.#text = (this.#text + new TextDecoder("latin1").decode(bytes)).slice(-KEPT_CHARACTERS);
    const trap = this.#trap === undefined ? this.find(this.#text) : undefined;
    if (trap === undefined) return await write(this.server, bytes);
    this.#trap = trap;
    await trap.spring(() => write(this.server, bytes), () => this.#close());
  }

  async #toClient(bytes: Uint8Array): Promise<void> {
    if (this.#trap === undefined) await write(this.client, bytes);
    else this.#trap.answer();
  }
}

async function write(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await to.write(rest));
}

/** Rejects when it takes too long; nobody needs to wait for it. */
function inTime(promise: Promise<void>, failure: string): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${failure}, in ${DEADLINE_MS / 1000} s`)), DEADLINE_MS);
  Deno.unrefTimer(timer);
  const first = Promise.race([promise, late]).finally(() => clearTimeout(timer));
  first.catch(() => {});
  return first;
}
