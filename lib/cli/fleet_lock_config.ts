/** What the options of a FleetLock server mean together: which server, as whom, and whether it keeps the slots. */

import { type Composer, FAULTY, type Faulty, present } from "./composer.ts";
import { protocolGroupFault } from "../fleetlock/group_name.ts";
import type { Login } from "../fleetlock/http.ts";
import { quoted } from "../plain_text.ts";
import { chooseStrategy, type StrategyChoice } from "../strategy.ts";
import { reasonOf } from "../system_error.ts";
import type { IdKind } from "./values.ts";

/** A FleetLock server, and how this machine shows who it is there. */
export interface FleetLockConfig {
  /** The base URL, without any secret. */
  readonly url: string;
  readonly id: IdKind;
  readonly login?: Login;
  /** The files of the certificates: they are read when they are needed, since they are renewed. */
  readonly files: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** The server, whether or not it is what the strategy asks: slots may be left there. `undefined`: none is configured. */
export function composeFleetLock({ part, readFile, faults }: Composer): FleetLockConfig | undefined | Faulty {
  const before = faults.length;
  const { value: base, origin } = part("fleet-lock-url");
  const files = ([["ca", "cafile"], ["cert", "certfile"], ["key", "keyfile"]] as const).map(
    ([name, option]) => ({ name, ...part(`fleet-lock-${option}`) }),
  );
  const [user, password, token] = [
    part("fleet-lock-user"),
    part("fleet-lock-password"),
    part("fleet-lock-token"),
  ];
  const others = [user, password, token, ...files].flatMap(({ origin }) =>
    origin === undefined ? [] : [origin]
  );
  if (origin === undefined) {
    faults.push(...others.map((other) => `${other}: has no effect without --fleet-lock-url`));
    return faults.length > before ? FAULTY : undefined;
  }
  for (const [one, other] of PAIRS) {
    const [given, missing] = part(one).origin === undefined ? [other, one] : [one, other];
    if (part(given).origin !== undefined && part(missing).origin === undefined) {
      faults.push(`${part(given).origin}: needs --${missing} too`);
    }
  }
  for (const { value, origin } of files) {
    if (origin === undefined || value === undefined) continue;
    if (base !== undefined && base.url.startsWith("http:")) {
      faults.push(`${origin}: has no effect with an http:// URL, which is not encrypted; use https://`);
    }
    try {
      readFile(value);
    } catch (error) {
      faults.push(`${origin}: cannot read '${value}': ${reasonOf(error)}`);
    }
  }
  const logins = [
    ...(base?.user === undefined ? [] : [origin]),
    ...[user.origin ?? password.origin, token.origin].filter((origin) => origin !== undefined),
  ];
  if (logins.length > 1) faults.push(`${logins.join(", ")}: give one user and password, or one token`);
  const id = part("fleet-lock-id").value;
  if (faults.length > before || base === undefined || id === undefined) return FAULTY;
  return {
    url: base.url,
    id,
    files: present(Object.fromEntries(files.map(({ name, value }) => [name, value]))),
    ...present({ login: loginOf(user.value ?? base.user, password.value ?? base.password, token.value) }),
  };
}

function loginOf(
  user: string | undefined,
  password: string | undefined,
  token: string | undefined,
): Login | undefined {
  if (token !== undefined) return { kind: "token", token };
  return user === undefined || password === undefined ? undefined : { kind: "password", user, password };
}

/** Neither is of use without the other. */
const PAIRS = [
  ["fleet-lock-certfile", "fleet-lock-keyfile"],
  ["fleet-lock-user", "fleet-lock-password"],
] as const;

/** The strategy by what is configured; `ambiguity`: what has to be configured before there is one. */
export function choose(
  part: Composer["part"],
): { choice: StrategyChoice | undefined; fleetLock: string | undefined; ambiguity?: string } {
  const { value: strategy, origin } = part("reboot-strategy");
  const configured = strategy === undefined || origin === undefined ? undefined : { strategy, origin };
  const [endpoint, fleetLock] = [part("endpoint").origin, part("fleet-lock-url").origin];
  const choice = chooseStrategy(configured, { endpoint, server: fleetLock });
  if (choice !== undefined || endpoint === undefined || fleetLock === undefined) return { choice, fleetLock };
  const ambiguity =
    `${endpoint}, ${fleetLock}: an endpoint and a server are configured; say which keeps the slots with ` +
    "--reboot-strategy: etcd-lock or fleet-lock";
  return { choice, fleetLock, ambiguity };
}

/** Whether the slots are those of the server. */
export function composeUnderFleetLock({ part, faults }: Composer): boolean | Faulty {
  const { choice, fleetLock, ambiguity } = choose(part);
  if (ambiguity !== undefined) {
    faults.push(ambiguity);
    return FAULTY;
  }
  if (fleetLock === undefined || choice?.strategy !== "fleet-lock") return false;
  const group = part("group");
  const fault = group.value === undefined ? undefined : protocolGroupFault(group.value);
  if (fault === undefined) return true;
  faults.push(`${group.origin ?? "the default group"}: ${quoted(group.value ?? "")}: ${fault}`);
  return FAULTY;
}
