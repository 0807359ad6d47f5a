import { assertEquals, assertMatch } from "@std/assert";
import { capture } from "../command.ts";
import { hostTest } from "../story.ts";

const DEMO = new URL("../../demo/demo.ts", import.meta.url).pathname;
const LIMIT_MS = 120_000;

hostTest("deno task demo --hosts shows real reboots in turns, and ends by itself", async () => {
  const words = [Deno.execPath(), "run", "-A", "--no-check", DEMO, "--hosts", "--machines=3", "--max=2"];
  const { code, stdout, stderr } = await capture(words, LIMIT_MS);
  assertEquals(code, 0, stdout + stderr);
  assertMatch(stdout, /^each reboot is real: logind calls it/m);
  assertMatch(stdout, /^3 of 3 machines rebooted in .* s; at most 2 at once, max 2$/m);
});
