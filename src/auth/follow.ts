/** Keeping a copy of some records up with the store. */

import type { Store } from '../store/store.ts';

/**
 * Reads with `load`, which returns the snapshot it has read, then again after every change of a key
 * that begins with `prefix`, until `signal` aborts. Throws StoreError.
 */
export async function followRecords(
  store: Store,
  prefix: Uint8Array,
  load: () => Promise<bigint>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const watch = store.watch(await load());
    const close = (): void => watch.close();
    signal.addEventListener('abort', close);
    // The signal may have come while it was not listened to.
    if (signal.aborted) close();
    try {
      for await (const event of watch) {
        // After a gap anything may have changed: read all again, and watch from there.
        if (event.type === 'compacted') break;
        const isMine = event.changes.some(({ key }) => prefix.every((byte, i) => key[i] === byte));
        if (isMine) await load();
      }
    } finally {
      signal.removeEventListener('abort', close);
      close();
    }
  }
}
