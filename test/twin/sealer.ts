/**
 * The ciphers of cephx a second time, written for reading: the oracle for the core and the Sealer
 * of the tests. Blocks and hashes come from @noble; modes, padding and derivation are here.
 */

import { cbc } from '@noble/ciphers/aes.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256, sha384 } from '@noble/hashes/sha2.js';
import { KEY_TYPE_AES } from '../../assembly/abi.ts';
import type { CryptoKey, Sealer } from '../../src/cephx/cryptokey.ts';
import { equalBytes } from '../../src/cephx/denc.ts';

export const twinSealer: Sealer = {
  seal(key, usage, plaintext, confounder) {
    return key.type === KEY_TYPE_AES
      ? aesSeal(key.secret, plaintext)
      : aes256kSeal(key.secret, usage, plaintext, confounder);
  },
  open(key, usage, ciphertext) {
    if (key.type !== KEY_TYPE_AES) return aes256kOpen(key.secret, usage, ciphertext);
    const padded = aesOpenPadded(key.secret, ciphertext);
    return padded && stripCephPadding(padded);
  },
  hmacSha256(key: CryptoKey, data: Uint8Array) {
    return hmac(sha256, key.secret, data);
  },
};

/** AES-128-CBC, constant IV, PKCS#7 (spec section 4). Only 16 bytes of the secret count. */
export function aesSeal(secret: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const padding = 16 - (plaintext.length % 16);
  const padded = new Uint8Array(plaintext.length + padding).fill(padding);
  padded.set(plaintext);
  return cbc(secret.subarray(0, 16), CEPH_IV, { disablePadding: true }).encrypt(padded);
}

/** The plaintext with its padding, or undefined if the length cannot be. */
export function aesOpenPadded(secret: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
  if (ciphertext.length === 0 || ciphertext.length % 16 !== 0) return undefined;
  return cbc(secret.subarray(0, 16), CEPH_IV, { disablePadding: true }).decrypt(ciphertext);
}

/** Ceph's rule (Crypto.cc): strip min(last byte, 16) bytes and look at none of the others. */
export function stripCephPadding(padded: Uint8Array): Uint8Array {
  return padded.subarray(0, padded.length - Math.min(padded[padded.length - 1]!, 16));
}

/** Whether the padding is exactly PKCS#7. */
export function paddingIsPkcs7(padded: Uint8Array): boolean {
  const n = padded[padded.length - 1]!;
  return n >= 1 && n <= 16 && padded.subarray(padded.length - n).every((byte) => byte === n);
}

/** RFC 8009 section 3, KDF-HMAC-SHA2: one HMAC call is enough for 192 and 256 bits. */
export function deriveKey(
  secret: Uint8Array,
  usage: number,
  tag: number,
  bits: number,
): Uint8Array {
  const input = new Uint8Array(14);
  const view = new DataView(input.buffer);
  view.setUint32(0, 1);
  view.setUint32(4, usage);
  view.setUint8(8, tag);
  view.setUint8(9, 0);
  view.setUint32(10, bits);
  return hmac(sha384, secret, input).subarray(0, bits / 8);
}

/** RFC 8009 section 5, aes256-cts-hmac-sha384-192: C, then the MAC over the zero IV and C. */
export function aes256kSeal(
  secret: Uint8Array,
  usage: number,
  plaintext: Uint8Array,
  confounder: Uint8Array,
): Uint8Array {
  const ke = deriveKey(secret, usage, 0xaa, 256);
  const ciphertext = ctsEncrypt(ke, concat(confounder, plaintext));
  return concat(ciphertext, mac(secret, usage, ciphertext));
}

/** The plaintext, or undefined if the length or the MAC is wrong. */
export function aes256kOpen(
  secret: Uint8Array,
  usage: number,
  sealed: Uint8Array,
): Uint8Array | undefined {
  return aes256kOpenWhole(secret, usage, sealed)?.subarray(16);
}

/** As `aes256kOpen`, with the 16 bytes of confounder before the plaintext. */
export function aes256kOpenWhole(
  secret: Uint8Array,
  usage: number,
  sealed: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < 40) return undefined;
  const ciphertext = sealed.subarray(0, sealed.length - 24);
  const given = sealed.subarray(sealed.length - 24);
  if (!equalBytes(mac(secret, usage, ciphertext), given)) return undefined;
  return ctsDecrypt(deriveKey(secret, usage, 0xaa, 256), ciphertext);
}

function mac(secret: Uint8Array, usage: number, ciphertext: Uint8Array): Uint8Array {
  const ki = deriveKey(secret, usage, 0x55, 192);
  return hmac(sha384, ki, concat(ZERO_IV, ciphertext)).subarray(0, 24);
}

/** CBC with ciphertext stealing, variant CS3: the last two blocks are always exchanged. */
function ctsEncrypt(key: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const blocks = Math.ceil(plaintext.length / 16);
  const padded = new Uint8Array(blocks * 16);
  padded.set(plaintext);
  const cbcOut = cbc(key, ZERO_IV, { disablePadding: true }).encrypt(padded);
  if (blocks === 1) return cbcOut;
  const head = cbcOut.subarray(0, 16 * (blocks - 2));
  const secondLast = cbcOut.subarray(16 * (blocks - 2), 16 * (blocks - 1));
  const last = cbcOut.subarray(16 * (blocks - 1));
  return concat(head, last, secondLast).subarray(0, plaintext.length);
}

function ctsDecrypt(key: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const blocks = Math.ceil(ciphertext.length / 16);
  const decrypt = (bytes: Uint8Array): Uint8Array =>
    cbc(key, ZERO_IV, { disablePadding: true }).decrypt(bytes);
  if (blocks === 1) return decrypt(ciphertext);
  const head = ciphertext.subarray(0, 16 * (blocks - 2));
  const last = ciphertext.subarray(16 * (blocks - 2), 16 * (blocks - 1));
  const stolen = ciphertext.subarray(16 * (blocks - 1));
  // One block under the zero IV is plain AES: D = last plaintext piece (padded) xor E(m-1).
  const d = decrypt(last);
  const secondLast = concat(stolen, d.subarray(stolen.length));
  const tail = d.subarray(0, stolen.length).map((byte, i) => byte ^ stolen[i]!);
  return concat(decrypt(concat(head, secondLast)), tail);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const CEPH_IV = new TextEncoder().encode('cephsageyudagreg');
const ZERO_IV = new Uint8Array(16);
