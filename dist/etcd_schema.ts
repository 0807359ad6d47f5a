/**
 * Makes lib/etcd/schema.json, the part of etcd's protobuf schema that lib/etcd/codec.ts needs, from the .proto files that
 * etcd3 carries. `deno task schema` runs it; with `--check` it writes nothing, and exits 1 when the file is not what it
 * would write.
 */

import protobuf from "protobufjs";

/** The calls that a semaphore needs, now and for leases; the others are left out to start sooner. */
const METHODS: Readonly<Record<string, readonly string[]>> = {
  KV: ["Range", "Txn"],
  Watch: ["Watch"],
  Lease: ["LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "LeaseTimeToLive"],
  Auth: ["Authenticate"],
};

/** Number, name, type, whether repeated, and the oneof it belongs to. */
type FieldRow = [number, string, string, boolean, string?];

interface Schema {
  services: Record<string, Record<string, [string, string]>>;
  messages: Record<string, FieldRow[]>;
  enums: Record<string, Record<string, number>>;
}

const SCALARS = new Set(["int32", "int64", "uint32", "uint64", "bool", "string", "bytes"]);

function generate(root: protobuf.Root): Schema {
  const schema: Schema = { services: {}, messages: {}, enums: {} };

  function add(type: protobuf.ReflectionObject): string {
    const name = type.fullName.slice(1);
    if (type instanceof protobuf.Enum) schema.enums[name] = type.values;
    if (!(type instanceof protobuf.Type) || schema.messages[name]) return name;
    const rows: FieldRow[] = schema.messages[name] = [];
    for (const field of type.fieldsArray) {
      field.resolve();
      if (field.map) throw new Error(`cannot generate ${field.fullName}: maps are not supported`);
      if (!field.resolvedType && !SCALARS.has(field.type)) {
        throw new Error(`cannot generate ${field.fullName}: ${field.type} is not supported`);
      }
      const type = field.resolvedType ? add(field.resolvedType) : field.type;
      const row: FieldRow = [field.id, field.name, type, field.repeated];
      if (field.partOf) row.push(field.partOf.name);
      rows.push(row);
    }
    return name;
  }

  for (const [name, methods] of Object.entries(METHODS)) {
    const service = root.lookupService(`etcdserverpb.${name}`);
    const found: Schema["services"][string] = schema.services[`etcdserverpb.${name}`] = {};
    for (const methodName of methods) {
      const method = service.methods[methodName];
      if (!method) throw new Error(`cannot generate ${name}.${methodName}: it is not in rpc.proto`);
      method.resolve();
      if (!method.resolvedRequestType || !method.resolvedResponseType) {
        throw new Error(`cannot resolve ${methodName}`);
      }
      found[methodName] = [add(method.resolvedRequestType), add(method.resolvedResponseType)];
    }
  }
  return schema;
}

/** As `deno fmt` has it, so that the check of the format passes. */
async function formatted(json: string): Promise<string> {
  const args = ["fmt", "--ext=json", "-"];
  const child = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(json));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("cannot format the schema: deno fmt failed");
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const proto = new URL(import.meta.resolve("etcd3/proto/rpc.proto"));
  const root = new protobuf.Root();
  root.loadSync(proto.pathname, { keepCase: true });
  root.resolveAll();
  const text = await formatted(JSON.stringify(generate(root)));
  const file = new URL("../lib/etcd/schema.json", import.meta.url);
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(file, text);
  } else if (await Deno.readTextFile(file).catch(() => "") !== text) {
    console.error(
      "lib/etcd/schema.json is not what dist/etcd_schema.ts makes: run `deno task schema`",
    );
    Deno.exit(1);
  }
}
