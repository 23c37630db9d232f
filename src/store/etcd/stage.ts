/**
 * Imports of any size: the entries go into a generation that nobody reads, many transactions long;
 * one last transaction makes it the one that counts.
 */

import { randomBytes } from 'node:crypto';
import { StoreError } from '../../errors.ts';
import {
  type CallOptions,
  type Lease,
  type Put,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_OPERATIONS_MAX,
} from '../store.ts';
import { keyText } from '../text.ts';
import { Deadline } from './client.ts';
import {
  createdIs,
  deleteOp,
  endOf,
  flag,
  type Json,
  putOp,
  rangeOp,
  rangesOf,
  revisionOf,
  toBase64,
  valueIs,
} from './codec.ts';
import type { EtcdContext, EtcdStore } from './etcd.ts';
import { encodeGeneration, joined, LAST_COMMIT, LAST_MOVED } from './layout.ts';

export interface Load {
  readonly entries: AsyncIterable<Put> | Iterable<Put>;
  /** For each call, of which there are many. */
  readonly options: CallOptions;
}

/** Fills an empty store; returns the snapshot that has all. Throws StoreError. */
export async function loadAll(
  store: EtcdStore,
  context: EtcdContext,
  { entries, options }: Load,
): Promise<bigint> {
  const lease = await store.lease(LEASE, LEASE_TTL_MS, options);
  if (lease === undefined) {
    throw new StoreError('store.busy', 'cannot load the store: somebody else is doing it');
  }
  const staging: Staging = { context, lease, id: randomBytes(16).toString('hex'), options };
  try {
    const page = await store.list({ ...options, prefix: new Uint8Array(), limit: 1 });
    if (page.entries.length > 0) throw notEmpty();
    await deleteOthers(staging);
    await stage(staging, entries);
    return await makeVisible(staging);
  } finally {
    await lease.release(options);
  }
}

interface Staging {
  readonly context: EtcdContext;
  readonly lease: Lease;
  /** The new generation. */
  readonly id: string;
  readonly options: CallOptions;
}

/** What imports that broke off have left behind: we hold the lease, so none is under way. */
async function deleteOthers(staging: Staging): Promise<void> {
  const { layout, generation } = staging.context;
  const own = layout.all(generation);
  await write(staging, [
    deleteOp(layout.generations, own),
    deleteOp(endOf(own), endOf(layout.generations)),
  ]);
}

async function stage(staging: Staging, entries: Load['entries']): Promise<void> {
  const { lease, options, id } = staging;
  const { layout, envelope } = staging.context;
  let puts: Json[] = [];
  let bytes = 0;
  let renewedMs = performance.now();
  for await (const { key, value } of entries) {
    const length = key.length + value.length;
    if (puts.length >= TRANSACTION_OPERATIONS_MAX || bytes + length > TRANSACTION_BYTES_MAX) {
      await write(staging, puts);
      puts = [];
      bytes = 0;
    }
    if (performance.now() - renewedMs > LEASE_TTL_MS / 4) {
      if (!(await lease.renew(options))) throw lost();
      renewedMs = performance.now();
    }
    const path = joined(layout.data(id), key);
    puts.push(putOp(path, envelope.close(path, value)));
    bytes += length;
  }
  if (puts.length > 0) await write(staging, puts);
}

/**
 * One transaction while the lease is ours. With that compare it can be sent again: a try that comes
 * late, when others may have written, finds the lease gone.
 */
async function write({ context, lease, options }: Staging, success: Json[]): Promise<void> {
  const compare = [createdIs(context.layout.lease(lease.name), lease.fencing)];
  const deadline = new Deadline(options.timeoutMs);
  const answer = await context.client.call(TXN, { compare, success }, deadline);
  if (!flag(answer, 'succeeded')) throw lost();
}

async function makeVisible({ context, lease, id, options }: Staging): Promise<bigint> {
  const { client, layout, envelope, generation } = context;
  const pointer = encodeGeneration({ id, kind: envelope.kind });
  const data = layout.data(generation);
  const request: Json = {
    compare: [
      createdIs(layout.lease(lease.name), lease.fencing),
      valueIs(layout.generation, encodeGeneration({ id: generation, kind: envelope.kind })),
      // Of a range: no key is there.
      { ...createdIs(data, 0n), range_end: toBase64(endOf(data)) },
    ],
    success: [
      putOp(layout.generation, pointer),
      putOp(layout.last(id), LAST_COMMIT),
      putOp(layout.last(generation), LAST_MOVED),
      deleteOp(layout.lease(lease.name)),
    ],
    failure: [rangeOp(layout.generation)],
  };
  const answer = await client.call(TXN, request, new Deadline(options.timeoutMs));
  const found = rangesOf(answer)[0]?.kvs[0];
  const isDone = flag(answer, 'succeeded');
  // The answer to an earlier try may have been lost.
  const isOurs = found !== undefined && keyText(found.value) === keyText(pointer);
  if (!isDone && !isOurs) throw notEmpty();
  context.generation = id;
  return isDone ? revisionOf(answer) : found!.modRevision;
}

function notEmpty(): StoreError {
  return new StoreError('store.content', 'cannot load the store: it is not empty');
}

function lost(): StoreError {
  return new StoreError('store.busy', 'cannot load the store: its lease was lost');
}

const TXN = '/v3/kv/txn';
const LEASE = 'load';
const LEASE_TTL_MS = 60_000;
