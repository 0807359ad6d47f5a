/**
 * The certificate and key of a server, and the authorities whose client certificates it believes. The TLS layer takes
 * whatever it is given and fails at the first connection: so they are looked at before.
 */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { isEncrypted } from "../pem.ts";

/** PEM. */
export interface TlsFiles {
  /** The server's certificate, and those between it and the authority. */
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
}

/** They cannot be used; the message says why. */
export class TlsFilesError extends Error {
  override readonly name = "TlsFilesError";
}

/** What `node:tls` is given. Throws {@linkcode TlsFilesError}. */
export function tlsContext({ cert, key, clientCa }: TlsFiles): { cert: string; key: string; ca?: string } {
  if (isEncrypted(key)) {
    throw new TlsFilesError("the key is encrypted, and nobody can be asked for its passphrase");
  }
  const own = readOr(
    "the certificate cannot be read: it must be in PEM format",
    () => new X509Certificate(cert),
  );
  const secret = readOr("the key cannot be read: it must be in PEM format", () => createPrivateKey(key));
  if (!own.checkPrivateKey(secret)) throw new TlsFilesError("the key does not belong to the certificate");
  if (clientCa === undefined) return { cert, key };
  readOr("the client CA cannot be read: it must be in PEM format", () => new X509Certificate(clientCa));
  return { cert, key, ca: clientCa };
}

function readOr<T>(fault: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new TlsFilesError(fault, { cause: error });
  }
}
