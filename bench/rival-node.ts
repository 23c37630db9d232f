/**
 * By hand with node:crypto. Plain: what one writes first. Tuned: key objects and derived keys of
 * service secrets kept, one pass, one decipher per object. Kept: as tuned, and the decipher of an
 * `aes` service secret is never made again.
 */

import { Buffer } from 'node:buffer';
import {
  createDecipheriv,
  createHmac,
  createSecretKey,
  type Decipher,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import { KEY_TYPE_AES, USAGE_AUTHORIZE, USAGE_TICKET_INFO } from '../assembly/abi.ts';
import type { Secret } from './items.ts';
import type { Ciphers } from './rival-decode.ts';

/** Keys of one usage: of `aes` the secret, of `aes256k` what is derived of it. */
interface Keys {
  readonly type: number;
  readonly ke: KeyObject | Uint8Array;
  readonly ki: KeyObject | Uint8Array;
}

interface KeptKeys extends Keys {
  readonly decipher: Decipher | undefined;
  /** Last block of ciphertext that `decipher` has seen. */
  readonly last: Uint8Array;
}

export const nodePlain: Ciphers<Keys> = {
  prepare: (secret) => keysOf(secret.key.type, secret.key.secret, USAGE_TICKET_INFO),
  openTicket: (keys, sealed) =>
    keys.type === KEY_TYPE_AES ? cbcPlain(keys.ke, sealed) : openPlain(keys, sealed),
  openAuthorize(type, secret, sealed) {
    if (type === KEY_TYPE_AES) return cbcPlain(secret.subarray(0, 16), sealed);
    return openPlain(keysOf(type, secret, USAGE_AUTHORIZE), sealed);
  },
};

export const nodeTuned: Ciphers<Keys> = {
  prepare: keyObjects,
  openTicket: (keys, sealed) =>
    keys.type === KEY_TYPE_AES ? cbcTuned(keys.ke, sealed) : openTuned(keys, sealed),
  openAuthorize: openAuthorizeTuned,
};

export const nodeKept: Ciphers<KeptKeys> = {
  prepare(secret) {
    const keys = keyObjects(secret);
    const aes = keys.type === KEY_TYPE_AES;
    const decipher = aes
      ? createDecipheriv('aes-128-cbc', keys.ke, CEPH_IV).setAutoPadding(false)
      : undefined;
    return { ...keys, decipher, last: Uint8Array.from(CEPH_IV) };
  },
  openTicket(keys, sealed) {
    const { decipher, last } = keys;
    if (decipher === undefined) return openTuned(keys, sealed);
    if (sealed.length === 0 || sealed.length % 16 !== 0) return undefined;
    // The decipher chains on from the last ciphertext; only the first block must be put right.
    const plain = decipher.update(sealed);
    for (let i = 0; i < 16; i++) plain[i] = plain[i]! ^ last[i]! ^ CEPH_IV[i]!;
    last.set(sealed.subarray(sealed.length - 16));
    return plain;
  },
  openAuthorize: openAuthorizeTuned,
};

function keyObjects(secret: Secret): Keys {
  const keys = keysOf(secret.key.type, secret.key.secret, USAGE_TICKET_INFO);
  return {
    type: keys.type,
    ke: createSecretKey(keys.ke as Uint8Array),
    ki: createSecretKey(keys.ki as Uint8Array),
  };
}

function keysOf(type: number, secret: Uint8Array, usage: number): Keys {
  if (type === KEY_TYPE_AES) return { type, ke: secret.subarray(0, 16), ki: secret };
  return { type, ke: derive(secret, usage, 0xaa, 256), ki: derive(secret, usage, 0x55, 192) };
}

/** RFC 8009 section 3. */
function derive(secret: Uint8Array, usage: number, tag: number, bits: number): Buffer {
  const input = Buffer.alloc(14);
  input.writeUInt32BE(1, 0);
  input.writeUInt32BE(usage, 4);
  input[8] = tag;
  input.writeUInt32BE(bits, 10);
  return createHmac('sha384', secret)
    .update(input)
    .digest()
    .subarray(0, bits / 8);
}

/** CBC with Ceph's constant IV; the padding is the caller's, since Ceph does not compare it. */
function cbcPlain(key: KeyObject | Uint8Array, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length === 0 || sealed.length % 16 !== 0) return undefined;
  const decipher = createDecipheriv('aes-128-cbc', key, CEPH_IV);
  decipher.setAutoPadding(false);
  return Buffer.concat([decipher.update(sealed), decipher.final()]);
}

