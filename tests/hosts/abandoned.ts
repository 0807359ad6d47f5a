/**
 * A run of tests that is about to be killed: it has a site with a host that is on, says so with the first process of its
 * laboratory, and goes on for ever. See clean_up_test.ts.
 */

import { Site } from "./site.ts";

const site = await Site.open("abandoned");
const host = await site.host("web1", "abandoned");
await host.powerOn();
await host.journal.line(/^no reboot window/);
console.log(`${site.lab.pid} ${site.lab.name}`);
await new Promise<never>(() => {});
