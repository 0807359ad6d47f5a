/** locksmith: which command, and the exit code. */

import { keepCompiledCode } from "./lib/cli/compiled_code.ts";
import { run } from "./lib/cli/run.ts";

const code = await run(Deno.args);
await keepCompiledCode(import.meta.url);
Deno.exit(code);
