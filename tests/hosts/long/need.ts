/** What says that a real Debian needs a reboot: the kernel comparison, the real needrestart, and the file of a real writer. */

import { assertEquals } from "@std/assert";
import type { NeedReport } from "../../../lib/cli/needs_command.ts";
import { capture } from "../command.ts";
import { Fleet } from "../fleet.ts";
import type { Host } from "../host.ts";
import { hostTest, siteOfFile } from "../story.ts";

const site = siteOfFile("need");

/** What is installed on the host, not on this machine, with what it cannot do without. */
const PACKAGES = [
  ...["needrestart", "reboot-notifier", "gettext-base", "libintl-perl", "libproc-processtable-perl"],
  ...["libsort-naturally-perl", "libterm-readkey-perl", "libmodule-find-perl"],
];
const DOWNLOAD_MS = 120_000;
/** An image of Linux has its version where an offset at this place leads, from the end of the boot sector on. */
const VERSION_AT = 0x20e;
const SECTOR_BYTES = 0x200;
/** What is smaller is no image to needrestart. */
const IMAGE_BYTES = 1 << 20;
/** Newer than whatever runs here. */
const NEWER = "99.1.0-1-amd64";

/** Installs Debian's own packages on a host, without what only mail needs. */
async function installOn(host: Host): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", ...PACKAGES];
    const { code, stderr } = await capture(
      ["sh", "-c", 'cd "$1" && shift && "$@"', "sh", folder, ...command],
      DOWNLOAD_MS,
    );
    assertEquals(code, 0, stderr);
    for await (const { name } of Deno.readDir(folder)) {
      await host.write(`/opt/packages/${name}`, await Deno.readFile(`${folder}/${name}`));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const dpkg = "DEBIAN_FRONTEND=noninteractive dpkg --force-depends --install /opt/packages/*.deb";
  await host.run("sh", "-c", dpkg);
}

/** A kernel comes to lie on the host, as a package would put it there. */
async function addKernel(host: Host, release: string, build: string): Promise<void> {
  const image = new Uint8Array(IMAGE_BYTES);
  new DataView(image.buffer).setUint16(VERSION_AT, SECTOR_BYTES, true);
  image.set(new TextEncoder().encode(`${release} (builder@host) ${build}`), 2 * SECTOR_BYTES);
  await host.write(`/boot/vmlinuz-${release}`, image);
  await host.write(`/usr/lib/modules/${release}/modules.dep`, "");
}

/** What each source says, and the packages where it knows them. */
async function asked(host: Host): Promise<Record<string, string>> {
  const { stdout } = await host.capture("locksmith", "needs-reboot", "--need", "auto", "--json");
  const { sources }: NeedReport = JSON.parse(stdout);
  return Object.fromEntries(sources.map(({ name, answer, packages = [] }) => {
    return [name, [answer, ...packages].join(" ")];
  }));
}

hostTest(
  "a Debian without a writer of the file cannot tell, and with its kernels, needrestart and reboot-notifier each says what is so",
  async () => {
    // its own daemon is to let it be
    const settings = { LOCKSMITHD_SENTINEL: "/run/none", LOCKSMITHD_NEED: "file:/run/none" };
    await using fleet = await Fleet.one(await site(), "needs", { settings });
    const { host } = fleet;
    assertEquals(await asked(host), { debian: "silent" });

    await installOn(host);
    // in a container it does not look at kernels
    assertEquals(await asked(host), { debian: "not-needed", needrestart: "unknown" });
    await host.write("/usr/bin/systemd-detect-virt", "#!/bin/sh\nexit 1\n");
    await host.run("chmod", "755", "/usr/bin/systemd-detect-virt");
    assertEquals(
      await asked(host),
      { debian: "not-needed", needrestart: "unknown" },
      "no kernel is in /boot",
    );
    const [release = "", build = ""] = (await host.run("uname", "-rv")).trim().split(/ (.*)/);
    await addKernel(host, release, `${build} rebuilt`);
    // to needrestart it is the one that runs; that it came later than the boot is what the comparison sees
    assertEquals(await asked(host), { debian: "not-needed", needrestart: "not-needed", kernel: "needed" });
    await addKernel(host, NEWER, "#1 SMP");
    await host.run("/etc/kernel/postinst.d/reboot-notifier", NEWER);
    assertEquals(await asked(host), {
      debian: "needed linux-base",
      needrestart: "needed",
      kernel: "needed",
    });
  },
);
