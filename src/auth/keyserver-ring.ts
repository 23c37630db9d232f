/**
 * The key server as the ring of secrets that the sidecar's routes ask for, and the watch that takes
 * over what other processes change.
 */

import { DecodeError, Reader, utimeNs } from '../cephx/denc.ts';
import { decodeTicketBlob, ENTITY_TYPES } from '../cephx/protocol.ts';
import { ROTATING } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { followRecords } from './follow.ts';
import { type KeyServer, ROTATING_SERVICES } from './keyserver.ts';
import type { JoinedRotation } from './leader-follow.ts';
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
  readonly #shared: Pick<JoinedRotation, 'refresh' | 'isStale'> | undefined;

  /** @param shared where others turn the rings too */
  constructor(keyServer: KeyServer, shared?: Pick<JoinedRotation, 'refresh' | 'isStale'>) {
    this.#keyServer = keyServer;
    this.#shared = shared;
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
   * Where an authorizer's secret is newer than all that are held, looks for it, once for all who
   * ask and at most once a second; true if it may be here now.
   */
  async catchUp(authorizer: Uint8Array): Promise<boolean> {
    const shared = this.#shared;
    const sealed = shared && secretOf(authorizer);
    if (sealed === undefined) return false;
    const service = ROTATING_SERVICES.find((each) => ENTITY_TYPES[each] === sealed.serviceId);
    const newest = service && this.#keyServer.held(service).at(-1)?.secretId;
    if (newest === undefined || sealed.secretId <= newest) return false;
    return await shared!.refresh.once();
  }

  /** All services, while others may have revoked or rotated something that is not known here. */
  stale(): readonly string[] {
    return this.#shared?.isStale() ? ROTATING_SERVICES : [];
  }

  /**
   * Starts a rotation that is due and does not wait for it: tickets that are good now were sealed
   * with secrets that are already here.
   */
  advance(nowNs: bigint): void {
    void this.#keyServer.ready(nowNs);
  }
}

/** Service and secret id in the clear part of an authorizer; undefined if it is cut. */
function secretOf(authorizer: Uint8Array): { serviceId: number; secretId: bigint } | undefined {
  const reader = new Reader(authorizer);
  try {
    reader.bytes(SERVICE_ID_AT);
    const serviceId = reader.u32('CephXAuthorizer');
    return { serviceId, secretId: decodeTicketBlob(reader).secretId };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
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

/** authorizer_v, global_id. */
const SERVICE_ID_AT = 9;
