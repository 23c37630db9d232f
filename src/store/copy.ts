/** Moving a whole database from one store to another, and telling that two hold the same. */

import { createHash } from 'node:crypto';
import { StoreError } from '../errors.ts';
import { EtcdStore } from './etcd/etcd.ts';
import {
  type CallOptions,
  type Entry,
  type Put,
  type Store,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_OPERATIONS_MAX,
} from './store.ts';
import { transaction } from './transaction.ts';

/** What a database holds at one snapshot. */
export interface Digest {
  readonly snapshot: bigint;
  readonly entries: number;
  /** SHA-256 in hex over all keys and values in key order, each after its u32 length. */
  readonly digest: string;
}

export interface CopyOptions extends CallOptions {
  /** Keys that mean nothing elsewhere, and do not count. */
  readonly skip: (key: Uint8Array) => boolean;
  /** Told now and then how many entries are done. */
  readonly progress?: (entries: number) => void;
}

/**
 * Copies one snapshot of a store into an empty one, reads it back and compares. Returns what the
 * source held. On etcd the copy becomes visible as a whole; elsewhere a failure leaves a part of
 * it. Throws StoreError `store.content` if the target is not empty or is not the same afterwards.
 */
export async function copyStore(from: Store, to: Store, options: CopyOptions): Promise<Digest> {
  const source = new Digester();
  const start = await from.list({ ...options, prefix: NOTHING, limit: 1 });
  async function* entries(): AsyncGenerator<Put, void> {
    for await (const entry of entriesOf(from, start.snapshot, options)) {
      source.add(entry);
      if (source.entries % PROGRESS_EVERY === 0) options.progress?.(source.entries);
      yield entry;
    }
  }
  if (to instanceof EtcdStore) await to.load(entries(), options);
  else await fill(to, entries(), options);
  const digest = source.finish(start.snapshot);
  const copied = await digestStore(to, options);
  if (copied.digest !== digest.digest) {
    const present = `it has ${copied.entries} entries, the source ${digest.entries}`;
    throw new StoreError('store.content', `the copy is not the same: ${present}`);
  }
  return digest;
}

/** Throws StoreError. */
export async function digestStore(store: Store, options: CopyOptions): Promise<Digest> {
  const { snapshot } = await store.list({ ...options, prefix: NOTHING, limit: 1 });
  const digester = new Digester();
  for await (const entry of entriesOf(store, snapshot, options)) {
    digester.add(entry);
    entry.value.fill(0);
  }
  return digester.finish(snapshot);
}

async function fill(to: Store, entries: AsyncIterable<Put>, options: CallOptions): Promise<void> {
  const { entries: present } = await to.list({ ...options, prefix: NOTHING, limit: 1 });
  if (present.length > 0) {
    throw new StoreError('store.content', 'cannot load the store: it is not empty');
  }
  let puts: Put[] = [];
  let bytes = 0;
  const write = async (): Promise<void> => {
    if (puts.length === 0) return;
    const compares = puts.map(({ key }) => ({ key, revision: 'absent' }) as const);
    // Compares count as operations too.
    const outcome = await to.commit(transaction({ puts, compares }), options);
    if (outcome.status !== 'committed') {
      throw new StoreError('store.failed', `cannot load the store: ${outcome.status}`);
    }
    for (const { value } of puts) value.fill(0);
    puts = [];
    bytes = 0;
  };
  for await (const entry of entries) {
    const length = entry.key.length * 2 + entry.value.length;
    if (puts.length >= TRANSACTION_OPERATIONS_MAX / 2 || bytes + length > TRANSACTION_BYTES_MAX) {
      await write();
    }
    puts.push(entry);
    bytes += length;
  }
  await write();
}

/** All entries of a snapshot, in key order. */
async function* entriesOf(
  store: Store,
  at: bigint,
  { timeoutMs, skip }: CopyOptions,
): AsyncGenerator<Entry, void> {
  let after: Uint8Array | undefined;
  do {
    const page = await store.list({ timeoutMs, prefix: NOTHING, at, after });
    for (const entry of page.entries) if (!skip(entry.key)) yield entry;
    after = page.next;
  } while (after !== undefined);
}

class Digester {
  readonly #hash = createHash('sha256');
  entries = 0;

  add({ key, value }: Put): void {
    for (const bytes of [key, value]) {
      const length = new Uint8Array(4);
      new DataView(length.buffer).setUint32(0, bytes.length, true);
      this.#hash.update(length).update(bytes);
    }
    this.entries += 1;
  }

  finish(snapshot: bigint): Digest {
    return { snapshot, entries: this.entries, digest: this.#hash.digest('hex') };
  }
}

const NOTHING = new Uint8Array();
const PROGRESS_EVERY = 1_000;
