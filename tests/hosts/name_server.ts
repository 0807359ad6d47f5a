/**
 * A name server that knows one address: every question for an IPv4 address gets it, all others get none. Run as
 *
 *     deno run -A --unstable-net name_server.ts LISTEN-ADDRESS ADDRESS
 *
 * It prints a line when it listens. RFC 1035, as far as the C library asks.
 */

const [listen = "", address = ""] = Deno.args;
const TYPE_A = 1;
const HEADER_BYTES = 12;
/** A pointer to the name in the question, type A, class IN, 1 s to live, four bytes of address. */
const ANSWER = [0xc0, HEADER_BYTES, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...address.split(".").map(Number)];

const socket = Deno.listenDatagram({ transport: "udp", hostname: listen, port: 53 });
console.log("listening");
for await (const [question, asker] of socket) await socket.send(answerTo(question), asker);

function answerTo(question: Uint8Array): Uint8Array {
  let end = HEADER_BYTES;
  while ((question[end] ?? 0) !== 0) end += (question[end] ?? 0) + 1;
  const type = ((question[end + 1] ?? 0) << 8) + (question[end + 2] ?? 0);
  const answers = type === TYPE_A ? 1 : 0;
  // id and question as they came; an answer, recursion available, no error
  return Uint8Array.from([
    ...question.subarray(0, 2),
    ...[0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0],
    ...question.subarray(HEADER_BYTES, end + 5),
    ...(answers === 1 ? ANSWER : []),
  ]);
}
