/**
 * A connection from the first authorizer to the reply: two authorizers opened and judged, a
 * challenge and a reply with a connection secret sealed, one operation decided.
 */

import { Buffer } from 'node:buffer';
import { createCipheriv, createHmac, randomFillSync } from 'node:crypto';
import {
  KEY_TYPE_AES,
  REASON_AUTHORIZER_CHALLENGE_MISMATCH,
  REASON_AUTHORIZER_CHALLENGE_REQUIRED,
  REASON_OK,
  USAGE_AUTHORIZE_CHALLENGE,
  USAGE_AUTHORIZE_REPLY,
} from '../assembly/abi.ts';
import type { CryptoKey } from '../src/cephx/cryptokey.ts';
import type { Engine } from '../src/engine/index.ts';
import { HOST, rivals } from './contenders.ts';
import { type Corpus, type Item, SERVICE } from './items.ts';
import type { Judge } from './rival-decode.ts';

export function engineHandshake(engine: Engine): Judge {
  return (item) => {
    const { peer } = item;
    const common = { service: SERVICE, peer, reply: true, tail: false };
    const { value } = item.challenge;
    const challenge = { mode: 'required', value } as const;
    const first = engine.verify({ ...common, authorizer: item.first, challenge }, HOST);
    demand(first.reasonNumber, REASON_AUTHORIZER_CHALLENGE_REQUIRED);
    const { authorizer, challenge: issued } = item;
    const rest = { authorizer, challenge: issued, session: true, secure: true };
    const second = engine.verify({ ...common, ...rest }, HOST);
    demand(second.reasonNumber, REASON_OK);
    const { handle } = second;
    const checked = engine.check({ service: SERVICE, handle, op: item.op }, HOST);
    engine.sessionRelease(handle);
    return (first.reply?.length ?? 0) + (second.reply?.length ?? 0) + checked.reasonNumber;
  };
}

export function nodeHandshake(corpus: Corpus): Judge {
  const judge = rivals(corpus)['node:crypto tuned'] as Judge;
  const firsts = new Map(corpus.items.map((item) => [item, asFirst(item)]));
  return (item) => {
    // That it answers no challenge is all that is wrong with the first.
    demand(judge(firsts.get(item) as Item), REASON_AUTHORIZER_CHALLENGE_MISMATCH);
    const plain = Buffer.alloc(18);
    writeEnvelope(plain);
    plain[9] = 1;
    plain.writeBigUInt64LE(item.challenge.value, 10);
    const challenge = seal(item.sessionKey, USAGE_AUTHORIZE_CHALLENGE, plain);
    const reason = judge(item);
    const reply = Buffer.alloc(86);
    writeEnvelope(reply);
    reply[9] = 2;
    reply.writeBigUInt64LE(BigInt.asUintN(64, NONCE + 1n), 10);
    reply.writeUInt32LE(64, 18);
    randomBytes(64).copy(reply, 22);
    return challenge.length + seal(item.sessionKey, USAGE_AUTHORIZE_REPLY, reply).length + reason;
  };
}

function asFirst(item: Item): Item {
  return { ...item, authorizer: item.first };
}

function demand(reason: number, expected: number): void {
  if (reason !== expected) throw new Error(`Handshake gave reason ${reason}: expected ${expected}`);
}

/** Seals as tuned as it opens; the plaintext is wiped. Only `aes256k` needs a confounder. */
export function seal(
  key: CryptoKey,
  usage: number,
  plain: Buffer,
  confounder?: Uint8Array,
): Buffer {
  const sealed =
    key.type === KEY_TYPE_AES ? aesSeal(key, plain) : aes256kSeal(key, usage, plain, confounder);
  plain.fill(0);
  return sealed;
}

function aesSeal(key: CryptoKey, plain: Buffer): Buffer {
  const cipher = createCipheriv('aes-128-cbc', key.secret, CEPH_IV);
  return Buffer.concat([cipher.update(plain), cipher.final()]);
}

function aes256kSeal(
  key: CryptoKey,
  usage: number,
  plain: Buffer,
  confounder: Uint8Array = randomBytes(16),
): Buffer {
  const { length } = plain;
  const cut = 16 * (Math.ceil((length + 16) / 16) - 2);
  const padded = Buffer.alloc(cut + 32);
  padded.set(confounder);
  plain.copy(padded, 16);
  const ke = derive(key, usage, 0xaa, 256);
  const cbc = createCipheriv('aes-256-cbc', ke, ZERO_IV).setAutoPadding(false).update(padded);
  const sealed = Buffer.allocUnsafe(length + 40);
  cbc.copy(sealed, 0, 0, cut);
  cbc.copy(sealed, cut, cut + 16, cut + 32);
  cbc.copy(sealed, cut + 16, cut, cut + length - cut);
  const ki = derive(key, usage, 0x55, 192);
  const mac = createHmac('sha384', ki)
    .update(ZERO_IV)
    .update(sealed.subarray(0, length + 16));
  mac.digest().copy(sealed, length + 16, 0, 24);
  padded.fill(0);
  ke.fill(0);
  ki.fill(0);
  return sealed;
}

function derive(key: CryptoKey, usage: number, tag: number, bits: number): Buffer {
  const input = Buffer.of(0, 0, 0, 1, 0, 0, 0, usage, tag, 0, 0, 0, bits >> 8, bits & 255);
  return createHmac('sha384', key.secret)
    .update(input)
    .digest()
    .subarray(0, bits / 8);
}

function writeEnvelope(plain: Buffer): void {
  plain[0] = 1;
  plain.writeUInt32LE(0x8826aa55, 1);
  plain.writeUInt32LE(0xff009cad, 5);
}

/** From a pool, as the engine does: a call for each would cost more than the sealing. */
function randomBytes(n: number): Buffer {
  if (poolAt + n > POOL.length) {
    randomFillSync(POOL);
    poolAt = 0;
  }
  poolAt += n;
  return POOL.subarray(poolAt - n, poolAt);
}

const CEPH_IV = Buffer.from('cephsageyudagreg');
const ZERO_IV = Buffer.alloc(16);
/** The nonce does not change what sealing costs. */
const NONCE = 42n;
const POOL = Buffer.alloc(4096);
let poolAt = POOL.length;
