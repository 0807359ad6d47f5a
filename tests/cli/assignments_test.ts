/**
 * Files of KEY=value lines are read as systemd reads them. It is asked itself: its generator for environment.d has the reader
 * of EnvironmentFile= and os-release, and runs anywhere.
 */

import { assertEquals } from "@std/assert";
import { type Assignments, decodeText, parseAssignments } from "../../lib/cli/assignments.ts";

const GENERATOR = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator";

/** The keys and values of a text. */
function pairs(text: string): [string, string][] {
  return parseAssignments(text).assignments.map(({ key, value }) => [key, value]);
}

/** Texts, and what systemd makes of them. */
const TEXTS: readonly (readonly [string, readonly [string, string][]])[] = [
  ["A=b\n", [["A", "b"]]],
  // blanks around = and at the ends do not count, an unquoted value goes to the end of its line
  ["A = b\nB= c\nC =d\n  E=f  \nG=\t h\t\n", [["A", "b"], ["B", "c"], ["C", "d"], ["E", "f"], ["G", "h"]]],
  ["A=Thu 23:00\nB=/x/shutdown -r now\n", [["A", "Thu 23:00"], ["B", "/x/shutdown -r now"]]],
  // comments have lines of their own
  ["# A=1\n; B=2\n  # C=3\nD=e # f\nG=h ; i\nK=#l\n", [["D", "e # f"], ["G", "h ; i"], ["K", "#l"]]],
  ["A=1; B=2\n", [["A", "1; B=2"]]],
  // quoted parts follow each other, and what follows without quotes takes the rest of the line as it is
  [`A="b c"\nB='d "e"'\nC="f" "g"\nD='h'i j\nE=k"l m"\n`, [
    ["A", "b c"],
    ["B", 'd "e"'],
    ["C", "fg"],
    ["D", "hi j"],
    ["E", 'k"l m"'],
  ]],
  [`A="b\nc"\nD='e\nf'\nG=h\n`, [["A", "b\nc"], ["D", "e\nf"], ["G", "h"]]],
  ["A=' b '\nC=\" \"\n", [["A", " b "], ["C", " "]]],
  // backslashes
  ['A=b\\\nc\nD="e\\\nf"\nG=h\\ \nI=j\\\\k\\l\n', [["A", "bc"], ["D", "ef"], ["G", "h "], ["I", "j\\kl"]]],
  [`A="b\\"c\\\\d\\e"\nB='f\\'\n`, [["A", 'b"c\\d\\e'], ["B", "f\\"]]],
  // line ends
  ["A=b\r\nC=d\r\n", [["A", "b"], ["C", "d"]]],
  ["A=b\rC=d\r", [["A", "b"], ["C", "d"]]],
  ['A=\nB=""\nC=d', [["A", ""], ["B", ""], ["C", "d"]]],
  // the value of a quote that is not closed is the rest of the file
  ["A='b\nC=d", [["A", "b\nC=d"]]],
  ["A=b\\", [["A", "b"]]],
  ["A=\u00e9\u65e5\nB = '\u{1f512}'\n", [["A", "\u00e9\u65e5"], ["B", "\u{1f512}"]]],
  ["='\nA=b\n", [["A", "b"]]],
  ["A=1\nA=2\n", [["A", "1"], ["A", "2"]]],
];

Deno.test("parseAssignments() reads what systemd documents", () => {
  for (const [text, expected] of TEXTS) assertEquals(pairs(text), expected.map((pair) => [...pair]), text);
});

/** A line of the generator, whose value has a shell's double quotes where it needs some. */
function unquoted(line: string): string {
  const [, key, quoted] = /^([^=]*)="(.*)"$/.exec(line) ?? [];
  if (key === undefined || quoted === undefined) return line;
  return `${key}=${quoted.replace(/\\(.)/g, (_, character) => character === "n" ? "\n" : character)}`;
}

Deno.test("parseAssignments() reads as systemd itself does", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${dir}/environment.d`);
    for (const [text, expected] of TEXTS) {
      await Deno.writeTextFile(`${dir}/environment.d/a.conf`, text);
      const { stdout, success } = await new Deno.Command(GENERATOR, {
        clearEnv: true,
        env: { XDG_CONFIG_HOME: dir, HOME: dir },
      }).output();
      assertEquals(success, true, text);
      const told = new TextDecoder().decode(stdout).split("\n").map(unquoted);
      for (const [key, value] of new Map(expected)) {
        // for environment.d an empty value is none
        const line = value === "" ? [] : [`${key}=${value}`];
        assertEquals(told.filter((line) => line.startsWith(`${key}=`)), line, text);
      }
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("parseAssignments() knows the lines of keys, whatever goes before", () => {
  const text = "# one\n\nA='b\nc'\n  D=e\\\nf\nG=h\r\nI=j\n";
  assertEquals(parseAssignments(text).assignments.map(({ key, line }) => [key, line]), [
    ["A", 3],
    ["D", 5],
    ["G", 7],
    ["I", 8],
  ]);
});

Deno.test("parseAssignments() hands on what is no assignment, and marks a quote that nobody closed", () => {
  const read: Assignments = parseAssignments(
    'REBOOT_STRATEGY: off\nA=b\n  REBOOT_STRATEGY etcd-lock \nC="d\ne\n',
  );
  assertEquals(read.strays, [
    { text: "REBOOT_STRATEGY: off", line: 1 },
    { text: "REBOOT_STRATEGY etcd-lock", line: 3 },
  ]);
  assertEquals(read.assignments, [
    { key: "A", value: "b", line: 2, open: false },
    { key: "C", value: "d\ne\n", line: 4, open: true },
  ]);
});

Deno.test("parseAssignments() passes over export, and after a comment that ends in a backslash reads on", () => {
  assertEquals(pairs("export A=b\nexport  B=c\nexport=d\n"), [["A", "b"], ["B", "c"], ["export", "d"]]);
  // systemd before version 254 took the next line for a part of the comment
  assertEquals(pairs("# a \\\nB=c\n"), [["B", "c"]]);
});

Deno.test("decodeText() names UTF-16, a byte order mark and NUL, and takes any other byte in a comment", () => {
  const utf16 = (text: string) =>
    new Uint8Array(new Uint16Array([...text].map((c) => c.charCodeAt(0))).buffer);
  const utf8 = (text: string) => new TextEncoder().encode(text);
  assertEquals(decodeText(utf16("\ufeffA=b")), { fault: "it is UTF-16; save it as UTF-8" });
  assertEquals(decodeText(utf8("\ufeffA=b")), {
    fault: "it begins with a byte order mark; save it as UTF-8 without one",
  });
  assertEquals(decodeText(utf16("A=b")), {
    fault: "there is a NUL byte on line 1; save it as plain UTF-8 text",
  });
  assertEquals(decodeText(utf8("A=b\r\n\nC=\0")), {
    fault: "there is a NUL byte on line 3; save it as plain UTF-8 text",
  });
  assertEquals(decodeText(new Uint8Array([0x23, 0xe9, 0x0a, 0x41, 0x3d, 0x62])), { text: "#\ufffd\nA=b" });
  assertEquals(decodeText(new Uint8Array()), { text: "" });
});
