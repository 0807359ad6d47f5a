/**
 * How a server is approached: whom to trust, what to show. The files are read again now and then, and after a connection
 * that failed for their sake, since a command that waits outlives its certificate.
 */

import { type PemLabel, readPem } from "../pem.ts";

/** Whom to trust and what to show. */
export interface HttpAccess {
  /** A token of the server, which is sent with each request. */
  readonly token?: string;
  /** CAs that may have signed the certificate of the server, PEM, in place of those that the runtime knows. */
  readonly ca?: Uint8Array;
  /** The client certificate, PEM; together with `key`. */
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
}

/** Files that are of no use; the message says which and why. */
export class UnusableError extends Error {
  override readonly name = "UnusableError";
  constructor(message: string, readonly hint: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** How often the files are looked at, in milliseconds. */
const LOOK_MS = 60_000;

export class CurrentAccess {
  #access: HttpAccess;
  #clients: Clients | undefined;
  #readMs = performance.now();
  /** Those whose answers may still be under way. */
  readonly #former: Clients[] = [];

  /** `reload` reads the files again; one that throws leaves what was there. */
  constructor(access: HttpAccess, private readonly reload: (() => HttpAccess) | undefined) {
    this.#access = access;
  }

  /** What is shown, without any secret of it. */
  get shows(): { readonly token: boolean; readonly ca: boolean; readonly cert: boolean } {
    const { token, ca, cert } = this.#access;
    return { token: token !== undefined, ca: ca !== undefined, cert: cert !== undefined };
  }

  /** For the next request; `once`: one that must not be sent twice. Throws {@linkcode UnusableError}. */
  get(
    once: boolean,
  ): { readonly client: Deno.HttpClient; readonly headers: Readonly<Record<string, string>> } {
    if (this.reload !== undefined && performance.now() - this.#readMs > LOOK_MS) this.#look(this.reload);
    const { token } = this.#access;
    this.#clients ??= newClients(this.#access);
    const client = this.#clients[once ? "once" : "kept"];
    return { client, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } };
  }

  /** What was shown or trusted may be what a request failed for. */
  doubt(): void {
    this.#readMs = -Infinity;
  }

  close(): void {
    for (const { kept, once } of [...this.#former, ...this.#clients === undefined ? [] : [this.#clients]]) {
      kept.close();
      once.close();
    }
  }

  #look(reload: () => HttpAccess): void {
    this.#readMs = performance.now();
    try {
      const access = reload();
      if (isSame(access, this.#access)) return;
      const clients = newClients(access);
      if (this.#clients !== undefined) this.#former.push(this.#clients);
      [this.#access, this.#clients] = [access, clients];
    } catch {
      // files that are just being replaced: the next look finds them whole
    }
  }
}

/**
 * Two ways to one server. The runtime sends a request again, a POST too, when a connection breaks that was kept from an
 * earlier one; what must not be sent twice has a connection of its own.
 */
interface Clients {
  readonly kept: Deno.HttpClient;
  readonly once: Deno.HttpClient;
}

function newClients({ ca, cert, key }: HttpAccess): Clients {
  const text = (what: string, file: string, bytes: Uint8Array | undefined, label: PemLabel) => {
    if (bytes === undefined) return undefined;
    const pem = readPem(bytes, label);
    if ("text" in pem) return pem.text;
    throw new UnusableError(
      `cannot use ${what}: ${pem.fault}`,
      pem.hint ?? `name another file with --server-${file}`,
    );
  };
  const texts = {
    ca: text("the CA", "cafile", ca, "CERTIFICATE"),
    cert: text("the client certificate", "certfile", cert, "CERTIFICATE"),
    key: text("the key of the client certificate", "keyfile", key, "PRIVATE KEY"),
  };
  const options = {
    http2: false,
    ...texts.ca === undefined ? {} : { caCerts: [texts.ca] },
    ...texts.cert === undefined || texts.key === undefined ? {} : { cert: texts.cert, key: texts.key },
  };
  try {
    return {
      kept: Deno.createHttpClient(options),
      once: Deno.createHttpClient({ ...options, poolMaxIdlePerHost: 0 }),
    };
  } catch (cause) {
    throw new UnusableError(
      "cannot use the client certificate: its key does not belong to it, or one of the two cannot be read",
      "check --server-certfile and --server-keyfile",
      { cause },
    );
  }
}

function isSame(a: HttpAccess, b: HttpAccess): boolean {
  const bytes = (["ca", "cert", "key"] as const).every((part) => a[part]?.toString() === b[part]?.toString());
  return bytes && a.token === b.token;
}
