import { assertEquals, assertRejects } from "@std/assert";
import { writeTextfile } from "../../lib/host/textfile.ts";

Deno.test("a textfile is whole whenever it is read, and nothing is left beside it", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/locksmith.prom`;
  const texts = ["a".repeat(1 << 20), "b".repeat(1 << 20)];
  let over = false;
  const writing = (async () => {
    for (let i = 0; i < 20; i++) await writeTextfile(path, texts[i % 2] ?? "");
    over = true;
  })();
  while (!over) {
    const text = await Deno.readTextFile(path).catch(() => texts[0]);
    assertEquals(texts.includes(text ?? ""), true, "a part was read");
  }
  await writing;
  assertEquals((await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name), ["locksmith.prom"]);
  await assertRejects(() => writeTextfile(`${folder}/gone/locksmith.prom`, ""), Deno.errors.NotFound);
  await Deno.remove(folder, { recursive: true });
});
