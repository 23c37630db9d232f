/** A store that knows the newest snapshots that went through it. */

import type {
  CallOptions,
  HeldLease,
  Lease,
  ListOptions,
  Outcome,
  Page,
  ReadOptions,
  ReadResult,
  Store,
  Transaction,
  Watch,
} from './store.ts';

export class NotedStore implements Store {
  /** Has all that was committed here. */
  committed = 0n;
  /** Has all that was read or committed here. */
  seen = 0n;
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async get(key: Uint8Array, options: ReadOptions): Promise<ReadResult> {
    return this.#note(await this.#store.get(key, options));
  }

  async list(options: ListOptions): Promise<Page> {
    return this.#note(await this.#store.list(options));
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<Outcome> {
    const outcome = await this.#store.commit(transaction, options);
    if (outcome.status !== 'committed') return outcome;
    if (outcome.snapshot > this.committed) this.committed = outcome.snapshot;
    return this.#note(outcome);
  }

  watch(fromSnapshot: bigint): Watch {
    return this.#store.watch(fromSnapshot);
  }

  lease(name: string, ttlMs: number, options: CallOptions): Promise<Lease | undefined> {
    return this.#store.lease(name, ttlMs, options);
  }

  leases(prefix: string, options: CallOptions): Promise<readonly HeldLease[]> {
    return this.#store.leases(prefix, options);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #note<T extends { readonly snapshot: bigint }>(result: T): T {
    if (result.snapshot > this.seen) this.seen = result.snapshot;
    return result;
  }
}
