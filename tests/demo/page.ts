/** The page of the server over the demo's store, on this host alone: what happens is seen there while it does. */

import { EVERYTHING } from "../../lib/group.ts";
import { StoreMirror } from "../../lib/mirror.ts";
import { CredentialAccess } from "../../lib/serve/access.ts";
import { ApiDoor } from "../../lib/serve/api_door.ts";
import { Fleet } from "../../lib/serve/fleet.ts";
import { formatListenAddress } from "../../lib/serve/listen_address.ts";
import { Operations } from "../../lib/serve/operations.ts";
import { PageDoor } from "../../lib/serve/page_door.ts";
import { serveDoors } from "../../lib/serve/server.ts";
import type { Store } from "../../lib/store.ts";
import { REAL } from "../../lib/surroundings.ts";

/** A machine of the demo is down for seconds. */
const OVERDUE_MS = 60_000;

export interface DemoPage {
  /** Of the group that the demo has. */
  readonly url: string;
  close(): Promise<void>;
}

export async function openPage(store: Store, group: string): Promise<DemoPage> {
  const mirror = new StoreMirror(store, EVERYTHING, REAL);
  const fleet = new Fleet({ mirror, store, surroundings: REAL, overdueMs: OVERDUE_MS });
  const operations = new Operations(store, REAL, undefined, mirror);
  const page = new PageDoor({
    fleet,
    operations,
    surroundings: REAL,
    secure: false,
    // there are no tokens: whoever is here is an operator
    judge: () => undefined,
  });
  const server = serveDoors([page, new ApiDoor(fleet, operations)], {
    access: new CredentialAccess({ kind: "none" }, { certificates: false }),
    surroundings: REAL,
    log: () => {},
    limits: { stopMs: 1_000 },
  });
  const address = await server.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  return {
    url: `http://${formatListenAddress(address)}/${group === "" ? "" : `?${new URLSearchParams({ group })}`}`,
    async close() {
      await server.stop();
      mirror.close();
    },
  };
}
