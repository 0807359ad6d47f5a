/** What the operator names: `file:PATH`, which exists while a reboot is needed, and `command:COMMAND`. */

import type { Answer } from "../need.ts";
import { readSentinel, sentinelFiles } from "./sentinel.ts";
import { digest, failure, needed, NOT_NEEDED, type Source } from "./source.ts";

export function fileSource(path: string): Source {
  return {
    name: `file:${path}`,
    about: `${path} exists`,
    cost: "file",
    files: sentinelFiles(path),
    isHere: () => Promise.resolve(true),
    ask: (ground) => readSentinel(ground.path(path)),
  };
}

/**
 * A shell command: exit 0 a reboot is needed, 1 none is, everything else unknown. The last line that it prints is the
 * reason, and what the need is known by.
 */
export function commandSource(command: string): Source {
  return {
    name: `command:${command}`,
    about: `'${command}' exits with 0`,
    cost: "program",
    isHere: () => Promise.resolve(true),
    ask: async (ground): Promise<Answer> => {
      const end = await ground.run("sh", ["-c", command]);
      if (end.kind !== "exited" || end.signal !== null) return failure(`'${command}'`, end);
      if (end.code === 1) return NOT_NEEDED;
      if (end.code !== 0) return failure(`'${command}'`, end);
      const said = end.stdout.trim().split("\n").at(-1)?.trim() ?? "";
      return needed([said === "" ? `'${command}' says so` : said], await digest([command, said]));
    },
  };
}
