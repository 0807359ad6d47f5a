import { assertEquals, assertRejects } from "@std/assert";
import {
  MachineError,
  readBootId,
  readHostname,
  readKernelFile,
  readMachine,
  readMachineId,
} from "../../lib/host/identity.ts";

const ID = "69d27b356a94476da859461d3a3bc6fd";
const BOOT = "c5f0d3b8-7f6a-4c43-9a53-0d5a0d7b4f10";

async function withRoot(files: Record<string, string>, test: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(`${root}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
      await Deno.writeTextFile(`${root}${path}`, text);
    }
    await test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("readMachine() reads id, boot id and host name below the root", async () => {
  const files = {
    "/etc/machine-id": `${ID}\n`,
    "/proc/sys/kernel/random/boot_id": `${BOOT}\n`,
    "/etc/hostname": "# set by hand\nnode-1\n",
  };
  await withRoot(files, async (root) => {
    assertEquals(await readMachine(root), { id: ID, bootId: BOOT, hostname: "node-1" });
    assertEquals(await readMachine(`${root}/`), { id: ID, bootId: BOOT, hostname: "node-1" });
  });
});

Deno.test("readMachineId() needs nothing but the machine id", async () => {
  await withRoot({ "/etc/machine-id": ID }, async (root) => assertEquals(await readMachineId(root), ID));
});

Deno.test("readMachineId() says file and reason when there is no usable id", async () => {
  const faults = {
    "": "it is empty",
    " \n": "it is empty",
    "uninitialized\n": "it says 'uninitialized': the first boot has not finished",
    "69D27B356A94476DA859461D3A3BC6FD":
      'not 32 lowercase hexadecimal digits: "69D27B356A94476DA859461D3A3BC6FD"',
    "69d27b35-6a94-476d-a859-461d3a3bc6fd":
      'not 32 lowercase hexadecimal digits: "69d27b35-6a94-476d-a859-461d3a3bc6fd"',
    "00000000000000000000000000000000": "it is all zeros",
  };
  for (const [text, why] of Object.entries(faults)) {
    await withRoot({ "/etc/machine-id": text }, async (root) => {
      const error = await assertRejects(() => readMachineId(root), MachineError);
      assertEquals(error.message, `Cannot read machine-id: ${root}/etc/machine-id: ${why}`);
      assertEquals(error.summary, "Cannot read machine-id");
    });
  }
  await withRoot({}, async (root) => {
    const error = await assertRejects(() => readMachineId(root), MachineError);
    assertEquals(error.message, `Cannot read machine-id: ${root}/etc/machine-id: no such file or directory`);
  });
});

Deno.test("readBootId() reads this very boot's id from the root /", async () => {
  assertEquals(await readBootId("/"), (await Deno.readTextFile("/proc/sys/kernel/random/boot_id")).trim());
});

Deno.test("readBootId() refuses what is not a boot id", async () => {
  const file = "/proc/sys/kernel/random/boot_id";
  await withRoot({ [file]: "soon\n" }, async (root) => {
    const error = await assertRejects(() => readBootId(root), MachineError);
    assertEquals(error.message, `Cannot read boot id: ${root}${file}: not a UUID: "soon"`);
  });
  await withRoot({}, async (root) => {
    const error = await assertRejects(() => readBootId(root), MachineError);
    assertEquals(error.message, `Cannot read boot id: ${root}${file}: no such file or directory`);
  });
});

Deno.test("readHostname() takes the system's name for / and where the root has none", async () => {
  assertEquals(await readHostname("/"), Deno.hostname());
  await withRoot({}, async (root) => assertEquals(await readHostname(root), Deno.hostname()));
  await withRoot(
    { "/etc/hostname": "a\x1b[31mb\n" },
    async (root) => assertEquals(await readHostname(root), "a?[31mb"),
  );
});

Deno.test({
  name: "readBootId() and readHostname() work with no more permissions than the shipped program has",
  permissions: { read: true, run: ["sh"] },
  async fn() {
    assertEquals((await readBootId("/")).length, 36);
    assertEquals(typeof await readHostname("/"), "string"); // no permission to ask the system for its name
    const error = await assertRejects(() => readKernelFile("/proc/nothing-here"), Error);
    assertEquals(error.message, "No such file or directory");
  },
});
