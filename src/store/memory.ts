/**
 * A store in the memory of one process, for tests and one-shot use. Given a journal it is the
 * working half of a durable store: a commit is in the journal before anybody can see it.
 */

import { CephgateError, StoreError } from '../errors.ts';
import { History, type Step, type Stored } from './history.ts';
import { Leases } from './leases.ts';
import { PMap } from './pmap.ts';
import {
  type CallOptions,
  type Compare,
  type Entry,
  type HeldLease,
  type Lease,
  type ListOptions,
  type Outcome,
  type Page,
  REQUESTS_KEPT,
  type ReadOptions,
  type ReadResult,
  type Store,
  type Transaction,
  type Watch,
} from './store.ts';
import { keyBytes, keyText } from './text.ts';
import {
  checkCall,
  checkKey,
  checkLease,
  checkList,
  checkNote,
  checkSnapshot,
  checkTransaction,
} from './transaction.ts';

/** Where commits are made durable. */
export interface Journal {
  /**
   * Writes all of it durably, or throws: StoreError `store.full`, `store.readonly` or `store.busy`
   * when certainly nothing was written, anything else when that is not certain.
   */
  write(record: JournalRecord): void;
  close(): void;
}

export interface JournalRecord {
  readonly snapshot: bigint;
  /** Undefined for a record that only moves the snapshot on. */
  readonly transaction: Transaction | undefined;
  /** Request ids of snapshots up to this one are forgotten. */
  readonly forgotten: bigint;
}

/** What a journal held when it was opened. */
export interface JournalState {
  readonly snapshot: bigint;
  readonly map: PMap<Stored>;
  /** Request id as text and the snapshot it was committed at, oldest first. */
  readonly requests: Map<string, bigint>;
}

export class MemoryStore implements Store {
  readonly #journal: Journal;
  readonly #history: History;
  readonly #leases: Leases;
  readonly #requests: Map<string, bigint>;
  #ended: StoreError | undefined;

  /** @param now milliseconds of a clock that never goes back, for leases */
  constructor(
    journal: Journal = NO_JOURNAL,
    state: JournalState = { snapshot: 0n, map: PMap.empty(), requests: new Map() },
    now: () => number = () => performance.now(),
  ) {
    this.#journal = journal;
    this.#history = new History(state.snapshot, state.map);
    this.#requests = state.requests;
    this.#leases = new Leases(now);
  }

  async get(key: Uint8Array, options: ReadOptions): Promise<ReadResult> {
    checkCall(options);
    checkKey(key);
    const { snapshot, map } = this.#step(options);
    const text = keyText(key);
    const stored = map.get(text);
    return { snapshot, entry: stored && entryOf(text, stored) };
  }

