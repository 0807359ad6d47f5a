/** `locksmith token`: makes, lists and removes the credentials of a server. Only `add` ever shows a token, once. */

import type { Context } from "./command.ts";
import { UsageError } from "./config.ts";
import type { Credential } from "../serve/tokens.ts";
import { type Output, printError, printHint, printProgress, table } from "./output.ts";
import { didYouMean } from "../suggest.ts";
import { groupLabel } from "../group.ts";
import { protocolGroupFault } from "../fleetlock/group_name.ts";
import { CredentialsError, makeToken, withCredential, withoutCredential } from "../serve/tokens.ts";
import { changeCredentials, readCredentials } from "../serve/tokens_file.ts";

type TokenContext = Context<"token">;

export async function token(context: TokenContext): Promise<number> {
  const [verb, name = ""] = context.operands;
  const faults = verb === "add" ? addFaults(context) : otherFaults(context, verb ?? "");
  if (faults.length > 0) throw new UsageError(faults);
  try {
    if (verb === "add") return await add(context);
    return verb === "list" ? await list(context) : await remove(context, name);
  } catch (error) {
    if (!(error instanceof CredentialsError)) throw error;
    printError(context, error.message, error.hint);
    return 1;
  }
}

function addFaults({ config }: TokenContext): string[] {
  const { role, id, grantedGroup, json } = config;
  const faults: string[] = [];
  if (role === undefined) faults.push("--role is missing: host, viewer or operator");
  if (role !== undefined && role !== "host") {
    if (id !== undefined) faults.push(`--id: has an effect only with --role host`);
    if (grantedGroup !== undefined) faults.push(`--group: has an effect only with --role host`);
  }
  const fault = grantedGroup === undefined ? undefined : protocolGroupFault(grantedGroup);
  if (fault !== undefined) faults.push(`--group: ${fault}`);
  if (json) faults.push("--json: has no effect with 'add'");
  return faults;
}

function otherFaults({ config }: TokenContext, verb: string): string[] {
  const given = { role: config.role, id: config.id, name: config.name, certificate: config.certificate };
  const faults = Object.entries(given).filter(([, value]) => value !== undefined)
    .map(([name]) => `--${name}: has no effect with '${verb}'`);
  if (verb === "remove" && config.json) faults.push("--json: has no effect with 'remove'");
  return faults;
}

async function add({ config, surroundings, out, err }: TokenContext): Promise<number> {
  const { role = "viewer", id, grantedGroup, certificate } = config;
  const made = certificate === undefined ? makeToken() : undefined;
  const name = config.name ?? certificate ?? id ?? `${role}-${made?.token.id.slice(0, 6)}`;
  const credential: Credential = {
    name,
    role,
    ...(grantedGroup === undefined ? {} : { groups: [grantedGroup] }),
    ...(id === undefined ? {} : { id }),
    ...(made === undefined ? {} : { token: made.token }),
    ...(certificate === undefined ? {} : { certificate }),
    created: new Date(surroundings.now()).toISOString(),
  };
  await changeCredentials(config.tokens, (credentials) => withCredential(credentials, credential));
  const output: Output = { out, err };
  printProgress(output, `added '${name}': ${describe(credential)}`);
  if (made === undefined) return 0;
  out(`${made.text}\n`);
  printHint(output, "this is the only time that the token is shown");
  return 0;
}

async function list({ config, out }: TokenContext): Promise<number> {
  const credentials = (await readCredentials(config.tokens)).list;
  if (config.json) {
    const shown = credentials.map(({ name, role, groups, id, certificate, created }) => ({
      name,
      role,
      groups: groups ?? null,
      id: id ?? null,
      certificate: certificate ?? null,
      created,
    }));
    out(`${JSON.stringify({ credentials: shown })}\n`);
    return 0;
  }
  const rows = credentials.map(({ name, role, groups, id, certificate, created }) => [
    name,
    role,
    role === "host" ? groups?.map(groupLabel).join(", ") ?? "all" : "-",
    role === "host" ? id ?? (certificate === undefined ? "any" : "as named") : "-",
    certificate === undefined ? "token" : `certificate ${certificate}`,
    created.replace(/\.\d+Z$/, "Z"),
  ]);
  out(
    credentials.length === 0
      ? "no credentials\n"
      : table([["NAME", "ROLE", "GROUPS", "ID", "BY", "CREATED"], ...rows]),
  );
  return 0;
}

async function remove({ config, surroundings, out, err }: TokenContext, name: string): Promise<number> {
  let names: readonly string[] = [];
  let done = false;
  await changeCredentials(config.tokens, (credentials) => {
    names = credentials.list.map(({ name }) => name);
    const changed = withoutCredential(credentials, name, new Date(surroundings.now()).toISOString());
    done = changed !== undefined;
    return changed;
  });
  if (done) {
    out(`removed '${name}'\n`);
    return 0;
  }
  printError({ out, err }, `there is no credential named '${name}'${didYouMean(name, names)}`);
  printHint({ out, err }, "'locksmith token list' shows them");
  return 1;
}

function describe({ role, groups, id, certificate }: Credential): string {
  const whom = role !== "host" ? [] : [
    groups === undefined ? "all groups" : `group ${groups.map(groupLabel).join(", ")}`,
    ...(id === undefined ? [] : [`id ${id}`]),
  ];
  const by = certificate === undefined ? [] : [`by certificate ${certificate}`];
  return [`role ${role}`, ...whom, ...by].join(", ");
}
