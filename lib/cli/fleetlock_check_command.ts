/** `fleetlock-check`: holds a FleetLock server to the protocol, and says which rules it breaks. */

import type { Context } from "./command.ts";
import { checkServer, type Exchange, type Finding, type Verdict } from "../fleetlock/check.ts";
import { HttpServer, type Login } from "../fleetlock/http.ts";
import { readRegularFile } from "../host/regular_file.ts";
import { SlotServerError } from "../slot_server.ts";
import { printError, table } from "./output.ts";
import { parseServerUrl } from "./values.ts";

type CheckContext = Context<"fleetlock-check">;

const WORDS: Readonly<Record<Verdict, string>> = { kept: "kept", broken: "BROKEN", open: "open" };

export async function fleetlockCheck(context: CheckContext): Promise<number> {
  const { config, operands: [operand = ""], out } = context;
  const { url, user, password } = parseServerUrl(operand);
  const server = new HttpServer({ url, ...loginOf(config, user, password), tls: () => certificates(config) });
  const findings: Finding[] = [];
  const mark = `locksmith-check-${crypto.randomUUID().slice(0, 8)}`;
  for await (const finding of checkServer(exchangeOf(server), { group: config["test-group"], mark })) {
    if (finding.rule === "answers") {
      printError(context, finding.seen ?? `${url} does not answer`);
      return 1;
    }
    findings.push(finding);
    // as it goes: a server that is slow takes minutes
    if (!config.json) out(lineOf(finding));
  }
  const broken = findings.filter(({ verdict }) => verdict === "broken");
  if (config.json) out(`${JSON.stringify({ url, group: config["test-group"], findings })}\n`);
  else out(summary(findings.length, broken.length));
  return broken.length === 0 ? 0 : 1;
}

function lineOf({ verdict, text, seen }: Finding): string {
  return table([[
    WORDS[verdict].padEnd(6),
    `${text}${verdict === "kept" || seen === undefined ? "" : `: ${seen}`}`,
  ]]);
}

function summary(all: number, broken: number): string {
  return broken === 0 ? `\n${all} rules tried, none broken\n` : `\n${all} rules tried, ${broken} broken\n`;
}

/** Every request as it is; that there was no answer is told as one. */
function exchangeOf(server: HttpServer): Exchange {
  return async (request) => {
    try {
      const { status, body } = await server.send({ ...request, gone: new AbortController().signal });
      return { status, body };
    } catch (error) {
      if (!(error instanceof SlotServerError)) throw error;
      const hint = error.hint === undefined ? "" : `; ${error.hint}`;
      return { status: null, body: "", why: `${error.message}${hint}` };
    }
  };
}

function loginOf(
  config: CheckContext["config"],
  user = config["fleet-lock-user"],
  password = config["fleet-lock-password"],
): { login?: Login } {
  const token = config["fleet-lock-token"];
  if (token !== undefined) return { login: { kind: "token", token } };
  return user === undefined || password === undefined ? {} : { login: { kind: "password", user, password } };
}

function certificates(config: CheckContext["config"]): Record<string, string> {
  const files = {
    ca: config["fleet-lock-cafile"],
    cert: config["fleet-lock-certfile"],
    key: config["fleet-lock-keyfile"],
  };
  return Object.fromEntries(
    Object.entries(files).flatMap(([name, path]) =>
      path === undefined ? [] : [[name, new TextDecoder().decode(readRegularFile(path))]]
    ),
  );
}
