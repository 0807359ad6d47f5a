/**
 * `deno task docs`: holds the documentation and the project together. docs/commands.md is made from the program's own
 * help, docs/agent.md from the states that the agent can get into, the picture in docs/development.md from the imports
 * that there are, docs/rollout.svg by the command beside it (`--write` writes them). Links lead to files that exist and to
 * headings that these have, names of files to files; the walk through docs/development.md passes each module of the core
 * once; the README names every command, and sets a server up by the lines of docs/serve.md; each of the old program's
 * faults is named by a test.
 */

import { COMMANDS } from "../../lib/cli/commands.ts";
import { commandHelpText, helpText } from "../../lib/cli/help.ts";
import { OPTIONS, type OptionTable } from "../../lib/cli/options.ts";
import { variableNames } from "../../lib/cli/settings.ts";
import { table } from "../../lib/cli/output.ts";
import { agentPage } from "./agent_diagram.ts";
import { anchorsOf, linksOf } from "./links.ts";
import { picture as housePicture, readImports } from "./house.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const FAULTS_OF_THE_OLD_PROGRAM = 15;

/** docs/commands.md: every help text, and every setting with its variables. */
function commandsPage(): string {
  const block = (text: string) => "```text\n" + text.trimEnd() + "\n```\n";
  const options: OptionTable = OPTIONS;
  const settings = Object.entries(options).filter(([, { variable }]) => variable !== undefined).map((
    [name, { fallback = "-" }],
  ) => [
    `--${name}`,
    variableNames(name, "locksmithd").join(" "),
    typeof fallback === "function" ? "this machine's" : fallback,
  ]);
  return [
    "# Commands\n",
    "Made from the program's own help by `deno task docs --write`.\n",
    block(helpText()),
    ...Object.entries(COMMANDS).map(([name, command]) =>
      `## ${name}\n\n${block(commandHelpText(name, command))}`
    ),
    "## Settings and their variables\n",
    "In the environment and in files, the first that is set counts; for the client's commands\n`LOCKSMITHCTL_` comes first. `--root` is for the environment only.\n",
    block(table([["OPTION", "VARIABLES", "DEFAULT"], ...settings])),
  ].join("\n");
}

/** The options of the picture in the documentation, which shows them too. */
const PICTURE = "--machines 120 --max 6 --reboot-time 2m..10m --grace 5m --window 22:00 --length 1h " +
  "--zone America/New_York --at 2026-10-30";

/** docs/rollout.svg, as the program draws it. */
async function picture(): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".svg" });
  try {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "main.ts", "simulate", ...PICTURE.split(" "), "--svg", file],
      cwd: ROOT,
      stdin: "null",
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return await Deno.readTextFile(file);
  } finally {
    await Deno.remove(file);
  }
}

