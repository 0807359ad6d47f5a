import { Memory, openMemory } from "../lib/store_memory.ts";
import { storeContract } from "./store_contract.ts";

storeContract("openMemory()", () => {
  const memory = new Memory();
  return Promise.resolve({
    open: () => Promise.resolve(openMemory(memory)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
