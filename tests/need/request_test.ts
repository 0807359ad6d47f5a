import { assertEquals, assertRejects } from "@std/assert";
import { OwnedFileError } from "../../lib/host/owned_file.ts";
import type { Answer } from "../../lib/need.ts";
import { leaveRequest, readRequest, REQUEST_FILE, requestSource } from "../../lib/need/request.ts";
import { Heard } from "../support/bus.ts";
import { detecting } from "./ground.ts";

const BOOT = "c5f0d3b8-7f6a-4c43-9a53-0d5a0d7b4f10";
const NEXT_BOOT = "0d5a0d7b-4f10-4c43-9a53-c5f0d3b87f6a";
const REQUEST = { boot: BOOT, since: "2026-05-21T23:00:04.120Z", by: "anna" };
const NEEDED: Answer = {
  kind: "needed",
  reasons: ["anna asked for it (send-need-reboot)"],
  fingerprint: REQUEST.since,
};
const SILENT: Answer = { kind: "silent" };
const NOBODY = 65534;

async function inDirectory(test: (directory: string, path: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(directory, `${directory}${REQUEST_FILE}`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a request is heard when it is left, and no more when its file is removed", async () => {
  await inDirectory(async (directory, path) => {
    const stop = new AbortController();
    const heard = new Heard<Answer>();
    const done = detecting(requestSource(BOOT), directory)(stop.signal, heard.take);
    assertEquals(await heard.next(), SILENT);
    await leaveRequest(path, REQUEST);
    assertEquals(await heard.next(), NEEDED);
    await Deno.remove(path);
    assertEquals(await heard.next(), SILENT);
    stop.abort();
    await done;
  });
});

Deno.test("a request is met by the next boot, also by one that keeps the file, and not by a soft one", async () => {
  await inDirectory(async (_, path) => {
    await leaveRequest(path, REQUEST);
    assertEquals(await readRequest(path, BOOT), NEEDED);
    assertEquals(await readRequest(path, NEXT_BOOT), SILENT);
    assertEquals(await readRequest(path, `${NEXT_BOOT}+1`), SILENT);
    assertEquals(await readRequest(path, `${BOOT}+1`), NEEDED);
  });
});

Deno.test("a request of another user than root does not count, and cannot be left where ours lie (as root)", async () => {
  await inDirectory(async (directory, path) => {
    await Deno.chmod(directory, 0o755);
    await leaveRequest(path, REQUEST);
    const asNobody = (...command: string[]) =>
      new Deno.Command("setpriv", {
        args: [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", ...command],
        stderr: "null",
      }).output();
    assertEquals((await asNobody("true")).code, 0, "only root becomes another");
    for (
      const command of [["rm", "-f"], ["touch", "-d", "@1"], ["truncate", "-s0"], [
        "ln",
        "-sf",
        "/etc/passwd",
      ]]
    ) {
      assertEquals((await asNobody(...command, path)).code !== 0, true, command.join(" "));
    }
    assertEquals(await readRequest(path, BOOT), NEEDED);
    await Deno.chown(path, NOBODY, NOBODY);
    assertEquals(await readRequest(path, BOOT), {
      kind: "unknown",
      why: [`cannot trust ${path}: ${path} belongs to uid ${NOBODY}`],
    });
    await Deno.chmod(path.replace(/\/[^/]*$/, ""), 0o777);
    const error = await assertRejects(() => leaveRequest(path, REQUEST), OwnedFileError);
    assertEquals(
      error.message,
      `${path} was not written: ${directory}/run/locksmith can be written by everybody`,
    );
  });
});

Deno.test("a request that nobody can read is unknown, never needed", async () => {
  await inDirectory(async (_, path) => {
    await leaveRequest(path, REQUEST);
    for (const text of ["", "yes", "{}", '{"boot":1,"since":"x","by":"y"}', "[]", "null"]) {
      await Deno.writeTextFile(path, text);
      assertEquals(await readRequest(path, BOOT), {
        kind: "unknown",
        why: [`${path} was not written by send-need-reboot`],
      });
    }
  });
});
