/**
 * A store that many instances share: etcd, through its JSON gateway. A snapshot is an etcd
 * revision.
 */

import { randomBytes } from 'node:crypto';
import { StoreError } from '../../errors.ts';
import type {
  CallOptions,
  Entry,
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
} from '../store.ts';
import {
  checkCall,
  checkKey,
  checkLease,
  checkList,
  checkSnapshot,
  checkTransaction,
} from '../transaction.ts';
import { type ClientOptions, Deadline, EtcdClient } from './client.ts';
import {
  endOf,
  type Json,
  type KeyValue,
  modIs,
  putOp,
  type RangeAnswer,
  rangeOp,
  rangesOf,
  revisionOf,
} from './codec.ts';
import { Committer } from './commit.ts';
import {
  decodeGeneration,
  encodeGeneration,
  type GenerationRecord,
  joined,
  LAST_COMMIT,
  Layout,
} from './layout.ts';
import { listLeases, takeLease } from './lease.ts';
import { Pager } from './paging.ts';
import type { Envelope } from './seal.ts';
import { type Load, loadAll } from './stage.ts';
import { EtcdWatch } from './watch.ts';

export interface EtcdOptions extends ClientOptions {
  /** Before all our keys; ends with `/`. */
  readonly prefix: string;
  readonly envelope: Envelope;
  readonly timeoutMs?: number | undefined;
}

/** What the parts of the store share. */
export interface EtcdContext {
  readonly client: EtcdClient;
  readonly layout: Layout;
  readonly envelope: Envelope;
  /** The id of the generation that counts, as far as we know. */
  generation: string;
  /** Ends when the store is closed. */
  readonly watches: Set<EtcdWatch>;
}

/**
 * Opens the database under the prefix, or makes an empty one. Throws StoreError
 * `store.unreachable`, `store.refused`, `store.content`, `store.version`.
 */
export async function openEtcdStore(options: EtcdOptions): Promise<EtcdStore> {
  const client = new EtcdClient(options);
  const layout = new Layout(options.prefix);
  const { envelope } = options;
  const deadline = new Deadline(options.timeoutMs ?? OPEN_TIMEOUT_MS);
  try {
    const found = await openGeneration(client, layout, envelope.kind, deadline);
    if (found.kind !== envelope.kind) {
      const present = `its values are ${found.kind}, ours ${envelope.kind}`;
      throw new StoreError('store.content', `cannot open store "${options.prefix}": ${present}`);
    }
    const watches = new Set<EtcdWatch>();
    return new EtcdStore({ client, layout, envelope, generation: found.id, watches });
  } catch (error) {
    client.close();
    throw error;
  }
}

export class EtcdStore implements Store {
  readonly #context: EtcdContext;
  readonly #committer: Committer;
  readonly #pager = new Pager();

  constructor(context: EtcdContext) {
    this.#context = context;
    this.#committer = new Committer(context);
  }

