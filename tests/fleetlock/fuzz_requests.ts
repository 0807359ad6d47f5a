/**
 * Requests of FleetLock of which each part may be wrong, in every way that one can think of, and whole ones among them:
 * ids with characters of every category of Unicode, bodies in every framing, and what is no request at all.
 */

import fc from "fast-check";
import { BODY_LIMIT, HEADER, PRE_REBOOT, STEADY_STATE } from "../../lib/fleetlock/protocol.ts";

/** Hosts of each group that ask again and again, beside those that ask once. */
const REGULARS = 6;

/** A part of a request, and whether it is as the protocol wants it. */
interface Part<T> {
  readonly value: T;
  readonly sound: boolean;
}

export interface Request {
  readonly bytes: Uint8Array;
  readonly sound: boolean;
  readonly verb: "pre-reboot" | "steady-state";
  readonly id: string;
}

/** One character of each general category of Unicode, and more of those that programs stumble over. */
const CHARACTERS: readonly string[] = (() => {
  const categories = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cf Co Cn".split(
    " ",
  );
  const found = new Map<string, string[]>(categories.map((name) => [name, []]));
  const tests = categories.map((name) => [name, new RegExp(`^\\p{${name}}$`, "u")] as const);
  for (let code = 0x20; code < 0x30000; code += code < 0x3000 ? 1 : 61) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const character = String.fromCodePoint(code);
    const [name = ""] = tests.find(([, test]) => test.test(character)) ?? [];
    const list = found.get(name);
    if (list !== undefined && list.length < 12) list.push(character);
  }
  const awkward = [
    ..."\"'\\/<>&%+=;,`${}[]()|~^@#?!*",
    "\u0301",
    "\u202e",
    "\u200d",
    "\ufeff",
    "e\u0301",
    "\u{1f9d1}",
  ];
  return [...[...found.values()].flat(), ...awkward].filter((character) => character.trim() !== "");
})();
const CONTROLS = ["\0", "\x01", "\b", "\t", "\n", "\r", "\x1b", "\x7f", "\x80", "\x9f", "\u2028", "\u2029"];

const one = <T>(...values: T[]) => fc.constantFrom<T[]>(...values);
const sound = <T>(value: fc.Arbitrary<T>) => value.map((value): Part<T> => ({ value, sound: true }));
const unsound = <T>(value: fc.Arbitrary<T>) => value.map((value): Part<T> => ({ value, sound: false }));
/** Mostly as it should be. */
const mostly = <T>(good: fc.Arbitrary<Part<T>>, bad: fc.Arbitrary<Part<T>>) =>
  fc.oneof({ weight: 9, arbitrary: good }, { weight: 1, arbitrary: bad });

const text = (of: readonly string[], most: number) =>
  fc.array(fc.constantFrom(...of), { minLength: 1, maxLength: most }).map((list) => list.join(""));
const anyJson = fc.oneof(one<unknown>(null, true, 0, "", [], {}), fc.jsonValue({ maxDepth: 3 }));

const id: fc.Arbitrary<Part<unknown>> = mostly(
  sound(fc.oneof(
    { weight: 6, arbitrary: fc.nat(REGULARS - 1).map((n) => `host ${n}`) },
    { weight: 1, arbitrary: text(CHARACTERS, 40) },
    {
      weight: 1,
      arbitrary: one(
        "__proto__",
        "constructor",
        "toString",
        "..",
        "null",
        "0",
        "<img src=x onerror=alert(1)>",
      ),
    },
    { weight: 1, arbitrary: one("x".repeat(256), "\u{1f9d1}".repeat(128), "host 0\u0301", "HOST 0") },
  )),
  unsound(fc.oneof(
    one<unknown>(
      "",
      " ",
      "\u3000",
      " a",
      "a ",
      "a\u00a0",
      "x".repeat(257),
      "\ud800",
      "a\udc00b",
      "\u{1f9d1}".repeat(129),
    ),
    fc.tuple(text(CHARACTERS, 5), fc.constantFrom(...CONTROLS)).map(([text, control]) =>
      text + control + text
    ),
    anyJson.filter((value) => typeof value !== "string"),
  )),
);
const method = mostly(
  sound(one("POST")),
  unsound(one("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")),
);
const protocol = mostly(
  sound(one(`${HEADER}: true`, `${HEADER.toUpperCase()}:true`, `Fleet-Lock-Protocol:  true  `)),
  unsound(
    one(
      "x: y",
      `${HEADER}: false`,
      `${HEADER}: TRUE`,
      `${HEADER}:`,
      `${HEADER}: true, true`,
      `${HEADER}: 1`,
      "fleet_lock_protocol: true",
    ),
  ),
);
const target = mostly(
  sound(
    fc.tuple(one(PRE_REBOOT, PRE_REBOOT, STEADY_STATE), one("", "", "?", "?x=%00&y")).map(([path, query]) =>
      path + query
    ),
  ),
  unsound(
    one(
      "/",
      "/v1",
      "/v1/",
      "/v1/pre-reboot/",
      "//v1/pre-reboot",
      "/v1/pre-reboo",
      "/V1/PRE-REBOOT",
      "/v1/%70re-reboot/..",
      "/v2/pre-reboot",
      "/%",
      "*",
      "/store/v1/commitx",
    ),
  ),
);
const FOREIGN_NAME = "host: evil.example";
/** Headers that nobody has to look at, but for that. */
const more = fc.array(
  one(
    "content-type: application/x-www-form-urlencoded",
    "content-type: ;;",
    "accept-encoding: br",
    "prefer: wait=0",
    "prefer: respond-async, wait = 0;x",
    "prefer: wait=-1, wait=x",
    "authorization: Basic !!!",
    "authorization: Bearer",
    "cookie: =; ;;a",
    "x-request-id: \u00e9\u00ff",
    `x-request-id: ${"r".repeat(200)}`,
    `x-long: ${"y".repeat(4_000)}`,
    "host: 192.0.2.7:9053",
    FOREIGN_NAME,
    "origin: null",
    "expect: 100-continue",
    "te: trailers",
  ),
  { maxLength: 3 },
).map((list) => [...new Map(list.map((line) => [line.split(":")[0], line])).values()]);

