/** The key server as the ring of secrets that the sidecar's routes ask for. */

import { DecodeError, Reader, utimeNs } from '../cephx/denc.ts';
import { decodeTicketBlob, ENTITY_TYPES } from '../cephx/protocol.ts';
import { type KeyServer, ROTATING_SERVICES } from './keyserver.ts';
import type { StoreView } from './storeview.ts';

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
  readonly #view: StoreView | undefined;

  /** @param view where others change the store too */
  constructor(keyServer: KeyServer, view?: StoreView) {
    this.#keyServer = keyServer;
    this.#view = view;
  }

  /** That of the store up to which all is here; without a view, the number of the set. */
  get snapshot(): bigint {
    return this.#view?.snapshot ?? this.#keyServer.snapshot;
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
    const sealed = this.#view && secretOf(authorizer);
    if (sealed === undefined) return false;
    const service = ROTATING_SERVICES.find((each) => ENTITY_TYPES[each] === sealed.serviceId);
    const newest = service && this.#keyServer.held(service).at(-1)?.secretId;
    if (newest === undefined || sealed.secretId <= newest) return false;
    return await this.#view!.refresh.once();
  }

  /** All services, while others may have revoked or rotated something that is not known here. */
  stale(): readonly string[] {
    return this.#view?.isStale() ? ROTATING_SERVICES : [];
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
export function secretOf(
  authorizer: Uint8Array,
): { readonly serviceId: number; readonly secretId: bigint } | undefined {
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

/** authorizer_v, global_id. */
const SERVICE_ID_AT = 9;