  async get(key: Uint8Array, options: ReadOptions): Promise<ReadResult> {
    checkCall(options);
    checkKey(key);
    const { layout } = this.#context;
    const read = await this.#read(options.at, new Deadline(options.timeoutMs), (generation) => ({
      key: joined(layout.data(generation), key),
    }));
    const [found] = read.range.kvs;
    return { snapshot: read.snapshot, entry: found && this.#entry(found, read.generation) };
  }

  async list(options: ListOptions): Promise<Page> {
    let limit = checkList(options);
    for (;;) {
      try {
        return await this.#page(options, limit);
      } catch (error) {
        // A page of very large values may be too slow or too long; a shorter one is not.
        const isLong = error instanceof StoreError && error.code === 'store.limit';
        if (!isLong || limit === 1) throw error;
        limit = Math.ceil(limit / 4);
      }
    }
  }

  async commit(transaction: Transaction, options: CallOptions): Promise<Outcome> {
    checkCall(options);
    checkTransaction(transaction);
    this.#context.client.checkOpen();
    return await this.#committer.commit(transaction, new Deadline(options.timeoutMs));
  }

  watch(fromSnapshot: bigint): Watch {
    checkSnapshot(fromSnapshot);
    this.#context.client.checkOpen();
    return new EtcdWatch(this.#context, fromSnapshot);
  }

  async lease(name: string, ttlMs: number, options: CallOptions): Promise<Lease | undefined> {
    checkLease(name, ttlMs, options);
    return await takeLease(this.#context, name, ttlMs, new Deadline(options.timeoutMs));
  }

  async leases(prefix: string, options: CallOptions): Promise<readonly HeldLease[]> {
    checkCall(options);
    return await listLeases(this.#context, prefix, new Deadline(options.timeoutMs));
  }

  /**
   * Fills an empty store with any number of entries that become visible all at once. Throws
   * StoreError `store.content` if it is not empty, `store.busy` while somebody else does this.
   */
  async load(entries: Load['entries'], options: Load['options']): Promise<bigint> {
    checkCall(options);
    return await loadAll(this, this.#context, { entries, options });
  }

  async close(): Promise<void> {
    this.#context.client.close();
    for (const watch of [...this.#context.watches]) watch.close();
  }

  async #page(options: ListOptions, limit: number): Promise<Page> {
    const { layout } = this.#context;
    const { prefix, after } = options;
    const deadline = new Deadline(options.timeoutMs);
    let { at } = options;
    const entries: Entry[] = [];
    for (const { from, end } of this.#pager.parts(prefix, after)) {
      const read = await this.#read(at, deadline, (generation) => {
        const data = layout.data(generation);
        const until = end ? joined(data, end) : endOf(joined(data, prefix));
        // One more than fits tells whether there is another page.
        return { key: joined(data, from), end: until, limit: limit - entries.length + 1 };
      });
      at = read.snapshot;
      if (after === undefined && end === undefined) this.#pager.note(prefix, read.range.count);
      for (const found of read.range.kvs) {
        const next = entries.at(-1)?.key;
        if (entries.length === limit) return { snapshot: at, entries, next };
        entries.push(this.#entry(found, read.generation));
      }
    }
    return { snapshot: at!, entries, next: undefined };
  }

  /** A range of the generation that counted at the snapshot that is read. */
  async #read(
    at: bigint | undefined,
    deadline: Deadline,
    rangeIn: (generation: string) => Range,
  ): Promise<Read> {
    const { client, layout } = this.#context;
    if (at !== undefined) checkSnapshot(at);
    // etcd's revision 1 is empty, and 0 would be the latest.
    const revision = at === 0n ? 1n : (at ?? 0n);
    let { generation } = this.#context;
    for (;;) {
      const { key, ...range } = rangeIn(generation);
      const success = [
        rangeOp(layout.generation, { revision }),
        rangeOp(key, { ...range, revision }),
      ];
      const answer = await client.call(TXN, { success }, deadline);
      const snapshot = at ?? revisionOf(answer);
      const [pointer, found] = rangesOf(answer);
      const pointed = pointer?.kvs[0];
      if (pointed === undefined) return { snapshot, generation, range: EMPTY };
      const { id } = decodeGeneration(pointed.value);
      if (id === generation) return { snapshot, generation, range: found ?? EMPTY };
      generation = id;
      if (at === undefined) this.#context.generation = id;
    }
  }

  #entry(found: KeyValue, generation: string): Entry {
    const { layout, envelope } = this.#context;
    return {
      key: found.key.slice(layout.data(generation).length),
      value: envelope.open(found.key, found.value),
      revision: found.modRevision,
    };
  }
}

/** Reads the generation, or makes the first one. */
async function openGeneration(
  client: EtcdClient,
  layout: Layout,
  kind: GenerationRecord['kind'],
  deadline: Deadline,
): Promise<GenerationRecord> {
  const read = rangeOp(layout.generation);
  const before = rangesOf(await client.call(TXN, { success: [read] }, deadline))[0]?.kvs[0];
  if (before !== undefined) return decodeGeneration(before.value);
  const made: GenerationRecord = { id: randomBytes(16).toString('hex'), kind };
  // Many instances may start at once, and an answer may get lost: the first one counts.
  const make: Json = {
    compare: [modIs(layout.generation, 0n)],
    success: [
      putOp(layout.generation, encodeGeneration(made)),
      putOp(layout.last(made.id), LAST_COMMIT),
    ],
  };
  await client.call(TXN, make, deadline);
  const after = rangesOf(await client.call(TXN, { success: [read] }, deadline))[0]?.kvs[0];
  if (after === undefined) {
    throw new StoreError('store.failed', 'cannot make the database: it was deleted at once');
  }
  return decodeGeneration(after.value);
}

interface Range {
  readonly key: Uint8Array;
  readonly end?: Uint8Array;
  readonly limit?: number;
}

interface Read {
  readonly snapshot: bigint;
  readonly generation: string;
  readonly range: RangeAnswer;
}

const TXN = '/v3/kv/txn';
const EMPTY: RangeAnswer = { kvs: [], more: false, count: 0 };
const OPEN_TIMEOUT_MS = 10_000;
