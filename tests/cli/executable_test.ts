/**
 * The shipped file as such: that it starts anywhere, unpacks itself safely, and hands everything through. Most of it is
 * tried with a small program in the place of locksmith, built the same way; what the commands do is tested elsewhere.
 * Mounts are made in namespaces of their own, which needs root or user namespaces; a host with neither fails these tests.
 */

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { build, compileArguments } from "../../dist/build.ts";
import { VERSION } from "../../lib/cli/version.ts";
import { CACHE_DIR, locksmith } from "../support/executable.ts";
import { leashed } from "../support/child.ts";

const OUT = new URL("../../dist/build/fixture", import.meta.url).pathname;
const ROOT_USER = Deno.uid() === 0;
/** Some user that is not root, and not the owner of anything here. */
const NOBODY = 65534;
const AS_NOBODY = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
const NAMESPACE = ["unshare", ...(ROOT_USER ? ["-m"] : ["-rm"]), "sh", "-ec"];

const PROGRAM = `
const [command, ...rest] = Deno.args;
if (command === "version") {
  console.log((Deno.env.get("LOCKSMITH_ARGV0") ?? "").replace(/.*\\//, "") + " version ${VERSION}");
} else if (command === "echo") {
  console.log(JSON.stringify(rest));
} else if (command === "exit") {
  Deno.exit(Number(rest[0]));
} else if (command === "cat") {
  await Deno.stdin.readable.pipeTo(Deno.stdout.writable);
} else if (command === "wait") {
  Deno.addSignalListener("SIGTERM", () => Deno.exit(7));
  setInterval(() => {}, 1000);
  console.log(Deno.pid);
} else if (command === "sh") {
  const { stdout, stderr } = await new Deno.Command("sh", { args: ["-c", rest[0]], stdin: "null" }).output();
  Deno.stdout.writeSync(stdout);
  Deno.stderr.writeSync(stderr);
} else if (command === "get") {
  console.log(JSON.stringify(rest.map((name) => Deno.env.get(name) ?? null)));
}
`;

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command with nothing but `env` in its environment. */
async function run(
  [program = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = "/",
): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    clearEnv: true,
    env: { ...env },
    cwd,
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

let built: Promise<string> | undefined;

/** The file with {@linkcode PROGRAM} in it, self-extracting. */
function file(): Promise<string> {
  built ??= (async () => {
    await Deno.remove(UNPACKED.LOCKSMITH_CACHE_DIR, { recursive: true }).catch(() => {});
    await Deno.mkdir(OUT, { recursive: true });
    await Deno.writeTextFile(`${OUT}/program.ts`, PROGRAM);
    return (await build({ entry: `${OUT}/program.ts`, outDir: OUT, denort: null })).path;
  })();
  return built;
}

/** Where the file is unpacked for tests that are not about that. */
const UNPACKED = { LOCKSMITH_CACHE_DIR: `${OUT}/cache` };

/** A folder that is gone when the test is over; others may look into it. */
async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "locksmith test " });
  await Deno.chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

function names(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
}

/** The one folder in a cache folder, with its path. */
function unpacked(cache: string): string {
  const [name, ...more] = names(cache);
  assertEquals(more, []);
  assert(name !== undefined && /^[0-9a-f]{64}$/.test(name), `${name} is no SHA-256`);
  return `${cache}/${name}`;
}

const ok = (stdout: string): Result => ({ code: 0, stdout, stderr: "" });
const failure = (error: string, hint: string): Result => ({
  code: 1,
  stdout: "",
  stderr: `locksmith: error: ${error}\nlocksmith: hint: ${hint}\n`,
});
const ELSEWHERE = "name another folder with LOCKSMITH_CACHE_DIR";

Deno.test("the built program and its links say who was called, from any folder, in an empty environment", async () => {
  await using dir = await folder();
  const path = await locksmith();
  const env = { LOCKSMITH_CACHE_DIR: CACHE_DIR };
  for (const name of ["locksmith", "locksmithctl", "locksmithd"]) {
    const called = path.replace(/[^/]*$/, name);
    assertEquals(await run([called, "-version"], env), ok(`${name} version ${VERSION}\n`));
    await Deno.symlink(called, `${dir.path}/${name}`);
    assertEquals(await run([`./${name}`, "-version"], env, dir.path), ok(`${name} version ${VERSION}\n`));
  }
});