/** The rest of a body around its members: what is to be ignored, and what is no body of the protocol. */
const details = fc.oneof(
  one<unknown>(undefined, {}, null, 5, [], { priority: 1e9 }, { priority: 1.5 }, {
    host: "\0",
    boot: 7,
    reason: "\ud800",
  }),
  fc.record({ host: fc.string(), reason: fc.string({ unit: "grapheme" }), priority: fc.integer() }, {
    requiredKeys: [],
  }),
);
const shape = fc.oneof(
  { weight: 12, arbitrary: one("plain", "pretty", "escaped", "extra", "twice") },
  {
    weight: 1,
    arbitrary: one(
      "bom",
      "cut",
      "array",
      "nothing",
      "text",
      "utf16",
      "latin1",
      "deep",
      "huge",
      "group",
      "bytes",
    ),
  },
);
const framing = one("length", "length", "length", "chunked", "crumbs");

const GROUP_FAULTS = [
  "",
  " ",
  "a b",
  "a/b",
  "..",
  "a_b",
  "\u00e4",
  5,
  null,
  ["web"],
  "x".repeat(257),
  "web\n",
];

function bodyOf(id: unknown, group: string, kind: string, extra: unknown, seed: number): Part<Uint8Array> {
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const params = { id, group };
  const whole = { client_params: params, ...(extra === undefined ? {} : { locksmith: extra }) };
  const plain = JSON.stringify(whole);
  const good = (text: string) => ({ value: utf8(text), sound: true });
  const bad = (value: Uint8Array) => ({ value, sound: false });
  switch (kind) {
    case "pretty":
      return good(`\r\n\t ${JSON.stringify(whole, null, 2)}\n\n`);
    case "escaped":
      return good(
        plain.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`),
      );
    case "extra":
      return good(
        JSON.stringify({ ["__proto__"]: 1, client_params: { ...params, x: [1, { y: null }] }, z: "\u2028" }),
      );
    case "twice":
      return good(
        `{"client_params":{"id":"another","id":${JSON.stringify(id)},"group":${JSON.stringify(group)}}}`,
      );
    case "plain":
      return good(plain);
    case "bom":
      // RFC 8259: a receiver may ignore it
      return { value: utf8(`\ufeff${plain}`), sound: true };
    case "cut":
      return bad(utf8(plain).subarray(0, seed % (utf8(plain).length - 1)));
    case "array":
      return bad(utf8(JSON.stringify([whole])));
    case "nothing":
      return bad(new Uint8Array());
    case "text":
      return bad(utf8(JSON.stringify(plain)));
    case "utf16":
      return bad(new Uint8Array([...plain].flatMap((c) => [c.charCodeAt(0) & 255, c.charCodeAt(0) >> 8])));
    case "latin1":
      return bad(
        Uint8Array.from(`{"client_params":{"id":"\u00e4","group":"${group}"}}`, (c) => c.charCodeAt(0)),
      );
    case "deep":
      return bad(utf8("[".repeat(30_000)));
    case "huge":
      return bad(utf8(plain + " ".repeat(BODY_LIMIT)));
    case "group":
      return bad(
        utf8(JSON.stringify({ client_params: { id, group: GROUP_FAULTS[seed % GROUP_FAULTS.length] } })),
      );
    default:
      return bad(new Uint8Array(new Uint32Array([seed, seed * 31, 0xff00fe, seed ^ 0x5bd1e995]).buffer));
  }
}

/** The bytes of a body in a request: `crumbs` are chunks of one byte, with extensions and a trailer. */
function framed(body: Uint8Array, kind: string): { readonly header: string; readonly bytes: Uint8Array } {
  if (kind === "length") return { header: `content-length: ${body.length}`, bytes: body };
  const size = kind === "crumbs" && body.length < 200 ? 1 : 1000;
  const parts: Uint8Array[] = [];
  const add = (text: string) => parts.push(new TextEncoder().encode(text));
  for (let at = 0; at < body.length; at += size) {
    const chunk = body.subarray(at, at + size);
    add(`${chunk.length.toString(16).toUpperCase()}${kind === "crumbs" ? ";x=y" : ""}\r\n`);
    parts.push(chunk);
    add("\r\n");
  }
  add(kind === "crumbs" ? "0\r\nx-trailer: z\r\n\r\n" : "0\r\n\r\n");
  return { header: "transfer-encoding: chunked", bytes: joined(parts) };
}

/** Requests to one group. */
function requests(group: string): fc.Arbitrary<Request> {
  return fc.record({ method, target, protocol, more, id, shape, framing, details, seed: fc.nat() })
    .map(({ method, target, protocol, more, id, shape, framing, details, seed }) => {
      const body = bodyOf(id.value, group, shape, details, seed);
      const { header, bytes } = framed(body.value, framing);
      const host = more.some((line) => line.startsWith("host:")) ? [] : ["host: localhost"];
      const head = [`${method.value} ${target.value} HTTP/1.1`, ...host, protocol.value, ...more, header];
      return {
        // header values are bytes, not characters
        bytes: joined([Uint8Array.from(`${head.join("\r\n")}\r\n\r\n`, (c) => c.charCodeAt(0)), bytes]),
        // a server that lets everybody in answers by no name of somebody else's
        sound: !more.includes(FOREIGN_NAME) &&
          [method, target, protocol, id, body].every(({ sound }) => sound),
        verb: target.value.startsWith(STEADY_STATE) ? "steady-state" : "pre-reboot",
        id: String(id.value),
      };
    });
}

/** One with nothing wrong. */
export function soundRequest(group: string, verb: Request["verb"], id: string): Request {
  const body = new TextEncoder().encode(JSON.stringify({ client_params: { id, group } }));
  const path = verb === "pre-reboot" ? PRE_REBOOT : STEADY_STATE;
  const head =
    `POST ${path} HTTP/1.1\r\nhost: localhost\r\n${HEADER}: true\r\ncontent-length: ${body.length}\r\n\r\n`;
  return { bytes: joined([new TextEncoder().encode(head), body]), sound: true, verb, id };
}

/** What ends a connection, and what may be answered before: nothing of it is sound. */
const brokenBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 200 }),
  one(
    "GET\r\n\r\n",
    `POST ${PRE_REBOOT} HTTP/9.9\r\n\r\n`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\n\r\n`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\nhost: localhost\r\nx: ${"y".repeat(20_000)}\r\n\r\n`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\nhost: localhost\r\n folded: y\r\n\r\n`,
    `POST ${PRE_REBOOT} HTTP/1.1\r\nhost: localhost\r\na\0b: y\r\n\r\n`,
    `CONNECT x:1 HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    `GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  ).map((text) => Uint8Array.from(text, (c) => c.charCodeAt(0))),
);

/** What one sender does next on a connection of its own. */
export interface Turn {
  readonly requests: readonly Request[];
  /** How they are sent: each after the answer of the one before, all at once, or in small pieces. */
  readonly way: "one by one" | "pipeline" | "pieces";
  /** After them: bytes that are no request, or the beginning of one; then the connection is closed. */
  readonly end: "keep" | "close" | "half" | "garbage";
  readonly garbage: Uint8Array;
}

export function turns(group: string): fc.Arbitrary<Turn> {
  return fc.record({
    requests: fc.array(requests(group), { minLength: 1, maxLength: 40, size: "max" }),
    way: one("one by one", "pipeline", "pipeline", "pieces"),
    end: one("keep", "keep", "close", "half", "garbage"),
    garbage: brokenBytes,
  });
}

/** Bytes one after the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
