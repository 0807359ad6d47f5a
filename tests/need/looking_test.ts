/** Looking at files: an unchanged one costs no whole look, and what appears, changes or goes is told. */

import { assertEquals } from "@std/assert";
import { watchByLooking } from "../../lib/need/looking.ts";

Deno.test("a file is looked at as a whole when it appears, changes or goes, and otherwise only now and then", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/file`;
  const stop = new AbortController();
  const answers: (string | null)[] = [];
  let looks = 0;
  let heard = Promise.withResolvers<void>();
  const look = async () => {
    looks++;
    return await Deno.readTextFile(path).catch(() => null);
  };
  const watching = watchByLooking(look, stop.signal, (answer) => {
    answers.push(answer);
    heard.resolve();
  }, { recheckMs: 5, paths: [path] });
  const next = async () => {
    await heard.promise;
    heard = Promise.withResolvers();
  };
  try {
    await next();
    for (
      const change of [
        () => Deno.writeTextFile(path, "a"),
        () => Deno.writeTextFile(path, "ab"),
        () => Deno.remove(path),
      ]
    ) {
      await change();
      await next();
    }
    assertEquals(answers.at(0), null);
    assertEquals(answers.slice(-2), ["ab", null]);
    // many moments go by, in which nothing changes
    const before = looks;
    const later = Promise.withResolvers<void>();
    let moments = 0;
    const counting = watchByLooking(
      () => Promise.resolve(++moments),
      stop.signal,
      (count) => count === 10 && later.resolve(),
      { recheckMs: 5 },
    );
    await later.promise;
    assertEquals(looks, before);
    stop.abort();
    await counting;
  } finally {
    stop.abort();
    await watching;
    await Deno.remove(folder, { recursive: true });
  }
});
