/**
 * The FleetLock protocol, as it travels: paths, header, bodies and codes. Specified in Zincati's development documents
 * (`fleetlock/protocol.md`): a POST with the header `fleet-lock-protocol: true` and a body of JSON; 200 is success, and every
 * other code comes with `kind` and `value`.
 *
 * Within it, what servers and clients that do not know it ignore: `Prefer: wait=SECONDS` (RFC 7240) on a pre-reboot, and the
 * member `locksmith` beside `client_params`, by which a host tells its name, its boot and why.
 */

import { GROUP_NAME, groupOfName, protocolName } from "./group_name.ts";
import { groupFault } from "../group.ts";
import { holderFault } from "../semaphore.ts";
import { plainLine, plainTextFault, REASON_LENGTH_LIMIT } from "../plain_text.ts";
import { PRIORITY_LIMIT } from "../queue.ts";
import type { Refusal, RefusalKind, SlotAnswer, SlotRequest } from "../slot_server.ts";

export const PRE_REBOOT = "/v1/pre-reboot";
export const STEADY_STATE = "/v1/steady-state";
/** The header that every request must have, with the value `true`. */
export const HEADER = "fleet-lock-protocol";
/** The longest body of a request, in bytes. */
export const BODY_LIMIT = 64 * 1024;
/** The longest wait that a request can prefer, in seconds. */
export const WAIT_LIMIT_S = 25 * 60;
/** The longest host name, boot id. */
const DETAIL_LIMIT = 256;

/** A request that breaks the protocol; the message says how. */
export class ProtocolFault extends Error {
  override readonly name = "ProtocolFault";
}

/** The code of an answer: 200 for success, and for nothing else within 2xx. */
export const STATUS: Readonly<Record<SlotAnswer["kind"], number>> = {
  granted: 200,
  released: 200,
  bad_request: 400,
  unauthenticated: 401,
  forbidden: 403,
  unknown_group: 404,
  full: 409,
  paused: 409,
  closed: 409,
  held_by_hand: 409,
  refused: 409,
  rate_limited: 429,
  corrupt: 500,
  unavailable: 503,
};

const DECODER = new TextDecoder("utf-8", { fatal: true });

/** Reads the body of a request. Fields that are not known are ignored. Throws {@linkcode ProtocolFault}. */
export function parseRequest(body: Uint8Array): SlotRequest {
  let json: unknown;
  try {
    json = JSON.parse(DECODER.decode(body));
  } catch {
    throw new ProtocolFault("the body is not JSON");
  }
  const params = memberOf(json, "client_params");
  if (!isRecord(params)) throw new ProtocolFault("client_params is missing");
  const { id, group: name } = params;
  const fault = holderFault(id);
  if (typeof id !== "string" || fault !== undefined) {
    throw new ProtocolFault(`client_params.id: ${fault?.replace("a holder's name", "an id")}`);
  }
  if (typeof name !== "string" || !GROUP_NAME.test(name)) {
    throw new ProtocolFault(`client_params.group: must match ${GROUP_NAME.source}`);
  }
  const group = groupOfName(name);
  const groupIsWrong = groupFault(group);
  if (groupIsWrong !== undefined) throw new ProtocolFault(`client_params.group: ${groupIsWrong}`);
  return { id, group, ...detailsOf(memberOf(json, "locksmith")) };
}

/** Writes the body of a request. */
export function serializeRequest({ id, group, ...details }: SlotRequest): string {
  const client_params = { id, group: protocolName(group) };
  return JSON.stringify({ client_params, ...Object.keys(details).length > 0 ? { locksmith: details } : {} });
}

/** The seconds of `Prefer: wait=N`, in milliseconds; 0 where there are none. */
export function waitOf(prefer: string | undefined): number {
  const seconds = /(?:^|[,;\s])wait\s*=\s*"?([0-9]{1,6})"?(?=$|[,;\s])/i.exec(prefer ?? "")?.[1];
  return 1000 * Math.min(Number(seconds ?? 0), WAIT_LIMIT_S);
}

/** The body of an answer; success has none to speak of. */
export function serializeAnswer(answer: SlotAnswer): string {
  return answer.kind === "granted" || answer.kind === "released"
    ? ""
    : `${
      JSON.stringify({ kind: answer.kind === "refused" ? answer.called : answer.kind, value: answer.value })
    }\n`;
}

/** The longest body of an answer that is read, in bytes. */
export const ANSWER_LIMIT = 64 * 1024;
/** The longest texts of an answer that are kept, in characters. */
const KIND_LIMIT = 64;
const VALUE_LIMIT = 400;

/** Reads the body of an answer that is no success; `undefined`: it is none of this protocol. */
export function parseRefusal(body: string): Refusal | undefined {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return undefined;
  }
  const [kind, told] = [memberOf(json, "kind"), memberOf(json, "value")];
  if (typeof kind !== "string" || kind === "") return undefined;
  const value = typeof told === "string" ? plainLine(told.trim(), VALUE_LIMIT) : "";
  return isRefusalKind(kind)
    ? { kind, value }
    : { kind: "refused", called: plainLine(kind, KIND_LIMIT), value };
}

function isRefusalKind(kind: string): kind is RefusalKind {
  return Object.hasOwn(STATUS, kind) && !["granted", "released", "refused"].includes(kind);
}

/** What a host tells of itself; what cannot be used is left out, since other servers would ignore all of it. */
function detailsOf(told: unknown): Omit<SlotRequest, "id" | "group"> {
  if (!isRecord(told)) return {};
  const text = (name: string, limit: number) => {
    const value = told[name];
    const usable = typeof value === "string" && value.trim() !== "" &&
      plainTextFault(value, name, limit) === undefined;
    return usable ? { [name]: value } : {};
  };
  const { priority } = told;
  const ranks = typeof priority === "number" && Number.isInteger(priority) &&
    Math.abs(priority) <= PRIORITY_LIMIT;
  return {
    ...text("host", DETAIL_LIMIT),
    ...text("boot", DETAIL_LIMIT),
    ...text("reason", 2 * REASON_LENGTH_LIMIT),
    ...(ranks ? { priority } : {}),
  };
}

function memberOf(value: unknown, name: string): unknown {
  return isRecord(value) ? value[name] : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
