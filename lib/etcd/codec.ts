/**
 * Protobuf for the calls of etcd that are used here: values as etcd3 types them to bytes and back, by a schema that
 * dist/etcd_schema.ts makes from the .proto files of etcd3. Parsing those files at each start, and the library that does
 * it, would cost a command more time than its question to etcd.
 *
 * Decoded, a 64-bit integer is a decimal string, an enum its name, an absent message null, an absent scalar its default,
 * and a oneof the name of the member that is set. Bytes are a Uint8Array, where etcd3 says Buffer, which is one too: the
 * methods that only a Buffer has are missing. Unknown fields are passed over. Bytes that are no such message throw a
 * RangeError, values that are none a TypeError.
 */

import schemaJson from "./schema.json" with { type: "json" };

/** A message: fields by name. */
export type Message = Record<string, unknown>;

/** One call of a service. */
export interface Method {
  readonly path: string;
  encode(request: Message): Uint8Array<ArrayBuffer>;
  decode(response: Uint8Array): Message;
}

/** Number, name, type, whether repeated, and the oneof it belongs to. */
type FieldRow = readonly [number, string, string, boolean, string?];

interface Schema {
  /** Request and response of each method of each service. */
  readonly services: Readonly<Record<string, Readonly<Record<string, readonly [string, string]>>>>;
  readonly messages: Readonly<Record<string, readonly FieldRow[]>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const schema = schemaJson as unknown as Schema;
const PACKAGE = "etcdserverpb";
const VARINT = 0;
const LENGTH = 2;
/** A varint of 64 bits is at most this long. */
const VARINT_BYTES_MAX = 10;

/** A method by the name that etcd3 gives it, such as `KV`, `range`. */
export function etcdMethod(service: string, name: string): Method {
  const method = name.charAt(0).toUpperCase() + name.slice(1);
  const types = schema.services[`${PACKAGE}.${service}`]?.[method];
  if (!types) throw new TypeError(`cannot call ${service}.${name}: it is not in lib/etcd/schema.json`);
  return {
    path: `/${PACKAGE}.${service}/${method}`,
    encode: (request) => Uint8Array.from(encode(types[0], request)),
    decode: (response) => decode(types[1], response),
  };
}

function fieldsOf(message: string): readonly FieldRow[] {
  const rows = schema.messages[message];
  if (!rows) throw new TypeError(`${message} is not in lib/etcd/schema.json`);
  return rows;
}

function wireType(type: string): number {
  return type === "string" || type === "bytes" || schema.messages[type] ? LENGTH : VARINT;
}

function encode(message: string, value: Message): number[] {
  const out: number[] = [];
  for (const [id, name, type, repeated] of fieldsOf(message)) {
    const given = value[name];
    if (given === undefined || given === null) continue;
    for (const one of repeated ? given as unknown[] : [given]) {
      const wire = wireType(type);
      writeVarint(out, BigInt(id * 8 + wire));
      if (wire === VARINT) {
        writeVarint(out, toInteger(type, one));
        continue;
      }
      const bytes = schema.messages[type] ? encode(type, one as Message) : toBytes(name, one);
      writeVarint(out, BigInt(bytes.length));
      for (const byte of bytes) out.push(byte);
    }
  }
  return out;
}

function writeVarint(out: number[], value: bigint): void {
  let rest = BigInt.asUintN(64, value);
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

function toBytes(name: string, value: unknown): Uint8Array {
  if (typeof value === "string") return new TextEncoder().encode(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`cannot encode ${name}: it is neither text nor bytes`);
}

function toInteger(type: string, value: unknown): bigint {
  if (typeof value === "boolean") return value ? 1n : 0n;
  const number = typeof value === "string" ? schema.enums[type]?.[value] ?? value : value;
  if (typeof number === "string" || typeof number === "number" || typeof number === "bigint") {
    return BigInt(number);
  }
  throw new TypeError(`cannot encode ${String(value)} as ${type}`);
}

function decode(message: string, bytes: Uint8Array): Message {
  const rows = fieldsOf(message);
  const value: Message = {};
  for (const [, name, type, repeated, oneof] of rows) {
    if (oneof === undefined) value[name] = repeated ? [] : defaultOf(type);
  }
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = Number(reader.varint());
    const row = rows.find(([id]) => id === tag >>> 3);
    if (!row) {
      reader.skip(tag & 7);
      continue;
    }
    const [, name, type, repeated, oneof] = row;
    const items = repeated ? value[name] as unknown[] : [];
    if ((tag & 7) === wireType(type)) {
      items.push(
        wireType(type) === VARINT ? fromInteger(type, reader.varint()) : fromBytes(type, reader.bytes()),
      );
    } else if (repeated && (tag & 7) === LENGTH) {
      // Repeated numbers may come packed: one run of bytes that holds them all.
      for (const packed = new Reader(reader.bytes()); !packed.done;) {
        items.push(fromInteger(type, packed.varint()));
      }
    } else {
      throw new RangeError(`cannot decode ${message}.${name}: wire type ${tag & 7}`);
    }
    if (!repeated) value[name] = items[0];
    if (oneof !== undefined) value[oneof] = name;
  }
  return value;
}

function defaultOf(type: string): unknown {
  if (schema.messages[type]) return null;
  return wireType(type) === VARINT ? fromInteger(type, 0n) : fromBytes(type, new Uint8Array());
}

function fromBytes(type: string, bytes: Uint8Array): unknown {
  if (type === "bytes") return bytes;
  return type === "string" ? new TextDecoder().decode(bytes) : decode(type, bytes);
}

function fromInteger(type: string, value: bigint): unknown {
  if (type === "bool") return value !== 0n;
  if (type === "int64") return String(BigInt.asIntN(64, value));
  if (type === "uint64") return String(value);
  const number = Number(type === "uint32" ? BigInt.asUintN(32, value) : BigInt.asIntN(32, value));
  const names = schema.enums[type];
  return names ? Object.keys(names).find((name) => names[name] === number) ?? number : number;
}

/** A place in bytes, moving forward. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let index = 0; index < VARINT_BYTES_MAX; index++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new RangeError("cannot decode: the message ends too early");
      value |= BigInt(byte & 127) << BigInt(7 * index);
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw new RangeError("cannot decode: a number is longer than 64 bits");
  }

  bytes(): Uint8Array {
    return this.#take(Number(this.varint()));
  }

  /** Passes over a value of this wire type. */
  skip(wire: number): void {
    if (wire === VARINT) this.varint();
    else if (wire === LENGTH) this.bytes();
    else if (wire === 1) this.#take(8);
    else if (wire === 5) this.#take(4);
    else throw new RangeError(`cannot decode: wire type ${wire}`);
  }

  #take(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) {
      throw new RangeError("cannot decode: the message ends too early");
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
