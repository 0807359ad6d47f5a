/** Several requests on one connection whose sender does not wait for the answers. */

import { assertEquals, assertMatch } from "@std/assert";
import type { Answer, Door } from "../../lib/serve/door.ts";
import { Turns } from "../../lib/serve/turns.ts";
import { listen } from "./site.ts";

function post(path: string, body = ""): string {
  return `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** A door that tells what it was asked, and answers `/slow` when `go` resolves. */
function door(asked: string[], go: Promise<unknown> = Promise.resolve()): Door {
  const answer = async ({ path }: { path: string }): Promise<Answer> => {
    asked.push(path);
    if (path === "/slow") await go;
    return { status: 200, body: path };
  };
  return { routes: ["/slow", "/a", "/b"].map((path) => ({ path, who: "anyone", bodyLimit: 10, answer })) };
}

async function connect(url: string): Promise<Deno.TcpConn> {
  return await Deno.connect({ port: Number(new URL(url).port) });
}

/** Reads until what came fits, or the connection ended. */
async function read(connection: Deno.TcpConn, wanted: RegExp): Promise<string> {
  const chunk = new Uint8Array(4096);
  let text = "";
  while (!wanted.test(text)) {
    const size = await connection.read(chunk).catch(() => null);
    if (size === null) break;
    text += new TextDecoder().decode(chunk.subarray(0, size));
  }
  return text;
}

Deno.test("requests that are sent on one connection without waiting are done one after the other", async () => {
  const asked: string[] = [];
  const go = Promise.withResolvers<void>();
  await using server = await listen([door(asked, go.promise)]);
  using connection = await connect(server.url);
  await connection.write(new TextEncoder().encode(post("/slow") + post("/a") + post("/b")));
  // another connection does not wait
  using other = await connect(server.url);
  await other.write(new TextEncoder().encode(post("/b")));
  await read(other, /\/b$/);
  assertEquals(asked, ["/slow", "/b"]);
  go.resolve();
  assertMatch(await read(connection, /\/b$/), /\/slow[^]*\/a[^]*\/b$/);
  assertEquals(asked, ["/slow", "/b", "/a", "/b"]);
});

Deno.test("after an answer that closes the connection nothing that came on it is done", async () => {
  const asked: string[] = [];
  await using server = await listen([door(asked)]);
  using connection = await connect(server.url);
  await connection.write(new TextEncoder().encode(post("/a", "x".repeat(11)) + post("/b")));
  assertMatch(await read(connection, /never/), /^HTTP\/1.1 413 [^]*connection: close/i);
  assertEquals(asked, []);
});

Deno.test("who waits for a word before it sends its body gets it, or the refusal", async () => {
  await using server = await listen([door([])]);
  const head = (length: number) =>
    `POST /a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: ${length}\r\n\r\n`;
  using connection = await connect(server.url);
  await connection.write(new TextEncoder().encode(head(3)));
  assertMatch(await read(connection, /\r\n\r\n$/), /^HTTP\/1.1 100 Continue\r\n\r\n$/);
  await connection.write(new TextEncoder().encode("abc"));
  assertMatch(await read(connection, /\/a$/), /^HTTP\/1.1 200 /);
  using other = await connect(server.url);
  await other.write(new TextEncoder().encode(head(11)));
  assertMatch(await read(other, /bytes\n$/), /^HTTP\/1.1 413 /);
});

Deno.test("Turns begins one after the other, bounds how many wait, and drops what comes after the last", () => {
  const begun: number[] = [];
  const turns = new Turns<number>((item) => begun.push(item));
  const taken = Array.from({ length: 105 }, (_, item) => turns.add(item));
  assertEquals([begun, taken.indexOf(false)], [[0], 101]);
  turns.done(false);
  assertEquals(begun, [0, 1]);
  turns.done(true);
  turns.add(200);
  assertEquals(begun, [0, 1]);
  // many that are answered at once are no deep call
  let count = 0;
  const quick: Turns<number> = new Turns(() => {
    count++;
    quick.done(false);
  });
  for (let item = 0; item < 100_000; item++) quick.add(item);
  assertEquals(count, 100_000);
});
