/**
 * The page in a real browser: what a person sees, hears and does. One Chromium for all of them; each story has a page and
 * a server of its own.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import axe from "axe-core";
import type { Caller } from "../../lib/serve/door.ts";
import { Browser, type Look, type Page } from "./browser.ts";
import { listen, type Site } from "./site.ts";
import { busySite, emptySite, machineId, NOW_MS } from "./story.ts";

const VIEWER: Caller = { role: "viewer", name: "anonymous" };
/** So many links and fields a page has at most. */
const TABS_MOST = 100;
const LIVE = `document.getElementById("link")?.textContent === "live"`;
const TEXT = `document.getElementById("main").innerText`;
const EVIL = `<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>"'&\u202e`;

Deno.test("the page in Chromium", async (test) => {
  await using browser = await Browser.open();
  const story = (name: string, site: Site, look: Look, tell: (page: Page, url: string) => Promise<void>) =>
    test.step(name, async () => {
      await using server = await listen([site.page], VIEWER);
      const page = await browser.page(look);
      await tell(page, server.url);
      assertEquals(page.complaints, []);
      await page.close();
      site.fleet.close();
    });
  const at = (ms: number) => new Date(NOW_MS + ms).toISOString();

  const live = emptySite();
  await story("shows and says what changes, without being asked", live, {}, async (page, url) => {
    await page.open(url);
    await page.until(LIVE);
    assertStringIncludes(await page.value(TEXT), "No machine has asked for a slot yet");
    live.grant("web", machineId(1), { host: "web1", boot: "b", since: at(0), phase: "rebooting" });
    live.wait("web", machineId(2), { host: "web2", since: at(0) });
    await page.until(`${TEXT}.includes("web1") && ${TEXT}.includes("web2")`);
    assertEquals(await page.value("document.title"), "1 rebooting, 1 waiting - locksmith");
    await page.until(`document.getElementById("say").textContent === "1 rebooting, 1 waiting"`);
    // whoever is on a link stays on it while the part around it is exchanged
    await page.value(`document.querySelector("h2 a").focus()`);
    live.leave("web", machineId(2));
    await page.until(`!${TEXT}.includes("web2")`);
    assertEquals(await page.value("document.activeElement.textContent"), "web");
    live.mirror.away = true;
    await page.until(`${TEXT}.includes("The store has not answered since")`);
    live.mirror.away = false;
    await page.until(`!${TEXT}.includes("The store has not answered since")`);
  });

  await story("is on the clock of the reader, and ages grow", busySite(), {}, async (page, url) => {
    await page.open(url);
    await page.until(LIVE);
    const text = await page.value<string>(TEXT);
    assertStringIncludes(text, "since 15:30");
    assertStringIncludes(text, "Fri 22 May 00:00 to 06:00");
    assertEquals(await page.value(`document.getElementById("zone").textContent`), "Europe/Berlin");
    await page.until(`/web-paris-01[^]*?\\b2[1-9] s/.test(${TEXT})`);
  });

  await story(
    "is whole without JavaScript, as of when it was made",
    busySite(),
    { javaScript: false },
    async (page, url) => {
      await page.open(url);
      const text = await page.value<string>("document.body.innerText");
      assertMatch(text, /as of 13:37 UTC reload/);
      assertMatch(text, /web-frankfurt-01 [0-9a-f]{8}\u2026 rebooting\s+since 13:30 UTC/);
    },
  );

  for (const look of [{ scheme: "light" }, { scheme: "dark" }, { width: 390, height: 844 }] as const) {
    const name = `names everything, and is readable: ${JSON.stringify(look)}`;
    await story(name, busySite(), look, async (page, url) => {
      await page.open(url);
      await page.until(LIVE);
      await signIn(page, url);
      assertEquals(await violations(page), []);
      // nothing is wider than the screen
      assertEquals(await page.value("document.documentElement.scrollWidth <= innerWidth"), true);
      if (look.width === undefined) return;
      for (const path of ["/pause?group=web", `/unlock?group=web&holder=${machineId(1)}`]) {
        await page.open(url + path);
        assertEquals(await violations(page), []);
      }
    });
  }

  const evil = emptySite();
  await story("never runs what is in a name", evil, {}, async (page, url) => {
    const since = at(-60_000);
    evil.grant(EVIL, EVIL, { host: EVIL, boot: EVIL, by: EVIL, reason: EVIL, since });
    evil.wait(EVIL, `${EVIL}2`, { host: EVIL, reason: EVIL, since });
    await page.open(url);
    await page.until(LIVE);
    evil.wait(EVIL, `${EVIL}3`, { host: `${EVIL}-late`, reason: EVIL, since });
    await page.until(`${TEXT}.includes("-late")`);
    await signIn(page, url);
    assertStringIncludes(await page.value(TEXT), `<img src=x onerror="window.hurt=1">`);
    assertEquals(await page.value("[window.hurt, document.querySelectorAll('img, main script').length]"), [
      null,
      0,
    ]);
  });

  const acting = busySite();
  await story("an operator signs in, pauses and unlocks by keyboard alone", acting, {}, async (page, url) => {
    await page.open(url);
    await signIn(page, url);
    const go = async (link: string) => {
      await tabTo(page, `a[href^="${link}"]`);
      // whoever goes by the keyboard sees where they are
      assert(await page.value(`getComputedStyle(document.activeElement).outlineStyle !== "none"`), link);
      await page.follow(() => page.press("Enter"));
    };
    const answer = async (reason: string) => {
      await tabTo(page, "#reason");
      await page.type(reason);
      await page.follow(() => page.press("Enter"));
    };
    await go("/pause?group=web");
    await answer("new switches");
    assertStringIncludes(await page.value(TEXT), "Paused group web.");
    await page.until(`${TEXT}.includes("because: new switches")`);
    await go("/unlock?group=db");
    assertStringIncludes(await page.value(TEXT), "Another machine may reboot at the same time");
    await answer("scrapped");
    await page.until(`!document.getElementById("parts").innerText.includes("db-primary")`);
    const { groups } = acting.fleet.view();
    assertEquals(groups.map(({ pause }) => pause?.by), [undefined, "anna@desk", "anna"]);
    await tabTo(page, `form[action="/sign-out"] button`);
    await page.follow(() => page.press("Enter"));
    assertEquals(await page.value(`document.querySelectorAll('a[href^="/pause"]').length`), 0);
  });

  const freezing = emptySite();
  freezing.grant("web", machineId(1), { host: "web1", boot: "b", since: at(0), phase: "rebooting" });
  await story("plans a freeze in the zone of the reader, and removes it", freezing, {}, async (page, url) => {
    await page.open(url);
    await signIn(page, url);
    await page.open(`${url}/freeze?group=web`);
    assertEquals(await violations(page), []);
    await page.value(
      `["first", "last"].forEach((id, i) => document.getElementById(id).value = "2999-12-2" + i)`,
    );
    assertEquals(await page.value(`document.getElementById("clock").value`), "Europe/Berlin");
    await tabTo(page, "#name");
    await page.type("Year end");
    await page.follow(() => page.press("Enter"));
    await page.until(`${TEXT}.includes("Year end Fri 20 Dec 00:00 to Sun 22 Dec 00:00")`);
    assertEquals(await violations(page), []);
    await tabTo(page, `a[href^="/unfreeze"]`);
    await page.follow(() => page.press("Enter"));
    await tabTo(page, "main button");
    await page.follow(() => page.press("Enter"));
    await page.until(`!document.getElementById("parts").innerText.includes("Year end")`);
    assertEquals(freezing.fleet.view().groups[0]?.freezes, []);
  });

  const still = busySite();
  await story("is acted on without JavaScript too", still, { javaScript: false }, async (page, url) => {
    await page.open(`${url}/sign-in`);
    await page.value(`document.getElementById("token").value = "token-of-anna"`);
    const send = () => page.follow(() => page.value(`document.querySelector("main button").click()`));
    await send();
    await page.open(`${url}/pause?group=web`);
    await page.value(`document.getElementById("reason").value = "new switches"`);
    await send();
    assertStringIncludes(await page.value(TEXT), "Paused group web.");
    assertEquals(still.fleet.view().groups.find(({ group }) => group === "web")?.pause?.by, "anna");
  });

  await test.step("comes back by itself after its server was away, and is light", async () => {
    const site = busySite();
    const again = busySite();
    const first = await listen([site.page], VIEWER);
    const page = await browser.page();
    await page.open(first.url);
    await page.until(LIVE);
    assert(page.bytes < 60 * 1024, `${page.bytes} bytes`);
    await first[Symbol.asyncDispose]();
    await page.until(`document.getElementById("link").textContent.includes("no connection since")`);
    again.end("db", machineId(30), at(0));
    await using _second = await listen([again.page], VIEWER, Number(new URL(first.url).port));
    await page.until(`${LIVE} && !${TEXT}.includes("db-primary")`);
    await page.close();
    site.fleet.close();
    again.fleet.close();
  });
});

/** Presses Tab until what `selector` means has the focus. */
async function tabTo(page: Page, selector: string): Promise<void> {
  const isThere = () => page.value(`document.activeElement.matches(${JSON.stringify(selector)})`);
  for (let presses = 0; !await isThere(); presses++) {
    assert(presses < TABS_MOST, `${selector} cannot be reached by the keyboard`);
    await page.press("Tab");
  }
}

async function signIn(page: Page, url: string): Promise<void> {
  await page.open(`${url}/sign-in`);
  await tabTo(page, "#token");
  await page.type("token-of-anna");
  await page.follow(() => page.press("Enter"));
  await page.until(`document.body.innerText.includes("Sign out")`);
}

/** What axe finds wrong: names, roles, contrast and the like. */
async function violations(page: Page): Promise<string[]> {
  await page.value(`${axe.source}; undefined`);
  return await page.value(`axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => id + ": " + html.slice(0, 120) + " " + failureSummary)))`);
}
