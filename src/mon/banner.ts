/**
 * The banner: what either side of msgr2 says first (Ceph: ProtocolV2.cc).
 *
 *   0 "ceph v2\n" · 8 u16 length of the rest, 16 or more · 10 u64 supported · 18 u64 required
 */

import { equalBytes, Reader, Writer } from '../cephx/denc.ts';
import { protocolError } from './errors.ts';

export interface Banner {
  /** Features of the protocol, FEATURE_*. */
  readonly supported: bigint;
  readonly required: bigint;
}

/** msgr2.1. */
export const FEATURE_REVISION_1 = 1n;

export function encodeBanner({ supported, required }: Banner): Uint8Array {
  const payload = new Writer().u64(supported).u64(required).finish();
  return new Writer().bytes(MAGIC).u16(payload.length).bytes(payload).finish();
}

/** Reads a banner as a Framing reads a frame. Throws MonError `mon.protocol`. */
export function* bannerSteps(): Generator<number, Banner, Uint8Array> {
  const start = yield MAGIC.length;
  if (equalBytes(start, MAGIC_V1)) throw protocolError('banner', 'this is its msgr v1 port');
  if (!equalBytes(start, MAGIC)) throw protocolError('banner', 'the peer does not speak msgr2');
  const length = new Reader(yield 2).u16();
  if (length < PAYLOAD_LEN || length > PAYLOAD_LEN_MAX) {
    throw protocolError('banner', `it has ${length} bytes`);
  }
  const reader = new Reader(yield length);
  return { supported: reader.u64(), required: reader.u64() };
}

const MAGIC = new TextEncoder().encode('ceph v2\n');
const MAGIC_V1 = new TextEncoder().encode('ceph v02');
const PAYLOAD_LEN = 16;
const PAYLOAD_LEN_MAX = 1024;
