/**
 * Makes a few minified ES modules of a program: no other file, no package and no network is needed to run them.
 *
 * They start fast, which is most of what a command costs. Every byte that is read costs time, and so does every file: what
 * each start evaluates is in two or three files, and what is imported dynamically in one for each group of modules that
 * are used together. A group is evaluated as a whole; the built-in modules of node that its modules import, which cost
 * more than anything else, are loaded when something of them is used.
 */

import { builtinModules } from "node:module";
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

/** Modules that are imported dynamically and used together, by the name of their file. */
export type Groups = Readonly<Record<string, readonly string[]>>;

const OPTIONS = {
  bundle: true,
  minify: true,
  format: "esm",
  platform: "neutral",
  target: "esnext",
  charset: "ascii",
  legalComments: "none",
  logLevel: "warning",
  metafile: true,
} as const satisfies esbuild.BuildOptions;
/** For the modules that are imported dynamically and in no group. */
const OTHERS = "others";

/**
 * Bundles the program that begins with `entry` into `outDir`, and gives the names of the files; the first is the one to
 * run, `name` with `.js`. What the modules import is found as deno.json says.
 *
 * @param entry a path, relative to the working directory or absolute
 * @param groups paths as `entry`'s
 * @throws {Error} when something cannot be found or parsed, which esbuild says; when a group names a module that is not
 * imported dynamically, or two modules of one group export the same name
 */
export async function bundle(
  entry: string,
  outDir: string,
  name: string,
  groups: Groups = {},
): Promise<string[]> {
  try {
    const groupOf = new Map(
      Object.entries(groups).flatMap(([group, paths]) => paths.map((path) => [resolve(path), group])),
    );
    const { atOnce, members } = await imported(entry);
    for (const path of groupOf.keys()) {
      if (!members.includes(path)) throw new Error(`cannot group ${path}: nothing imports it dynamically`);
    }
    const files = new Map<string, string[]>();
    for (const path of members) {
      const group = groupOf.get(path) ?? OTHERS;
      files.set(group, [...files.get(group) ?? [], path]);
    }
    for (const [group, paths] of files) await refuseClashes(group, paths);
    const { metafile } = await esbuild.build({
      ...OPTIONS,
      entryPoints: [
        { in: resolve(entry), out: name },
        ...[...files.keys()].map((group) => ({ in: `group:${group}`, out: group })),
      ],
      outdir: resolve(outDir),
      chunkNames: "part-[hash]",
      splitting: true,
      // Only what is imported from node asks for it: the mention alone would not load anything.
      banner: { js: "const require=(name)=>process.getBuiltinModule(name);" },
      plugins: [{
        name: "groups",
        setup(build) {
          build.onResolve({ filter: /^\./ }, ({ kind, resolveDir, path }) => {
            if (kind !== "dynamic-import") return undefined;
            return { path: `./${groupOf.get(resolve(resolveDir, path)) ?? OTHERS}.js`, external: true };
          });
          build.onResolve({ filter: /^group:/ }, ({ path }) => ({
            path: path.replace(/^group:/, ""),
            namespace: "group",
          }));
          build.onLoad({ filter: /.*/, namespace: "group" }, ({ path }) => ({
            contents: [
              // What is evaluated already costs nothing more, and all of it gets into one file if everybody imports it.
              ...atOnce.map((module) => `import ${JSON.stringify(module)};`),
              ...(files.get(path) ?? []).map((member) => `export * from ${JSON.stringify(member)};`),
            ].join("\n"),
            resolveDir: "/",
          }));
        },
      }, { name: "deno", setup: resolveAsDeno }],
    });
    const made = Object.keys(metafile.outputs).map((path) => path.replace(/^.*\//, ""));
    return [`${name}.js`, ...made.filter((file) => file !== `${name}.js`).sort()];
  } finally {
    await esbuild.stop();
  }
}

/**
 * The modules in TypeScript that each start of the program evaluates beside `entry`, those that it imports dynamically itself
 * included; and what is imported dynamically, by whatever of it.
 */
async function imported(entry: string): Promise<{ atOnce: string[]; members: string[] }> {
  const { metafile: { inputs, outputs } } = await esbuild.build({
    ...OPTIONS,
    entryPoints: [resolve(entry)],
    outdir: "unused",
    write: false,
    plugins: [{ name: "deno", setup: resolveAsDeno }],
  });
  const members = new Set<string>();
  for (const { imports } of Object.values(inputs)) {
    for (const { kind, path, external } of imports) {
      if (kind === "dynamic-import" && !external) members.add(resolve(path));
    }
  }
  const found = new Set(Object.values(outputs).flatMap(({ entryPoint }) => entryPoint ?? []));
  const [first] = found;
  for (const module of found) {
    for (const { kind, path, external } of inputs[module]?.imports ?? []) {
      if (kind === "dynamic-import" && module !== first) continue;
      if (!external && inputs[path] !== undefined) found.add(path);
    }
  }
  const own = [...found].filter((path) => path.endsWith(".ts")).map((path) => resolve(path));
  return { atOnce: own.filter((path) => path !== resolve(entry)).sort(), members: [...members].sort() };
}

/** Of modules that get into one file no two may export the same name: `export *` would leave it out. */
async function refuseClashes(group: string, paths: readonly string[]): Promise<void> {
  const { metafile } = await esbuild.build({
    ...OPTIONS,
    entryPoints: [...paths],
    outdir: "unused",
    splitting: true,
    write: false,
    plugins: [{ name: "deno", setup: resolveAsDeno }],
  });
  const entries = Object.values(metafile.outputs).filter(({ entryPoint }) => entryPoint !== undefined);
  const names = entries.flatMap(({ exports }) => exports);
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  if (twice.length === 0) return;
  throw new Error(`cannot put ${group} into one file: more than one module exports ${twice.join(", ")}`);
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
    contents: lazily(path),
    loader: "js",
  }));
}

/** A module that is as one of node, and loads it when something of it is used. */
function lazily(name: string): string {
  const module = process.getBuiltinModule(name) as object;
  return Object.keys(module).filter((key) => key !== "default").map((key) => {
    const [exported, loaded] = [JSON.stringify(key), JSON.stringify(name)];
    return `Object.defineProperty(exports,${exported},{enumerable:true,get:()=>require(${loaded})[${exported}]});`;
  }).join("\n");
}

if (import.meta.main) {
  const [entry, outDir] = Deno.args;
  if (entry === undefined || outDir === undefined) {
    console.error("usage: deno run -A dist/bundle.ts ENTRY FOLDER");
    Deno.exit(2);
  }
  await bundle(entry, outDir, "locksmith");
}
