import { assertEquals, assertRejects } from "@std/assert";
import { MachineError } from "../../lib/host/identity.ts";
import { type Questions, requireLastingId } from "../../lib/host/lasting_id.ts";

const ID = "69d27b356a94476da859461d3a3bc6fd";
const DISK: Questions = { fileSystem: () => Promise.resolve("ef53"), kernelFile: () => Promise.resolve("") };
const MEMORY: Questions = { ...DISK, fileSystem: () => Promise.resolve("1021994") };
const HINT = "write it to disk: systemd-machine-id-setup --commit; or set the same id at each boot: " +
  "systemd.machine_id= on the kernel command line";

Deno.test("requireLastingId() refuses an id that systemd mounted over the file for this boot, and says what to do", async () => {
  const root = await Deno.makeTempDir();
  await Deno.mkdir(`${root}/etc`);
  await Deno.mkdir(`${root}/run`);
  await Deno.writeTextFile(`${root}/etc/machine-id`, ID);
  await requireLastingId(root, ID, DISK);
  await Deno.writeTextFile(`${root}/run/machine-id`, ID);
  await requireLastingId(root, ID, DISK);
  await Deno.remove(`${root}/run/machine-id`);
  // the same file by two names, as by the mount
  await Deno.link(`${root}/etc/machine-id`, `${root}/run/machine-id`);
  const error = await assertRejects(() => requireLastingId(root, ID, DISK), MachineError);
  assertEquals([error.message, error.hint], [
    `Cannot use this machine-id: ${root}/etc/machine-id: systemd generated it for this boot, so it does not outlast the boot, ` +
    "and a slot would be held forever",
    HINT,
  ]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("requireLastingId() refuses an id in memory, unless the same comes again at each boot", async () => {
  const error = await assertRejects(() => requireLastingId("/", ID, MEMORY), MachineError);
  assertEquals(
    error.detail,
    "/etc/machine-id: it is stored in memory (tmpfs), so it does not outlast the boot, and a slot would be held forever",
  );
  const sources = {
    "/proc/cmdline": `quiet systemd.machine_id=${ID} ro`,
    "/sys/class/dmi/id/product_uuid": "69D27B35-6A94-476D-A859-461D3A3BC6FD\n",
    "/proc/1/environ": "container=lxc\0container_uuid=69d27b35-6a94-476d-a859-461d3a3bc6fd\0",
  };
  for (const [source, text] of Object.entries(sources)) {
    const kernelFile = (path: string) => Promise.resolve(path === source ? text : "");
    await requireLastingId("/", ID, { ...MEMORY, kernelFile });
  }
});

Deno.test("requireLastingId() asks this very host for its file system, and takes an id on its disk", async () => {
  await requireLastingId("/", ID);
});
