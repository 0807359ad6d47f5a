import manifest from "../../deno.json" with { type: "json" };

/** The version of this locksmith, from `deno.json`: the only place where it is written. */
export const VERSION: string = manifest.version;
