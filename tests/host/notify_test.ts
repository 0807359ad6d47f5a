import { assertEquals, assertMatch } from "@std/assert";
import { notifyReady } from "../../lib/host/notify.ts";

/** Prints what it is told, as systemd would take it; says `listening` first. */
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while (said := s.recv(4096).decode().strip()) != "BARRIER=1":
    print(said, flush=True)
`;

async function notify(socket: string | undefined): Promise<string[]> {
  const told: string[] = [];
  if (socket === undefined) Deno.env.delete("NOTIFY_SOCKET");
  else Deno.env.set("NOTIFY_SOCKET", socket);
  await notifyReady((level, text) => told.push(`${level}: ${text}`));
  return told;
}

Deno.test("notifyReady() sends READY=1 to whoever waits, and no later child can speak for the daemon", async () => {
  const folder = await Deno.makeTempDir();
  const listener = new Deno.Command("/usr/bin/python3", {
    args: ["-c", LISTENER, `${folder}/socket`],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const lines = listener.stdout.pipeThrough(new TextDecoderStream()).getReader();
  // what it says may come in one piece or in several
  let said = "";
  while (!said.startsWith("listening\n")) said += (await lines.read()).value ?? "";
  assertEquals(await notify(`${folder}/socket`), []);
  for (let next = await lines.read(); !next.done; next = await lines.read()) said += next.value;
  assertEquals(said.split("\n").filter((line) => line === "READY=1").length, 1, said);
  assertEquals(Deno.env.get("NOTIFY_SOCKET"), undefined);
  await listener.status;
  await Deno.remove(folder, { recursive: true });
});

Deno.test("notifyReady() sends nothing where nobody waits", async () => {
  assertEquals(await notify(undefined), []);
});

Deno.test("notifyReady() tells why systemd was not told, and lets the daemon go on", async () => {
  const [line = "", ...more] = await notify("/nonexistent/socket");
  assertEquals(more, []);
  assertMatch(
    line,
    /^warning: cannot tell systemd that the daemon has started: systemd-notify: .*No such file/,
  );
});
