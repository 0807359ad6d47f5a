/** locksmith: which command, and the exit code. */

import { keepCompiledCode } from "./lib/cli/compiled_code.ts";
import { run } from "./lib/cli/run.ts";

// Not called from here: an error would want to know where in this module it was, for which all of it is parsed again.
Deno.exit(await run(Deno.args).finally(() => keepCompiledCode(import.meta.dirname)));
