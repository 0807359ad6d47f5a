/** A machine of files in a folder of its own, and of programs that answer as they are told. */

import type { ChildEnd } from "../../lib/host/child.ts";
import { Lookout } from "../../lib/host/lookout.ts";
import type { Detector } from "../../lib/need.ts";
import { detectorOf, Turns } from "../../lib/need/detector.ts";
import { type Ground, groundAt, type Source } from "../../lib/need/source.ts";
import { REAL } from "../../lib/surroundings.ts";

/** An exit of a program with what it wrote. */
export function exited(code: number, stdout: string, stderr = ""): ChildEnd {
  return { kind: "exited", code, signal: null, stdout, stderr };
}

export class TestGround implements Ground, AsyncDisposable {
  /** What was run, and what each program answers. */
  readonly ran: string[] = [];
  readonly answers = new Map<string, ChildEnd>();

  private constructor(readonly root: string) {}

  static async make(): Promise<TestGround> {
    return new TestGround(await Deno.makeTempDir());
  }

  path = (path: string) => `${this.root}${path}`;

  run = (program: string, args: readonly string[]): Promise<ChildEnd> => {
    const line = [program, ...args].join(" ");
    this.ran.push(line);
    return Promise.resolve(
      this.answers.get(line) ?? { kind: "not-started", why: "no such file or directory" },
    );
  };

  /** Writes a file, and the folders that it needs. */
  async write(path: string, text = ""): Promise<void> {
    await Deno.mkdir(this.path(path.replace(/\/[^/]*$/, "")), { recursive: true });
    await Deno.writeTextFile(this.path(path), text);
  }

  async [Symbol.asyncDispose]() {
    await Deno.remove(this.root, { recursive: true });
  }
}

/** The detector of a source over files below `root`, which looks at them a hundred times a second. */
export function detecting(source: Source, root: string): Detector {
  const lookout = new Lookout(REAL, { everyMs: 10 });
  return detectorOf(source, {
    ground: groundAt(root),
    lookout,
    turns: new Turns(),
    intervalMs: 1_000,
    surroundings: REAL,
  });
}
