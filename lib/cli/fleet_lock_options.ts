/** The rows of the table of options that are about a FleetLock server: which one, as whom, and how both show who they are. */

import { GROUP_NAME } from "../fleetlock/group_name.ts";
import { type Option, parseText, ValueError } from "./option.ts";
import { quoted } from "../plain_text.ts";
import { parseIdKind, parseServerUrl } from "./values.ts";

const OF_SERVER = { by: ["daemon", "reboot"], variable: "prefixed" } as const;
/** How both show who they are: also to hold a server to the protocol. */
const OF_ACCESS = { by: ["daemon", "reboot", "fleetlock-check"], variable: "prefixed" } as const;

export const FLEET_LOCK_OPTIONS = {
  "fleet-lock-url": {
    value: "URL",
    help: "base URL of the FleetLock server that keeps the slots, for the strategy fleet-lock",
    ...OF_SERVER,
    credential: true,
    sample: "https://lock.example.net",
    parse: parseServerUrl,
    shown: ({ url }) => url,
  },
  "fleet-lock-id": {
    value: "NAME",
    help: "the id of this machine at the server: machine-id, or zincati, the one that Zincati uses",
    ...OF_SERVER,
    fallback: "machine-id",
    sample: "zincati",
    parse: parseIdKind,
  },
  "fleet-lock-user": {
    value: "NAME",
    help: "user at the FleetLock server",
    ...OF_ACCESS,
    credential: true,
    sample: "web1",
    parse: parseText,
  },
  "fleet-lock-password": {
    value: "TEXT",
    help: "password of that user; a file or a systemd credential keeps it out of the process list",
    ...OF_ACCESS,
    secret: true,
    credential: true,
    sample: "secret",
    parse: (text: string) => text,
  },
  "fleet-lock-token": {
    value: "TEXT",
    help: "token for the FleetLock server, in place of user and password",
    ...OF_ACCESS,
    secret: true,
    credential: true,
    sample: "secret",
    parse: parseText,
  },
  "fleet-lock-cafile": {
    value: "FILE",
    help: "trust the FleetLock server whose certificate this CA signed",
    ...OF_ACCESS,
    sample: "/etc/ssl/lock-ca.pem",
    parse: parseText,
  },
  "fleet-lock-certfile": {
    value: "FILE",
    help: "client certificate for the FleetLock server",
    ...OF_ACCESS,
    sample: "/etc/ssl/locksmith.pem",
    parse: parseText,
  },
  "fleet-lock-keyfile": {
    value: "FILE",
    help: "private key of that client certificate",
    ...OF_ACCESS,
    sample: "/etc/ssl/locksmith.key",
    parse: parseText,
  },
} as const satisfies Readonly<Record<string, Option>>;

/** A group as the protocol calls it. */
export function parseTestGroup(text: string): string {
  if (GROUP_NAME.test(text)) return text;
  throw new ValueError(`${quoted(text)}: FleetLock allows only letters, digits, '.' and '-' in a group`);
}
