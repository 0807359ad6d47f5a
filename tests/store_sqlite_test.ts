import { openSqlite } from "../lib/store_sqlite.ts";
import { storeContract } from "./store_contract.ts";

storeContract("openSqlite()", async () => {
  const dir = await Deno.makeTempDir({ prefix: "locksmith-sqlite-" });
  return {
    open: () => Promise.resolve(openSqlite(`${dir}/store.db`)),
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
});
