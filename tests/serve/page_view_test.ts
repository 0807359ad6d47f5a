/** What the page shows, as HTML. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { HtmlValidate } from "html-validate";
import { ALL_GROUPS, semaphoreKey } from "../../lib/group.ts";
import { FILES } from "../../lib/serve/page_document.ts";
import { groupKey } from "../../lib/serve/page_links.ts";
import { type Audience, pageView } from "../../lib/serve/page_view.ts";
import { ask, HOUR_MS, MINUTE_MS, type Site, TOKENS } from "./site.ts";
import { busySite, emptySite, machineId, NOW_MS, rebooted } from "./story.ts";

const AUDIENCE: Audience = { operator: false, origin: "http://lock.example:8080" };
/** In bytes, with everything that the page loads. */
const WEIGHT_MOST = 60 * 1024;

async function document(site: Site, target = "/"): Promise<string> {
  const { body } = await ask(site.page, target);
  return String(body);
}

function text(html: string): string {
  return html.replaceAll(/<[^>]+>/g, "").replaceAll(/\s+/g, " ").trim();
}

async function part(site: Site, group: string): Promise<string> {
  await site.fleet.past([group]);
  return pageView(site.fleet.view(), AUDIENCE).parts.get(groupKey(group))?.text ?? "";
}

Deno.test("a group shows who holds its slots since when and why, and who waits in what order", async () => {
  const web = text(await part(busySite(), "web"));
  assertStringIncludes(web, "3 of 3 slots in use, 12 waiting, done in about ");
  assertMatch(
    web,
    /web-frankfurt-01 [0-9a-f]{8}\u2026 rebooting ?since 13:30 UTC \u00b7 kernel 6.1.0-38 to 6.1.0-40 ?7 min/,
  );
  assertMatch(web, /web-paris-01 [0-9a-f]{8}\u2026 about to reboot/);
  // a higher priority comes first; the reason that most have is said once
  assertMatch(
    web,
    /Waiting, in this order ?kernel 6.1.0-38 to 6.1.0-40 ?web-canary [0-9a-f]{8}\u2026 priority 10 ?security fix ?3 min ?web-frankfurt-04/,
  );
});

Deno.test("what is overdue, paused or held by hand is said in words, and what it means for the line", async () => {
  const site = busySite();
  await site.fleet.past(["web"]);
  const db = text(await part(site, "db"));
  assertStringIncludes(db, "1 overdue");
  assertStringIncludes(db, "every slot is overdue or taken by hand: the queue does not move");
  assertStringIncludes(db, "window opens in 8 h 22 min");
  assertStringIncludes(db, "22:00 UTC to Fri 22 May 04:00 UTC in 8 h 22 min");
  const storage = text(await part(site, "storage"));
  assertStringIncludes(
    storage,
    "Paused: since 12:47 UTC, by anna@desk, until somebody resumes, because: storage maintenance. No slot is granted.",
  );
  assertMatch(
    storage,
    /ceph-3 [0-9a-f]{8}\u2026 held by hand ?since 13:02 UTC \u00b7 by anna@desk \u00b7 disk swap/,
  );
  const summary = text(pageView(site.fleet.view(), AUDIENCE).parts.get("summary")?.text ?? "");
  assertMatch(
    summary,
    /Rebooting ?4 and 1 by hand, of 5 slots Waiting ?15 in 3 of 3 groups Overdue ?1 Done in ?about/,
  );
  assertStringIncludes(summary, "but for 2 groups");
});

Deno.test("the page says what is paused for all groups, and which document is corrupt", async () => {
  const site = emptySite();
  site.put(semaphoreKey("web"), "{}");
  const paused = {
    since: new Date(NOW_MS - HOUR_MS).toISOString(),
    until: new Date(NOW_MS + HOUR_MS).toISOString(),
  };
  site.write(ALL_GROUPS, (before) => ({ ...before, paused: { ...paused, by: "anna", extra: {} } }));
  const page = text(await document(site));
  assertStringIncludes(page, "All groups are paused: since 12:37 UTC, by anna, until 14:37 UTC");
  assertStringIncludes(page, "is corrupt (left unchanged)");
  assertStringIncludes(page, "locksmith repair --dry-run --group web");
});

