/** A machine: what names it, what tells one boot of it from another, and what people call it. */

/** This machine. */
export interface Machine {
  /** 32 lowercase hexadecimal digits, machine-id(5). */
  readonly id: string;
  /** New after every boot, kexec and soft reboot: the kernel's random UUID, and `+N` behind it after N soft reboots. */
  readonly bootId: string;
  /** The host name, for people. */
  readonly hostname: string;
  /** The grants that this machine remembers across its boots; `undefined`: it has no memory. */
  readonly grants?: ReadonlySet<string>;
}

/** The part of a boot's identity that a soft reboot keeps: the kernel's. */
export function kernelBoot(bootId: string): string {
  return bootId.replace(/\+.*$/, "");
}

/** So many digits of a machine id are shown beside a host name. */
const SHOWN_DIGITS = 8;

/**
 * How a machine is named to people: the host first, then the beginning of its id, `web1 (bcbd63b7\u2026)`. A machine whose
 * host nobody recorded is named by its whole id, and so is a holder that somebody named by hand.
 */
export function machineName(id: string, host: string | undefined): string {
  if (host === undefined || host === "" || host === id) return id;
  const digits = /^[0-9a-f]{32}$/.test(id) ? `${id.slice(0, SHOWN_DIGITS)}\u2026` : id;
  return `${host} (${digits})`;
}
