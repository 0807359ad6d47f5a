/** locksmith: which command, and the exit code. */

import { run } from "./lib/cli/run.ts";

const code = await run(Deno.args);
// The runtime keeps what it compiled of the program for the next start when its event loop turns, which a short command
// would not wait for. Files and timers do not do: they answer too early, or load more than all of this.
await new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = resolve;
  port2.postMessage(null);
});
Deno.exit(code);