Deno.test("a freeze is called one, and nobody is offered to resume it", () => {
  const site = emptySite();
  const at = (ms: number) => new Date(NOW_MS + ms).toISOString();
  const freeze = { name: "Year end", from: at(-HOUR_MS), until: at(HOUR_MS), extra: {} };
  for (const group of [ALL_GROUPS, "web"]) site.write(group, (before) => ({ ...before, freezes: [freeze] }));
  const { parts } = pageView(site.fleet.view(), { ...AUDIENCE, operator: true });
  const page = [...parts.values()].map(({ text }) => text).join("\n");
  assertStringIncludes(text(page), "All groups are frozen: since 12:37 UTC");
  assertStringIncludes(text(page), "Frozen: since 12:37 UTC");
  assertEquals(page.includes("Resume"), false);
  assertMatch(text(page), /Freezes ?Year end 12:37 UTC to 14:37 UTC in force, ends in 59 min/);
  // the badge of the group says it too
  assertMatch(page, /class="badge paused">[^]*?frozen<\/span>/);
});

Deno.test("freezes that are planned are listed with their times, and an operator is led to plan and to remove one", () => {
  const site = emptySite();
  const at = (ms: number) => new Date(NOW_MS + ms).toISOString();
  const of = (name: string, hours: number) => ({
    name,
    by: "anna",
    from: at(hours * HOUR_MS),
    until: at(48 * HOUR_MS),
    extra: {},
  });
  site.write(
    "web",
    (before) => ({ ...before, freezes: [of("Sale", 24), { ...of("Over", -9), until: at(-1) }] }),
  );
  site.write(ALL_GROUPS, (before) => ({ ...before, freezes: [of("Year end", 1)] }));
  const shown = (operator: boolean) => {
    const { parts } = pageView(site.fleet.view(), { ...AUDIENCE, operator });
    return [...parts.values()].map(({ text }) => text).join("\n");
  };
  const page = text(shown(false));
  assertMatch(page, /Freezes of all groups ?Year end 14:37 UTC to Sat 23 May 13:37 UTC in 59 min, by anna/);
  assertMatch(page, /Freezes ?Sale Fri 22 May 13:37 UTC to Sat 23 May 13:37 UTC in 23 h 59 min, by anna/);
  assertEquals(/\bOver\b/.test(page), false);
  assertEquals(shown(false).includes("freeze?"), false);
  for (const link of ["/freeze?group=web", "/unfreeze?group=web&amp;name=Sale", "/unfreeze?name=Year+end"]) {
    assertStringIncludes(shown(true), `href="${link}"`);
  }
});

Deno.test("a machine that is not well after its reboot is shown with what is wrong, and one that is not known to be well as such", async () => {
  const site = emptySite();
  const hold = {
    boot: "b1",
    since: new Date(NOW_MS - HOUR_MS / 4).toISOString(),
    phase: "rebooting",
    extra: {},
  };
  const back = new Date(NOW_MS - 60_000).toISOString();
  site.write("web", (before) => ({
    ...before,
    max: 2,
    holders: ["a", "b"],
    holds: new Map([
      ["a", { ...hold, host: "web1", back, trouble: "raid: degraded" }],
      ["b", { ...hold, host: "web2", back }],
    ]),
  }));
  const page = text(await document(site));
  assertMatch(page, /web1 a unhealthy since its reboot ?since [0-9:]+ UTC \u00b7 raid: degraded/);
  assertMatch(page, /web2 b up again, not known to be well yet/);
});

Deno.test("while the store is away the page says since when, and shows what there was", async () => {
  const site = busySite();
  site.mirror.away = true;
  const page = text(await document(site));
  assertStringIncludes(page, "The store has not answered since 13:37 UTC. What is shown is from then.");
  assertStringIncludes(page, "https://etcd1:2379: connection refused");
  assertStringIncludes(page, "web-frankfurt-01");
});

