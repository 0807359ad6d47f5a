/** Where a server listens: `127.0.0.1:9053`, `[::]:9053`, `unix:/run/locksmith/serve.sock`. Pure. */

export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Reads an address; `undefined` where it is none. An empty host means every address of this host. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    // what the kernel takes, with the zero at its end: unix(7)
    return path.startsWith("/") && path.length < 108 && !path.includes("\0")
      ? { kind: "unix", path }
      : undefined;
  }
  const [, bracketed, plain = "", digits] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]*)):([0-9]{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  if (bracketed !== undefined && URL.parse(`http://[${bracketed}]/`) === null) return undefined;
  return { kind: "tcp", host: bracketed ?? (plain || "::"), port };
}

export function formatListenAddress(address: ListenAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/** Whether only this host can reach it. */
export function isLocal(address: ListenAddress): boolean {
  if (address.kind === "unix" || address.host === "localhost") return true;
  if (/^127(\.[0-9]{1,3}){3}$/.test(address.host)) return true;
  return URL.parse(`http://[${address.host}]/`)?.hostname === "[::1]";
}
