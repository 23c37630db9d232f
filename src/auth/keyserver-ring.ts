/**
 * The key server as the ring of secrets that the sidecar's routes ask for, and the watch that takes
 * over what other processes change.
 */

import { ROTATING } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { followRecords } from './follow.ts';
import type { KeyServer } from './keyserver.ts';
import { STORE_TIMEOUT_MS } from './storecalls.ts';

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

/** Keeps a key server up with the store until `signal` aborts. Throws StoreError. */
export function followRotation(
  store: Store,
  keyServer: KeyServer,
  clock: () => bigint,
  signal: AbortSignal,
): Promise<void> {
  const load = async (): Promise<bigint> => {
    // The snapshot first: what changes while the rings are read is then seen once more.
    const { snapshot } = await store.get(ROTATING.key('auth'), { timeoutMs: STORE_TIMEOUT_MS });
    await keyServer.reload(clock());
    return snapshot;
  };
  return followRecords(store, ROTATING.prefix, load, signal);
}
