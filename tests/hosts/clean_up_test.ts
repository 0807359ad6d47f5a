import { assertEquals, assertNotEquals } from "@std/assert";
import { until } from "../support/daemon_process.ts";
import { capture, linesOf } from "./command.ts";
import { hostTest } from "./story.ts";

const ABANDONED = new URL("./abandoned.ts", import.meta.url).pathname;
const LIMIT_MS = 60_000;

hostTest("a run that is killed leaves no process, mount, network or cgroup of its hosts behind", async () => {
  await using run = new Run();
  const { pid, name, namespaces } = await run.hostIsOn();
  const left = async () => [
    ...await processesIn(namespaces),
    ...(await machineHas("ip", "-o", "link")).filter((line) => line.includes(`lockhost${pid}`)),
    ...(await machineHas("find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", name)),
    ...(await machineHas("grep", "-E", "/run/(hosts|layer|etcd)", "/proc/self/mounts")),
  ];
  assertNotEquals(await left(), [], "it is there before it is killed");
  run.child.kill("SIGKILL");
  assertEquals(await until(left, (found) => found.length === 0), []);
});

class Run implements AsyncDisposable {
  readonly child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", ABANDONED],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();

  /** The laboratory of a host that is on. */
  async hostIsOn(): Promise<{ pid: string; name: string; namespaces: string[] }> {
    for await (const line of linesOf(this.child.stdout)) {
      const [pid = "", name = ""] = line.split(" ");
      const namespaces = ["net", "mnt", "pid"].map((kind) => Deno.readLinkSync(`/proc/${pid}/ns/${kind}`));
      return { pid, name, namespaces };
    }
    throw new Error("the run ended before its host was on");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // it is dead already
    }
    await this.child.status;
    await this.child.stdout.cancel().catch(() => {});
  }
}

/** The processes of the machine that are in one of these namespaces. */
async function processesIn(namespaces: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const own = ["net", "mnt", "pid"].map((kind) => Deno.readLinkSync(`/proc/${name}/ns/${kind}`));
      if (own.some((one) => namespaces.includes(one))) found.push(`process ${name}`);
    } catch {
      // it has ended
    }
  }
  return found;
}

async function machineHas(...words: string[]): Promise<string[]> {
  const { stdout } = await capture(words, LIMIT_MS);
  return stdout.split("\n").filter((line) => line !== "");
}
