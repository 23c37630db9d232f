/**
 * Leases: a key of ours that hangs on an etcd lease. The fencing number is the revision that made
 * the key, so it grows over all names, and a transaction can compare it.
 */

import { randomBytes } from 'node:crypto';
import type { CallOptions, Lease } from '../store.ts';
import { checkCall } from '../transaction.ts';
import { Deadline } from './client.ts';
import { int, type Json, modIs, putOp, rangeOp, rangesOf, revisionOf } from './codec.ts';
import type { EtcdContext } from './etcd.ts';

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
  const { client, layout } = context;
  return {
    name,
    fencing,
    async renew(options: CallOptions) {
      checkCall(options);
      const deadline = new Deadline(options.timeoutMs);
      const answer = await client.call('/v3/lease/keepalive', { ID: String(id) }, deadline);
      if (int(answer, 'TTL') <= 0n) return false;
      // The key is what transactions compare; somebody may have deleted it.
      return (await holderOf(context, layout.lease(name), deadline)) === fencing;
    },
    async release(options: CallOptions) {
      checkCall(options);
      await revoke(context, id, new Deadline(options.timeoutMs));
    },
  };
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

const EXISTS = /lease already exists/;
const GONE = /lease not found/;
