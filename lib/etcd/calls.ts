/**
 * The calls of etcd that are made here: where each goes, and its messages as bytes. What goes in and out is typed by the
 * service clients of etcd3; the bytes are made by what ts-proto generated from the .proto files of etcd3.
 *
 * etcd3 types bytes as the Buffer of node, and a member of a oneof that is not set as one that is: a Uint8Array does, and
 * what is not set is `undefined`.
 */

import type { AuthClient, IDuplexStream, KVClient, LeaseClient, WatchClient } from "etcd3/lib/rpc.js";
import { AuthDefinition, KVDefinition, LeaseDefinition, WatchDefinition } from "./messages/rpc.ts";

/** One call. `decode` throws for bytes that are no such message. */
export interface Call<Request, Response> {
  /** Of its URL. */
  readonly path: string;
  encode(request: Request): Uint8Array;
  decode(response: Uint8Array): Response;
}

/** The call that a method of a service client makes. */
type CallOf<Method> = Method extends
  (options?: never) => Promise<IDuplexStream<infer Request, infer Response>> ? Call<Request, Response>
  : Method extends (request: infer Request, options?: never) => Promise<infer Response>
    ? Call<Request, Response>
  : never;

export const RANGE: CallOf<KVClient["range"]> = call(KVDefinition, KVDefinition.methods.range);
export const TXN: CallOf<KVClient["txn"]> = call(KVDefinition, KVDefinition.methods.txn);
export const WATCH: CallOf<WatchClient["watch"]> = call(WatchDefinition, WatchDefinition.methods.watch);
const { leaseGrant, leaseRevoke, leaseKeepAlive } = LeaseDefinition.methods;
export const LEASE_GRANT: CallOf<LeaseClient["leaseGrant"]> = call(LeaseDefinition, leaseGrant);
export const LEASE_REVOKE: CallOf<LeaseClient["leaseRevoke"]> = call(LeaseDefinition, leaseRevoke);
/** A stream in etcd; one request and its answer are a call like any other. */
export const LEASE_KEEP_ALIVE: CallOf<LeaseClient["leaseKeepAlive"]> = call(LeaseDefinition, leaseKeepAlive);
export const AUTHENTICATE: CallOf<AuthClient["authenticate"]> = call(
  AuthDefinition,
  AuthDefinition.methods.authenticate,
);

/** What ts-proto generates of a method. */
interface Definition {
  readonly name: string;
  readonly requestType: { encode(message: object): { finish(): Uint8Array } };
  readonly responseType: { decode(bytes: Uint8Array): object };
}

function call<Request extends object, Response>(
  service: { readonly fullName: string },
  { name, requestType, responseType }: Definition,
): Call<Request, Response> {
  return {
    path: `/${service.fullName}/${name}`,
    encode: (request) => requestType.encode(request).finish(),
    decode: (bytes) => responseType.decode(bytes) as Response,
  };
}
