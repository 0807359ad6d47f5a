/**
 * Programs that tests of hosts run, each bounded in time, with what they wrote.
 */

export interface Captured {
  /** 137 when it took too long, and was killed. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, or kills it after `limitMs`. */
export async function capture(words: readonly string[], limitMs: number): Promise<Captured> {
  // not our own timer: a program that is stopped, or that has entered another namespace, must end too
  const { code, stdout, stderr } = await new Deno.Command("timeout", {
    args: ["--signal=KILL", `${limitMs / 1000}`, ...words],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** The lines of a stream, each when it is whole. Whoever stops reading leaves the stream open. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream()).values({ preventCancel: true })) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}
