import { assertEquals } from "@std/assert";
import {
  type Answer,
  combineNeed,
  type Detector,
  isCoveredBy,
  type Need,
  type NeedLevel,
  watchNeed,
} from "../lib/need.ts";
import { Heard } from "./support/bus.ts";

const NOT: Need = { kind: "not-needed" };
const SILENT: Answer = { kind: "silent" };
/** Needed for this reason, which is its fingerprint too. */
const needed = (...reasons: string[]): Need => ({ kind: "needed", reasons, fingerprint: reasons.join("+") });
const unknown = (...why: string[]): Need => ({ kind: "unknown", why });
const combined = (...answers: Answer[]) =>
  combineNeed(new Map(answers.map((answer, i) => [`d${i}`, answer])));

Deno.test("combineNeed() says needed if any says so, with all their reasons and fingerprints", () => {
  assertEquals(combined(NOT, needed("a"), unknown("x"), needed("b", "c"), SILENT), {
    kind: "needed",
    reasons: ["a", "b", "c"],
    fingerprint: "d1:a d3:b+c",
  });
});

Deno.test("combineNeed() has the first deadline, whatever the answer is, and none makes a need", () => {
  const until = (date: string) => ({ until: date, why: "end" });
  const late: Answer = { kind: "silent", deadline: until("2027-10-02") };
  const early: Answer = { kind: "silent", deadline: until("2027-03-01") };
  assertEquals(combined(NOT, late, early), { kind: "not-needed", deadline: until("2027-03-01") });
  assertEquals(combined(late).kind, "unknown");
  assertEquals(combined(needed("a"), late).deadline, until("2027-10-02"));
});

Deno.test("combineNeed() never drops a need for want of a reason", () => {
  assertEquals(combined(NOT, needed()), { kind: "needed", reasons: ["d1"], fingerprint: "d1:" });
});

Deno.test("combineNeed() has the highest level that anybody asks for, and whoever names none asks for a reboot", () => {
  const at = (level: NeedLevel): Need => ({ kind: "needed", reasons: [level], level, fingerprint: level });
  const levels = (...answers: Answer[]) => {
    const need = combined(...answers);
    return need.kind === "needed" ? need.level ?? "reboot" : need.kind;
  };
  assertEquals(levels(at("soft-reboot")), "soft-reboot");
  assertEquals(levels(at("soft-reboot"), at("kexec"), NOT), "kexec");
  assertEquals(levels(at("soft-reboot"), needed("a")), "reboot");
});

Deno.test("combineNeed() takes who is silent for nobody", () => {
  assertEquals(combined(SILENT, NOT), NOT);
  assertEquals(combined(SILENT, unknown("x")), unknown("d1: x"));
  assertEquals(combined(SILENT), unknown("no source can tell"));
});

Deno.test("isCoveredBy() knows a need again, in part too, whoever answered first, and never one that something has joined", () => {
  const fingerprint = (...answers: [string, string][]) => {
    const need = combineNeed(new Map(answers.map(([name, what]) => [name, needed(what)])));
    return need.kind === "needed" ? need.fingerprint : "";
  };
  const both = fingerprint(["sentinel", "1 a"], ["engine", "2"]);
  assertEquals(both, fingerprint(["engine", "2"], ["sentinel", "1 a"]));
  assertEquals(isCoveredBy(both, both), true);
  assertEquals(isCoveredBy(fingerprint(["engine", "2"]), both), true);
  assertEquals(isCoveredBy(both, fingerprint(["engine", "2"])), false);
  assertEquals(isCoveredBy(fingerprint(["engine", "3"]), both), false);
  assertEquals(isCoveredBy(fingerprint(["sentinel", "1"]), both), false);
});

Deno.test("combineNeed() says not needed if one knows that and none says needed", () => {
  assertEquals(combined(unknown("x"), NOT), NOT);
});

Deno.test("combineNeed() says unknown, and who does not know why, if none knows", () => {
  assertEquals(combined(unknown("x"), unknown("y", "z")), unknown("d0: x", "d1: y", "d1: z"));
  assertEquals(combined(), unknown("no source can tell"));
});

/** A need that only the detector `name` tells. */
function by(name: string, reason: string): Need {
  return { kind: "needed", reasons: [reason], fingerprint: `${name}:${reason}` };
}

/** A detector that says what the test tells it to. */
function puppet(): { detect: Detector; say: (answer: Answer) => void } {
  let listener: (answer: Answer) => void = () => {};
  return {
    say: (answer) => listener(answer),
    detect: (signal, take) => {
      listener = take;
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
    },
  };
}

Deno.test("watchNeed() waits for all, then tells changes only, and nothing after the abort", async () => {
  const [a, b] = [puppet(), puppet()];
  const stop = new AbortController();
  const heard = new Heard<Need>();
  const done = watchNeed(new Map([["a", a.detect], ["b", b.detect]]), stop.signal, heard.take);
  a.say(NOT);
  assertEquals(heard.all, []);
  b.say(unknown("x"));
  assertEquals(heard.all, [NOT]);
  a.say(NOT);
  b.say(unknown("y"));
  assertEquals(heard.all, [NOT]);
  b.say(needed("r"));
  a.say(unknown("z"));
  assertEquals(heard.all, [NOT, by("b", "r")]);
  stop.abort();
  a.say(needed("late"));
  await done;
  assertEquals(heard.all, [NOT, by("b", "r")]);
});

Deno.test("watchNeed() tells a need at once, though others have not answered", async () => {
  const [a, b] = [puppet(), puppet()];
  const stop = new AbortController();
  const heard = new Heard<Need>();
  const done = watchNeed(new Map([["a", a.detect], ["b", b.detect]]), stop.signal, heard.take);
  b.say(needed("r"));
  assertEquals(heard.all, [by("b", "r")]);
  stop.abort();
  await done;
});

Deno.test("watchNeed() takes a detector that fails for unknown, and goes on with the others", async () => {
  const a = puppet();
  const stop = new AbortController();
  const heard = new Heard<Need>();
  const broken: Detector = () => Promise.reject(new Error("broken"));
  const done = watchNeed(new Map([["a", a.detect], ["b", broken]]), stop.signal, heard.take);
  a.say(unknown("x"));
  assertEquals(await heard.next(), unknown("a: x", "b: it failed: broken"));
  a.say(needed("r"));
  assertEquals(await heard.next(), by("a", "r"));
  stop.abort();
  await done;
});
