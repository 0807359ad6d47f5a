/**
 * A FleetLock server at the other end of HTTP. Granted and released is exactly 200, so that nothing but the server itself
 * can let a machine reboot. What is an answer and not 200 is a refusal, in the server's own words where it has any.
 */

import { type FleetLockOptions, type HttpResponse, HttpServer } from "./http.ts";
import { HEADER, parseRefusal, PRE_REBOOT, serializeRequest, STEADY_STATE } from "./protocol.ts";
import type { Patience, Refusal, SlotAnswer, SlotRequest, SlotServer } from "../slot_server.ts";

const HEADERS = { [HEADER]: "true", "content-type": "application/json", accept: "application/json" } as const;

export class FleetLockClient implements SlotServer {
  readonly #server: HttpServer;

  constructor(options: FleetLockOptions) {
    this.#server = new HttpServer(options);
  }

  async preReboot(request: SlotRequest, { waitMs, gone }: Patience): Promise<SlotAnswer> {
    const seconds = Math.floor(waitMs / 1000);
    const response = await this.#server.send({
      method: "POST",
      path: PRE_REBOOT,
      headers: { ...HEADERS, ...(seconds > 0 ? { prefer: `wait=${seconds}` } : {}) },
      body: serializeRequest(request),
      gone,
      waitMs: 1000 * seconds,
    });
    return response.status === 200 ? { kind: "granted" } : refusalOf(response);
  }

  async steadyState(request: SlotRequest, { gone }: Pick<Patience, "gone">): Promise<SlotAnswer> {
    const response = await this.#server.send({
      method: "POST",
      path: STEADY_STATE,
      headers: HEADERS,
      body: serializeRequest(request),
      gone,
    });
    return response.status === 200 ? { kind: "released" } : refusalOf(response);
  }
}

function refusalOf({ status, headers, body }: HttpResponse): Refusal {
  const told = parseRefusal(body) ?? byStatus(status, headers.location);
  const hint = HINTS[status];
  const seconds = /^[0-9]{1,6}$/.test(headers["retry-after"] ?? "")
    ? Number(headers["retry-after"])
    : undefined;
  return {
    ...told,
    value: [told.value, ...(hint === undefined ? [] : [hint])].filter((text) => text !== "").join("; "),
    ...(/(?:^|[,;\s])wait\b/i.test(String(headers["preference-applied"] ?? "")) ? { waits: true } : {}),
    ...(seconds === undefined ? {} : { retryMs: 1000 * seconds }),
  };
}

/** What to do about an answer. */
const HINTS: Readonly<Record<number, string>> = {
  401: "check --fleet-lock-token, or the user and the password",
  403: "check --fleet-lock-token, or the user and the password, and --fleet-lock-id",
  404: "is --fleet-lock-url the base URL, without /v1/pre-reboot?",
  405: "is --fleet-lock-url the base URL, without /v1/pre-reboot?",
};

/** What an answer means whose body is none of the protocol. */
function byStatus(status: number, location: string | undefined): Refusal {
  if (status === 429) return { kind: "rate_limited", value: "" };
  if (status === 502 || status === 503 || status === 504) {
    return { kind: "unavailable", value: `a gateway answers ${status}` };
  }
  if (status >= 300 && status < 400) {
    const to = location === undefined ? "" : " to another page";
    return {
      kind: "refused",
      called: `HTTP ${status}`,
      value: `a redirect${to} is no grant and not followed; give the URL of the server itself`,
    };
  }
  const value = status >= 200 && status < 300 ? "only 200 is a grant" : "";
  return { kind: "refused", called: `HTTP ${status}`, value };
}
