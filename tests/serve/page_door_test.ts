/** Signing in on the page, and what an operator does there. */

import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import type { Answer, Caller } from "../../lib/serve/door.ts";
import { HEADERS } from "../../lib/serve/page_document.ts";
import { SESSION_MS } from "../../lib/serve/sessions.ts";
import { openMemory } from "../../lib/simulation/memory.ts";
import { Virtual } from "../support/virtual.ts";
import { ask, HOUR_MS, MINUTE_MS, type Request, Site } from "./site.ts";

const HERE = { origin: "http://lock.example:8080" };
const NOBODY: Caller = { role: undefined, name: "anonymous" };
const STORAGE = "storage maintenance";

/** A group with a holder and one that waits, at the beginning of a virtual time. */
function virtualSite(options: { readonly secure?: boolean } = {}) {
  const clock = new Virtual();
  const site = new Site({ surroundings: clock, store: openMemory, ...options });
  const at = (ms: number) => new Date(clock.now() + ms).toISOString();
  site.grant("web", "m1", { host: "web1", boot: "b", since: at(-10 * MINUTE_MS), phase: "rebooting" });
  site.wait("web", "m2", { host: "web2", since: at(-5 * MINUTE_MS) });
  const go = (target: string, request: Request = {}) =>
    ask(site.page, target, { caller: NOBODY, ...request });
  const post = (target: string, fields: Record<string, string>, headers: Record<string, string> = HERE) =>
    go(target, { method: "POST", headers, body: new URLSearchParams(fields).toString() });
  return { site, clock, go, post };
}

type Story = ReturnType<typeof virtualSite>;

/** Signs in; gives the cookie, and what posts a form with the proof of its session. */
async function signIn({ go, post }: Story, token = "token-of-anna") {
  const answer = await post("/sign-in", { token });
  assertEquals([answer.status, answer.headers?.location], [303, "/"]);
  const cookie = cookieOf(answer);
  const see = async (target: string) => String((await go(target, { headers: { cookie } })).body);
  const proof = /name="proof" value="([^"]+)"/.exec(await see("/"))?.[1] ?? "";
  return {
    cookie,
    see,
    proof,
    act: (target: string, fields: Record<string, string>, headers: Record<string, string> = HERE) =>
      post(target, { proof, ...fields }, { cookie, ...headers }),
  };
}

function cookieOf({ headers }: Answer): string {
  return headers?.["set-cookie"]?.split(";")[0] ?? "";
}

Deno.test("who is known by nothing is led to the sign-in, and hosts are no viewers", async () => {
  const { go } = virtualSite();
  assertEquals((await go("/")).headers?.location, "/sign-in");
  assertEquals((await go("/events")).status, 401);
  assertEquals((await go("/", { caller: { role: "host", name: "web1" } })).headers?.location, "/sign-in");
  assertEquals((await go("/", { caller: { role: "viewer", name: "vera" } })).status, 200);
  assertEquals((await go("/pause?group=web")).headers?.location, "/sign-in");
});

Deno.test("only a token of an operator or viewer signs in, from the page's own form", async () => {
  const { post } = virtualSite();
  for (const token of ["nobody's", "token-of-web1"]) {
    const answer = await post("/sign-in", { token });
    assertEquals([answer.status, answer.kind, answer.headers?.["set-cookie"]], [
      403,
      "unauthenticated",
      undefined,
    ]);
  }
  for (
    const headers of [{}, { origin: "null" }, { origin: "https://evil.example" }, {
      ...HERE,
      "sec-fetch-site": "cross-site",
    }]
  ) {
    assertEquals(
      (await post("/sign-in", { token: "token-of-anna" }, headers)).status,
      403,
      JSON.stringify(headers),
    );
  }
  const answer = await post("/sign-in", { token: "token-of-anna" }, { "sec-fetch-site": "same-origin" });
  assertMatch(
    answer.headers?.["set-cookie"] ?? "",
    /^locksmith=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=28800$/,
  );
});

Deno.test("over TLS the cookie is for TLS alone, and for this very host", async () => {
  const { post } = virtualSite({ secure: true });
  const answer = await post("/sign-in", { token: "token-of-anna" });
  assertMatch(
    answer.headers?.["set-cookie"] ?? "",
    /^__Host-locksmith=.*; HttpOnly; SameSite=Strict; .*; Secure$/,
  );
});

Deno.test("who is an operator by the request itself signs in without a token", async () => {
  const story = virtualSite();
  const caller: Caller = { role: "operator", name: "CN=anna" };
  const answer = await story.go("/sign-in", { method: "POST", headers: HERE, caller });
  const cookie = cookieOf(answer);
  const page = async (caller: Caller) => String((await story.go("/", { headers: { cookie }, caller })).body);
  assertStringIncludes(await page(caller), "Sign out");
  // the cookie alone is nothing without the certificate
  assertEquals((await story.go("/", { headers: { cookie } })).headers?.location, "/sign-in");
});

