/**
 * global_ids: numbers of client instances, never given out twice. They are taken from the store in
 * blocks, so that a login costs no commit and two processes never give out the same one (Ceph:
 * AuthMonitor::assign_global_id, mon_globalid_prealloc).
 */

import { GLOBAL_ID } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { changeRecord } from './storecalls.ts';

export class GlobalIds {
  readonly #store: Store;
  readonly #block: bigint;
  #next = 1n;
  #last = 0n;
  #filling: Promise<void> | undefined;

  /** @param block ids taken at once; what is left of a block when the process ends is not used */
  constructor(store: Store, block: bigint = GLOBAL_ID_PREALLOC) {
    this.#store = store;
    this.#block = block;
  }

  /** An id that nobody had before. Throws StoreError. */
  async next(): Promise<bigint> {
    while (this.#next > this.#last) {
      this.#filling ??= this.#fill().finally(() => {
        this.#filling = undefined;
      });
      await this.#filling;
    }
    const id = this.#next;
    this.#next += 1n;
    return id;
  }

  async #fill(): Promise<void> {
    const record = await changeRecord(this.#store, GLOBAL_ID, undefined, (present) => ({
      record: { globalIdMax: (present?.globalIdMax ?? GLOBAL_ID_MIN) + this.#block },
    }));
    this.#last = record!.globalIdMax;
    this.#next = this.#last - this.#block + 1n;
  }
}

/** Ids up to this one are for the monitors themselves (Ceph: MIN_GLOBAL_ID). */
export const GLOBAL_ID_MIN = 4096n;
/** Ceph: the default of mon_globalid_prealloc. */
export const GLOBAL_ID_PREALLOC = 10_000n;
