/** `deno task pictures`: the pictures of the page in docs/, by Chromium: light, dark, and as wide as a phone. */

import { Browser, type Look } from "./browser.ts";
import { listen } from "./site.ts";
import { busySite } from "./story.ts";

const LOOKS: Readonly<Record<string, Look>> = {
  light: { width: 1180 },
  dark: { width: 1180, scheme: "dark" },
  phone: { width: 390, height: 844 },
};

await using browser = await Browser.open();
for (const [name, look] of Object.entries(LOOKS)) {
  const site = busySite();
  await using server = await listen([site.page]);
  const page = await browser.page(look);
  await page.open(server.url);
  await page.until(`document.getElementById("link").textContent === "live"`);
  const path = new URL(`../../docs/page-${name}.webp`, import.meta.url);
  await Deno.writeFile(path, await page.picture("webp"));
  console.log(`docs/page-${name}.webp`);
  await page.close();
}