/** docs/development.md with the picture of the house as it is; the rest of the page is written by hand. */
async function developmentPage(): Promise<string> {
  const page = await Deno.readTextFile(`${ROOT}docs/development.md`);
  const picture = housePicture(await readImports(ROOT.slice(0, -1)));
  const block = /(?<=^```mermaid\n)flowchart TD\n[^`]*(?=\n```$)/m;
  if (!block.test(page)) throw new Error("docs/development.md has no picture of the house");
  return page.replace(block, () => picture);
}

/** The pages that are made, and of what. */
const MADE: readonly { readonly path: string; readonly from: string; text(): string | Promise<string> }[] = [
  { path: "docs/commands.md", from: "what the program says", text: commandsPage },
  { path: "docs/agent.md", from: "what the agent does", text: agentPage },
  { path: "docs/development.md", from: "what the modules import", text: developmentPage },
  { path: "docs/rollout.svg", from: "what the program draws", text: picture },
];

async function filesBelow(folder: string, ending: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(ROOT + folder)) {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (isDirectory) found.push(...await filesBelow(path, ending));
    else if (name.endsWith(ending)) found.push(path);
  }
  return found.sort();
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Links to files that are not there, and to headings that their pages do not have. */
async function brokenLinks(page: string): Promise<string[]> {
  const text = await Deno.readTextFile(ROOT + page);
  const broken: string[] = [];
  for (const { target, path, anchor } of linksOf(page, text)) {
    const isThere = await exists(ROOT + path) &&
      (anchor === "" || anchorsOf(path === page ? text : await Deno.readTextFile(ROOT + path)).has(anchor));
    if (!isThere) broken.push(`${page}: the link to ${target} leads nowhere`);
  }
  return broken;
}

/** Files of the project that a page names, and that are not there. */
async function missingFiles(page: string): Promise<string[]> {
  const text = await Deno.readTextFile(ROOT + page);
  const named = new Set(
    [...text.matchAll(/`((?:lib|tests|dist|docs)\/[\w./-]+\.[a-z]+)`/g)].map(([, path = ""]) => path),
  );
  const missing: string[] = [];
  for (const path of named) if (!await exists(ROOT + path)) missing.push(`${page}: there is no ${path}`);
  return missing;
}

/** Modules of the core that the walk through docs/development.md does not name once, and names of none. */
async function lostOnTheWalk(): Promise<string[]> {
  const page = await Deno.readTextFile(`${ROOT}docs/development.md`);
  const [, walk = ""] = /^## A reboot is needed$(.*?)^## /ms.exec(page) ?? [];
  const named = [...walk.matchAll(/`(\w+\.ts)`/g)].map(([, name = ""]) => name);
  const core = (await Array.fromAsync(Deno.readDir(`${ROOT}lib`))).filter(({ isFile }) => isFile);
  const names = new Set([...core.map(({ name }) => name), ...named]);
  return [...names].sort().flatMap((name) => {
    const times = named.filter((other) => other === name).length;
    if (!core.some((module) => module.name === name)) return [`docs/development.md: there is no lib/${name}`];
    return times === 1 ? [] : [`docs/development.md: the walk names lib/${name} ${times} times, not once`];
  });
}

async function unnamedFaults(): Promise<string[]> {
  const tests = [...await filesBelow("tests", "_test.ts"), ...await filesBelow("tests/cli", ".txt")];
  const text = (await Promise.all(tests.map((path) => Deno.readTextFile(ROOT + path)))).join("\n").replace(
    /\s+(#\s+)?/g,
    " ",
  );
  const named = new Set(
    [...text.matchAll(/[Ff]ault (\d+) of the old locksmith/g)].map(([, number]) => Number(number)),
  );
  return Array.from({ length: FAULTS_OF_THE_OLD_PROGRAM }, (_, i) => i + 1)
    .filter((number) => !named.has(number))
    .map((number) => `no test names fault ${number} of the old locksmith`);
}

/** The server is set up in five lines, the same in both places. */
function serverLinesFaults(readme: string, page: string): string[] {
  const linesBelow = (text: string, heading: string) => {
    const [, below = ""] = text.split(`\n## ${heading}\n`);
    const [, block = ""] = /^```sh\n([^]*?)^```$/m.exec(below) ?? [];
    return block.split("\n").filter((line) => line !== "");
  };
  const [first, second] = [
    linesBelow(readme, "No etcd? One server"),
    linesBelow(page, "Set up in five lines"),
  ];
  if (first.length !== 5) return [`README.md sets a server up in ${first.length} lines, not in five`];
  return first.join("\n") === second.join("\n")
    ? []
    : ["README.md and docs/serve.md set a server up differently"];
}

async function check(): Promise<string[]> {
  const faults: string[] = [];
  for (const { path, from, text } of MADE) {
    const written = await Deno.readTextFile(ROOT + path).catch(() => "");
    if (written !== await text()) faults.push(`${path} is not ${from}: deno task docs --write`);
  }
  const pages = ["README.md", "CHANGELOG.md", ...await filesBelow("docs", ".md")];
  for (const page of pages) faults.push(...await brokenLinks(page));
  for (const page of pages.filter((page) => page !== "CHANGELOG.md")) {
    faults.push(...await missingFiles(page));
  }
  faults.push(...await lostOnTheWalk());
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const shown = await Deno.readTextFile(`${ROOT}docs/operations.md`);
  if (!shown.replace(/\s*\\\n\s*/g, " ").includes(`simulate ${PICTURE} --svg`)) {
    faults.push("docs/operations.md does not show the command that makes docs/rollout.svg");
  }
  faults.push(...serverLinesFaults(readme, await Deno.readTextFile(`${ROOT}docs/serve.md`)));
  for (const name of Object.keys(COMMANDS)) {
    if (!readme.includes(`locksmith ${name}`)) faults.push(`README.md does not show 'locksmith ${name}'`);
  }
  return [...faults, ...await unnamedFaults()];
}

if (Deno.args.includes("--write")) {
  for (const { path, text } of MADE) await Deno.writeTextFile(ROOT + path, await text());
} else {
  const faults = await check();
  for (const fault of faults) console.error(fault);
  Deno.exit(faults.length > 0 ? 1 : 0);
}