Deno.test("the built program passes its exit code on: 2 for a command that there is not", async () => {
  const { code } = await run([await locksmith(), "foo"], { LOCKSMITH_CACHE_DIR: CACHE_DIR });
  assertEquals(code, 2);
});

Deno.test("build() makes the same file of the same sources, and links that follow it", async () => {
  const path = await file();
  const digest = async () =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(path))).toHex();
  const first = await digest();
  const { way, sizeBytes } = await build({ entry: `${OUT}/program.ts`, outDir: OUT, denort: null });
  assertEquals({ way, sizeBytes, digest: await digest() }, {
    way: "self-extracting",
    sizeBytes: (await Deno.stat(path)).size,
    digest: first,
  });
  assertEquals(await Deno.readLink(`${OUT}/locksmithctl`), "locksmith");
  assertEquals(await Deno.readLink(`${OUT}/locksmithd`), "locksmith");
});

Deno.test("build() refuses a denort that is deno itself", async () => {
  await using dir = await folder();
  await Deno.writeTextFile(`${dir.path}/program.ts`, PROGRAM);
  await assertRejects(
    () => build({ entry: `${dir.path}/program.ts`, outDir: dir.path, denort: Deno.execPath() }),
    Error,
    `cannot use ${Deno.execPath()} as denort: what was compiled with it does not know the command version; ` +
      "set DENORT_BIN to the denort of this version of deno, or unset it",
  );
  assertEquals(names(dir.path).includes("locksmith"), false);
});

Deno.test("compileArguments() gives the compiled program what it needs, and no cache in /tmp", () => {
  const all = compileArguments("in.js", "out");
  assertEquals(all[0], "compile");
  assertEquals(all.slice(-3), ["--output", "out", "in.js"]);
  for (const argument of ["--no-prompt", "--no-code-cache", "--ignore-env", "--allow-net", "--allow-run"]) {
    assertEquals(all.filter((other) => other === argument), [argument]);
  }
  assertEquals(all.filter((argument) => /^(-A|--allow-(all|ffi|import|env))$/.test(argument)), []);
});

Deno.test("a first run unpacks one folder that only its user can enter", async () => {
  await using dir = await folder();
  const cache = `${dir.path}/a/b c/cache`;
  assertEquals(
    await run([await file(), "version"], { LOCKSMITH_CACHE_DIR: cache }),
    ok(`locksmith version ${VERSION}\n`),
  );
  const home = unpacked(cache);
  for (const path of [cache, home]) assertEquals((Deno.statSync(path).mode ?? 0) & 0o777, 0o700);
  assertEquals(names(home), ["deno", "locksmith", "locksmith.js", "used"]);
});

