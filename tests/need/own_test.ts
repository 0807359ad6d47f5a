import { assertEquals, assertMatch } from "@std/assert";
import { commandSource } from "../../lib/need/own.ts";
import { groundAt } from "../../lib/need/source.ts";
import { SOURCE_NAMES } from "../../lib/cli/need_values.ts";
import { chosenSources, sourceNamed, SOURCES } from "../../lib/need/sources.ts";
import { TestGround } from "./ground.ts";

Deno.test("command: exit 0 is a need with the last line as the reason, 1 is none, everything else unknown", async () => {
  const said = async (command: string) => {
    const answer = await commandSource(command).ask(groundAt("/"));
    return answer.kind === "needed"
      ? answer.reasons.join()
      : answer.kind === "unknown"
      ? answer.why.join()
      : answer.kind;
  };
  assertEquals(await said("echo checking; echo firmware 1.2 is staged"), "firmware 1.2 is staged");
  assertEquals(await said("true"), "'true' says so");
  assertEquals(await said("false"), "not-needed");
  assertEquals(await said("echo oops >&2; exit 3"), "'echo oops >&2; exit 3' exited with 3: oops");
  assertMatch(await said("no-such-program-here"), /^'no-such-program-here' exited with 127: .*not found$/);
  assertEquals((await said("kill -s KILL $$")).startsWith("'kill -s KILL $$' was ended by SIGKILL"), true);
});

Deno.test("sourceNamed() knows every source of the table, files and commands", () => {
  assertEquals(SOURCES.map(({ name }) => sourceNamed(name)?.name), SOURCES.map(({ name }) => name));
  assertEquals(sourceNamed("file:/run/x")?.name, "file:/run/x");
  assertEquals(sourceNamed("command:test -e /x")?.name, "command:test -e /x");
  for (const word of ["", "nothing", "file:", "file:relative", "command:"]) {
    assertEquals(sourceNamed(word), undefined, word);
  }
});

Deno.test("chosenSources() with auto are those whose system is there", async () => {
  await using ground = await TestGround.make();
  assertEquals(await chosenSources("auto", ground), []);
  assertEquals<readonly string[]>(
    SOURCE_NAMES,
    SOURCES.map(({ name }) => name),
    "the command line has the names by heart",
  );
  await ground.write("/var/lib/dpkg/status");
  await ground.write("/lib/modules/6.1/modules.dep");
  await ground.write("/usr/sbin/needrestart");
  assertEquals((await chosenSources("auto", ground)).map(({ name }) => name), [
    "debian",
    "needrestart",
    "kernel",
  ]);
});
