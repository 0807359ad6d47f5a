/** Why a connection to a server failed for the sake of a certificate, in words. The TLS layer names hardly any reason. */

import type { PeerCertificate } from "node:tls";

/** PEM texts: whom to trust in place of those that the runtime knows, and what to show. */
export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface TlsFault {
  readonly why: string;
  readonly hint: string;
}

/** How long the certificate of a server is waited for that was not accepted, in milliseconds. */
const LOOK_MS = 2_000;

/** What is wrong with a certificate, or `undefined` where that is not why the connection failed. */
export async function tlsFault(
  error: Error & { readonly code?: string; readonly cert?: { readonly subjectaltname?: string } },
  url: URL,
  { ca, cert }: TlsFiles,
): Promise<TlsFault | undefined> {
  const { code = "", message } = error;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const names = error.cert?.subjectaltname?.replaceAll("IP Address:", "IP:") || "it names none";
    return {
      why: `its certificate is for another name or address (${names})`,
      hint: "use a name or an address that is in the certificate",
    };
  }
  if (/^(UNABLE_|CERT_|SELF_SIGNED|DEPTH_ZERO|INVALID_PURPOSE)/.test(code)) {
    return outOfDate(await certificateOf(url)) ?? (ca === undefined
      ? {
        why: "its certificate is not signed by a CA that this machine trusts",
        hint: "name the CA of the server with --fleet-lock-cafile",
      }
      : {
        why: "its certificate is not signed by the CA in --fleet-lock-cafile",
        hint: "name the CA that signed the server's certificate",
      });
  }
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") {
    return { why: "what answers does not speak TLS", hint: "is it http://?" };
  }
  if (/ALERT_|alert: /.test(code + message)) {
    return cert === undefined
      ? {
        why: "it requires a client certificate",
        hint: "give --fleet-lock-certfile and --fleet-lock-keyfile",
      }
      : {
        why: "it refuses the client certificate",
        hint: "check --fleet-lock-certfile: is it valid, and signed by the CA that the server trusts?",
      };
  }
  return code === "ERR_SSL_UNSUPPORTED_PROTOCOL" && cert !== undefined
    ? {
      why: "the client certificate cannot be used",
      hint: "does --fleet-lock-keyfile belong to --fleet-lock-certfile?",
    }
    : undefined;
}

function outOfDate({ valid_from, valid_to }: Partial<PeerCertificate>): TlsFault | undefined {
  const [from, to] = [Date.parse(valid_from ?? ""), Date.parse(valid_to ?? "")];
  if (to < Date.now()) {
    return {
      why: `its certificate expired on ${instant(to)}`,
      hint: "renew it, or correct the clock of this machine",
    };
  }
  if (from > Date.now()) {
    return {
      why: `its certificate is not valid before ${instant(from)}`,
      hint: "is the clock of this machine right?",
    };
  }
  return undefined;
}

/** What a server shows to whoever asks, trusted or not; nothing is sent to it. */
async function certificateOf({ hostname, port }: URL): Promise<Partial<PeerCertificate>> {
  const { connect } = await import("node:tls");
  const { promise, resolve } = Promise.withResolvers<Partial<PeerCertificate>>();
  const host = hostname.replace(/^\[|\]$/g, "");
  const socket = connect({ host, port: port === "" ? 443 : Number(port), rejectUnauthorized: false });
  const timer = setTimeout(() => resolve({}), LOOK_MS);
  socket.once("secureConnect", () => resolve(socket.getPeerCertificate()));
  socket.once("error", () => resolve({}));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

function instant(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
