/**
 * The page, as a door of the server: what there is to see at `/`, its events, and the few forms of an operator. It needs
 * no JavaScript; with it the page stays up to date by itself.
 *
 * Who may look: viewers and operators, by whatever credential the server knows, or signed in here. To change anything takes
 * an operator's session, a form that this server made for it, and a reason.
 */

import { ALL_GROUPS } from "../group.ts";
import { machineName } from "../machine.ts";
import type { Answer, Asked, Caller, Door, Route } from "./door.ts";
import { age, clock } from "./clock.ts";
import type { Fleet, Holder } from "./fleet.ts";
import { type Html, html, name } from "./html.ts";
import { Live, seenBy } from "./live.ts";
import type { Operations, Outcome, Wish } from "./operations.ts";
import { parseDuration } from "../duration.ts";
import {
  documentAnswer,
  faultMain,
  FILES,
  fleetMain,
  freezeQuestion,
  HEADERS,
  pauseQuestion,
  type Question,
  questionMain,
  resumeQuestion,
  signInMain,
  unfreezeQuestion,
  unlockQuestion,
} from "./page_document.ts";
import { type Action, actionLink, ACTIONS, type Subject } from "./page_links.ts";
import { type Audience, cardsOf, pageView } from "./page_view.ts";
import { isFromHere, isProven, mayLook, type Session, type SessionRules, Sessions } from "./sessions.ts";

/** The longest form, in bytes. */
const FORM_LIMIT = 8 * 1024;

/** What the page is made of. */
export interface PageSources extends SessionRules {
  readonly fleet: Fleet;
  readonly operations: Operations;
  readonly surroundings: SessionRules["surroundings"] & Fleet["sources"]["surroundings"];
}

export class PageDoor implements Door {
  readonly routes: readonly Route[];
  readonly #live: Live;
  readonly #sessions: Sessions;

  constructor(private readonly sources: PageSources) {
    const { fleet, surroundings } = sources;
    this.#live = new Live({ fleet, mirror: fleet.sources.mirror, surroundings });
    this.#sessions = new Sessions(sources);
    const read = ["GET"];
    const form = ["GET", "POST"];
    const anyone = "anyone" as const;
    this.routes = [
      { path: "/", methods: read, who: anyone, answer: (asked) => this.#page(asked) },
      { path: "/events", methods: read, who: anyone, answer: (asked) => this.#events(asked) },
      ...[...FILES].map(([path, file]): Route => {
        return { path, methods: read, who: anyone, answer: (asked) => fileAnswer(file, asked) };
      }),
      {
        path: "/sign-in",
        methods: form,
        who: anyone,
        bodyLimit: FORM_LIMIT,
        answer: (asked) => this.#signIn(asked),
      },
      {
        path: "/sign-out",
        methods: ["POST"],
        who: anyone,
        bodyLimit: FORM_LIMIT,
        answer: (asked) => this.#signOut(asked),
      },
      ...ACTIONS.map((action): Route => ({
        path: `/${action}`,
        methods: form,
        who: anyone,
        bodyLimit: FORM_LIMIT,
        answer: (asked) => this.#act(action, asked),
      })),
    ];
  }

  close(): void {
    this.#live.close();
    this.sources.fleet.close();
  }

  async #page(asked: Asked): Promise<Answer> {
    const session = this.#sessions.find(asked);
    const audience = this.#audience(asked, session);
    if (audience === undefined) return leadsTo("/sign-in");
    const { fleet } = this.sources;
    const view = fleet.view(seenBy(audience));
    if (audience.only !== undefined && view.groups.length + view.faulty.length === 0) {
      const why =
        "Nothing is stored for this group. It may have been removed, or no machine has asked in it yet.";
      return documentAnswer(404, this.#frame(session, "no such group"), faultMain("No such group", why));
    }
    const shown = cardsOf(view.groups, audience).map(({ group }) => group);
    await fleet.past(shown, () => this.#live.changed());
    const page = pageView(fleet.view(seenBy(audience)), audience);
    const told = session?.told;
    if (session !== undefined) session.told = undefined;
    const query = audience.only === undefined ? "" : `?${new URLSearchParams({ group: audience.only })}`;
    return documentAnswer(200, {
      ...this.#frame(session, page.title),
      events: `/events${query}`,
      links: [
        audience.only !== undefined && html`<a class="act" href="/">All groups</a>`,
        audience.operator && view.pauseOfAll === undefined && view.groups.length > 0 &&
        actionLink("pause", {}, "Pause all"),
        audience.operator && view.groups.length > 0 && actionLink("freeze", {}, "Freeze all"),
      ],
    }, fleetMain(page, told));
  }

  #events(asked: Asked): Answer {
    const audience = () => this.#audience(asked, this.#sessions.find(asked));
    if (audience() === undefined) {
      return { status: 401, kind: "unauthenticated", headers: HEADERS, body: "sign in\n" };
    }
    const events = this.#live.events(audience, haveOf(asked), asked.gone);
    if (events === undefined) {
      return { status: 503, kind: "unavailable", headers: HEADERS, body: "too many look already\n" };
    }
    return {
      status: 200,
      headers: {
        ...HEADERS,
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        // a proxy that gathers would hold events back
        "x-accel-buffering": "no",
      },
      body: events,
    };
  }

  /** What a request may see; `undefined`: nothing. */
  #audience(asked: Asked, session: Session | undefined): Audience | undefined {
    const caller = session?.caller ?? asked.caller;
    if (!mayLook(caller)) return undefined;
    const only = asked.query.get("group");
    return {
      operator: session?.caller.role === "operator",
      ...(caller.groups === undefined ? {} : { groups: caller.groups }),
      ...(only === null ? {} : { only }),
      origin: `${this.sources.secure ? "https" : "http"}://${asked.header("host") ?? "localhost"}`,
    };
  }

  #frame(session: Session | undefined, title: string) {
    return { title, now: this.sources.surroundings.now(), session };
  }

