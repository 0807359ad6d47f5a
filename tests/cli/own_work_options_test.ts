import { assertEquals, assertThrows } from "@std/assert";
import { ValueError } from "../../lib/cli/option.ts";
import { OWN_WORK_OPTIONS, parseCheckUrl, parseUnit } from "../../lib/cli/own_work_options.ts";

const refused = (parse: (text: string) => unknown, text: string) =>
  assertThrows(() => parse(text), ValueError).message;

Deno.test("a unit has a suffix, .service where none is written, and no other word of systemctl's", () => {
  assertEquals(parseUnit("nginx"), "nginx.service");
  assertEquals(parseUnit("getty@tty1.service"), "getty@tty1.service");
  assertEquals(parseUnit("srv-data.mount"), "srv-data.mount");
  assertEquals(
    refused(parseUnit, "nginx.servce"),
    `"nginx.servce" is not the name of a unit: unknown suffix .servce, did you mean 'service'?`,
  );
  for (const text of ["", "--all", "a b", "a*", "a;b", "x".repeat(256)]) {
    assertEquals(
      /is not the name of a unit, such as nginx\.service$/.test(refused(parseUnit, text)),
      true,
      text,
    );
  }
});

Deno.test("a URL to check is of http or https, and shows no password to anybody", () => {
  assertEquals(parseCheckUrl("http://localhost:8080/health?full"), "http://localhost:8080/health?full");
  assertEquals(
    refused(parseCheckUrl, "localhost:8080"),
    '"localhost:8080" is not an http:// or https:// URL, such as http://localhost:8080/health',
  );
  assertEquals(
    refused(parseCheckUrl, "ftp://a/"),
    '"ftp://a/" is not an http:// or https:// URL, such as http://localhost:8080/health',
  );
  assertEquals(
    refused(parseCheckUrl, "https://anna:secret@web1/health"),
    "the URL of web1 has a user in it, who would be shown; use a program in check.d",
  );
});

Deno.test("a check and a hook have at least a second, and at most a day", () => {
  const { "check-timeout": check, "hook-timeout": hook } = OWN_WORK_OPTIONS;
  for (const { parse } of [check, hook]) {
    assertEquals([parse("1s"), parse("24h")], [1_000, 86_400_000]);
    for (const text of ["0", "999ms", "25h"]) {
      assertEquals(refused(parse, text), `'${text}' is not between 1s and 24h`);
    }
  }
});
