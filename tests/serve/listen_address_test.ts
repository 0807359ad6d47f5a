import { assertEquals } from "@std/assert";
import { formatListenAddress, isLocal, parseListenAddress } from "../../lib/serve/listen_address.ts";

Deno.test("an address to listen at is a host and a port, or a socket; written again it is the same", () => {
  for (
    const text of ["127.0.0.1:9053", "[::]:9053", "[::1]:0", "lock.example.net:443", "unix:/run/l/s.sock"]
  ) {
    const address = parseListenAddress(text);
    assertEquals(address && formatListenAddress(address), text);
  }
  assertEquals(parseListenAddress(":9053"), { kind: "tcp", host: "::", port: 9053 });
  for (
    const text of [
      "",
      "9053",
      "host",
      "host:",
      "host:65536",
      "::1:9053",
      "[1:2:3]:1",
      "unix:",
      "unix:s",
      "a b:1",
      `unix:/${"a".repeat(107)}`,
    ]
  ) assertEquals(parseListenAddress(text), undefined, text);
});

Deno.test("an address that other hosts reach is told from one that only this host does", () => {
  const local = (text: string) => {
    const address = parseListenAddress(text);
    return address && isLocal(address);
  };
  for (
    const text of ["127.0.0.1:1", "127.8.9.1:1", "localhost:1", "[::1]:1", "[0:0:0:0:0:0:0:1]:1", "unix:/s"]
  ) {
    assertEquals(local(text), true, text);
  }
  for (const text of ["0.0.0.0:1", "[::]:1", ":1", "10.0.0.1:1", "127.0.0.1.example.net:1", "[::2]:1"]) {
    assertEquals(local(text), false, text);
  }
});
