/** The built file on a terminal, which script(1) makes: its width, its clock, its colours. In a pipe nothing of that. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CACHE_DIR, locksmith } from "../support/executable.ts";
import { widthOf } from "../../lib/cli/output.ts";
import { leashed } from "../support/child.ts";
import { openSqlite } from "../../lib/sqlite/store.ts";
import { semaphoreKey } from "../../lib/group.ts";

const ID = "bcbd63b7d1f04e5ab2c81d9c8e1f0a2b";
const DOCUMENT = {
  semaphore: 0,
  max: 1,
  holders: [ID],
  holds: {
    [ID]: {
      ...{ host: "web1", boot: "b1", since: "2015-05-21T21:00:00Z", by: "locksmithd" },
      ...{ reason: "a new kernel for every machine of this group", phase: "rebooting" },
    },
  },
  paused: { since: "2015-05-21T21:00:00Z", by: "anna@desk", reason: "storage" },
};

Deno.test("on a terminal tables fit its width, times are of its clock, and NO_COLOR and a pipe have no colours", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const store = openSqlite(`${dir}/locksmith.db`);
    await store.commit({
      expect: [],
      put: [{ key: semaphoreKey(""), value: JSON.stringify(DOCUMENT) }],
    }, { timeoutMs: 4_000 });
    await store.close();
    const path = await locksmith();
    const run = async (program: string, args: string[], env: Record<string, string> = {}) => {
      const { code, stdout } = await leashed(program, {
        args,
        env: {
          ...{ LOCKSMITH_CACHE_DIR: CACHE_DIR, LOCKSMITHCTL_ENDPOINT: `sqlite:${dir}/locksmith.db` },
          ...{ TZ: "Europe/Berlin", TERM: "xterm", NO_COLOR: "", ...env },
        },
        stdin: "null",
        stderr: "null",
      }).output();
      assertEquals(code, 0);
      return new TextDecoder().decode(stdout).replaceAll("\r", "");
    };
    const show = (columns: number, words: string, env?: Record<string, string>) =>
      run("script", ["-qefc", `stty cols ${columns}; ${path} ${words}`, "/dev/null"], env);

    const [wide, narrow, plain, old, piped] = await Promise.all([
      show(200, "status --verbose"),
      show(60, "status --verbose"),
      show(60, "status --verbose", { NO_COLOR: "1" }),
      show(80, "status"),
      run(path, ["status", "--verbose"]),
    ]);
    assertStringIncludes(wide, "Thu 2015-05-21 23:00:00 +02:00");
    assertStringIncludes(wide, "\u001b[31mweb1 (bcbd63b7\u2026)  rebooting, overdue  ");
    assertStringIncludes(wide, "\u001b[33mPaused: since ");
    const table = narrow.split("\n").slice(4).join("\n");
    // deno-lint-ignore no-control-regex -- colours take no room
    for (const line of table.replace(/\u001b\[\d+m/g, "").split("\n")) assert(widthOf(line) <= 60, line);
    assertEquals([plain.includes("\u001b"), plain.includes("web1 (bcbd63b7\u2026)")], [false, true]);
    // the old lines, and behind them who it is
    assertStringIncludes(old, `\n\nMACHINE ID\n${ID}\nlocksmith: hint: overdue `);
    assertStringIncludes(old, "web1 (bcbd63b7\u2026), rebooting for ");
    assertEquals([piped.includes("\u001b"), piped.includes(`${ID}  2015-05-21T21:00:00Z  `)], [false, true]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
