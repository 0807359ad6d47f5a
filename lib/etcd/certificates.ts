/**
 * The certificates of a connection: read again for each new one, since a daemon outlives them, and looked at when a
 * connection fails for their sake. The TLS layer hardly says why it does not like a certificate: that of the server is
 * asked of the runtime's other TLS client, which names the reason, and our own is looked at here.
 */

import type { Certificates } from "./connection.ts";
import { type PemLabel, readPem } from "../pem.ts";
import { StoreError } from "../store.ts";

/** The files, as bytes. */
export interface CertificateFiles {
  /** CAs that may have signed the certificate of etcd, PEM, in place of those that the runtime knows. */
  readonly ca?: Uint8Array;
  /** The client certificate, PEM; together with `key`. */
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
}

/** A connection was not made for the sake of a certificate. The message says why, with the server as its subject. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";
  constructor(why: string, readonly hint: string, options?: ErrorOptions) {
    super(why, options);
  }
}

/** What can be wrong with the certificate of the server or of this client, and what to do; `$` stands for a detail. */
const FAULTS = {
  unknown: [
    "its certificate is not signed by a CA that this machine trusts",
    "name etcd's CA with --etcd-cafile",
  ],
  untrusted: [
    "its certificate is not signed by the CA in --etcd-cafile",
    "name the CA that signed etcd's certificate",
  ],
  expired: ["its certificate expired on $", "renew it, or correct the clock of this machine"],
  early: ["its certificate is not valid before $", "is the clock of this machine right?"],
  purpose: [
    "its certificate is not a server certificate (extended key usage)",
    "give etcd a certificate with serverAuth",
  ],
  name: [
    "its certificate is for another name or address ($)",
    "use a name or an address that is in the certificate",
  ],
  "client missing": ["it requires a client certificate", "give --etcd-certfile and --etcd-keyfile"],
  "client refused": [
    "it refuses the client certificate",
    "check --etcd-certfile: is it signed by the CA that etcd trusts?",
  ],
  "client expired": [
    "the client certificate expired on $",
    "renew --etcd-certfile, or correct the clock of this machine",
  ],
  "client early": ["the client certificate is not valid before $", "is the clock of this machine right?"],
  "client purpose": [
    "the client certificate is not valid for clients (extended key usage)",
    "use a certificate with clientAuth for --etcd-certfile",
  ],
  "client key": [
    "the key does not belong to the client certificate",
    "check --etcd-certfile and --etcd-keyfile",
  ],
  "client unreadable": [
    "the client certificate or its key cannot be read",
    "check --etcd-certfile and --etcd-keyfile",
  ],
} as const;

type Fault = keyof typeof FAULTS;

/** The certificates as they are at the moment. */
export class CurrentCertificates {
  #current: Certificates;
  #fresh = true;

  /**
   * @param files as they were read already
   * @param reload reads them again; one that throws leaves what was there
   * @throws {StoreError} when they cannot be used
   */
  constructor(files: CertificateFiles, private readonly reload: (() => CertificateFiles) | undefined) {
    this.#current = checked(files);
  }

  /** For the next connection. Files that are just being replaced leave those that were there. */
  read(): Certificates {
    if (!this.#fresh && this.reload) {
      try {
        this.#current = checked(this.reload());
      } catch {
        // the next connection looks again
      }
    }
    this.#fresh = false;
    return this.#current;
  }
}

/** The TLS layer passes over what it cannot read, and fails later for a reason that misleads. */
function checked({ ca, cert, key }: CertificateFiles): Certificates {
  const text = (what: string, bytes: Uint8Array | undefined, label: PemLabel) => {
    if (bytes === undefined) return undefined;
    const pem = readPem(bytes, label);
    if ("text" in pem) return pem.text;
    throw new StoreError("tls", `cannot use the ${what} for etcd: ${pem.fault}`, pem.hint);
  };
  const texts = {
    ca: text("CA", ca, "CERTIFICATE"),
    cert: text("client certificate", cert, "CERTIFICATE"),
    key: text("key of the client certificate", key, "PRIVATE KEY"),
  };
  return {
    ...texts.ca === undefined ? {} : { ca: texts.ca },
    ...texts.cert === undefined || texts.key === undefined ? {} : { cert: texts.cert, key: texts.key },
  };
}

/**
 * What is wrong with a certificate, where that is why a connection could not be made; else the error as it is.
 *
 * @param url the server that it was to lead to
 */
export async function certificateFault(
  error: Error & { readonly code?: string; readonly cert?: { readonly subjectaltname?: string } },
  url: string,
  certificates: Certificates,
): Promise<Error> {
  const fault = (name: Fault, detail = "") => {
    const [why, hint] = FAULTS[name];
    return new CertificateError(why.replace("$", detail), hint, { cause: error });
  };
  const { code = "", message } = error;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return fault("name", error.cert?.subjectaltname?.replaceAll("IP Address:", "IP:") || "it names none");
  }
  if (/^(UNABLE_|CERT_|SELF_SIGNED|DEPTH_ZERO|INVALID_PURPOSE)/.test(code)) {
    const reason = await whyUntrusted(url, certificates.ca);
    const date = instant(1000 * Number(/not valid (?:after|before) (\d+)/.exec(reason)?.[1] ?? 0));
    if (/certificate expired/.test(reason)) return fault("expired", date);
    if (/not valid yet/.test(reason)) return fault("early", date);
    if (/extended key usage/.test(reason)) return fault("purpose");
    return fault(certificates.ca === undefined ? "unknown" : "untrusted");
  }
  const refused = /alert: \w*(Certificate|UnknownCA|DecryptError|AccessDenied)/.test(message);
  if (refused && certificates.cert === undefined) return fault("client missing");
  if (!refused && code !== "ERR_SSL_UNSUPPORTED_PROTOCOL") return error;
  const [own, detail] = await ownFault(certificates);
  return own === "client refused" && !refused ? error : fault(own, detail);
}

/** How long the reason is waited for, in milliseconds. */
const REASON_MS = 2_000;

/** Asks again, in vain: for the words. */
async function whyUntrusted(url: string, ca: string | undefined): Promise<string> {
  const { hostname, port } = new URL(url);
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    using connection = await Deno.connectTls({
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port),
      ...ca === undefined ? {} : { caCerts: [ca] },
      alpnProtocols: ["h2"],
    });
    timer = setTimeout(() => connection.close(), REASON_MS);
    await connection.handshake();
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
  }
}

/** What is wrong with our certificate, as far as it shows here; `client refused` where it does not. */
async function ownFault({ cert = "", key = "" }: Certificates): Promise<[Fault, detail?: string]> {
  const { createPrivateKey, X509Certificate } = await import("node:crypto");
  try {
    const own = new X509Certificate(cert);
    const [from, to] = [Date.parse(own.validFrom), Date.parse(own.validTo)];
    if (to < Date.now()) return ["client expired", instant(to)];
    if (from > Date.now()) return ["client early", instant(from)];
    // object identifiers in DER: there is an extended key usage, and neither clientAuth nor any
    const der = new Uint8Array(own.raw).toHex();
    const has = (identifier: string) => der.includes(identifier);
    if (has("0603551d25") && !has("06082b06010505070302") && !has("0604551d2500")) return ["client purpose"];
    return [own.checkPrivateKey(createPrivateKey(key)) ? "client refused" : "client key"];
  } catch {
    return ["client unreadable"];
  }
}

function instant(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
