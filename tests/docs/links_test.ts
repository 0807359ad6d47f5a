/** Links of the documentation lead somewhere: to a file that is there, and to a heading that it has. */

import { assertEquals } from "@std/assert";
import { anchorsOf, linksOf } from "./links.ts";

Deno.test("anchorsOf() makes of a heading what its readers' programs make of it", () => {
  const page = [
    "# Operations",
    "## etcd's database",
    "## No etcd? One server",
    "### `--need` and [links](x.md)",
    "## What is in /var/lib/locksmith",
    "## Tests",
    "## Tests",
    "```sh",
    "# no heading",
    "```",
    "text # none either",
  ].join("\n");
  assertEquals([...anchorsOf(page)], [
    "operations",
    "etcds-database",
    "no-etcd-one-server",
    "--need-and-links",
    "what-is-in-varliblocksmith",
    "tests",
    "tests-1",
  ]);
});

Deno.test("linksOf() finds what a page leads to within the project, from where it lies", () => {
  const page = [
    "[a](#here) and [b](../serve.md#tls), [c](hooks.md) [d](https://example.net/#x) ![e](../page.webp)",
    "```sh",
    "[f](not/a/link.md)",
    "```",
  ].join("\n");
  assertEquals(linksOf("docs/usage/watch.md", page).map(({ path, anchor }) => `${path}#${anchor}`), [
    "docs/usage/watch.md#here",
    "docs/serve.md#tls",
    "docs/usage/hooks.md#",
    "docs/page.webp#",
  ]);
});
