/**
 * Stands in for `@grpc/proto-loader` (a link in deno.json makes it so): etcd3 asks it for the services of etcd, and gets
 * them with a small protobuf codec over schema.json, which dist/etcd_schema.ts made from the .proto files of etcd3. Parsing those
 * files at each start, and the library that does it, would cost a command more time than its question to etcd.
 *
 * It promises the values that etcd3 asks for and no others: 64-bit integers as decimal strings, bytes as Buffers, enums
 * by name, an absent message as null, an absent scalar as its default, a oneof by the name of the member that is set.
 * The services are those in schema.json; loading any other file throws.
 */
"use strict";

const { Buffer } = require("node:buffer");
const schema = require("./schema.json");

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 };
/** A varint of 64 bits is at most this long. */
const VARINT_BYTES_MAX = 10;

/** Fields by number, and by their place, of each message; filled when a message is first used. */
const messages = new Map();

/**
 * @typedef {{ id: number, name: string, type: string, repeated: boolean, oneof: string | undefined }} Field
 * @typedef {{ fields: Field[], byId: Map<number, Field> }} Message
 */

/** @param {string} name @returns {Message} */
function message(name) {
  let found = messages.get(name);
  if (!found) {
    const fields = schema.messages[name].map(([id, field, type, repeated, oneof]) => ({
      id,
      name: field,
      type,
      repeated: repeated === 1,
      oneof,
    }));
    found = { fields, byId: new Map(fields.map((field) => [field.id, field])) };
    messages.set(name, found);
  }
  return found;
}

/** @param {string} type */
function wireType(type) {
  return type === "string" || type === "bytes" || schema.messages[type] ? WIRE.bytes : WIRE.varint;
}

/** Writes `value`, which must be below 2 ** 64. @param {number[]} out @param {bigint} value */
function writeVarint(out, value) {
  let rest = BigInt.asUintN(64, value);
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

/** @param {string} type @param {unknown} value @returns {bigint} */
function toInteger(type, value) {
  if (type === "bool") return value ? 1n : 0n;
  const names = schema.enums[type];
  if (names && typeof value === "string") {
    const number = names[value];
    if (number === undefined) throw new TypeError(`cannot encode ${value}: it is no ${type}`);
    return BigInt(number);
  }
  return BigInt(value);
}

/** @param {string} name @param {Record<string, unknown>} value @returns {Buffer} */
function encode(name, value) {
  const chunks = [];
  for (const field of message(name).fields) {
    const given = value[field.name];
    if (given === undefined || given === null) continue;
    for (const one of field.repeated ? given : [given]) chunks.push(...encodeField(field, one));
  }
  return Buffer.concat(chunks);
}

/** @param {Field} field @param {unknown} value @returns {Buffer[]} */
function encodeField(field, value) {
  const wire = wireType(field.type);
  const head = [];
  writeVarint(head, BigInt(field.id * 8 + wire));
  if (wire === WIRE.varint) {
    writeVarint(head, toInteger(field.type, value));
    return [Buffer.from(head)];
  }
  const bytes = schema.messages[field.type] ? encode(field.type, value) : Buffer.from(value);
  writeVarint(head, BigInt(bytes.length));
  return [Buffer.from(head), bytes];
}

/** A place in bytes, moving forward. */
class Reader {
  /** @param {Buffer} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  /** Most varints are short: lengths, field numbers, flags. */
  varint() {
    const first = this.bytes[this.at];
    if (first === undefined) throw new RangeError("cannot decode: the message ends too early");
    if (first < 128) {
      this.at++;
      return BigInt(first);
    }
    let value = 0n;
    for (let index = 0; index < VARINT_BYTES_MAX; index++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new RangeError("cannot decode: the message ends too early");
      value |= BigInt(byte & 127) << BigInt(7 * index);
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw new RangeError("cannot decode: a number is longer than 64 bits");
  }

  /** @param {number} length */
  take(length) {
    if (this.at + length > this.bytes.length) {
      throw new RangeError("cannot decode: the message ends too early");
    }
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  /** Passes over a field that the schema does not know. @param {number} wire */
  skip(wire) {
    if (wire === WIRE.varint) this.varint();
    else if (wire === WIRE.fixed64) this.take(8);
    else if (wire === WIRE.bytes) this.take(Number(this.varint()));
    else if (wire === WIRE.fixed32) this.take(4);
    else throw new RangeError(`cannot decode: wire type ${wire}`);
  }
}

/** @param {string} type @param {bigint} value */
function fromInteger(type, value) {
  if (type === "bool") return value !== 0n;
  const names = schema.enums[type];
  if (names) {
    const number = Number(BigInt.asIntN(32, value));
    return Object.keys(names).find((name) => names[name] === number) ?? number;
  }
  if (type === "int64") return String(BigInt.asIntN(64, value));
  if (type === "uint64") return String(value);
  return Number(type === "uint32" ? BigInt.asUintN(32, value) : BigInt.asIntN(32, value));
}

/** @param {Field} field */
function defaultOf(field) {
  if (field.repeated) return [];
  if (field.type === "string") return "";
  if (field.type === "bytes") return Buffer.alloc(0);
  if (schema.messages[field.type]) return null;
  return fromInteger(field.type, 0n);
}

/** @param {string} name @param {Buffer} bytes @returns {Record<string, unknown>} */
function decode(name, bytes) {
  const { fields, byId } = message(name);
  const value = {};
  for (const field of fields) {
    if (field.oneof === undefined) value[field.name] = defaultOf(field);
  }
  const reader = new Reader(bytes);
  while (reader.at < bytes.length) {
    const key = Number(reader.varint());
    const field = byId.get(key >>> 3);
    const wire = key & 7;
    if (!field) {
      reader.skip(wire);
      continue;
    }
    if (wire !== wireType(field.type)) {
      // A repeated number may come packed: one field of bytes that holds them all.
      if (!field.repeated || wire !== WIRE.bytes) throw new RangeError(`cannot decode ${name}.${field.name}`);
      const packed = new Reader(reader.take(Number(reader.varint())));
      while (packed.at < packed.bytes.length) {
        value[field.name].push(fromInteger(field.type, packed.varint()));
      }
      continue;
    }
    const one = decodeField(field, reader);
    if (field.repeated) value[field.name].push(one);
    else value[field.name] = one;
    if (field.oneof !== undefined) value[field.oneof] = field.name;
  }
  return value;
}

/** @param {Field} field @param {Reader} reader */
function decodeField(field, reader) {
  if (wireType(field.type) === WIRE.varint) return fromInteger(field.type, reader.varint());
  const bytes = reader.take(Number(reader.varint()));
  if (field.type === "bytes") return bytes;
  return field.type === "string" ? bytes.toString() : decode(field.type, bytes);
}

/** @param {string} filename */
function loadSync(filename) {
  if (!filename.endsWith("/proto/rpc.proto")) {
    throw new Error(`cannot load ${filename}: only the services of etcd are known here`);
  }
  const loaded = {};
  for (const [service, methods] of Object.entries(schema.services)) {
    loaded[service] = {};
    for (const [method, [request, response, requestStream, responseStream]] of Object.entries(methods)) {
      loaded[service][method] = {
        path: `/${service}/${method}`,
        requestStream: requestStream === 1,
        responseStream: responseStream === 1,
        requestSerialize: (value) => encode(request, value),
        requestDeserialize: (bytes) => decode(request, bytes),
        responseSerialize: (value) => encode(response, value),
        responseDeserialize: (bytes) => decode(response, bytes),
        originalName: method[0].toLowerCase() + method.slice(1),
      };
    }
  }
  return loaded;
}

module.exports = { loadSync };
