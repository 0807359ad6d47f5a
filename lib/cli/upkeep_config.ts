/** What the options of `simulate` say together of what the machines do besides rebooting. */

import { type Composer, FAULTY, type Faulty } from "./composer.ts";
import type { Upkeep } from "../simulation/plan.ts";

/** What the machines do before and after their reboots; `undefined`: nothing. Windows have room for what each may take. */
export function composeUpkeep({ part }: Composer): Upkeep | undefined | Faulty {
  const [hooksMs, checksMs, soakMs] = [part("hook-time").value, part("check-time").value, part("soak").value];
  const [heldOffShare, unhealthyShare] = [part("check-fails").value, part("unhealthy").value];
  const [hookTimeoutMs, checkTimeoutMs] = [part("hook-timeout").value, part("check-timeout").value];
  const recover = part("recover-after");
  if (
    hooksMs === undefined || checksMs === undefined || soakMs === undefined || heldOffShare === undefined ||
    unhealthyShare === undefined || hookTimeoutMs === undefined || checkTimeoutMs === undefined ||
    (recover.value === undefined && recover.origin !== undefined)
  ) return FAULTY;
  const hasChecks = checksMs + heldOffShare + unhealthyShare > 0;
  if (hooksMs === 0 && soakMs === 0 && !hasChecks) return undefined;
  return {
    hooksMs,
    hooksLimitMs: hooksMs === 0 ? 0 : Math.max(hooksMs, hookTimeoutMs),
    checksMs,
    checksLimitMs: hasChecks ? Math.max(checksMs, checkTimeoutMs) : 0,
    soakMs,
    heldOffShare,
    unhealthyShare,
    recoverMs: recover.value ?? Infinity,
  };
}
