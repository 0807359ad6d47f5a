/** Every planted bug is noticed by the simulation, in the way that is meant for it. */

import { assert, assertEquals } from "@std/assert";
import { copySources, HISTORIES_LIMIT, hunt, keptSeeds, PLANTED_BUGS } from "./planted_bugs.ts";
import { EXIT } from "./simulate.ts";

Deno.test("the simulation notices every planted bug", async (t) => {
  const [folder, seeds] = await Promise.all([copySources(), keptSeeds()]);
  try {
    for (const bug of PLANTED_BUGS) {
      await t.step(bug.name, async () => {
        const { exit, text } = await hunt(folder, bug, seeds[bug.name]);
        assertEquals(exit, bug.exit, `within ${HISTORIES_LIMIT} histories: ${text}`);
        assert(/^[ILS]\d: /.test(text), `it names what was broken: ${text}`);
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the simulation tells a program that throws from one that breaks a promise", async () => {
  const folder = await copySources();
  try {
    const { exit, text } = await hunt(folder, {
      name: "a daemon that throws",
      patches: [{
        file: "lib/transitions.ts",
        find: `      expectPhase(state, event, "confirming");
      return call(`,
        replace: `      expectPhase(state, event, "idle");
      return call(`,
      }],
      exit: EXIT.crash,
    });
    assertEquals(exit, EXIT.crash);
    assert(text.startsWith("AgentError: 'confirmed' cannot come in the state confirming"), text);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