Deno.test("a session ends with its sign-out, after eight hours, and when its token is revoked", async () => {
  const story = virtualSite();
  const { site, clock, go } = story;
  const out = async (cookie: string) =>
    (await go("/", { headers: { cookie } })).headers?.location === "/sign-in";
  const first = await signIn(story);
  assertEquals((await first.act("/sign-out", { proof: "another's" })).status, 403);
  const answer = await first.act("/sign-out", {});
  assertStringIncludes(answer.headers?.["set-cookie"] ?? "", "Max-Age=0");
  assert(await out(first.cookie));
  const second = await signIn(story);
  await clock.advance(SESSION_MS - 1000);
  assert(!await out(second.cookie));
  await clock.advance(2000);
  assert(await out(second.cookie));
  const third = await signIn(story);
  site.revoked.add("token-of-anna");
  assert(await out(third.cookie));
  site.revoked.clear();
  assert(await out(third.cookie));
});

Deno.test("a viewer sees no way to act, and can do nothing", async () => {
  const story = virtualSite();
  const { see, act } = await signIn(story, "token-of-vera");
  assert(!(await see("/")).includes('href="/pause'));
  assertEquals((await act("/pause", { group: "web", reason: STORAGE })).headers?.location, "/sign-in");
  assertEquals(story.site.fleet.view().groups[0]?.pause, undefined);
});

Deno.test("an operator pauses and resumes a group: asked before, recorded with the reason, told after", async () => {
  const story = virtualSite();
  const { see, act } = await signIn(story);
  assertStringIncludes(await see("/"), 'href="/pause?group=web"');
  const question = await see("/pause?group=web");
  assertStringIncludes(question, "Machines that hold a slot may still reboot: <bdi>web1</bdi>.");
  const paused = await act("/pause", { group: "web", reason: STORAGE, for: "4h" });
  assertEquals([paused.status, paused.audit, paused.by?.name], [303, `paused group web: ${STORAGE}`, "anna"]);
  const view = () => story.site.fleet.view().groups[0];
  const until = new Date(story.clock.now() + 4 * HOUR_MS).toISOString();
  assertEquals([view()?.pause?.by, view()?.pause?.reason, view()?.pause?.until], ["anna", STORAGE, until]);
  const page = await see("/");
  assertStringIncludes(page, "Paused group web.");
  assert(!(await see("/")).includes("Paused group web."), "told once");
  assertStringIncludes(page, 'href="/resume?group=web"');
  const resumed = await act("/resume", { group: "web", reason: "done" });
  assertEquals([resumed.audit, view()?.pause], ["resumed group web: done", undefined]);
});

Deno.test("an operator plans a freeze of whole days in a zone, and removes it: of a group and of all", async () => {
  const story = virtualSite();
  const { see, act } = await signIn(story);
  const freezes = () => {
    const { groups, freezesOfAll } = story.site.fleet.view();
    return [...groups.flatMap(({ freezes }) => freezes), ...freezesOfAll];
  };
  for (const subject of [{ group: "web" }, {}] as const) {
    const query = new URLSearchParams(subject).toString();
    const phrase = "group" in subject ? "group web" : "all groups";
    assertStringIncludes(await see(`/freeze?${query}`), `name="first" type="date"`);
    const days = { first: "2999-12-20", last: "2999-12-24", zone: "Europe/Berlin" };
    const [from, until] = ["2999-12-19T23:00:00.000Z", "2999-12-24T23:00:00.000Z"];
    const planned = await act("/freeze", { ...subject, ...days, name: "Eve" });
    assertEquals([planned.status, planned.audit], [
      303,
      `planned a freeze of ${phrase} from ${from} until ${until}: Eve`,
    ]);
    assertEquals(freezes().map(({ name, from, until, by }) => [name, from, until, by]), [[
      "Eve",
      from,
      until,
      "anna",
    ]]);
    for (
      const [field, value] of [["first", ""], ["last", "2999-12-01"], ["zone", "Berlin"], [
        "name",
        " ",
      ]] as const
    ) {
      const refused = await act("/freeze", { ...subject, ...days, name: "Eve", [field]: value });
      assertEquals([refused.status, refused.kind], [400, "bad_request"], field);
    }
    assertStringIncludes(await see(`/unfreeze?${query}&name=Eve`), "Remove the freeze <bdi>Eve</bdi>");
    assertEquals(
      (await act("/unfreeze", { ...subject, name: "Eve" })).audit,
      `removed a freeze of ${phrase}: Eve`,
    );
    assertEquals(freezes(), []);
    assertEquals((await act("/unfreeze", { ...subject, name: "Eve" })).status, 409);
  }
});

