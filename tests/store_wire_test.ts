/** What travels between a store's client and its server arrives as it was, and rubbish is told as such. */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Change, type CommitOutcome, StoreError, type Transaction } from "../lib/store.ts";
import {
  decodeAnswer,
  decodeChange,
  decodeQuestion,
  decodeRefusal,
  encodeAnswer,
  encodeChange,
  encodeQuestion,
  encodeRefusal,
  type StoreCall,
  WireFault,
} from "../lib/store_wire.ts";

const CALLS: readonly StoreCall[] = [
  "view",
  "list",
  "commit",
  "lease",
  "lease/keep",
  "lease/end",
  "watch",
  "history",
];

const text = fc.string({ unit: "binary" });
const revision = fc.nat().map(String);
const range = fc.record({ from: text, to: text });
const entry = fc.record({ key: text, value: text, revision, created: revision });
const query = fc.record({
  range,
  createdBefore: revision,
  order: fc.constantFrom("key", "created" as const),
  descending: fc.boolean(),
  limit: fc.nat(),
}, { requiredKeys: ["range"] });
const transaction = fc.record({
  expect: fc.array(
    fc.oneof(
      fc.record({ key: text, revision: fc.option(revision) }),
      fc.record({ range, noneCreatedBefore: fc.option(revision) }),
    ),
  ),
  put: fc.uniqueArray(
    fc.record({ key: text.map((key) => `p${key}`), value: text, lease: fc.constantFrom("7", "a-b") }, {
      requiredKeys: ["key", "value"],
    }),
    { selector: ({ key }) => key },
  ),
  remove: fc.uniqueArray(text.map((key) => `r${key}`)),
  read: fc.array(query),
}, { requiredKeys: ["expect", "put"] });

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a transaction arrives as it was sent, whatever its texts", () => {
  fc.assert(fc.property(transaction, (sent) => {
    const question = { transaction: sent as Transaction };
    assertEquals(decodeQuestion("commit", bytes(encodeQuestion<"commit">(question, 250))), {
      ...question,
      timeoutMs: 250,
    });
  }));
});

Deno.test("an answer and an event arrive as they were sent", () => {
  const view = fc.record({ revision, found: fc.array(fc.array(entry)) });
  fc.assert(
    fc.property(view, fc.constantFrom("committed", "refused" as const), entry, (found, kind, entry) => {
      const outcome = { kind, ...found } as CommitOutcome;
      assertEquals(decodeAnswer("commit", encodeAnswer("commit", outcome)), outcome);
      const change: Change = { kind: "changed", key: entry.key, entry, revision: entry.revision };
      assertEquals(decodeChange(encodeChange(change).trim().slice("data: ".length)), change);
    }),
  );
  const error = new StoreError("timeout", "no answer", "wait");
  const words = ({ name, kind, message, hint }: StoreError) => ({ name, kind, message, hint });
  const unknown = decodeAnswer("commit", encodeAnswer("commit", { kind: "unknown", cause: error }));
  assertEquals(unknown.kind === "unknown" && words(unknown.cause), words(error));
  const refused = decodeChange(encodeChange({ kind: "refused", error }).trim().slice("data: ".length));
  assertEquals(refused.kind === "refused" && words(refused.error), words(error));
});

Deno.test("what is no question, answer or event is a fault, and nothing else is thrown", () => {
  const rubbish = fc.oneof(fc.json(), fc.string({ unit: "binary" }));
  const faultOrNothing = (work: () => unknown) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof WireFault)) throw error;
    }
  };
  fc.assert(fc.property(rubbish, fc.constantFrom(...CALLS), (text, call) => {
    faultOrNothing(() => decodeQuestion(call, bytes(text)));
    faultOrNothing(() => decodeChange(text));
    decodeRefusal(text);
    if (call !== "watch") faultOrNothing(() => decodeAnswer(call, text));
  }));
  assertThrows(() => decodeAnswer("view", "<html>"), WireFault, "the body is not JSON");
});

Deno.test("a refusal says whether it is certain that nothing happened; one of a newer kind is a failure", () => {
  const refusal = { kind: "permission", message: "no", hint: "ask ann", nothingHappened: true } as const;
  assertEquals(decodeRefusal(encodeRefusal(refusal)), refusal);
  const newer = JSON.stringify({ error: { kind: "tired", message: "later", nothingHappened: false } });
  assertEquals(decodeRefusal(newer), { kind: "failed", message: "later", nothingHappened: false });
  assertEquals(decodeRefusal('{"error":"other"}'), undefined);
});