Deno.test("a later run starts no other program", async () => {
  await using dir = await folder();
  const env = { LOCKSMITH_CACHE_DIR: `${dir.path}/cache` };
  const line = ok(`locksmith version ${VERSION}\n`);
  assertEquals(await run([await file(), "version"], env), line);
  assertEquals(await run([await file(), "version"], { ...env, PATH: "/nowhere" }), line);
  const log = `${dir.path}/trace`;
  await run(["strace", "-f", "-qq", "-e", "trace=execve", "-o", log, await file(), "version"], {
    ...env,
    PATH: Deno.env.get("PATH") ?? "",
  });
  assertEquals((await Deno.readTextFile(log)).match(/execve\(/g)?.length, 2);
});

Deno.test("what a run compiled is kept for the next, however short it was, and not in a journal", async () => {
  await using dir = await folder();
  const [path, env] = [await locksmith(), { LOCKSMITH_CACHE_DIR: `${dir.path}/cache` }];
  assertEquals((await run([path, "version"], env)).code, 0);
  const home = unpacked(env.LOCKSMITH_CACHE_DIR);
  const database = `${home}/deno/v8_code_cache_v2`;
  const kept = () => {
    // a copy: who opens the database itself and closes it again empties the journal
    for (const suffix of ["", "-wal"]) Deno.copyFileSync(database + suffix, `${dir.path}/copy${suffix}`);
    using copy = new DatabaseSync(`${dir.path}/copy`);
    return copy.prepare("SELECT specifier FROM codecache").all().map(({ specifier }) => specifier);
  };
  const program = new URL(`file://${home}/`).href;
  assert(kept().includes(`${program}locksmith.js`));
  const foreign = kept().filter((name) => !String(name).startsWith(program));
  assertEquals(foreign, [], "and nothing of the runtime is loaded, which it would wait for");
  const parts = names(home).filter((name) => name.endsWith(".js"));
  assert(kept().length < parts.length, "and not all of the program");
  for (const suffix of ["", "-wal"]) {
    Deno.copyFileSync(`${home}/deno/dep_analysis_cache_v2${suffix}`, `${dir.path}/studied${suffix}`);
  }
  using studied = new DatabaseSync(`${dir.path}/studied`);
  assertEquals(
    studied.prepare("SELECT specifier FROM moduleinfocache ORDER BY specifier").all().map((row) =>
      row["specifier"]
    ),
    parts.map((name) => `${program}${name}`).sort(),
    "all of it was studied before, by a process that has ended",
  );
  assertEquals((await run([path, "status", "--endpoint", "http://127.0.0.1:1"], env)).code, 1);
  assert(kept().includes("node:http2"), "the way to etcd");
  for (const name of ["v8_code", "dep_analysis", "node_analysis"]) {
    assertEquals((await Deno.stat(`${home}/deno/${name}_cache_v2-wal`)).size, 0, name);
  }
});

Deno.test("the daemon takes less memory: it is started otherwise than commands, by whatever name and with whatever before", async () => {
  await using dir = await folder();
  const [path, env] = [await locksmith(), { LOCKSMITH_CACHE_DIR: `${dir.path}/cache` }];
  const flags = async (called: string, ...args: string[]) => {
    const log = `${dir.path}/trace`;
    const traced = ["strace", "-qq", "-s", "500", "-v", "-e", "trace=execve", "-o", log, called, ...args];
    await run(traced, { ...env, PATH: Deno.env.get("PATH") ?? "" });
    return (await Deno.readTextFile(log)).match(/"--(?:no-code-cache|v8-flags=)[^"]*"/g) ?? [];
  };
  assertEquals((await run([path, "version"], env)).code, 0);
  const [command, daemon] = [await flags(path, "version"), await flags(path, "-group", "db", "daemon")];
  assertEquals([command.length, daemon.length], [1, 2]);
  assertEquals(await flags(`${path}d`, "-group", "db"), daemon);

  const log = `${dir.path}/trace`;
  const started = [path, "daemon", "--root", `${dir.path}/nothing`, "--endpoint", "http://127.0.0.1:1"];
  const traced = ["strace", "-f", "-qq", "-e", "trace=openat", "-o", log, ...started];
  assertEquals((await run(traced, { ...env, PATH: Deno.env.get("PATH") ?? "" })).code, 1);
  const read = (await Deno.readTextFile(log)).match(/[a-z]+\.js(?=")/g);
  assertEquals(
    new Set(read),
    new Set(["locksmith.js", "run.js", "daemon.js"]),
    "and reads what it needs alone",
  );
});

Deno.test("every shell that is here runs it: dash, bash, busybox", async () => {
  await using dir = await folder();
  const path = await file();
  const shells = [["/bin/sh"], ["/bin/dash"], ["/bin/bash"], ["/bin/bash", "--posix"], [
    "/bin/busybox",
    "sh",
  ]];
  for (const [index, [shell = "", ...args]] of shells.entries()) {
    if (!await Deno.stat(shell).then(() => true, () => false)) continue;
    const env = { LOCKSMITH_CACHE_DIR: `${dir.path}/${index}` };
    for (const _ of ["first", "later"]) {
      assertEquals(await run([shell, ...args, path, "echo", "a  b"], env), ok('["a  b"]\n'));
    }
    assertEquals(
      await run([shell, ...args, path, "sh", 'echo "$PATH"'], env).then(({ stdout }) =>
        /:\.?\n/.test(stdout)
      ),
      false,
    );
  }
});

Deno.test("arguments, standard input and exit codes go through", async () => {
  const path = await file();
  const env = UNPACKED;
  const odd = ["", " a ", "$HOME", "*", "'\"\\", "--version", "-A", "--", "-"];
  assertEquals(await run([path, "echo", ...odd], env), ok(`${JSON.stringify(odd)}\n`));
  assertEquals((await run([path, "exit", "42"], env)).code, 42);
  const child = leashed(path, {
    args: ["cat"],
    clearEnv: true,
    env,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  await new Blob(["through"]).stream().pipeTo(child.stdin);
  assertEquals(new TextDecoder().decode((await child.output()).stdout), "through");
});

Deno.test("SIGTERM reaches the program under the pid that was started, and ps shows its name", async () => {
  const child = leashed(await file(), {
    args: ["wait"],
    clearEnv: true,
    env: UNPACKED,
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, `${child.pid}\n`);
  assertEquals(await Deno.readTextFile(`/proc/${child.pid}/comm`), "locksmith\n");
  child.kill("SIGTERM");
  assertEquals((await child.status).code, 7);
  await reader.cancel();
});

Deno.test("variables meant for other programs change nothing, and LOCKSMITH_RESTORE brings them back", async () => {
  const path = await file();
  const env = {
    ...UNPACKED,
    COMPLETE: "bash",
    DENO_DIR: "/nowhere",
    DENO_V8_FLAGS: "--help",
    DENO_LOG: "debug",
    NODE_OPTIONS: `--it's "odd" $(exit)`,
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
    NODE_EXTRA_CA_CERTS: "/nowhere",
    LD_LIBRARY_PATH: "/nowhere",
    name: "their own",
    id: "",
  };
  assertEquals(await run([path, "version"], env), ok(`locksmith version ${VERSION}\n`));
  const { stdout } = await run([path, "sh", 'eval "$LOCKSMITH_RESTORE"; env'], env);
  const seen = Object.fromEntries(
    stdout.trimEnd().split("\n").map((line) => [line.replace(/=.*/, ""), line.replace(/[^=]*=/, "")]),
  );
  const { PATH: _path, PWD: _pwd, SHLVL: _shlvl, OLDPWD: _oldpwd, _: __, ...rest } = seen;
  assertEquals(rest, env);
});

Deno.test("the program sees the variables that it knows, and no other", async () => {
  const env = {
    ...UNPACKED,
    LOCKSMITHD_GROUP: "db",
    TZ: "UTC",
    GRPC_TRACE: "all",
  };
  assertEquals(
    await run([await file(), "get", "LOCKSMITHD_GROUP", "TZ", "GRPC_TRACE"], env),
    ok('["db","UTC",null]\n'),
  );
});

Deno.test("five first runs at once leave one folder", async () => {
  await using dir = await folder();
  const path = await file();
  const env = { LOCKSMITH_CACHE_DIR: `${dir.path}/cache` };
  const results = await Promise.all(Array.from({ length: 5 }, () => run([path, "version"], env)));
  assertEquals(results, Array(5).fill(ok(`locksmith version ${VERSION}\n`)));
  assertEquals(names(unpacked(env.LOCKSMITH_CACHE_DIR)), ["deno", "locksmith", "locksmith.js", "used"]);
});

Deno.test("a kill in the middle of unpacking does no harm, and the next run clears up", async () => {
  await using dir = await folder();
  const path = await file();
  const cache = `${dir.path}/cache`;
  await Deno.mkdir(cache, { mode: 0o700 });
  const watcher = Deno.watchFs(cache);
  const child = leashed("setsid", {
    args: [path, "version"],
    clearEnv: true,
    env: { LOCKSMITH_CACHE_DIR: cache },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  for await (const { paths } of watcher) {
    if (paths.some((changed) => changed.endsWith("/locksmith"))) break;
  }
  await run(["/bin/kill", "-s", "KILL", "--", `-${child.pid}`]);
  assertEquals((await child.status).signal, "SIGKILL");
  assertEquals(names(cache).map((name) => name.replace(/\d+.*/, "")), [".unpack."]);
  assertEquals(
    await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache }),
    ok(`locksmith version ${VERSION}\n`),
  );
  unpacked(cache);
});

Deno.test("a folder that is not whole is replaced", async () => {
  await using dir = await folder();
  const path = await file();
  const cache = `${dir.path}/cache`;
  await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache });
  const damages: ((home: string) => void)[] = [
    (home) => Deno.truncateSync(`${home}/locksmith.js`),
    (home) => Deno.removeSync(`${home}/locksmith`),
  ];
  for (const damage of damages) {
    damage(unpacked(cache));
    assertEquals(
      await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache }),
      ok(`locksmith version ${VERSION}\n`),
    );
    unpacked(cache);
  }
});

Deno.test("a new version removes those unused for 30 days, never one that still runs", async () => {
  await using dir = await folder();
  const path = await file();
  const cache = `${dir.path}/cache`;
  const env = { LOCKSMITH_CACHE_DIR: cache };
  await run([path, "version"], env);
  const current = unpacked(cache);
  const older = (digit: string, days: number) => {
    const home = `${cache}/${digit.repeat(64)}`;
    Deno.mkdirSync(home);
    Deno.copyFileSync(`${current}/locksmith`, `${home}/locksmith`);
    Deno.writeTextFileSync(`${home}/used`, "");
    const then = new Date(Date.now() - days * 86_400_000);
    Deno.utimeSync(`${home}/used`, then, then);
    return home;
  };
  const [unused, running, recent] = [older("1", 40), older("2", 40), older("3", 20)];
  await Deno.mkdir(`${cache}/theirs`);
  const child = leashed(`${running}/locksmith`, {
    args: ["eval", "console.log(1);setInterval(()=>{},1000)"],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  await Deno.remove(current, { recursive: true });
  assertEquals(await run([path, "version"], env), ok(`locksmith version ${VERSION}\n`));
  const left = names(cache).map((name) => `${cache}/${name}`);
  assertEquals(left, [running, recent, current, `${cache}/theirs`].sort());
  assertEquals(left.includes(unused), false);
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
});

Deno.test("a cache folder that became read-only still runs", async () => {
  await using dir = await folder();
  const path = await file();
  const cache = `${dir.path}/cache`;
  await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache });
  const script =
    'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; ! true 2>/dev/null >"$1/x"; exec "$2" version';
  for (const _ of ["once", "again"]) {
    assertEquals(
      await run([...NAMESPACE, script, "sh", cache, path], {
        LOCKSMITH_CACHE_DIR: cache,
        PATH: Deno.env.get("PATH") ?? "",
      }),
      ok(`locksmith version ${VERSION}\n`),
    );
  }
});

Deno.test("a read-only, full or noexec place for the cache is one clear line", async () => {
  await using dir = await folder();
  const path = await file();
  const env = { LOCKSMITH_CACHE_DIR: dir.path, PATH: Deno.env.get("PATH") ?? "" };
  const mounted = (options: string) =>
    run([
      ...NAMESPACE,
      'mount -t tmpfs -o "$1" none "$2"; "$3" version; code=$?; ls -A "$2"; exit $code',
      "sh",
      options,
      dir.path,
      path,
    ], env);
  assertEquals(
    await mounted("size=20m,mode=700"),
    failure(
      `cannot unpack the program into ${dir.path}: no space left on device`,
      `free ${
        (await Deno.readTextFile(path).then((text) => /free (\d+) MiB/.exec(text)))?.[1]
      } MiB there, or ${ELSEWHERE}`,
    ),
  );
  assertEquals(
    await mounted("ro,mode=700"),
    failure(
      `cannot unpack the program into ${dir.path}: it is not writable`,
      `make it writable by this user, or ${ELSEWHERE}`,
    ),
  );
  assertEquals(
    await mounted("noexec,mode=700"),
    failure(
      `cannot unpack the program into ${dir.path}: permission denied`,
      `it must be writable, and mounted without noexec; else ${ELSEWHERE}`,
    ),
  );
});

Deno.test("a cache folder of another user is refused, before and after the first run", async () => {
  await using dir = await folder();
  const path = await file();
  // Who is not root cannot give a folder away, and takes one of root's.
  const cache = ROOT_USER ? `${dir.path}/cache` : "/usr";
  const refused = failure(
    `cannot use the cache folder ${cache}: it belongs to another user`,
    `chown it to this user, or ${ELSEWHERE}`,
  );
  if (ROOT_USER) {
    await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache });
    await Deno.chown(cache, NOBODY, NOBODY);
    assertEquals(await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache }), refused);
    await Deno.remove(unpacked(cache), { recursive: true });
  }
  assertEquals(await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache }), refused);
});

