/**
 * Holds a FleetLock server to the protocol, from outside: takes and gives back slots of a group that no host uses, in
 * turn, in races and against the rules, and says of each rule whether the server kept it. What it found is in words,
 * with the answer that shows it.
 *
 * It knows nothing of the server but what the protocol says. A slot that it took is given back, whatever comes.
 */

import { parseRefusal, PRE_REBOOT, STEADY_STATE } from "./protocol.ts";

/** One request, as it goes out: also one that no client would send. */
export interface RawRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What came back; `null` in place of a status: nothing, and why. */
export interface RawAnswer {
  readonly status: number | null;
  readonly body: string;
  readonly why?: string;
}

/** Sends a request as it is. Never throws: no answer is a finding as well. */
export type Exchange = (request: RawRequest) => Promise<RawAnswer>;

/** What became of a rule. */
export type Verdict =
  | "kept"
  /** The server breaks it. */
  | "broken"
  /** It could not be tried, or the protocol leaves it to the server. */
  | "open";

export interface Finding {
  /** A word for programs, stable from version to version. */
  readonly rule: string;
  readonly verdict: Verdict;
  /** The rule in words. */
  readonly text: string;
  /** What was seen, where there is something to say. */
  readonly seen?: string;
}

export interface CheckOptions {
  /** A group as the protocol calls it, which no host uses while this runs. */
  readonly group: string;
  /** Distinguishes the ids of this run from those of others. */
  readonly mark: string;
}

/** So many slots are taken at most to find out how many there are. */
export const SLOTS_LIMIT = 64;
/** How many ask at once, beyond the slots that there are. */
const CROWD = 10;
const HEADERS = { "fleet-lock-protocol": "true" } as const;

/** Tries every rule, one after the other. */
export async function* checkServer(exchange: Exchange, options: CheckOptions): AsyncGenerator<Finding> {
  const check = new Check(exchange, options);
  try {
    const first = await check.steadyState("probe");
    if (first.status === null) {
      yield check.finding("answers", "broken", "the server answers", first.why);
      return;
    }
    yield* check.requests();
    yield* check.slots();
    yield check.refusals();
  } finally {
    await check.giveBack();
  }
}

class Check {
  /** Everybody that may have a slot. */
  readonly #ids = new Set<string>();
  /** Refusals that carry no kind and value. */
  readonly #bare: string[] = [];
  #refused = 0;

  constructor(private readonly exchange: Exchange, private readonly options: CheckOptions) {}

  finding(rule: string, verdict: Verdict, text: string, seen?: string): Finding {
    return { rule, verdict, text, ...(seen === undefined ? {} : { seen }) };
  }

  preReboot(name: string): Promise<RawAnswer> {
    return this.#ask(PRE_REBOOT, this.#body(name));
  }

  steadyState(name: string): Promise<RawAnswer> {
    return this.#ask(STEADY_STATE, this.#body(name));
  }

  async giveBack(): Promise<void> {
    await Promise.all(
      [...this.#ids].map((id) =>
        this.exchange({
          method: "POST",
          path: STEADY_STATE,
          headers: HEADERS,
          body: bodyOf(id, this.options.group),
        })
      ),
    );
  }