Deno.test("a server that nobody has asked yet says how to begin, with its own address", async () => {
  const page = await document(emptySite());
  assertStringIncludes(page, "No machine has asked for a slot yet");
  assertStringIncludes(page, "--fleet-lock-url http://lock.example:8080 --group web");
  assertStringIncludes(
    page,
    "strategy = &quot;fleet_lock&quot;\n\n[updates.fleet_lock]\nbase_url = &quot;http://lock.example:8080/&quot;",
  );
});

Deno.test("names that are HTML, or turn the direction of writing, are shown as text", async () => {
  const site = emptySite();
  const evil = `<img src=x onerror=alert(1)>"'&\u202e`;
  site.grant(evil, evil, {
    host: evil,
    boot: "b",
    by: evil,
    reason: evil,
    since: new Date(NOW_MS).toISOString(),
  });
  site.wait(evil, `${evil}2`, { host: `</li>${evil}`, reason: `<!--${evil}` });
  const cookie = await signIn(site);
  const { body } = await ask(site.page, "/", { headers: { cookie } });
  assert(!String(body).includes("<img"));
  assert(!String(body).includes("<!--"));
  assert(!String(body).includes("\u202e"));
  assertStringIncludes(
    text(String(body)),
    "&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;&lt;U+202E&gt;",
  );
  assertEquals(faults(String(body)), []);
});

Deno.test("every document is valid HTML", async () => {
  const busy = busySite();
  const cookie = await signIn(busy);
  const unlock = `/unlock?${new URLSearchParams({ group: "web", holder: machineId(1) })}`;
  for (
    const target of ["/", "/?group=web", "/?group=none", "/sign-in", "/pause?group=web", "/resume", unlock]
  ) {
    const { body } = await ask(busy.page, target, { headers: { cookie } });
    assertEquals(faults(String(body)), [], target);
  }
  assertEquals(faults(await document(emptySite())), []);
});

Deno.test("the page stays light, however large the fleet: 60 KiB with all that it loads", async () => {
  const site = emptySite();
  for (let group = 0; group < 40; group++) {
    const label = `group-${group}`;
    for (let n = 0; n < 50; n++) rebooted(site, label, n, -23 * HOUR_MS + n * 20 * MINUTE_MS, 9 * MINUTE_MS);
    for (let n = 0; n < 40; n++) {
      const details = {
        host: `${label}-machine-${n}.example.net`,
        reason: `update ${n}`,
        since: new Date(NOW_MS).toISOString(),
      };
      if (n < 10) site.grant(label, machineId(n), { ...details, boot: "b" });
      else site.wait(label, machineId(n), details);
    }
  }
  const cookie = await signIn(site);
  const page = String((await ask(site.page, "/", { headers: { cookie } })).body);
  assertStringIncludes(page, "Sign out");
  const files = [...FILES.values()].reduce((sum, { text }) => sum + text.length, 0);
  const bytes = new TextEncoder().encode(page).length;
  assert(bytes + files < WEIGHT_MOST, `${bytes} + ${files} bytes`);
  assertStringIncludes(text(page), "More groups");
  assertMatch(text(page), /and \d+ more/);
});

/** What a validator has to say of a document. */
function faults(document: string): string[] {
  const report = VALIDATOR.validateStringSync(document);
  return report.results.flatMap(({ messages }) =>
    messages.map(({ line, column, message, ruleId }) => `${line}:${column} ${ruleId}: ${message}`)
  );
}

const VALIDATOR = new HtmlValidate({
  extends: ["html-validate:standard", "html-validate:a11y"],
  rules: {
    // how the source is written, which nobody reads
    "attribute-boolean-style": "off",
    "doctype-style": "off",
    "no-trailing-whitespace": "off",
    "no-inline-style": "error",
    "void-style": "off",
    "long-title": "off",
    // their content is that of the machines
    "wcag/h30": "error",
  },
});

async function signIn(site: Site): Promise<string> {
  const token = Object.keys(TOKENS)[0] ?? "";
  const { headers } = await ask(site.page, "/sign-in", {
    method: "POST",
    headers: { origin: "http://lock.example:8080" },
    body: `token=${token}`,
    caller: { role: undefined, name: "anonymous" },
  });
  return headers?.["set-cookie"]?.split(";")[0] ?? "";
}
