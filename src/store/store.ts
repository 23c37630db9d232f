/**
 * The store contract: what the embedded stores and a shared one (etcd) promise alike.
 *
 * - The database is an ordered map of keys to values, both byte strings. Keys are relative to the
 *   one prefix that is ours; a shared store adds and strips it.
 * - It has one order of states. A **snapshot** is the number of one state: it only grows, it may
 *   skip numbers, and 0 is the empty database.
 * - A transaction is applied as a whole or not at all, and is durable when it is answered
 *   `committed`.
 * - Every call has a deadline. Misuse throws TypeError or RangeError; outside trouble is a
 *   StoreError with a `code`.
 */

/** Every call says how long it may take. */
export interface CallOptions {
  /** Milliseconds, more than 0. */
  readonly timeoutMs: number;
}

export interface ReadOptions extends CallOptions {
  /** The snapshot to read; the latest one if left out. */
  readonly at?: bigint | undefined;
}

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The snapshot whose transaction wrote this value. */
  readonly revision: bigint;
}

export interface ReadResult {
  readonly snapshot: bigint;
  readonly entry: Entry | undefined;
}

export interface ListOptions extends ReadOptions {
  /** Only keys that begin with it; empty for all. */
  readonly prefix: Uint8Array;
  /** Only keys after this one: the `next` of the page before. */
  readonly after?: Uint8Array | undefined;
  /** Entries on the page, 1 to PAGE_ENTRIES_MAX. */
  readonly limit?: number | undefined;
}

/** One page, in key order. The following one is read with `at: snapshot, after: next`. */
export interface Page {
  readonly snapshot: bigint;
  readonly entries: readonly Entry[];
  /** Undefined on the last page. */
  readonly next: Uint8Array | undefined;
}

/** What must hold at the moment of the commit. */
export type Compare =
  /** The key was last written by that snapshot, or is absent. */
  | { readonly key: Uint8Array; readonly revision: bigint | 'absent' }
  /** The lease of that name is held now, under that fencing number. */
  | { readonly lease: string; readonly fencing: bigint };

export interface Put {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * A transaction is data. At most TRANSACTION_OPERATIONS_MAX compares, puts and deletes together and
 * TRANSACTION_BYTES_MAX bytes of keys and values; a key is put or deleted once; at least one put or
 * delete. Deleting an absent key is allowed and changes nothing.
 */
export interface Transaction {
  /**
   * 16 random bytes, the same when a transaction is tried again. The store keeps the ids of at
   * least the last REQUESTS_KEPT transactions: one that was applied is not applied twice.
   */
  readonly requestId: Uint8Array;
  readonly compares: readonly Compare[];
  readonly puts: readonly Put[];
  readonly deletes: readonly Uint8Array[];
}

/**
 * - `committed`: applied at `snapshot` and durable (by an earlier try, if there was one).
 * - `failed-compare`: not applied; a compare did not hold at `snapshot`.
 * - `unknown`: applied or not. The caller tries again with the same request id.
 *
 * A commit that throws has applied nothing; an earlier try that was `unknown` may have.
 */
export type Outcome =
  | { readonly status: 'committed'; readonly snapshot: bigint }
  | { readonly status: 'failed-compare'; readonly snapshot: bigint }
  | { readonly status: 'unknown'; readonly message: string };

/** A key and its new value, or undefined when it was deleted. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** A whole transaction (changes in key order), or the end: list again, then watch from there. */
export type WatchEvent =
  | {
      readonly type: 'transaction';
      readonly snapshot: bigint;
      readonly changes: readonly Change[];
    }
  | { readonly type: 'compacted'; readonly snapshot: bigint };

/**
 * Transactions after a snapshot, in order, each once, none left out. Iterate once. It ends after
 * `compacted`, after `close`, and when the store is closed; it throws when the store has failed.
 */
export interface Watch extends AsyncIterable<WatchEvent> {
  /** Milliseconds since the store last proved that nothing newer was missed. */
  proofAgeMs(): number;
  close(): void;
}

/** The right to be the only one who does something, until `ttlMs` after the last renewal. */
export interface Lease {
  readonly name: string;
  /** Greater than the number of every lease before it, of any name. */
  readonly fencing: bigint;
  /**
   * False when the lease was lost: it does not come back. A note of at most LEASE_NOTE_LEN_MAX
   * bytes replaces the one before, for all who ask for `leases`.
   */
  renew(options: CallOptions, note?: Uint8Array): Promise<boolean>;
  release(options: CallOptions): Promise<void>;
}

/** A lease as others see it. */
export interface HeldLease {
  readonly name: string;
  readonly fencing: bigint;
  /** What its holder noted last; empty if nothing was. */
  readonly note: Uint8Array;
}

export interface Store {
  /** Throws StoreError `store.compacted` if `at` is not kept now, `store.future` if not reached. */
  get(key: Uint8Array, options: ReadOptions): Promise<ReadResult>;
  /** As `get`. */
  list(options: ListOptions): Promise<Page>;
  commit(transaction: Transaction, options: CallOptions): Promise<Outcome>;
  /** Everything after `fromSnapshot`; the first event is `compacted` if that is no longer kept. */
  watch(fromSnapshot: bigint): Watch;
  /** Undefined while another lease of that name runs. */
  lease(name: string, ttlMs: number, options: CallOptions): Promise<Lease | undefined>;
  /**
   * The leases that are held now and whose names begin so, in the order of their names. They and
   * their notes are in no snapshot, and no watch tells of them: what many say often is said here.
   */
  leases(prefix: string, options: CallOptions): Promise<readonly HeldLease[]>;
  close(): Promise<void>;
}

export const KEY_LEN_MAX = 1024;
export const PAGE_ENTRIES_MAX = 1000;
export const TRANSACTION_OPERATIONS_MAX = 100;
export const TRANSACTION_BYTES_MAX = 1_048_576;
export const REQUEST_ID_LEN = 16;
export const REQUESTS_KEPT = 4096;
export const LEASE_NAME_LEN_MAX = 128;
export const LEASE_NOTE_LEN_MAX = 1024;
export const LEASE_TTL_MAX_MS = 86_400_000;
