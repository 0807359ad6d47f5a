import { assertEquals } from "@std/assert";
import { Lookout } from "../../lib/host/lookout.ts";
import type { Answer } from "../../lib/need.ts";
import { detectorOf, Turns } from "../../lib/need/detector.ts";
import { NOT_NEEDED, type Source } from "../../lib/need/source.ts";
import { REAL } from "../../lib/surroundings.ts";
import { exited, TestGround } from "./ground.ts";

Deno.test("detectorOf() asks one program at a time, and tells an answer that is another than before", async () => {
  await using ground = await TestGround.make();
  let running = 0;
  let most = 0;
  const source = (name: string): Source => ({
    name,
    about: "",
    cost: "program",
    isHere: () => Promise.resolve(true),
    ask: async (ground) => {
      most = Math.max(most, ++running);
      await ground.run(name, []);
      running--;
      return NOT_NEEDED;
    },
  });
  ground.answers.set("a", exited(0, ""));
  const stop = new AbortController();
  const lookout = new Lookout(REAL);
  const shared = { ground, lookout, turns: new Turns(), intervalMs: 1, surroundings: { random: () => 0 } };
  const heard: Answer[] = [];
  const { promise: both, resolve } = Promise.withResolvers<void>();
  const detectors = ["a", "b"].map((name) =>
    detectorOf(source(name), shared)(stop.signal, (answer) => {
      heard.push(answer);
      if (heard.length === 2) resolve();
    })
  );
  await both;
  while (ground.ran.length < 8) await new Promise((resolve) => setTimeout(resolve, 1));
  stop.abort();
  await Promise.all(detectors);
  assertEquals(most, 1);
  assertEquals(heard, [NOT_NEEDED, NOT_NEEDED]);
});
