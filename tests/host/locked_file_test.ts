import { assertEquals } from "@std/assert";
import { lockHolder } from "../../lib/host/locked_file.ts";

Deno.test("lockHolder() finds the holder of an flock by device and inode, and does not guess", () => {
  const device = 0xfe00; // major 254, minor 0
  const line = "5: FLOCK  ADVISORY  WRITE 4400 fe:00:2146934 0 EOF";
  assertEquals(
    lockHolder(`1: POSIX  ADVISORY  READ 9 fe:00:2146934 128 128\n${line}\n`, 2146934, device),
    4400,
  );
  assertEquals(lockHolder(line, 2146935, device), null);
  const elsewhere = "6: FLOCK  ADVISORY  WRITE 7 00:2a:2146934 0 EOF";
  assertEquals(lockHolder(`${elsewhere}\n${line}`, 2146934, device), 4400);
  assertEquals(lockHolder(elsewhere, 2146934, device), 7);
  assertEquals(lockHolder(`${elsewhere}\n${elsewhere.replace(" 7 ", " 8 ")}`, 2146934, device), null);
  assertEquals(lockHolder("6: -> FLOCK  ADVISORY  WRITE 8 fe:00:2146934 0 EOF", 2146934, device), null);
  assertEquals(lockHolder("5: FLOCK  ADVISORY  WRITE 0 fe:00:2146934 0 EOF", 2146934, device), null);
});
