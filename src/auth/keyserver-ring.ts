/**
 * The key server as the ring of secrets that the sidecar's routes ask for, and the watch that takes
 * over what other processes change.
 */

import { utimeNs } from '../cephx/denc.ts';
import { ENTITY_TYPES } from '../cephx/protocol.ts';
import { ROTATING } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { followRecords } from './follow.ts';
import { type KeyServer, ROTATING_SERVICES } from './keyserver.ts';
import { STORE_TIMEOUT_MS } from './storecalls.ts';

/** A rotating secret without its key. */
export interface RingFact {
  readonly service: string;
  /** Entity type of the service. */
  readonly serviceId: number;
  readonly secretId: bigint;
  readonly keyType: string;
  readonly createdNs: bigint;
  readonly expiresNs: bigint;
}

export class KeyServerRing {
  readonly #keyServer: KeyServer;

  constructor(keyServer: KeyServer) {
    this.#keyServer = keyServer;
  }

  get snapshot(): bigint {
    return this.#keyServer.snapshot;
  }

  get size(): number {
    return this.facts.length;
  }

  /** What may be told of the secrets that are held. */
  get facts(): RingFact[] {
    return ROTATING_SERVICES.flatMap((service) =>
      this.#keyServer.held(service).map(({ secretId, key, expiresNs }) => ({
        service,
        serviceId: ENTITY_TYPES[service]!,
        secretId,
        keyType: key.typeName ?? 'none',
        createdNs: utimeNs(key.created),
        expiresNs,
      })),
    );
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