Deno.test("a cache folder that others can write is refused, before and after the first run", async () => {
  await using dir = await folder();
  const path = await file();
  const cache = `${dir.path}/cache`;
  const env = { LOCKSMITH_CACHE_DIR: cache };
  const refused = failure(
    `cannot use the cache folder ${cache}: others can write to it`,
    `chmod 0700 '${cache}', or ${ELSEWHERE}`,
  );
  await Deno.mkdir(cache);
  for (const mode of [0o777, 0o1777, 0o720]) {
    await Deno.chmod(cache, mode);
    assertEquals(await run([path, "version"], env), refused);
    assertEquals(names(cache), []);
  }
  await Deno.chmod(cache, 0o700);
  assertEquals((await run([path, "version"], env)).code, 0);
  await Deno.chmod(cache, 0o777);
  assertEquals(await run([path, "version"], env), refused);
});

Deno.test("a link in the place of the unpacked folder is refused", async () => {
  await using dir = await folder();
  const path = await file();
  const cache = `${dir.path}/cache`;
  await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache });
  const home = unpacked(cache);
  await Deno.rename(home, `${dir.path}/moved`);
  await Deno.symlink(`${dir.path}/moved`, home);
  assertEquals(
    await run([path, "version"], { LOCKSMITH_CACHE_DIR: cache }),
    failure(`cannot use ${home}: it belongs to another user or is a link`, `remove it, or ${ELSEWHERE}`),
  );
});

