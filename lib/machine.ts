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
