import { assertEquals, assertRejects } from "@std/assert";
import { requireOwnFileSystem, sharedFileSystem } from "../../lib/sqlite/place.ts";
import { openSqlite } from "../../lib/sqlite/store.ts";
import { StoreError } from "../../lib/store.ts";
import { CALL } from "../contract/kit.ts";

const HINT = "put the file on a disk of this host; several hosts need etcd";

Deno.test("sharedFileSystem() knows NFS, SMB, 9p, FUSE and cluster file systems, and takes disks and memory for this host's own", () => {
  const shared: Record<string, number> = {
    NFS: 0x6969,
    SMB: 0x517b,
    "SMB (CIFS)": 0xff534d42,
    "9p": 0x01021997,
    FUSE: 0x65735546,
    Ceph: 0x00c36400,
    GFS2: 0x01161970,
    OCFS2: 0x7461636f,
    Lustre: 0x0bd00bd0,
    GPFS: 0x47504653,
    BeeGFS: 0x19830326,
  };
  for (const [name, type] of Object.entries(shared)) assertEquals(sharedFileSystem(type), name);
  const own = {
    ext4: 0xef53,
    xfs: 0x58465342,
    btrfs: 0x9123683e,
    tmpfs: 0x01021994,
    overlay: 0x794c7630,
    zfs: 0x2fc12fc1,
  };
  for (const [name, type] of Object.entries(own)) assertEquals(sharedFileSystem(type), undefined, name);
});

Deno.test("requireOwnFileSystem() names the file and the file system, and what to do", async () => {
  const error = await assertRejects(
    () => requireOwnFileSystem("/srv/locks.db", 1000, () => Promise.resolve(0x6969)),
    StoreError,
  );
  assertEquals([error.kind, error.message, error.hint], [
    "failed",
    "cannot use sqlite:/srv/locks.db: it is on NFS, and the embedded store is for processes of one host",
    HINT,
  ]);
  await requireOwnFileSystem("/etc/hostname", 10_000);
  await requireOwnFileSystem("/etc/none-of-that-name", 10_000);
  await requireOwnFileSystem("none-of-that-name", 10_000);
});

Deno.test("requireOwnFileSystem() ends by its deadline where a server is away", async () => {
  const folder = await Deno.makeTempDir();
  // a `stat` that hangs as one does on a dead mount
  await Deno.writeTextFile(`${folder}/stat`, "#!/bin/sh\nexec sleep 600\n", { mode: 0o755 });
  const module = new URL("../../lib/sqlite/place.ts", import.meta.url).href;
  const script = `import { requireOwnFileSystem } from "${module}";
    await requireOwnFileSystem("/srv/locks.db", 300).catch((error) => console.log(error.kind, error.message));`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", script],
    env: { PATH: `${folder}:${Deno.env.get("PATH")}` },
  }).output();
  assertEquals(
    new TextDecoder().decode(stdout),
    "timeout cannot use sqlite:/srv/locks.db: its file system does not answer within 300 ms\n",
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("openSqlite() refuses a file on a real FUSE mount, whether or not it is there, and makes none (as root)", async () => {
  const folder = await Deno.makeTempDir();
  const [disk, mount] = [`${folder}/disk`, `${folder}/mount`];
  await Deno.mkdir(disk);
  await Deno.mkdir(mount);
  const { success } = await new Deno.Command("bindfs", { args: [disk, mount] }).output();
  assertEquals(success, true, "this test needs bindfs, /dev/fuse and root");
  try {
    const path = `${mount}/locks.db`;
    const message =
      `cannot use sqlite:${path}: it is on FUSE, and the embedded store is for processes of one host`;
    const store = openSqlite(path);
    const looked = await assertRejects(() => store.read("a/key", CALL), StoreError);
    assertEquals([looked.message, looked.hint], [message, HINT]);
    const written = await assertRejects(
      () => store.commit({ expect: [], put: [{ key: "a/key", value: "1" }] }, CALL),
      StoreError,
    );
    assertEquals(written.message, message);
    assertEquals((await assertRejects(() => store.lease(1000, () => {}, CALL), StoreError)).message, message);
    await store.close();
    assertEquals([...Deno.readDirSync(disk)], []);
    await Deno.writeTextFile(`${disk}/locks.db`, "");
    const again = openSqlite(path);
    assertEquals((await assertRejects(() => again.list("", CALL), StoreError)).message, message);
    await again.close();
  } finally {
    await new Deno.Command("umount", { args: [mount] }).output();
    await Deno.remove(folder, { recursive: true });
  }
});
