import { assertEquals } from "@std/assert";
import { zincatiId } from "../../lib/fleetlock/zincati_id.ts";

Deno.test("zincatiId() gives the id by which Zincati asks on the same machine", async () => {
  assertEquals(await zincatiId("1c09ca98649c4c7abc779cd04c96812e"), "978a225b3d7b40e9acd7ce9b62f68444");
});
