/**
 * Makes one self-contained, minified ES module of a program: no other file, no package and no network is needed to run it.
 *
 * It starts fast, which is most of what a command costs. Modules that are imported dynamically are in the same file and run
 * when they are imported; so are the built-in modules of node that they import, which cost more than anything else.
 */

import { builtinModules } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

/**
 * Bundles the program that begins with `entry` into `outFile`; folders on the way to it are made. What the modules import
 * is found as deno.json says.
 *
 * @param entry a path, relative to the working directory or absolute
 * @throws {Error} when something cannot be found or parsed; esbuild says what and where
 */
export async function bundle(entry: string, outFile: string): Promise<void> {
  try {
    await esbuild.build({
      entryPoints: [resolve(entry)],
      outfile: resolve(outFile),
      bundle: true,
      minify: true,
      format: "esm",
      platform: "neutral",
      target: "esnext",
      charset: "ascii",
      legalComments: "none",
      logLevel: "warning",
      // Only what is imported from node asks for it: the mention alone would not load anything.
      banner: { js: "const require=(name)=>process.getBuiltinModule(name);" },
      plugins: [{ name: "deno", setup: resolveAsDeno }],
    });
  } finally {
    await esbuild.stop();
  }
}

function resolveAsDeno(build: esbuild.PluginBuild): void {
  const builtins = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]));

  build.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
    if (builtins.has(path)) {
      const name = path.startsWith("node:") ? path : `node:${path}`;
      // A static import would load it when the program starts; a call does when the module that wants it runs. A dynamic
      // import stays what it is: the call loads more than what is wanted.
      return kind === "import-statement"
        ? { path: name, namespace: "builtin" }
        : { path: name, external: true };
    }
    const url = import.meta.resolve(path);
    return url.startsWith("file:") ? { path: fileURLToPath(url) } : undefined;
  });
  build.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
    contents: `module.exports = require(${JSON.stringify(path)});`,
    loader: "js",
  }));
}

if (import.meta.main) {
  const [entry, outFile] = Deno.args;
  if (entry === undefined || outFile === undefined) {
    console.error("usage: deno run -A dist/bundle.ts ENTRY FILE");
    Deno.exit(2);
  }
  await bundle(entry, outFile);
}
