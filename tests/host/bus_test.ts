import { assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { runChild } from "../../lib/host/child.ts";
import { Bus, BusError, type BusSignal, classify } from "../../lib/host/bus.ts";
import { Heard, startBus } from "../support/bus.ts";

const PING = {
  service: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
  member: "NameHasOwner",
};
const RULE = "type='signal',interface='org.example.Test'";
const SOURCE = { path: "/org/example/Test", interface: "org.example.Test", member: "Said" };
const SOON = { timeoutMs: 10_000 };

async function faultOf(call: Promise<unknown>): Promise<BusError> {
  return await assertRejects(() => call, BusError);
}

Deno.test("Bus.call() returns the reply's arguments", async () => {
  await using test = await startBus();
  assertEquals(await test.client().call(PING, "s", ["org.freedesktop.login1"], SOON), [true]);
});

Deno.test("Bus.call() tells an absent service from an absent bus and an absent busctl", async () => {
  await using test = await startBus();
  const absent = { ...PING, service: "org.example.Nobody" };
  const service = await faultOf(test.client().call(absent, "s", ["x"], SOON));
  assertEquals(service.kind, "no-service");
  assertEquals(
    service.message,
    "cannot call NameHasOwner of org.example.Nobody: The name org.example.Nobody was not provided by any .service files",
  );
  const bus = await faultOf(new Bus({ address: "unix:path=/nonexistent/bus" }).call(PING, "s", ["x"], SOON));
  assertEquals(bus.kind, "no-bus");
  assertEquals(
    bus.message,
    "cannot call NameHasOwner of org.freedesktop.DBus: Failed to connect to bus: No such file or directory",
  );
  const busctl = await faultOf(new Bus({ program: "/nonexistent/busctl" }).call(PING, "s", ["x"], SOON));
  assertEquals(busctl.kind, "no-busctl");
  assertEquals(
    busctl.message,
    "cannot call NameHasOwner of org.freedesktop.DBus: cannot run /nonexistent/busctl: no such file or directory",
  );
});

Deno.test("Bus.call() ends by its deadline when a service never answers", async () => {
  await using test = await startBus();
  await test.logind.hangReboot();
  const reboot = {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
    member: "Reboot",
  };
  const fault = await faultOf(test.client().call(reboot, "b", ["false"], { timeoutMs: 300 }));
  assertEquals(fault.kind, "timeout");
});

Deno.test("Bus.call() ends by its deadline when the bus takes connections and never speaks", async () => {
  const directory = await Deno.makeTempDir();
  const mute = Deno.listen({ transport: "unix", path: `${directory}/bus` });
  const bus = new Bus({ address: `unix:path=${directory}/bus` });
  const fault = await faultOf(bus.call(PING, "s", ["x"], { timeoutMs: 300 }));
  assertEquals([fault.kind, fault.message], [
    "timeout",
    "cannot call NameHasOwner of org.freedesktop.DBus: no answer within 300 ms",
  ]);
  mute.close();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("Bus.call() takes arguments that look like options as arguments", async () => {
  await using test = await startBus();
  assertEquals(await test.client().call(PING, "s", ["--help"], SOON), [false]);
});

Deno.test("Bus.ownerOf() and Bus.userOf() tell who is behind a name, and null when nobody is", async () => {
  await using test = await startBus();
  const bus = test.client();
  const owner = await bus.ownerOf("org.freedesktop.login1", SOON);
  assertMatch(`${owner}`, /^:1\.\d+$/);
  assertEquals(await bus.userOf(`${owner}`, SOON), Deno.uid());
  assertEquals(await bus.ownerOf("org.example.Nobody", SOON), null);
  assertEquals(await bus.userOf(":1.999", SOON), null);
});

Deno.test("Bus.ownerOf() never takes a bus that cannot be asked for 'nobody'", async () => {
  const fault = await faultOf(
    new Bus({ address: "unix:path=/nonexistent/bus" }).ownerOf("org.example.Test", SOON),
  );
  assertEquals(fault.kind, "no-bus");
});

Deno.test("Bus.emit() reaches a monitor, with its arguments", async () => {
  await using test = await startBus();
  const bus = test.client();
  const ready = new Heard<true>();
  const heard = new Heard<BusSignal>();
  const stop = new AbortController();
  const done = bus.monitor([RULE], {
    onReady: () => ready.take(true),
    onSignal: heard.take,
    onLost: () => {},
  }, stop.signal);
  await ready.next();
  await bus.emit(SOURCE, "xs", ["-5", "two words\n\u{1F600}"], SOON);
  const { path, member, data } = await heard.next();
  assertEquals({ path, member, data }, {
    path: "/org/example/Test",
    member: "Said",
    data: [-5, "two words\n\u{1F600}"],
  });
  stop.abort();
  await done;
});

Deno.test("Bus.monitor() says once that the bus is gone, comes back with it, and says that it listens again", async () => {
  await using test = await startBus();
  const bus = test.client();
  const heard = new Heard<string>();
  const stop = new AbortController();
  const done = bus.monitor([RULE], {
    onReady: () => heard.take("ready"),
    onSignal: (signal) => heard.take(`signal ${signal.data[0]}`),
    onLost: (error) => heard.take(`${error.kind}: ${error.message}`),
  }, stop.signal);
  assertEquals(await heard.next(), "ready");
  await test.stop();
  // a killed bus is the one or the other, by chance
  assertMatch(
    await heard.next(),
    /^lost: cannot listen on the system bus: (Connection terminated, exiting\.|.*Connection reset by peer)$/,
  );
  const gone = "no-bus: cannot listen on the system bus: Failed to connect to bus: No such file or directory";
  assertEquals(await heard.next(), gone);
  await test.start();
  assertEquals(await heard.next(), "ready");
  await bus.emit(SOURCE, "s", ["again"], SOON);
  assertEquals(await heard.next(), "signal again");
  stop.abort();
  await done;
});

Deno.test("Bus.monitor() says a missing busctl once, however often it tries", async () => {
  const directory = await Deno.makeTempDir();
  const program = `${directory}/busctl`;
  const heard = new Heard<string>();
  const stop = new AbortController();
  const done = new Bus({ program, minBackoffMs: 1, maxBackoffMs: 2 }).monitor([RULE], {
    onReady: () => heard.take("ready"),
    onSignal: () => {},
    onLost: (error) => heard.take(error.message),
  }, stop.signal);
  const missing = `cannot listen on the system bus: cannot run ${program}: no such file or directory`;
  assertEquals(await heard.next(), missing);
  await Deno.writeTextFile(
    `${directory}/new`,
    "#!/bin/sh\necho 'Monitoring bus message stream.' >&2\nexec sleep 600\n",
    {
      mode: 0o755,
    },
  );
  await Deno.rename(`${directory}/new`, program);
  assertEquals(await heard.next(), "ready");
  assertEquals(heard.all, [missing, "ready"]);
  stop.abort();
  await done;
  await Deno.remove(directory, { recursive: true });
});

Deno.test("Bus.monitor() leaves no child behind when it is aborted", async () => {
  const directory = await Deno.makeTempDir();
  const program = `${directory}/busctl`;
  await Deno.writeTextFile(
    program,
    `#!/bin/sh\necho $$ > ${directory}/pid\ntrap '' TERM INT HUP\necho 'Monitoring bus message stream.' >&2\nexec sleep 600\n`,
    { mode: 0o755 },
  );
  const ready = new Heard<true>();
  const stop = new AbortController();
  const done = new Bus({ program }).monitor([RULE], {
    onReady: () => ready.take(true),
    onSignal: () => {},
    onLost: () => {},
  }, stop.signal);
  await ready.next();
  const pid = (await Deno.readTextFile(`${directory}/pid`)).trim();
  stop.abort();
  await done;
  assertInstanceOf(await Deno.stat(`/proc/${pid}`).catch((error: unknown) => error), Deno.errors.NotFound);
  await Deno.remove(directory, { recursive: true });
});

Deno.test("classify() sorts what busctl says", () => {
  const sorted = {
    "Call failed: Operation denied due to active block inhibitor": "failed",
    "Call failed: Access denied": "denied",
    "Call failed: Interactive authentication required.": "denied",
    "Call failed: Connection timed out": "timeout",
    "Call failed: Message recipient disconnected from message bus without replying": "lost",
    "Call failed: Connection reset by peer": "lost",
    "Call failed: The name is not activatable": "no-service",
    "Call failed: Could not get owner of name 'com.coreos.update1': no such name": "no-service",
    "Call failed: Could not get UID of name ':1.7': no such name": "no-service",
    "Call failed: The name does not have an owner": "no-service",
    "Call failed: Unit dbus-com.coreos.update1.service not found.": "no-service",
    "Call failed: Could not activate remote peer.": "no-service",
    "Failed to connect to bus: No such file or directory": "no-bus",
    "Failed to connect to bus: Connection refused": "no-bus",
    "Failed to set bus address: Invalid argument": "no-bus",
    "Failed to connect to bus: Permission denied": "denied",
    "": "failed",
  };
  const seen = Object.keys(sorted).map((text) => [text, classify(text, 1).kind]);
  assertEquals(Object.fromEntries(seen), sorted);
  assertEquals(classify("Call failed: Access denied\nmore\n", 1).detail, "Access denied");
  assertEquals(classify("\n", 3).detail, "exit code 3");
});

Deno.test("runChild() gives code, signal and output", async () => {
  const end = await runChild("sh", ["-c", "cat; echo err >&2; exit 3"], { stdin: "in", ...SOON });
  assertEquals(end, { kind: "exited", code: 3, signal: null, stdout: "in", stderr: "err\n" });
  const killed = await runChild("sh", ["-c", "kill -s TERM $$"], SOON);
  assertEquals(killed.kind === "exited" && killed.signal, "SIGTERM");
});

Deno.test("runChild() does not wait for a grandchild that holds the output open", async () => {
  const end = await runChild("sh", ["-c", "sleep 600 & echo $!"], SOON);
  assertEquals(end.kind, "exited");
  Deno.kill(Number(end.kind === "exited" ? end.stdout : ""), "SIGKILL");
});

Deno.test("runChild() keeps the end of more output than it can hold", async () => {
  const end = await runChild("sh", ["-c", "head -c 3000000 /dev/zero; echo last"], SOON);
  if (end.kind !== "exited") throw new Error(end.kind);
  assertMatch(end.stdout.slice(-5), /^last\n$/);
  assertEquals(end.stdout.length < 1_200_000, true);
});

Deno.test("runChild() ends at once when it is aborted", async () => {
  const ending = runChild("sleep", ["600"], { timeoutMs: 600_000, signal: AbortSignal.timeout(50) });
  assertEquals(await ending, { kind: "aborted" });
});
