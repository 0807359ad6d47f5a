import type { EtcdEndpoints } from "./etcd_endpoints.ts";
import { type CallOptions, type History, StoreError } from "./store.ts";

export function etcdHistory(_endpoints: EtcdEndpoints, key: string, _options: CallOptions): Promise<History> {
  return Promise.reject(new StoreError("failed", `cannot read the history of ${JSON.stringify(key)}`));
}
