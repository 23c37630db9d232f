/** By hand with @noble/ciphers and @noble/hashes; keys of service secrets derived once. */

import { cbc } from '@noble/ciphers/aes.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha384 } from '@noble/hashes/sha2.js';
import { KEY_TYPE_AES, USAGE_AUTHORIZE, USAGE_TICKET_INFO } from '../assembly/abi.ts';
import type { Ciphers } from './rival-decode.ts';

interface Keys {
  readonly type: number;
  readonly ke: Uint8Array;
  /** An HMAC with its key already in. */
  readonly mac: ReturnType<typeof hmac.create> | undefined;
}

export const noble: Ciphers<Keys> = {
  prepare: (secret) => keysOf(secret.key.type, secret.key.secret, USAGE_TICKET_INFO),
  openTicket: open,
  openAuthorize: (type, secret, sealed) => open(keysOf(type, secret, USAGE_AUTHORIZE), sealed),
};

function keysOf(type: number, secret: Uint8Array, usage: number): Keys {
  if (type === KEY_TYPE_AES) return { type, ke: secret.subarray(0, 16), mac: undefined };
  const derive = hmac.create(sha384, secret);
  const ke = derive
    .clone()
    .update(deriveInput(usage, 0xaa, 256))
    .digest();
  const ki = derive.update(deriveInput(usage, 0x55, 192)).digest();
  return { type, ke: ke.subarray(0, 32), mac: hmac.create(sha384, ki.subarray(0, 24)) };
}

function deriveInput(usage: number, tag: number, bits: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 1, 0, 0, 0, usage, tag, 0, 0, 0, bits >> 8, bits & 255);
}

function open(keys: Keys, sealed: Uint8Array): Uint8Array | undefined {
  if (keys.mac === undefined) {
    if (sealed.length === 0 || sealed.length % 16 !== 0) return undefined;
    return cbc(keys.ke, CEPH_IV, NO_PADDING).decrypt(sealed);
  }
  if (sealed.length < 40) return undefined;
  const ciphertext = sealed.subarray(0, sealed.length - 24);
  const mac = keys.mac.clone().update(ZERO_IV).update(ciphertext).digest();
  let difference = 0;
  for (let i = 0; i < 24; i++) difference |= mac[i]! ^ sealed[ciphertext.length + i]!;
  return difference === 0 ? ctsDecrypt(keys.ke, ciphertext) : undefined;
}

/** CBC with ciphertext stealing, without the confounder. */
function ctsDecrypt(key: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const cut = 16 * (Math.ceil(ciphertext.length / 16) - 2);
  if (cut < 0) return new Uint8Array(0);
  const decrypt = (bytes: Uint8Array): Uint8Array => cbc(key, ZERO_IV, NO_PADDING).decrypt(bytes);
  const last = decrypt(ciphertext.subarray(cut, cut + 16));
  const stolen = ciphertext.subarray(cut + 16);
  const restored = new Uint8Array(cut + 16);
  restored.set(ciphertext.subarray(0, cut));
  restored.set(last, cut);
  restored.set(stolen, cut);
  const whole = new Uint8Array(ciphertext.length - 16);
  whole.set(decrypt(restored).subarray(16));
  for (let i = 0; i < stolen.length; i++) whole[cut + i] = last[i]! ^ stolen[i]!;
  last.fill(0);
  return whole;
}

const CEPH_IV = new TextEncoder().encode('cephsageyudagreg');
const ZERO_IV = new Uint8Array(16);
const NO_PADDING = { disablePadding: true };
