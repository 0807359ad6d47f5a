/** What is told to who looks, while things change. */

import { assert, assertEquals } from "@std/assert";
import { BEAT_MS, GATHER_MS, type LiveEvent, LOOKERS_MOST } from "../../lib/serve/live.ts";
import { groupKey } from "../../lib/serve/page_links.ts";
import { openMemory } from "../../lib/simulation/memory.ts";
import { Virtual } from "../support/virtual.ts";
import { ask, HOUR_MS, Site } from "./site.ts";

function virtualSite() {
  const clock = new Virtual();
  const site = new Site({ surroundings: clock, store: openMemory });
  return { clock, site, at: (ms = 0) => new Date(clock.now() + ms).toISOString() };
}

/** Reads the events of a page. */
async function listen(site: Site, have = "", gone?: AbortSignal) {
  const target = `/events?${new URLSearchParams({ have })}`;
  const { body, status } = await ask(site.page, target, gone === undefined ? {} : { gone });
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array) return { status };
  const events = body[Symbol.asyncIterator]();
  return {
    status,
    events,
    next: async (): Promise<LiveEvent> => JSON.parse((await events.next()).value.replace(/^data: /, "")),
  };
}

Deno.test("a change is told soon, many at once in one event, and only what is different", async () => {
  const { site, clock, at } = virtualSite();
  site.grant("web", "m1", { host: "web1", boot: "b", since: at() });
  site.grant("db", "d1", { host: "db1", boot: "b", since: at() });
  const { next } = await listen(site);
  const first = await next?.();
  assertEquals(first?.order, ["notes", "summary", groupKey("db"), groupKey("web")]);
  assertEquals(Object.keys(first?.parts ?? {}), first?.order);
  const second = next?.();
  for (let n = 2; n < 30; n++) site.wait("web", `m${n}`, { host: `web${n}` });
  await clock.advance(GATHER_MS);
  const event = await second;
  assertEquals(Object.keys(event?.parts ?? {}), ["summary", groupKey("web")]);
  assertEquals(event?.spoken, "2 rebooting, 28 waiting");
  assert(event?.parts[groupKey("web")]?.html.includes("28 waiting"));
  site.page.close();
});

Deno.test("who has a part already is not sent it, and that time goes by makes it no other", async () => {
  const { site, clock, at } = virtualSite();
  site.grant("web", "m1", { host: "web1", boot: "b", since: at() });
  // pictures move once a minute
  await clock.advance(1_000);
  await site.fleet.past(["web"]);
  const page = String((await ask(site.page, "/")).body);
  const have = [...page.matchAll(/data-part="([^"]+)" data-mark="([^"]+)"/g)].map(([, key, mark]) =>
    `${key}.${mark}`
  );
  await clock.advance(5_000);
  const { next } = await listen(site, have.join(" "));
  const event = await next?.();
  assertEquals([event?.order.length, Object.keys(event?.parts ?? {})], [have.length, []]);
  site.page.close();
});

Deno.test("what time alone brings about is told too: a machine becomes overdue", async () => {
  const { site, clock, at } = virtualSite();
  site.grant("web", "m1", { host: "web1", boot: "b", since: at(-HOUR_MS + BEAT_MS / 2) });
  const { next } = await listen(site);
  assertEquals((await next?.())?.spoken, "1 rebooting");
  const beat = next?.();
  await clock.advance(BEAT_MS);
  assertEquals((await beat)?.spoken, "1 overdue, 1 rebooting");
  site.page.close();
});

Deno.test("events end when nobody reads them any more, and when the server stops", async () => {
  const { site, clock } = virtualSite();
  const gone = new AbortController();
  const left = await listen(site, "", gone.signal);
  const stays = await listen(site);
  const returns = await listen(site);
  for (const one of [left, stays, returns]) await one.next?.();
  const ends = [left.events?.next(), stays.events?.next()];
  const pending = returns.events?.next();
  gone.abort();
  assertEquals((await ends[0])?.done, true);
  await returns.events?.return?.();
  assertEquals((await pending)?.done, true);
  site.page.close();
  assertEquals((await ends[1])?.done, true);
  await clock.advance(BEAT_MS);
});

Deno.test("only so many may look at once", async () => {
  const { site } = virtualSite();
  for (let n = 0; n < LOOKERS_MOST; n++) await (await listen(site)).next?.();
  assertEquals((await listen(site)).status, 503);
  site.page.close();
});
