/**
 * Makes lib/etcd/messages/, the protobuf messages of the calls of etcd that locksmith makes, from the .proto files that
 * etcd3 carries: protobufjs reads them, and ts-proto writes the code. `deno task messages` runs it; with `--check` it
 * writes nothing, and exits 1 when a file is not what it would write.
 *
 * What no call needs is left out, so that a command has less to load.
 */

import protobuf from "protobufjs";
import descriptors from "protobufjs/ext/descriptor/index.js";

/** The calls, by their service. */
const METHODS: Readonly<Record<string, readonly string[]>> = {
  KV: ["Range", "Txn"],
  Watch: ["Watch"],
  Lease: ["LeaseGrant", "LeaseRevoke", "LeaseKeepAlive"],
  Auth: ["Authenticate"],
};

/** The files that are made, by the package whose messages they hold; `uses` are those whose messages theirs contain. */
const FILES: Readonly<Record<string, { readonly name: string; readonly uses: readonly string[] }>> = {
  etcdserverpb: { name: "rpc.proto", uses: ["kv.proto"] },
  mvccpb: { name: "kv.proto", uses: [] },
};

/** Names, numbers and absent fields as etcd3 types them. */
const OPTIONS = [
  "snakeToCamel=false",
  "forceLong=string",
  "stringEnums=true",
  "enumsAsLiterals=true",
  "unrecognizedEnum=false",
  "useOptionals=all",
  "outputJsonMethods=false",
  "outputPartialMethods=false",
  "outputServices=generic-definitions",
  "exportCommonSymbols=false",
  "annotateFilesWithVersion=false",
  "esModuleInterop=true",
  "importSuffix=.ts",
].join(",");

const FOLDER = new URL("../lib/etcd/messages/", import.meta.url);

type Message = descriptors.IDescriptorProto;

/** The generator's input: the files with what {@linkcode METHODS} need. */
function filesFor(root: protobuf.Root): descriptors.IFileDescriptorProto[] {
  // The extension adds the method; its types do not say so.
  const described = root as unknown as { toDescriptor(syntax: string): descriptors.IFileDescriptorSet };
  const { file: files = [] } = described.toDescriptor("proto3");
  const messages = new Map<string, Message>();
  for (const { package: within, messageType = [] } of files) {
    for (const message of messageType) {
      messages.set(qualified(root, `.${within}.${message.name}`, message), message);
    }
  }
  const needed = new Set<Message>();
  const need = (name: string | undefined) => {
    const message = messages.get(name ?? "");
    if (message === undefined || needed.has(message)) return;
    needed.add(message);
    for (const used of fieldTypes(message)) need(used);
  };
  const services = files.map(({ service = [] }) =>
    service.filter(({ name = "" }) => METHODS[name]).map((service) => ({
      ...service,
      method: (service.method ?? []).filter(({ name = "" }) => METHODS[service.name ?? ""]?.includes(name)),
    }))
  );
  for (const { method } of services.flat()) {
    for (const { inputType, outputType } of method) [inputType, outputType].forEach(need);
  }
  return files.flatMap((file, index) => {
    const made = FILES[file.package ?? ""];
    if (made === undefined) return [];
    const { name, uses } = made;
    const messageType = (file.messageType ?? []).filter((message) => needed.has(message));
    return [{
      name,
      package: file.package ?? "",
      syntax: "proto3",
      dependency: [...uses],
      messageType,
      service: services[index] ?? [],
    }];
  });
}

/** Gives every type that a message of this name uses its full name, which the generator wants and protobufjs shortens. */
function qualified(root: protobuf.Root, name: string, { field = [], nestedType = [] }: Message): string {
  const type = root.lookupType(name);
  for (const one of field) {
    const used = type.fields[one.name ?? ""]?.resolve().resolvedType;
    if (used) one.typeName = used.fullName;
  }
  for (const nested of nestedType) qualified(root, `${name}.${nested.name}`, nested);
  return name;
}

function fieldTypes({ field = [], nestedType = [] }: Message): string[] {
  return [...field.flatMap(({ typeName }) => typeName ?? []), ...nestedType.flatMap(fieldTypes)];
}

/** Asks ts-proto, as protoc would (google/protobuf/compiler/plugin.proto), for the files and their text. */
async function generated(files: readonly descriptors.IFileDescriptorProto[]): Promise<Map<string, string>> {
  const plugin = protobuf.parse(`
    syntax = "proto3";
    message Request { repeated string files = 1; string parameter = 2; repeated bytes descriptors = 15; }
    message Response { string error = 1; repeated File files = 15; }
    message File { string name = 1; string content = 15; }
  `).root;
  const request = plugin.lookupType("Request").encode({
    files: files.map(({ name }) => name),
    parameter: OPTIONS,
    descriptors: files.map((file) => descriptors.FileDescriptorProto.encode(file).finish()),
  }).finish();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", "npm:ts-proto/protoc-gen-ts_proto"],
    cwd: new URL("..", import.meta.url),
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(Uint8Array.from(request));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("cannot generate the messages: ts-proto failed");
  const response = plugin.lookupType("Response").toObject(plugin.lookupType("Response").decode(stdout));
  if (response.error) throw new Error(`cannot generate the messages: ${response.error}`);
  return new Map(
    response.files.map(({ name, content }: { name: string; content: string }) => [name, content]),
  );
}

if (import.meta.main) {
  const root = new protobuf.Root();
  root.loadSync(new URL(import.meta.resolve("etcd3/proto/rpc.proto")).pathname, { keepCase: true });
  root.resolveAll();
  const check = Deno.args.includes("--check");
  let same = true;
  for (const [name, text] of await generated(filesFor(root))) {
    const file = new URL(name, FOLDER);
    if (!check) await Deno.writeTextFile(file, text);
    else if (await Deno.readTextFile(file).catch(() => "") !== text) {
      console.error(
        `lib/etcd/messages/${name} is not what ts-proto makes of etcd3's .proto files: run \`deno task messages\``,
      );
      same = false;
    }
  }
  if (!same) Deno.exit(1);
}
