/** To what a server holds those who ask: in size, in time and in number. */

import type { Rate } from "./rate.ts";

export interface Limits {
  /** Request line and headers, in bytes. */
  readonly headerBytes: number;
  /** How long headers may take from their first byte, and from the connection on; in milliseconds. */
  readonly headerMs: number;
  /** How long a whole request may take with its body, in milliseconds. */
  readonly requestMs: number;
  /** How long a connection may be idle between two requests, in milliseconds: clients poll every five minutes. */
  readonly idleMs: number;
  /** So many connections at once; more are closed. */
  readonly connections: number;
  /** How long stopping may take, in milliseconds. */
  readonly stopMs: number;
}

export const LIMITS: Limits = {
  headerBytes: 16 * 1024,
  headerMs: 15_000,
  requestMs: 20_000,
  idleMs: 6 * 60_000,
  connections: 20_000,
  stopMs: 5_000,
};

/** How often each may ask. */
export interface Rates {
  /** A credential for one host. */
  readonly host: Rate;
  /** A credential that many hosts share. */
  readonly shared: Rate;
  /** A person's. */
  readonly person: Rate;
  /** An address that shows no credential, or one that does not hold. Whoever shows one that holds is not counted by it. */
  readonly address: Rate;
}

export const RATES: Rates = {
  host: { perSecond: 50, burst: 500 },
  shared: { perSecond: 5_000, burst: 50_000 },
  person: { perSecond: 200, burst: 2_000 },
  address: { perSecond: 20, burst: 200 },
};
