/**
 * The id by which Zincati asks a FleetLock server: derived from the machine id, so that the server does not learn that. A
 * host that goes from Zincati to locksmith keeps its slot by it. The way of sd_id128_get_machine_app_specific(3), with
 * Zincati's own application id.
 */

const APPLICATION = "de35106b6ec24688b63afddaa156679b";

/** The id of a machine: 32 hexadecimal digits from 32. */
export async function zincatiId(machineId: string): Promise<string> {
  const key = await crypto.subtle.importKey(
    "raw",
    Uint8Array.fromHex(machineId),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const mac = await crypto.subtle.sign("HMAC", key, Uint8Array.fromHex(APPLICATION));
  const id = new Uint8Array(mac, 0, 16);
  // version 4 of the variant of RFC 4122
  id[6] = (id[6] ?? 0) & 0x0f | 0x40;
  id[8] = (id[8] ?? 0) & 0x3f | 0x80;
  return id.toHex();
}
