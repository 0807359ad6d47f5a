import { assertEquals } from "@std/assert";
import { FOLDERS, partsOf, passedOverIn } from "../../lib/host/run_parts.ts";

/** A machine whose check.d has these files: their modes, or where they lead. */
async function withChecks(
  files: Readonly<Record<string, number | string>>,
  work: (root: string, folder: string) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "locksmith-parts-" });
  const folder = root + FOLDERS.check;
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, made] of Object.entries(files)) {
    const path = `${folder}/${name}`;
    if (typeof made === "string") await Deno.symlink(made, path);
    else {
      await Deno.writeTextFile(path, "#!/bin/sh\n");
      await Deno.chmod(path, made);
    }
  }
  await work(root, folder);
  await Deno.remove(root, { recursive: true });
}

Deno.test("partsOf() takes the executables with names of run-parts, in the order of the C locale", async () => {
  const files = { b: 0o755, a: 0o700, B_1: 0o755, "10-x": 0o755, "9-x": 0o755, "link": "/bin/true" };
  await withChecks(files, async (root, folder) => {
    await Deno.mkdir(`${folder}/folder`);
    const { parts, passedOver } = await partsOf(root, "check");
    assertEquals(parts.map(({ name }) => name), ["10-x", "9-x", "B_1", "a", "b", "link"]);
    assertEquals(parts.every(({ refused }) => refused === undefined), true);
    assertEquals(passedOver, []);
  });
});

Deno.test("partsOf() of a folder that is not there is empty", async () => {
  assertEquals(await partsOf("/nonexistent", "notify"), { parts: [], passedOver: [] });
});

Deno.test("partsOf() passes over what run-parts would, and says so where it looks as if it was meant to run", async () => {
  const files = { "raid.sh": 0o755, "ceph.dpkg-old": 0o644, "ceph": 0o644, README: 0o644, ".hidden": 0o644 };
  await withChecks(files, async (root, folder) => {
    assertEquals((await partsOf(root, "check")).parts, []);
    assertEquals(await passedOverIn(root, "check", "pre-reboot"), [
      `${folder}/ceph does not run: it is not executable`,
      `${folder}/raid.sh does not run: its name has more than letters, digits, - and _`,
    ]);
  });
});

Deno.test("partsOf() refuses what others can have put there, and names it all the same", async () => {
  await withChecks({ open: 0o757, theirs: 0o755, gone: "/nonexistent/x" }, async (root, folder) => {
    if (Deno.uid() === 0) await Deno.chown(`${folder}/theirs`, 65534, 65534);
    const refused = async () => (await partsOf(root, "check")).parts.map(({ refused }) => refused);
    assertEquals(await refused(), [
      `${folder}/gone is a link to nowhere`,
      `${folder}/open can be written by everybody`,
      ...(Deno.uid() === 0 ? [`${folder}/theirs belongs to uid 65534`] : [undefined]),
    ]);
    await Deno.chmod(folder, 0o777);
    const [, open] = await refused();
    assertEquals(open, `${folder} can be written by everybody`);
  });
});
