/**
 * A network of a test's own, with nothing in it but the loopback, addresses that swallow what is sent to them, and ones
 * that no way leads to. Programs that run in it know the names that the test gives to addresses.
 */

/** Addresses of {@linkcode inNetwork}, from those that are set apart for tests (RFC 2544). */
export const SILENT = ["198.18.0.2", "198.18.0.3", "198.18.0.4"] as const;
export const UNREACHABLE = "198.18.1.1";

/**
 * Runs a program with all permissions in a new network, and resolves to what it printed. Rejects when it fails, and
 * without root.
 *
 * @param script TypeScript; it finds modules as this repository does
 * @param names addresses by name, in the order in which they are to be found
 */
export async function inNetwork(
  script: string,
  names: Readonly<Record<string, readonly string[]>> = {},
): Promise<string> {
  if (Deno.uid() !== 0) throw new Error("cannot make a network of a test's own: run the tests as root");
  const dir = await Deno.makeTempDir({ prefix: "locksmith-network-" });
  try {
    const hosts = Object.entries({ localhost: ["127.0.0.1"], ...names })
      .flatMap(([name, addresses]) => addresses.map((address) => `${address} ${name}\n`));
    await Deno.writeTextFile(`${dir}/hosts`, hosts.join(""));
    await Deno.writeTextFile(`${dir}/script.ts`, script);
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const setUp = `
      ip link set lo up
      ip link add silent type veth peer name nobody
      ip address add 198.18.0.1/24 dev silent
      ip link set nobody up
      ip link set silent up
      for address in ${SILENT.join(" ")}; do
        ip neighbour add "$address" lladdr 02:00:00:00:00:01 dev silent nud permanent
      done
      ip route add unreachable 198.18.1.0/24
      mount --bind "$1/hosts" /etc/hosts
      exec "$2" run --quiet --no-check --no-lock --config="$3" --allow-all "$1/script.ts"`;
    const args = [
      "--net",
      "--mount",
      "--propagation=private",
      "sh",
      "-ec",
      setUp,
      "sh",
      dir,
      Deno.execPath(),
      config,
    ];
    const { success, stdout, stderr } = await new Deno.Command("unshare", { args, stdin: "null" }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    if (!success) throw new Error(`the program in the network failed: ${err}`);
    return out ?? "";
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
