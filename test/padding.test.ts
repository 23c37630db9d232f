/** Under strict plausibility the padding of an `aes` ticket is PKCS#7 exactly, or it is named. */

import { cbc } from '@noble/ciphers/aes.js';
import { describe, expect, it } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { type Build, Engine } from '../src/engine/index.ts';
import { makeSecret, makeTicket, NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

const rng = new Rng(seedOf(7));
const random = (n: number): Uint8Array => rng.bytes(n);
const secret = makeSecret('aes', random);
const IV = new TextEncoder().encode('cephsageyudagreg');
const OSD = abi.ENTITY_TYPE_OSD;
/** Offset of the ticket in an authorizer. */
const BLOB = 26;

const good = makeTicket(secret.key, random, { sessionType: 'aes' }).authorizer();
const blobLen = new DataView(good.buffer).getUint32(BLOB - 4, true);
const cipher = (): ReturnType<typeof cbc> => cbc(secret.key.secret, IV, { disablePadding: true });
const plain = cipher().decrypt(good.subarray(BLOB, BLOB + blobLen));

/** The authorizer with other last bytes in its ticket. */
function ending(last: Uint8Array): Uint8Array {
  const altered = plain.slice();
  altered.set(last, altered.length - last.length);
  const out = good.slice();
  out.set(cipher().encrypt(altered), BLOB);
  return out;
}

/** The last 16 bytes: `value` in the last `count` of them, another byte before. */
function tail(value: number, count: number): Uint8Array {
  return new Uint8Array(16).fill(value ^ 0x55).fill(value, 16 - count);
}

describe.each<Build>(['simd', 'plain'])('the %s build', async (build) => {
  const engine = await Engine.create({ build, preset: 'small' });
  engine.putSecret({ service: OSD, secretId: 2n, key: secret.encoded });
  const padded = (last: Uint8Array): boolean => {
    const asked = { service: OSD, authorizer: ending(last), challenge: { mode: 'off' } } as const;
    const host = { nowNs: NOW_NS, policy: { plausibility: 'strict' } } as const;
    // By number: the check of part b has the same name.
    return engine.verify(asked, host).checkNumber !== abi.CHECK_TICKET_PADDING;
  };

  it('takes as many bytes as the last one says, all of them like it', () => {
    for (let value = 0; value < 256; value++) {
      for (let count = 1; count <= 16; count++) {
        const right = value >= 1 && value <= 16 && count >= value;
        expect(padded(tail(value, count)), `${count} times ${value}`).toBe(right);
      }
    }
  });

  it('sees each bit of each byte that is another one', () => {
    for (let value = 1; value <= 16; value++) {
      for (let at = 0; at < 15; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const last = tail(value, value);
          last[at]! ^= 1 << bit;
          expect(padded(last), `${value}: byte ${at}, bit ${bit}`).toBe(at < 16 - value);
        }
      }
    }
  });
});
