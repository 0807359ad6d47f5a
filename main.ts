/** locksmith: which command, and the exit code. */

import { keepCompiledCode } from "./lib/cli/compiled_code.ts";
import { tellsVersion } from "./lib/cli/version.ts";

async function main(): Promise<number> {
  if (tellsVersion(Deno.args)) return 0;
  const { run } = await import("./lib/cli/run.ts");
  return await run(Deno.args);
}

// Not called from here: an error would want to know where in this module it was, for which all of it is parsed again.
Deno.exit(await main().finally(() => keepCompiledCode(import.meta.dirname)));
