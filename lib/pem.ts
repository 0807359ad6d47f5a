/**
 * Certificates and keys as PEM texts: whether a file holds what it should, since TLS libraries pass over what they cannot
 * read, and fail later for a reason that misleads. Pure.
 */

/** What a file is to hold. A private key of any kind will do. */
export type PemLabel = "CERTIFICATE" | "PRIVATE KEY";

/** The text of a file, or what is wrong with it, fit to follow a colon, and maybe what to do. */
export function readPem(
  bytes: Uint8Array,
  label: PemLabel,
): { readonly text: string } | { readonly fault: string; readonly hint?: string } {
  const text = new TextDecoder().decode(bytes);
  if (isEncrypted(text)) {
    return {
      fault: "it is encrypted, and nobody can be asked for its passphrase",
      hint: "decrypt it: `openssl pkey -in KEY -out NEW-KEY`, and make the file readable by its owner only",
    };
  }
  if (new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(text)) return { text };
  return { fault: `the file has no ${label} in PEM format` };
}

/** Whether a key can only be used with a passphrase. */
export function isEncrypted(text: string): boolean {
  return /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text);
}