Deno.test("a host's credential does nothing on the page, and each try is for the log", async () => {
  const { go, site } = virtualSite();
  for (const action of ["pause", "resume", "unlock", "freeze", "unfreeze"]) {
    const body = new URLSearchParams({ group: "web", reason: "mine", holder: "m1" }).toString();
    const caller: Caller = { role: "host", name: "web1" };
    const answer = await go(`/${action}`, { method: "POST", headers: HERE, body, caller });
    assertEquals([answer.status, answer.why], [403, "not allowed for the role host"], action);
  }
  const [web] = site.fleet.view().groups;
  assertEquals([web?.pause, web?.freezes, web?.holders.length], [undefined, [], 1]);
});

Deno.test("all groups can be paused at once", async () => {
  const story = virtualSite();
  const { act } = await signIn(story);
  assertEquals((await act("/pause", { reason: STORAGE })).audit, `paused all groups: ${STORAGE}`);
  assertEquals(story.site.fleet.view().pauseOfAll?.by, "anna");
});

Deno.test("an unlock says that another machine may reboot, and releases the very hold that was seen", async () => {
  const story = virtualSite();
  const { see, act } = await signIn(story);
  const link = /href="(\/unlock\?[^"]+)"/.exec(await see("/"))?.[1]?.replaceAll("&amp;", "&") ?? "";
  const question = await see(link);
  assertStringIncludes(question, "Another machine may reboot at the same time");
  const field = (name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(question)?.[1] ?? "";
  const form = { group: field("group"), holder: field("holder"), since: field("since") };
  const held = () => story.site.fleet.view().groups[0]?.holders.map(({ id }) => id);
  const late = await act("/unlock", { ...form, since: "2020-01-01T00:00:00Z", reason: "gone" });
  assertEquals([late.status, late.kind, held()], [409, "not_held", ["m1"]]);
  const done = await act("/unlock", { ...form, reason: "will not come back" });
  assertEquals([done.audit, held()], ["released the slot of web1 (m1) in group web: will not come back", []]);
  assertEquals((await act("/unlock", { ...form, reason: "again" })).status, 409);
});

Deno.test("nothing is done without a reason, without the form's proof, or from elsewhere", async () => {
  const story = virtualSite();
  const { act } = await signIn(story);
  const form = { group: "web", reason: STORAGE };
  const other = await signIn(story);
  for (
    const [fields, headers, status] of [
      [{ ...form, reason: " " }, HERE, 400],
      [{ ...form, for: "soon" }, HERE, 400],
      [{ ...form, proof: "" }, HERE, 403],
      [{ ...form, proof: other.proof }, HERE, 403],
      [form, {}, 403],
      [form, { origin: "http://lock.example:8081" }, 403],
    ] as const
  ) {
    assertEquals((await act("/pause", { ...fields }, { ...headers })).status, status);
  }
  assertEquals(story.site.fleet.view().groups[0]?.pause, undefined);
});

Deno.test("an operator of some groups sees and changes those alone", async () => {
  const story = virtualSite();
  story.site.grant("db", "d1", { host: "db1", boot: "b", since: new Date(story.clock.now()).toISOString() });
  const { see, act } = await signIn(story, "token-of-otto");
  const page = await see("/");
  assert(page.includes("web1") && !page.includes("db1"));
  for (const fields of [{ group: "db" }, {}]) {
    assertEquals((await act("/pause", { ...fields, reason: STORAGE })).kind, "forbidden");
  }
});

Deno.test("every answer of the page forbids the browser whatever the page does not need", async () => {
  const { go } = virtualSite();
  for (const target of ["/", "/sign-in", "/page.css", "/page.js", "/icon.svg", "/events"]) {
    const { headers = {} } = await go(target);
    for (const name of Object.keys(HEADERS)) assertEquals(headers[name], HEADERS[name], `${target} ${name}`);
  }
  assert(!HEADERS["content-security-policy"]?.includes("unsafe"));
});

Deno.test("what the page loads is kept by the browser for as long as it is the same", async () => {
  const { go } = virtualSite();
  const page = String((await go("/", { caller: { role: "viewer", name: "vera" } })).body);
  const link = /href="(\/page\.css\?v=\w+)"/.exec(page)?.[1] ?? "";
  assertStringIncludes((await go(link)).headers?.["cache-control"] ?? "", "immutable");
  assertNotEquals(
    (await go("/page.css?v=older")).headers?.["cache-control"],
    (await go(link)).headers?.["cache-control"],
  );
});
