/**
 * Makes one self-contained, minified ES module of a program: no other file, no package and no network is needed to run it.
 *
 * It starts fast, which is most of what a command costs. Modules that are imported dynamically are in the same file and run
 * when they are imported, the built-in modules of node that they use included. Of gRPC only what an etcd client needs goes
 * in: servers, load balancers over several addresses and the like are left out, and the names that etcd3 uses stay.
 *
 * Packages are found as deno.json and node_modules say, which Deno keeps in step (`nodeModulesDir`).
 */

import { builtinModules } from "node:module";
import * as esbuild from "esbuild";

const ROOT = new URL("..", import.meta.url);

/**
 * In place of the index of gRPC, with its names: what etcd3 uses, set up as that index does. Whoever needs another name
 * finds it undefined, and the tests of the built file tell.
 */
const GRPC_CLIENT = `
const credentials = require("@grpc/grpc-js/build/src/channel-credentials.js").ChannelCredentials;
exports.credentials = { createInsecure: credentials.createInsecure, createSsl: credentials.createSsl };
exports.Metadata = require("@grpc/grpc-js/build/src/metadata.js").Metadata;
exports.connectivityState = require("@grpc/grpc-js/build/src/connectivity-state.js").ConnectivityState;
exports.loadPackageDefinition = require("@grpc/grpc-js/build/src/make-client.js").loadPackageDefinition;
for (const part of [
  require("@grpc/grpc-js/build/src/resolver-dns.js"),
  require("@grpc/grpc-js/build/src/resolver-ip.js"),
  require("@grpc/grpc-js/build/src/load-balancer-pick-first.js"),
]) part.setup();
`;

/**
 * Bundles the program that begins with `entry` into `outFile`; folders on the way to it are made.
 *
 * @param entry a path, relative to the working directory or absolute
 * @throws {Error} when something cannot be found or parsed; esbuild says what and where
 */
export async function bundle(entry: string, outFile: string): Promise<void> {
  try {
    await esbuild.build({
      entryPoints: [entry],
      outfile: outFile,
      bundle: true,
      minify: true,
      // Classes are told apart by name in messages and by instanceof in code; names cost little.
      keepNames: false,
      // No variable of the environment is for gRPC, and reading the first one takes 5 ms.
      define: { "process.env": "{}" },
      format: "esm",
      platform: "node",
      target: "esnext",
      charset: "ascii",
      legalComments: "none",
      logLevel: "warning",
      absWorkingDir: Deno.cwd(),
      banner: { js: 'const require=(name)=>process.getBuiltinModule(name);var __dirname="/";' },
      plugins: [{ name: "deno", setup: (build) => resolveAsDeno(build) }],
    });
  } finally {
    await esbuild.stop();
  }
}

async function resolveAsDeno(build: esbuild.PluginBuild): Promise<void> {
  const { imports, packages } = await readConfig();
  const builtins = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]));

  build.onResolve(
    { filter: /^@grpc\/grpc-js$/ },
    () => ({ path: "grpc", namespace: "client", sideEffects: true }),
  );
  build.onLoad({ filter: /.*/, namespace: "client" }, () => ({
    contents: GRPC_CLIENT,
    loader: "js",
    resolveDir: new URL("node_modules/.deno/node_modules", ROOT).pathname,
  }));

  // gRPC carries it for services that nobody offers here; the one of etcd3 is the linked one.
  build.onResolve({ filter: /^@grpc\/proto-loader$/ }, ({ importer, resolveDir }) => {
    if (importer.includes("/etcd3/")) return undefined;
    return { path: resolveDir, namespace: "absent" };
  });
  build.onLoad({ filter: /.*/, namespace: "absent" }, () => ({ contents: "", loader: "js" }));

  build.onResolve({ filter: /^[^./]/ }, async ({ path, kind, namespace, resolveDir, importer }) => {
    if (builtins.has(path)) {
      const name = path.startsWith("node:") ? path : `node:${path}`;
      // A static import would load it when the program starts; a call when the module that wants it does.
      return kind === "require-call" ? { path: name, external: true } : { path: name, namespace: "builtin" };
    }
    if (namespace !== "file" || importer.includes("/node_modules/")) return undefined;
    const target = mapped(path, imports);
    const linked = packages.get(target.replace(/^jsr:/, "").replace(/(?<=.)@[^/]*$/, ""));
    if (linked) return { path: linked };
    if (!target.startsWith("npm:")) return undefined;
    const [, name, version, inside] = /^npm:\/?((?:@[^/]+\/)?[^/@]+)@?([^/]*)(.*)$/.exec(target) ?? [];
    const dir = `node_modules/.deno/${name?.replace("/", "+")}@${version}/node_modules`;
    return await build.resolve(`${name}${inside}`, {
      kind,
      resolveDir: version ? new URL(dir, ROOT).pathname : resolveDir,
    });
  });
  build.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
    contents: `module.exports = require(${JSON.stringify(path)});`,
    loader: "js",
  }));
}

/** The target of a specifier in an import map: of it as it is, or of the package that it begins with. */
function mapped(specifier: string, imports: ReadonlyMap<string, string>): string {
  for (const [name, target] of imports) {
    if (specifier === name || specifier.startsWith(`${name}/`)) return target + specifier.slice(name.length);
  }
  return specifier;
}

/** The import map of deno.json, and the packages that it links, by name. */
async function readConfig(): Promise<{ imports: Map<string, string>; packages: Map<string, string> }> {
  const readJson = async (url: URL) => JSON.parse(await Deno.readTextFile(url));
  const config = await readJson(new URL("deno.json", ROOT));
  const packages = new Map<string, string>();
  for (const link of config.links ?? []) {
    const dir = new URL(`${link}/`, ROOT);
    try {
      const { name, exports } = await readJson(new URL("deno.json", dir));
      packages.set(name, new URL(exports, dir).pathname);
    } catch (error) {
      // A linked npm package has a package.json, and is found in node_modules.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return { imports: new Map(Object.entries(config.imports ?? {})), packages };
}

if (import.meta.main) {
  const [entry, outFile] = Deno.args;
  if (entry === undefined || outFile === undefined) {
    console.error("usage: deno run -A dist/bundle.ts ENTRY FILE");
    Deno.exit(2);
  }
  await bundle(entry, outFile);
}
