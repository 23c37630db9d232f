/**
 * Leases: a key of ours that hangs on an etcd lease. The fencing number is the revision that made
 * the key, so it grows over all names, and a transaction can compare it. The value is the note:
 * replacing it leaves that number as it is. No watch of ours covers these keys.
 */

import { randomBytes } from 'node:crypto';
import { type CallOptions, type HeldLease, type Lease, PAGE_ENTRIES_MAX } from '../store.ts';
import { checkCall, checkNote } from '../transaction.ts';
import { Deadline } from './client.ts';
import {
  createdIs,
  endOf,
  flag,
  int,
  type Json,
  modIs,
  putOp,
  rangeOf,
  rangeOp,
  rangeRequest,
  rangesOf,
  revisionOf,
} from './codec.ts';
import type { EtcdContext } from './etcd.ts';
import { joined } from './layout.ts';

/** Undefined while another lease of that name runs. Throws StoreError. */
export async function takeLease(
  context: EtcdContext,
  name: string,
  ttlMs: number,
  deadline: Deadline,
): Promise<Lease | undefined> {
  const { client, layout } = context;
  const key = layout.lease(name);
  if ((await holderOf(context, key, deadline)) !== undefined) return undefined;
  // We choose the number of the lease, so that asking again after no answer is harmless.
  const id = (randomBytes(8).readBigUInt64BE() & 0x7fff_ffff_ffff_ffffn) | 1n;
  const ttl = String(Math.max(1, Math.ceil(ttlMs / 1000)));
  await ignoring(EXISTS, client.call('/v3/lease/grant', { TTL: ttl, ID: String(id) }, deadline));
  const take: Json = {
    compare: [modIs(key, 0n)],
    success: [putOp(key, new Uint8Array(), id)],
    failure: [rangeOp(key)],
  };
  const answer = await client.call('/v3/kv/txn', take, deadline);
  if (answer.succeeded === true) return held(context, name, id, revisionOf(answer));
  const holder = rangesOf(answer)[0]?.kvs[0];
  if (holder?.lease === id) return held(context, name, id, holder.createRevision);
  await revoke(context, id, deadline);
  return undefined;
}

function held(context: EtcdContext, name: string, id: bigint, fencing: bigint): Lease {
  const { client, layout, envelope } = context;
  const key = layout.lease(name);
  return {
    name,
    fencing,
    async renew(options: CallOptions, note?: Uint8Array) {
      checkCall(options);
      if (note !== undefined) checkNote(note);
      const deadline = new Deadline(options.timeoutMs);
      const answer = await client.call('/v3/lease/keepalive', { ID: String(id) }, deadline);
      if (int(answer, 'TTL') <= 0n) return false;
      // The key is what transactions compare; somebody may have deleted it.
      if (note === undefined) return (await holderOf(context, key, deadline)) === fencing;
      const success = [putOp(key, envelope.close(key, note), id)];
      const write = { compare: [createdIs(key, fencing)], success };
      return flag(await client.call('/v3/kv/txn', write, deadline), 'succeeded');
    },
    async release(options: CallOptions) {
      checkCall(options);
      await revoke(context, id, new Deadline(options.timeoutMs));
    },
  };
}

/** All whose names begin so, of one revision. Throws StoreError. */
export async function listLeases(
  { client, layout, envelope }: EtcdContext,
  prefix: string,
  deadline: Deadline,
): Promise<HeldLease[]> {
  const first = joined(layout.leases, new TextEncoder().encode(prefix));
  const end = endOf(first);
  const found: HeldLease[] = [];
  let key = first;
  for (let revision = 0n; ; ) {
    const request = rangeRequest(key, { end, limit: PAGE_ENTRIES_MAX, revision });
    const answer = await client.call('/v3/kv/range', request, deadline);
    if (revision === 0n) revision = revisionOf(answer);
    const page = rangeOf(answer);
    for (const kv of page.kvs) {
      const name = new TextDecoder().decode(kv.key.subarray(layout.leases.length));
      const note = kv.value.length === 0 ? kv.value : envelope.open(kv.key, kv.value);
      found.push({ name, fencing: kv.createRevision, note });
    }
    if (!page.more) return found;
    key = joined(page.kvs.at(-1)!.key, ZERO);
  }
}

async function holderOf(
  { client }: EtcdContext,
  key: Uint8Array,
  deadline: Deadline,
): Promise<bigint | undefined> {
  const answer = await client.call('/v3/kv/txn', { success: [rangeOp(key)] }, deadline);
  return rangesOf(answer)[0]?.kvs[0]?.createRevision;
}

async function revoke({ client }: EtcdContext, id: bigint, deadline: Deadline): Promise<void> {
  await ignoring(GONE, client.call('/v3/lease/revoke', { ID: String(id) }, deadline));
}

/** The call, where this one refusal only says that an earlier try had done it. */
async function ignoring(refusal: RegExp, call: Promise<Json>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof Error && refusal.test(error.message))) throw error;
  }
}

const ZERO = new Uint8Array(1);
const EXISTS = /lease already exists/;
const GONE = /lease not found/;