function cbcTuned(key: KeyObject | Uint8Array, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length === 0 || sealed.length % 16 !== 0) return undefined;
  return createDecipheriv('aes-128-cbc', key, CEPH_IV).setAutoPadding(false).update(sealed);
}

/** RFC 8009 section 5: the MAC, then CBC with ciphertext stealing, block by block as written. */
function openPlain(keys: Keys, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < 40) return undefined;
  const ciphertext = sealed.subarray(0, sealed.length - 24);
  if (!macFits(keys, ciphertext, sealed)) return undefined;
  const cut = 16 * (Math.ceil(ciphertext.length / 16) - 2);
  if (cut < 0) return Buffer.alloc(0);
  const ecb = createDecipheriv('aes-256-ecb', keys.ke, null).setAutoPadding(false);
  const last = Buffer.concat([ecb.update(ciphertext.subarray(cut, cut + 16)), ecb.final()]);
  const stolen = ciphertext.subarray(cut + 16);
  const restored = Buffer.concat([stolen, last.subarray(stolen.length)]);
  for (let i = 0; i < stolen.length; i++) last[i] = last[i]! ^ stolen[i]!;
  const cbc = createDecipheriv('aes-256-cbc', keys.ke, ZERO_IV).setAutoPadding(false);
  const whole = Buffer.concat([
    cbc.update(ciphertext.subarray(0, cut)),
    cbc.update(restored),
    cbc.final(),
    last.subarray(0, stolen.length),
  ]);
  last.fill(0);
  return whole.subarray(16);
}

/**
 * One decipher for all: it takes the block that must be decrypted first, and what that does to the
 * chaining falls on the confounder, which nobody reads.
 */
function openTuned(keys: Keys, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < 40) return undefined;
  const ciphertext = sealed.subarray(0, sealed.length - 24);
  if (!macFits(keys, ciphertext, sealed)) return undefined;
  const cut = 16 * (Math.ceil(ciphertext.length / 16) - 2);
  if (cut < 0) return Buffer.alloc(0);
  const cbc = createDecipheriv('aes-256-cbc', keys.ke, ZERO_IV).setAutoPadding(false);
  const last = cbc.update(ciphertext.subarray(cut, cut + 16));
  const stolen = ciphertext.length - cut - 16;
  const restored = Buffer.allocUnsafe(cut + 16);
  restored.set(ciphertext.subarray(0, cut));
  restored.set(last, cut);
  restored.set(ciphertext.subarray(cut + 16), cut);
  const whole = Buffer.allocUnsafe(cut + stolen);
  whole.set(cbc.update(restored).subarray(16));
  for (let i = 0; i < stolen; i++) whole[cut + i] = last[i]! ^ ciphertext[cut + 16 + i]!;
  last.fill(0);
  return whole;
}

function openAuthorizeTuned(
  type: number,
  secret: Uint8Array,
  sealed: Uint8Array,
): Buffer | undefined {
  if (type === KEY_TYPE_AES) return cbcTuned(secret.subarray(0, 16), sealed);
  const ki = deriveTuned(secret, DERIVE_KI, 24);
  const ke = deriveTuned(secret, DERIVE_KE, 32);
  const plain = openTuned({ type, ke, ki }, sealed);
  ke.fill(0);
  ki.fill(0);
  return plain;
}

function deriveTuned(secret: Uint8Array, input: Buffer, length: number): Buffer {
  return createHmac('sha384', secret).update(input).digest().subarray(0, length);
}

/** The MAC is over a zero IV and the ciphertext. */
function macFits(keys: Keys, ciphertext: Uint8Array, sealed: Uint8Array): boolean {
  const mac = createHmac('sha384', keys.ki).update(ZERO_IV).update(ciphertext).digest();
  return timingSafeEqual(mac.subarray(0, 24), sealed.subarray(sealed.length - 24));
}

const CEPH_IV = Buffer.from('cephsageyudagreg');
const ZERO_IV = Buffer.alloc(16);
const DERIVE_KE = Buffer.from('0000000100000010aa0000000100', 'hex');
const DERIVE_KI = Buffer.from('00000001000000105500000000c0', 'hex');