  async list(options: ListOptions): Promise<Page> {
    const limit = checkList(options);
    const { snapshot, map } = this.#step(options);
    const prefix = keyText(options.prefix);
    // The first key that is after another one is that key with a zero byte.
    const from = options.after === undefined ? prefix : `${keyText(options.after)}\0`;
    const found: (readonly [string, Stored])[] = [];
    let isMore = false;
    for (const pair of map.entriesFrom(from)) {
      if (!pair[0].startsWith(prefix)) break;
      isMore = found.length === limit;
      if (isMore) break;
      found.push(pair);
    }
    const entries = entriesOf(found);
    return { snapshot, entries, next: isMore ? entries.at(-1)!.key : undefined };
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<Outcome> {
    checkCall(options);
    checkTransaction(transaction);
    this.#checkOpen();
    const request = keyText(transaction.requestId);
    const earlier = this.#requests.get(request);
    if (earlier !== undefined) return { status: 'committed', snapshot: earlier };
    const before = this.#history.latest;
    if (!transaction.compares.every((compare) => this.#holds(compare, before))) {
      return { status: 'failed-compare', snapshot: before.snapshot };
    }
    const step = applied(before, transaction);
    const [forgotten, forgottenAt] = this.#oldestRequest();
    try {
      this.#write({ snapshot: step.snapshot, transaction, forgotten: forgottenAt });
    } catch (error) {
      if (this.#ended === undefined) throw error;
      return { status: 'unknown', message: this.#ended.message };
    }
    this.#requests.delete(forgotten);
    this.#requests.set(request, step.snapshot);
    this.#history.push(step);
    return { status: 'committed', snapshot: step.snapshot };
  }

  watch(fromSnapshot: bigint): Watch {
    checkSnapshot(fromSnapshot);
    this.#checkOpen();
    return this.#history.watch(fromSnapshot);
  }

  async lease(name: string, ttlMs: number, options: CallOptions): Promise<Lease | undefined> {
    checkLease(name, ttlMs, options);
    this.#checkOpen();
    if (!this.#leases.isFree(name)) return undefined;
    const { snapshot, map } = this.#history.latest;
    const fencing = snapshot + 1n;
    this.#write({ snapshot: fencing, transaction: undefined, forgotten: 0n });
    this.#history.push({ snapshot: fencing, map, changes: [] });
    this.#leases.take(name, fencing, ttlMs);
    return {
      name,
      fencing,
      renew: async (call, note) => {
        checkCall(call);
        if (note !== undefined) checkNote(note);
        this.#checkOpen();
        return this.#leases.renew(name, fencing, ttlMs, note);
      },
      release: async (call) => {
        checkCall(call);
        this.#leases.release(name, fencing);
      },
    };
  }

  async leases(prefix: string, options: CallOptions): Promise<readonly HeldLease[]> {
    checkCall(options);
    this.#checkOpen();
    return this.#leases.list(prefix);
  }

  async close(): Promise<void> {
    if (this.#ended?.code === 'store.closed') return;
    this.#ended = new StoreError('store.closed', 'cannot use the store: it was closed');
    this.#history.end('closed');
    this.#journal.close();
  }

  #step(options: ReadOptions): Step {
    this.#checkOpen();
    if (options.at === undefined) return this.#history.latest;
    checkSnapshot(options.at);
    return { ...this.#history.at(options.at), snapshot: options.at };
  }

  #checkOpen(): void {
    if (this.#ended !== undefined) throw this.#ended;
  }

  #holds(compare: Compare, { map }: Step): boolean {
    if ('lease' in compare) return this.#leases.holds(compare.lease, compare.fencing);
    const revision = map.get(keyText(compare.key))?.revision ?? 'absent';
    return revision === compare.revision;
  }

  /** The request to forget for a new one, and its snapshot; nothing (0) while there is room. */
  #oldestRequest(): [string, bigint] {
    if (this.#requests.size < REQUESTS_KEPT) return ['', 0n];
    return this.#requests.entries().next().value!;
  }

  /** Throws; if it is not certain that nothing was written, no call works after it. */
  #write(record: JournalRecord): void {
    try {
      this.#journal.write(record);
    } catch (error) {
      if (error instanceof CephgateError && NOTHING_WRITTEN.has(error.code)) throw error;
      const why = error instanceof Error ? error.message : String(error);
      this.#ended = new StoreError(
        'store.failed',
        `cannot use the store until it is reopened: ${why}`,
      );
      this.#history.end(this.#ended);
      throw this.#ended;
    }
  }
}

/** The state after a transaction whose compares hold. */
function applied(before: Step, transaction: Transaction): Step {
  const snapshot = before.snapshot + 1n;
  const changes: [string, Uint8Array | undefined][] = [];
  let map = before.map;
  for (const put of transaction.puts) {
    const value = new Uint8Array(put.value);
    const key = keyText(put.key);
    map = map.set(key, { value, revision: snapshot });
    changes.push([key, value]);
  }
  for (const key of transaction.deletes.map(keyText)) {
    const without = map.delete(key);
    if (without !== map) changes.push([key, undefined]);
    map = without;
  }
  changes.sort(([a], [b]) => (a < b ? -1 : 1));
  return { snapshot, map, changes };
}

function entryOf(key: string, stored: Stored): Entry {
  return { key: keyBytes(key), value: new Uint8Array(stored.value), revision: stored.revision };
}

/** Copies in one piece of memory: a thousand small ones are what the collector is slow with. */
function entriesOf(found: readonly (readonly [string, Stored])[]): Entry[] {
  const length = found.reduce((sum, [key, { value }]) => sum + key.length + value.length, 0);
  const bytes = new Uint8Array(length);
  let at = 0;
  return found.map(([text, { value, revision }]) => {
    const key = keyBytes(text, bytes.subarray(at, at + text.length));
    at += text.length;
    const copy = bytes.subarray(at, at + value.length);
    copy.set(value);
    at += value.length;
    return { key, value: copy, revision };
  });
}

const NOTHING_WRITTEN: ReadonlySet<string> = new Set([
  'store.full',
  'store.readonly',
  'store.busy',
]);
const NO_JOURNAL: Journal = { write() {}, close() {} };