Deno.test("the cache folder: LOCKSMITH_CACHE_DIR, CACHE_DIRECTORY, XDG_CACHE_HOME, HOME, in this order", async () => {
  await using dir = await folder();
  const path = `${dir.path}/locksmith`;
  await Deno.copyFile(await file(), path);
  const user = `${dir.path}/user`;
  await Deno.mkdir(user, { mode: 0o700 });
  if (ROOT_USER) await Deno.chown(user, NOBODY, NOBODY);
  const command = [...(ROOT_USER ? AS_NOBODY : []), path, "version"];
  const PATH = Deno.env.get("PATH") ?? "";
  const places: [Record<string, string>, string][] = [
    [{ HOME: user }, `${user}/.cache/locksmith`],
    [{ HOME: user, XDG_CACHE_HOME: "relative" }, `${user}/.cache/locksmith`],
    [{ HOME: user, XDG_CACHE_HOME: `${user}/x` }, `${user}/x/locksmith`],
    [{ HOME: user, XDG_CACHE_HOME: `${user}/x`, CACHE_DIRECTORY: `${user}/s:/other` }, `${user}/s`],
    [{ CACHE_DIRECTORY: "/nowhere", LOCKSMITH_CACHE_DIR: `${user}/l` }, `${user}/l`],
  ];
  for (const [env, cache] of places) {
    assertEquals(await run(command, { ...env, PATH }), ok(`locksmith version ${VERSION}\n`));
    unpacked(cache);
    await Deno.remove(cache, { recursive: true });
  }
  assertEquals(
    await run(command, { PATH }),
    failure("cannot unpack the program: neither HOME nor XDG_CACHE_HOME is set", ELSEWHERE),
  );
  assertEquals(
    await run(command, { PATH, LOCKSMITH_CACHE_DIR: "a/b" }),
    failure("cannot unpack the program into a/b: this is not an absolute path", ELSEWHERE),
  );
  if (ROOT_USER) {
    const script = 'mount -t tmpfs none /var/cache; "$1" version; ls /var/cache/locksmith';
    const { stdout } = await run([...NAMESPACE, script, "sh", path], { PATH, HOME: user });
    assertMatch(stdout, new RegExp(`^locksmith version ${RegExp.escape(VERSION)}\\n[0-9a-f]{64}\\n$`));
  }
  const denied = await run(command, { PATH, HOME: "/proc/nowhere" });
  assertEquals(denied.code, 1);
  assertStringIncludes(
    denied.stderr,
    "locksmith: error: cannot make the cache folder /proc/nowhere/.cache/locksmith: ",
  );
  assertEquals(denied.stderr.trimEnd().split("\n").length, 2);
});