  /** Rules of single requests. Those that must be refused would take a slot if they were not. */
  async *requests(): AsyncGenerator<Finding> {
    const good = this.#body("request");
    const { group } = this.options;
    const refused: readonly (readonly [string, string, Partial<RawRequest>])[] = [
      ["header-missing", "a request without the header fleet-lock-protocol is refused", { headers: {} }],
      ["header-value", "a header fleet-lock-protocol with another value than 'true' is refused", {
        headers: { "fleet-lock-protocol": "yes" },
      }],
      ["method", "only POST is accepted", { method: "GET", body: "" }],
      ["body-empty", "an empty body is refused", { body: "" }],
      ["body-not-json", "a body that is not JSON is refused", { body: "id=1&group=default" }],
      ["params-missing", "a body without client_params is refused", { body: "{}" }],
      ["id-missing", "a request without an id is refused", {
        body: JSON.stringify({ client_params: { group } }),
      }],
      ["id-empty", "an empty id is refused", { body: JSON.stringify({ client_params: { id: "", group } }) }],
      ["id-not-text", "an id that is not text is refused", {
        body: JSON.stringify({ client_params: { id: 7, group } }),
      }],
      ["group-missing", "a request without a group is refused", {
        body: JSON.stringify({ client_params: { id: this.#id("nobody") } }),
      }],
      ["group-empty", "an empty group is refused", { body: bodyOf(this.#id("nobody"), "") }],
      ["group-alphabet", "a group outside of [a-zA-Z0-9.-] is refused", {
        body: bodyOf(this.#id("nobody"), "a group/of?its own"),
      }],
    ];
    for (const [rule, text, differs] of refused) {
      const request = { method: "POST", path: PRE_REBOOT, headers: HEADERS, body: good, ...differs };
      const answer = await this.exchange(request);
      yield this.finding(rule, isRefusal(answer) ? "kept" : "broken", text, `answered ${shown(answer)}`);
      // a slot that was taken against the rules
      if (answer.status === 200) await this.steadyState("request");
    }
    const accepted: readonly (readonly [string, string, Partial<RawRequest>])[] = [
      ["content-type-none", "a request without Content-Type is accepted", {}],
      ["content-type-form", "the Content-Type is not looked at", {
        headers: { ...HEADERS, "content-type": "application/x-www-form-urlencoded" },
      }],
      ["body-pretty", "a body with blanks and line feeds is accepted", {
        body: JSON.stringify(JSON.parse(good), null, 2),
      }],
      ["fields-unknown", "fields that are not known are ignored", {
        body: JSON.stringify({ ...JSON.parse(good), more: { a: [1] } }),
      }],
    ];
    for (const [rule, text, differs] of accepted) {
      const answer = await this.exchange({
        method: "POST",
        path: STEADY_STATE,
        headers: HEADERS,
        body: good,
        ...differs,
      });
      yield this.finding(rule, answer.status === 200 ? "kept" : "broken", text, `answered ${shown(answer)}`);
    }
  }

  /** Rules of slots: how many there are, whose they are, who else gets one. */
  async *slots(): AsyncGenerator<Finding> {
    const first = await this.preReboot("0");
    if (first.status !== 200) {
      const why = `the group has no free slot to try with: answered ${shown(first)}`;
      yield this.finding("grant", "open", "a free slot is granted", why);
      return;
    }
    yield this.finding("grant", "kept", "a free slot is granted, with exactly 200");

    const again = await this.#repeat(10, () => this.preReboot("0"));
    yield this.#all("recursive", "a holder that asks again is granted again", again);
    const stranger = await this.steadyState("stranger");
    yield this.finding(
      "release-idempotent",
      stranger.status === 200 ? "kept" : "broken",
      "steady-state of a host that holds no slot succeeds, while another holds one",
      `answered ${shown(stranger)}`,
    );

    let slots = 1;
    let full: RawAnswer = first;
    while (slots < SLOTS_LIMIT) {
      full = await this.preReboot(String(slots));
      if (full.status !== 200) break;
      slots++;
    }
    if (full.status === 200) {
      yield this.finding(
        "full",
        "open",
        "a full group refuses",
        `the group has more than ${SLOTS_LIMIT} slots`,
      );
      return;
    }
    yield this.finding(
      "full",
      isRefusal(full) ? "kept" : "broken",
      "a full group refuses, with neither 2xx nor a redirect",
      `${count(slots, "slot")}; then ${shown(full)}`,
    );
    const other = await this.exchange({
      method: "POST",
      path: PRE_REBOOT,
      headers: HEADERS,
      body: this.#body("case"),
    });
    const upper = await this.exchange({
      method: "POST",
      path: PRE_REBOOT,
      headers: HEADERS,
      body: bodyOf(this.#id("0").toUpperCase(), this.options.group),
    });
    this.#ids.add(this.#id("0").toUpperCase());
    if (other.status !== 200) {
      yield this.finding(
        "id-case",
        isRefusal(upper) ? "kept" : "broken",
        "an id in other case is another host",
        `answered ${shown(upper)}`,
      );
    }
    await this.steadyState("0");
    const next = await this.preReboot("next");
    const beyond = await this.preReboot("beyond");
    yield this.finding(
      "counts",
      next.status === 200 && isRefusal(beyond) ? "kept" : "broken",
      "a slot that is given back is free for exactly one other, however often its holder had asked",
      `answered ${shown(next)}, then ${shown(beyond)}`,
    );
    await this.giveBack();
    yield* this.#races(slots);
  }

  /** Rules of requests at the same moment. */
  async *#races(slots: number): AsyncGenerator<Finding> {
    const names = Array.from({ length: slots + CROWD }, (_, i) => `race-${i}`);
    const race = await Promise.all(names.map((name) => this.preReboot(name)));
    const granted = race.filter(({ status }) => status === 200).length;
    yield this.finding(
      "race",
      granted === slots ? "kept" : "broken",
      "of many hosts at once exactly as many are granted as there are slots",
      `${names.length} at once on ${count(slots, "slot")}: ${granted} granted${
        tally(race.filter(({ status }) => status !== 200))
      }`,
    );
    const [holder = ""] = names.filter((_, i) => race[i]?.status === 200);
    const same = await Promise.all(Array.from({ length: CROWD }, () => this.preReboot(holder)));
    yield this.#all("race-same-host", "a holder that asks ten times at once is granted each time", same);
    const back = await Promise.all(names.map((name) => this.steadyState(name)));
    yield this.#all("race-release", "many hosts at once give back their slots", back);
    const fresh = await Promise.all(Array.from({ length: CROWD }, () => this.preReboot("twin")));
    yield this.#all("race-first", "a host that asks ten times at once is granted each time", fresh);
    const rest = await this.#repeat(slots, () => this.preReboot(`after-${this.#ids.size}`));
    const more = rest.filter(({ status }) => status === 200).length;
    yield this.finding(
      "race-first-counts",
      more === slots - 1 ? "kept" : "broken",
      "that host has taken only one slot",
      `${count(slots, "slot")}, ${more} left for others`,
    );
  }

  /** Whether every refusal said why. */
  refusals(): Finding {
    const text = "every refusal has a kind and a value, in JSON";
    if (this.#refused === 0) return this.finding("refusal-body", "open", text, "nothing was refused");
    const [example] = this.#bare;
    return example === undefined ? this.finding("refusal-body", "kept", text) : this.finding(
      "refusal-body",
      "broken",
      text,
      `${this.#bare.length} of ${this.#refused} had none, such as ${example}`,
    );
  }

  #all(rule: string, text: string, answers: readonly RawAnswer[]): Finding {
    const others = answers.filter(({ status }) => status !== 200);
    return others.length === 0
      ? this.finding(rule, "kept", text)
      : this.finding(rule, "broken", text, `${others.length} of ${answers.length} were not${tally(others)}`);
  }

  async #repeat(times: number, ask: () => Promise<RawAnswer>): Promise<RawAnswer[]> {
    const answers: RawAnswer[] = [];
    for (let i = 0; i < times; i++) answers.push(await ask());
    return answers;
  }

  async #ask(path: string, body: string): Promise<RawAnswer> {
    const answer = await this.exchange({ method: "POST", path, headers: HEADERS, body });
    if (isRefusal(answer)) {
      this.#refused++;
      const told = parseRefusal(answer.body);
      if (told === undefined || told.value === "") this.#bare.push(shown(answer));
    }
    return answer;
  }

  #body(name: string): string {
    return bodyOf(this.#id(name), this.options.group);
  }

  #id(name: string): string {
    const id = `${this.options.mark}-${name}`;
    this.#ids.add(id);
    return id;
  }
}

function bodyOf(id: string, group: string): string {
  return JSON.stringify({ client_params: { id, group } });
}

/** A client takes every 2xx for a grant, and may follow a redirect to one. */
function isRefusal({ status }: RawAnswer): boolean {
  return status !== null && status >= 400;
}

const BODY_SHOWN = 80;

function shown({ status, body, why }: RawAnswer): string {
  if (status === null) return `nothing (${why})`;
  const told = parseRefusal(body);
  if (told !== undefined) return `${status} ${told.kind === "refused" ? told.called : told.kind}`;
  const text = body.trim().replace(/\s+/g, " ");
  return text === "" || status === 200
    ? `${status}`
    : `${status} ${JSON.stringify(text.slice(0, BODY_SHOWN))}`;
}

/** `: 3 with 500 failed_lock, 1 with 503`. */
function tally(answers: readonly RawAnswer[]): string {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(shown(answer), (counts.get(shown(answer)) ?? 0) + 1);
  const texts = [...counts].map(([text, n]) => `${n} with ${text}`);
  return texts.length === 0 ? "" : `: ${texts.join(", ")}`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
