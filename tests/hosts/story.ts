/**
 * A test on real hosts. Where this machine cannot have any it is skipped, and says why: it has shown nothing, and nothing is
 * wrong with the program.
 */

import { whyNoHosts } from "./requirements.ts";
import { Site } from "./site.ts";

const why = await whyNoHosts();
if (why !== undefined) console.error(`tests of real hosts are skipped: ${why}`);

/** A test that boots hosts. */
export function hostTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: why !== undefined, fn });
}

/** The site of a file of tests: made when it is first asked for, and gone after the last test. */
export function siteOfFile(name: string): () => Promise<Site> {
  let site: Promise<Site> | undefined;
  Deno.test.afterAll(async () => {
    await (await site)?.[Symbol.asyncDispose]();
  });
  return () => site ??= Site.open(name);
}
