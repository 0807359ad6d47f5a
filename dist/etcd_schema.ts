/**
 * Makes lib/std/proto-loader/schema.json, the part of etcd's protobuf schema that mod.cjs beside it needs, from the .proto
 * files that etcd3 carries. `deno task schema` runs it; with `--check` it writes nothing, and exits 1 when the file is not
 * what it would write.
 */

import { createRequire } from "node:module";
import protobuf from "protobufjs";

/** The calls that a semaphore needs, now and for leases; the others are left out to start sooner. */
const METHODS: Readonly<Record<string, readonly string[]>> = {
  KV: ["Range", "Txn"],
  Watch: ["Watch"],
  Lease: ["LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "LeaseTimeToLive"],
  Auth: ["Authenticate"],
};

/** Number, name, type, 1 when repeated, the oneof it belongs to. */
type FieldRow = [number, string, string, 0 | 1] | [number, string, string, 0 | 1, string];

interface Schema {
  services: Record<string, Record<string, [string, string, 0 | 1, 0 | 1]>>;
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
      const row: FieldRow = [
        field.id,
        field.name,
        field.resolvedType ? add(field.resolvedType) : field.type,
        field.repeated ? 1 : 0,
      ];
      rows.push(field.partOf ? [...row.slice(0, 4), field.partOf.name] as FieldRow : row);
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
      found[methodName] = [
        add(method.resolvedRequestType),
        add(method.resolvedResponseType),
        method.requestStream ? 1 : 0,
        method.responseStream ? 1 : 0,
      ];
    }
  }
  return schema;
}

if (import.meta.main) {
  const require = createRequire(new URL("../main.ts", import.meta.url));
  const proto = require.resolve("etcd3").replace(/lib\/index\.js$/, "proto/rpc.proto");
  const root = new protobuf.Root();
  root.loadSync(proto, { keepCase: true });
  root.resolveAll();
  const text = `${JSON.stringify(generate(root), null, 1)}\n`;
  const file = new URL("../lib/std/proto-loader/schema.json", import.meta.url);
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(file, text);
  } else if (await Deno.readTextFile(file).catch(() => "") !== text) {
    console.error(
      "lib/std/proto-loader/schema.json is not what dist/etcd_schema.ts makes: run `deno task schema`",
    );
    Deno.exit(1);
  }
}
