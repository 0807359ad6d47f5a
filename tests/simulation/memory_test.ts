import { Memory, openMemory } from "../../lib/simulation/memory.ts";
import { storeContract } from "../contract/contract.ts";

storeContract("openMemory()", () => {
  const memory = new Memory();
  return Promise.resolve({
    open: () => Promise.resolve(openMemory(memory)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