  #signIn(asked: Asked): Answer {
    const session = this.#sessions.find(asked);
    const { caller } = asked;
    const known = mayLook(caller) && caller.role === "operator" ? caller.name : undefined;
    const form = (status: number, fault: string | undefined, kind?: string): Answer => ({
      ...documentAnswer(status, this.#frame(session, "sign in"), signInMain(fault, known)),
      ...(kind === undefined ? {} : { kind }),
    });
    if (asked.method !== "POST") return form(200, undefined);
    if (!isFromHere(asked)) return this.#foreign(session);
    const token = formOf(asked).get("token")?.trim();
    if (token === undefined && known === undefined) return form(400, "Give a token.", "bad_request");
    const cookie = this.#sessions.open(asked, token);
    if (cookie === undefined) {
      return form(
        403,
        "This is not the token of an operator or a viewer. It may have been revoked.",
        "unauthenticated",
      );
    }
    this.#sessions.close(session);
    return leadsTo("/", { "set-cookie": cookie });
  }

  #signOut(asked: Asked): Answer {
    const session = this.#sessions.find(asked);
    if (
      session !== undefined && !(isFromHere(asked) && isProven(session, formOf(asked).get("proof") ?? ""))
    ) {
      return this.#foreign(session);
    }
    return leadsTo("/", { "set-cookie": this.#sessions.close(session) });
  }

  async #act(action: Action, asked: Asked): Promise<Answer> {
    const session = this.#sessions.find(asked);
    if (session?.caller.role !== "operator") {
      // one whose session is over signs in again; a host's credential has no business here
      return asked.method === "POST" && asked.caller.role === "host"
        ? { ...this.#foreign(session), why: "not allowed for the role host" }
        : leadsTo("/sign-in");
    }
    const form = asked.method === "POST" ? formOf(asked) : asked.query;
    const subject = subjectOf(form);
    const ask = (status: number, fault: string | undefined): Answer => {
      const question = this.#question(action, subject, session.caller);
      if (question === undefined) {
        const why = "The machine has given its slot back meanwhile, or there is no such group.";
        return documentAnswer(409, this.#frame(session, "nothing to do"), faultMain("Nothing to do", why));
      }
      return documentAnswer(status, this.#frame(session, action), questionMain(question, session, fault));
    };
    if (asked.method !== "POST") return ask(200, undefined);
    if (!(isFromHere(asked) && isProven(session, form.get("proof") ?? ""))) return this.#foreign(session);
    const outcome = await this.sources.operations.carryOut(session.caller, wishOf(action, subject, form));
    if (!isDone(outcome)) {
      return { ...ask(outcome.status, `Nothing was done: ${outcome.why}.`), kind: outcome.kind };
    }
    session.told = outcome.told;
    return { ...leadsTo("/"), audit: outcome.audit, by: session.caller };
  }

  /** What is asked before it is done; `undefined`: there is nothing to do it to. */
  #question(action: Action, subject: Subject, { groups }: Caller): Question | undefined {
    const { group, holder } = subject;
    const wanted = (one: string) => (groups?.has(one) ?? true) && (group === undefined || one === group);
    const { groups: views, now, pauseOfAll, freezesOfAll } = this.sources.fleet.view(wanted);
    const holders = views.flatMap(({ holders }) => holders);
    switch (action) {
      case "pause": {
        const paused = group === undefined
          ? pauseOfAll !== undefined
          : views.some(({ pause }) => pause !== undefined);
        return pauseQuestion(subject, holders.map(({ id, hold }) => hold?.host ?? id), paused);
      }
      case "resume": {
        const free = views.reduce((sum, { seen: { semaphore }, holders, waiting }) => {
          return sum + Math.min(waiting.length, Math.max(0, semaphore.max - holders.length));
        }, 0);
        return resumeQuestion(subject, views.reduce((sum, { waiting }) => sum + waiting.length, 0), free);
      }
      case "unlock": {
        const found = holders.find(({ id }) => id === holder);
        if (found === undefined || group === undefined) return undefined;
        const since = subject.since ?? found.hold?.since ?? "";
        const about = { group, holder: found.id, since };
        return unlockQuestion(about, found.hold?.host, holderFacts(found, now));
      }
      case "freeze":
        return freezeQuestion(subject);
      case "unfreeze":
        return unfreezeQuestion(
          subject,
          group === undefined ? freezesOfAll : views.flatMap(({ freezes }) => freezes),
          now,
        );
    }
  }

  #foreign(session: Session | undefined): Answer {
    const why = "The form did not come from this page, or is of an earlier session. Go back and try again.";
    const answer = documentAnswer(403, this.#frame(session, "refused"), faultMain("Refused", why));
    return { ...answer, kind: "forbidden" };
  }
}

function holderFacts({ id, hold, sinceMs, overdue, byHand }: Holder, now: number): Html[] {
  const since = sinceMs !== undefined && html`
    since ${clock(sinceMs, now)} (${age(sinceMs, now)})
  `;
  const who = html`<b>${name(machineName(id, hold?.host))}</b>`;
  const phase = byHand
    ? "has a slot by hand"
    : hold?.trouble !== undefined
    ? "is not well after its reboot: it holds its slot"
    : overdue
    ? "is overdue: it holds its slot"
    : "holds its slot";
  return [html`${who} ${phase} ${since}.`];
}

function subjectOf(form: URLSearchParams): Subject {
  const [group, holder, since, name] = ["group", "holder", "since", "name"].map((field) => {
    return form.get(field) ?? undefined;
  });
  return {
    ...(group === undefined ? {} : { group }),
    ...(holder === undefined ? {} : { holder }),
    ...(since === undefined ? {} : { since }),
    ...(name === undefined ? {} : { name }),
  };
}

function wishOf(action: Action, { group, holder = "", since, name }: Subject, form: URLSearchParams): Wish {
  // the name of a freeze is why there is one
  const reason = (name ?? form.get("reason"))?.trim() ?? "";
  // a group is left out for all of them
  const about = { group: group ?? ALL_GROUPS, reason };
  switch (action) {
    case "pause":
      return { ...about, action, forMs: lengthOf(form.get("for") ?? "") };
    case "resume":
      return { ...about, action };
    case "unlock":
      return { ...about, action, holder, since };
    case "freeze": {
      const [first = "", last = ""] = ["first", "last"].map((field) => form.get(field)?.trim() ?? "");
      return { ...about, action, dates: `${first}..${last}`, zone: form.get("zone")?.trim() ?? "UTC" };
    }
    case "unfreeze":
      return { ...about, action };
  }
}

/** One that cannot be read is refused like one of no length. */
function lengthOf(text: string): number | undefined {
  if (text === "") return undefined;
  try {
    return parseDuration(text);
  } catch {
    return 0;
  }
}

function isDone(outcome: Outcome): outcome is Extract<Outcome, { kind: "done" }> {
  return outcome.kind === "done";
}

/** What a page has, as it says: `key.mark` of each part. */
function haveOf({ query }: Asked): Map<string, string> {
  return new Map(
    (query.get("have") ?? "").split(" ").flatMap((part) => {
      const [, key, mark] = /^([a-z0-9-]{1,32})\.([\w-]{12})$/.exec(part) ?? [];
      return key === undefined || mark === undefined ? [] : [[key, mark]];
    }),
  );
}

function formOf({ body }: Asked): URLSearchParams {
  return new URLSearchParams(new TextDecoder().decode(body));
}

function fileAnswer(
  { type, text, mark }: { type: string; text: string; mark: string },
  asked: Asked,
): Answer {
  const lasting = asked.query.get("v") === mark;
  return {
    status: 200,
    headers: {
      ...HEADERS,
      "content-type": type,
      "cache-control": lasting ? "public, max-age=31536000, immutable" : "no-cache",
    },
    body: text,
  };
}

function leadsTo(location: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status: 303,
    headers: { ...HEADERS, "cache-control": "no-store", location, ...headers },
    body: "",
  };
}
