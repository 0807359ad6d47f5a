/**
 * The door for hosts: the FleetLock protocol over HTTP, before whatever grants slots.
 *
 * Kept to the letter: a POST with the header `fleet-lock-protocol: true`, a body whose type nobody looks at, exactly 200 for
 * granted and released, and a `kind` and a `value` with everything else. `docs/fleetlock.md` has the kinds, and what is
 * answered beyond the protocol.
 */

import { protocolName } from "../fleetlock/group_name.ts";
import {
  BODY_LIMIT,
  HEADER,
  parseRequest,
  PRE_REBOOT,
  ProtocolFault,
  serializeAnswer,
  STATUS,
  STEADY_STATE,
  waitOf,
} from "../fleetlock/protocol.ts";
import type { SlotAnswer, SlotRequest, SlotServer } from "../slot_server.ts";
import { type Answer, type Asked, askingFault, type Caller, type Door, type Route } from "./door.ts";
import { quoted } from "../plain_text.ts";

/** The two questions of the protocol, as labels. */
export const APIS = ["pre-reboot", "steady-state"] as const;
export type Api = (typeof APIS)[number];

/** Refusals of the server itself that a host can meet beside those of the protocol. */
const OWN_REFUSALS: readonly (readonly [kind: string, status: number])[] = [
  ["bad_request", 405],
  ["timeout", 408],
  ["too_large", 413],
  ["internal", 500],
];

/** Every answer that there is to each question, by kind and code. */
export const ANSWERS: Readonly<Record<Api, readonly (readonly [kind: string, status: number])[]>> = {
  "pre-reboot": answersBut("released"),
  "steady-state": answersBut("granted"),
};

function answersBut(other: SlotAnswer["kind"]) {
  const told = Object.entries(STATUS).filter(([kind]) => kind !== other && kind !== "refused");
  return [...told, ...OWN_REFUSALS];
}

export interface HostsDoorOptions {
  readonly slots: SlotServer;
  /** Whether who asks may ask for this group, beside what its credential says; default: yes. */
  mayAsk?(caller: Caller, group: string): boolean;
  /** The server stops: whoever waits is answered. */
  close?(): void;
  /** Hears of every answer that a host gets here, also where the server refuses it before it comes to this door. */
  answered?(api: Api, kind: string, status: number): void;
}

export function hostsDoor(options: HostsDoorOptions): Door {
  return {
    routes: [route(PRE_REBOOT, "pre-reboot", options), route(STEADY_STATE, "steady-state", options)],
    close: () => options.close?.(),
  };
}

function route(path: string, api: Api, options: HostsDoorOptions): Route {
  const refuse = (status: number, kind: string, value: string): Answer => {
    options.answered?.(api, kind, status);
    return refused(status, kind, value);
  };
  return {
    path,
    who: ["host"],
    bodyLimit: BODY_LIMIT,
    answer(asked) {
      if (asked.method !== "POST") {
        const answer = refuse(405, "bad_request", `${api} takes POST, not ${asked.method}`);
        return { ...answer, headers: { ...answer.headers, allow: "POST" } };
      }
      const waitMs = api === "pre-reboot" ? waitOf(asked.header("prefer")) : 0;
      const answered = (told: SlotAnswer): Answer => {
        const status = STATUS[told.kind];
        options.answered?.(api, told.kind, status);
        const applied: Record<string, string> = waitMs > 0
          ? { "preference-applied": `wait=${waitMs / 1000}` }
          : {};
        if (told.kind === "granted" || told.kind === "released") return { status, headers: applied };
        const headers = waitMs > 0 ? { ...JSON_TYPE, ...applied } : JSON_TYPE;
        const why = told.kind === "forbidden" ? { why: told.value } : {};
        return { status, headers, body: serializeAnswer(told), kind: told.kind, ...why };
      };
      const told = ask(api, asked, waitMs, options);
      return told instanceof Promise ? told.then(answered) : answered(told);
    },
    refusal: refuse,
  };
}

const JSON_TYPE = { "content-type": "application/json; charset=utf-8" };

function refused(status: number, kind: string, value: string): Answer {
  return { status, headers: JSON_TYPE, body: `${JSON.stringify({ kind, value })}\n`, kind };
}

function ask(
  api: Api,
  asked: Asked,
  waitMs: number,
  { slots, mayAsk }: HostsDoorOptions,
): SlotAnswer | Promise<SlotAnswer> {
  const { header, body, caller } = asked;
  if (header(HEADER) !== "true") {
    return { kind: "bad_request", value: `the header '${HEADER}: true' is missing` };
  }
  let request: SlotRequest;
  try {
    request = parseRequest(body);
  } catch (error) {
    if (error instanceof ProtocolFault) return { kind: "bad_request", value: error.message };
    throw error;
  }
  const value = askingFault(caller, request) ??
    (mayAsk?.(caller, request.group) === false
      ? `the credential ${quoted(caller.name)} may not ask for group ${protocolName(request.group)}`
      : undefined);
  if (value !== undefined) return { kind: "forbidden", value };
  // made only for those who look at it: most who ask are refused at once
  const patience = {
    waitMs,
    get gone() {
      return asked.gone;
    },
  };
  if (api === "steady-state") return slots.steadyState(request, patience);
  const known = waitMs <= 0 ? slots.refusedAgain?.(request) : undefined;
  return known ?? slots.preReboot(request, patience);
}
