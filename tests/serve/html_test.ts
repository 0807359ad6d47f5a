/** Texts in HTML: whatever they are, they stay texts. */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Html, html, name, visible } from "../../lib/serve/html.ts";

/** Code units of every kind, surrogates that stand alone too. */
const ANY_TEXT = fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units));

Deno.test("html() escapes every text, between tags and in attributes, and leaves HTML as it is", () => {
  const evil = `"><script>alert('1')</script>&amp;`;
  const inner = html`<b>${evil}</b>`;
  assertEquals(
    inner.text,
    "<b>&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;</b>",
  );
  assertEquals(
    html`<a title="${evil}">${[inner, false, undefined, 3]}</a>`.text,
    `<a title="&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;">${inner.text}3</a>`,
  );
});

Deno.test("html() makes no tag and no attribute of any text that there is", () => {
  fc.assert(fc.property(ANY_TEXT, (text) => {
    const { text: made } = html`<i class="${text}">${text}</i>`;
    const [, quoted = "", between = ""] = /^<i class="([^"<>]*)">([^<>"']*)<\/i>$/.exec(made) ?? [];
    assertEquals(quoted, between);
    assertEquals(unescaped(between), visible(text), JSON.stringify(text));
  }));
});

function unescaped(text: string): string {
  const characters: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => characters[name] ?? "");
}

Deno.test("html() refuses a template in which a text could be more than a text", () => {
  const places: (() => Html)[] = [
    () => html`<a ${"x"}>`,
    () => html`<${"x"}>`,
    () => html`<a href=${"x"}>`,
    () => html`<script>${"x"}</script>`,
    () => html`<style>${"x"}</style>`,
    () => html`<a title="${html`<b>`}">`,
  ];
  for (const place of places) assertThrows(place, TypeError);
});

Deno.test("html() keeps the blanks that are seen, and drops the lines of its source", () => {
  assertEquals(
    html`
      <p>
        a <b>${1}</b> c
      </p>
    `.text,
    "<p> a <b>1</b> c </p>",
  );
});

Deno.test("a name shows what nobody would see in it, and turns nothing around it", () => {
  assertEquals(
    name("web\u202e1\u0000\u200b").text,
    "<bdi>web&lt;U+202E&gt;1&lt;U+0000&gt;&lt;U+200B&gt;</bdi>",
  );
  assertStringIncludes(name("\ud800x").text, "\ufffdx");
  assertEquals(name("\u05d0\u05d1 \u{1f600}").text, "<bdi>\u05d0\u05d1 \u{1f600}</bdi>");
});
