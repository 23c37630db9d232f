/**
 * The key server as the ring of secrets that the sidecar's routes ask for, and the watch that takes
 * over what other processes change.
 */

import { ROTATING } from '../store/records.ts';
import type { Change, Store, Watch } from '../store/store.ts';
import type { KeyServer } from './keyserver.ts';

export class KeyServerRing {
  readonly #keyServer: KeyServer;

  constructor(keyServer: KeyServer) {
    this.#keyServer = keyServer;
  }

  get snapshot(): bigint {
    return this.#keyServer.snapshot;
  }

  /** Secrets whose authorizers are verified here. */
  get size(): number {
    const services = ['osd', 'mds', 'mgr'] as const;
    return services.reduce((sum, service) => sum + this.#keyServer.held(service).length, 0);
  }

  /**
   * Starts a rotation that is due and does not wait for it: tickets that are good now were sealed
   * with secrets that are already here.
   */
  advance(nowNs: bigint): void {
    void this.#keyServer.ready(nowNs);
  }
}

/**
 * Reports every change of records whose key begins with `prefix`, until the watch is closed. After
 * a gap `changed` is called without changes: everything may have changed. Throws StoreError.
 */
export async function followRecords(
  watch: Watch,
  prefix: Uint8Array,
  changed: (changes: readonly Change[] | undefined) => Promise<void>,
): Promise<'closed' | 'compacted'> {
  for await (const event of watch) {
    if (event.type === 'compacted') {
      await changed(undefined);
      return 'compacted';
    }
    const mine = event.changes.filter(({ key }) => prefix.every((byte, i) => key[i] === byte));
    if (mine.length > 0) await changed(mine);
  }
  return 'closed';
}

/** Keeps a key server up with the store until `signal` aborts. Throws StoreError. */
export async function followRotation(
  store: Store,
  keyServer: KeyServer,
  clock: () => bigint,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const key = ROTATING.key('auth');
    const { snapshot } = await store.get(key, { timeoutMs: FOLLOW_TIMEOUT_MS });
    await keyServer.reload(clock());
    const watch = store.watch(snapshot);
    const close = (): void => watch.close();
    signal.addEventListener('abort', close);
    const end = await followRecords(watch, ROTATING.prefix, () => keyServer.reload(clock()));
    signal.removeEventListener('abort', close);
    if (end === 'closed') return;
  }
}

const FOLLOW_TIMEOUT_MS = 5_000;
