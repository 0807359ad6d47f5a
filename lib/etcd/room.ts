/**
 * How much of etcd a group needs: each change writes the whole document, and etcd keeps what was there before until it is
 * compacted. Measured on etcd 3.4 with machine ids, host names and a reason in each hold. Pure.
 */

/** From this max on it is worth a word. */
const LARGE_MAX = 200;
/** What a holder takes in the document, in bytes. */
const HOLDER_BYTES = 340;
/** What a reboot takes in the database, for each slot that is held meanwhile: a grant, a confirm, a release. */
const REBOOT_BYTES = 1_080;
/** etcd's default for the size of its database. */
const QUOTA_BYTES = 2 * 1024 ** 3;
/** etcd's default for the size of a request. */
const REQUEST_BYTES = 1.5 * 1024 ** 2;

/** What an administrator who sets such a max has to know; `undefined` where there is nothing to say. */
export function roomHint(max: number): string | undefined {
  if (max <= LARGE_MAX) return undefined;
  const most = Math.floor(REQUEST_BYTES / HOLDER_BYTES);
  if (max > most) {
    return `etcd accepts no document larger than 1.5 MiB, about ${
      count(most)
    } holders; beyond that no more slots are granted`;
  }
  const kilobytes = Math.round(max * HOLDER_BYTES / 1000);
  const reboots = QUOTA_BYTES / (max * REBOOT_BYTES);
  return `with ${count(max)} holders each change writes ${
    count(kilobytes)
  } kB: without compaction etcd's 2 GiB fill up after ` +
    `about ${count(Number(reboots.toPrecision(2)))} reboots, and then not even unlock works; ` +
    "start etcd with --auto-compaction-retention=1h";
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
