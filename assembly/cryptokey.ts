/**
 * CryptoKey as encoded by Ceph, and sealing with it: the one place that tells key types apart for
 * everything but the hot path of `verify`.
 *
 * CryptoKey (12 + len bytes): u16 type; utime created; u16 len; secret. Spec section 2.1.
 */

import {
  CHECK_OK,
  CHECK_SESSION_KEY_LENGTH,
  CHECK_SESSION_KEY_TYPE,
  CHECK_TICKET_TRUNCATED,
  KEY_SECRET_LEN_MAX,
  KEY_TYPE_AES,
  KEY_TYPE_AES256K,
  KEY_TYPE_NONE,
} from './abi';
import { wipe } from './bytes';
import { cbcOpen, cbcPrepareOpen, cbcSeal } from './cbc';
import { k256Decrypt, k256MacOk, k256PrepareOpen, k256Seal } from './rfc8009';

/** Bytes before the secret. */
export const CRYPTOKEY_HEADER_LEN: i32 = 12;
/** Envelope of every sealed object: u8 struct_v, u64 magic. Spec section 3. */
export const ENVELOPE_LEN: i32 = 9;
export const ENVELOPE_MAGIC: u64 = 0xff009cad8826aa55;

/** The key that `cryptoKeyCheck` last accepted. */
export let keyType: u32 = 0;
export let keyCreatedNs: u64 = 0;
export let keySecret: usize = 0;
export let keySecretLen: i32 = 0;

const PREPARED: usize = memory.data(512, 16);

/** Decodes a CryptoKey of `len` bytes at `at`; bytes after the secret are ignored, as in Ceph. */
export function cryptoKeyCheck(at: usize, len: i32): i32 {
  if (len < CRYPTOKEY_HEADER_LEN) return CHECK_TICKET_TRUNCATED;
  const type: u32 = load<u16>(at);
  const secretLen: i32 = load<u16>(at + 10);
  if (secretLen > len - CRYPTOKEY_HEADER_LEN) return CHECK_TICKET_TRUNCATED;
  if (secretLen > 0) {
    if ((type as i32) > KEY_TYPE_AES256K) return CHECK_SESSION_KEY_TYPE;
    if (secretLen < secretLenMin(type)) return CHECK_SESSION_KEY_LENGTH;
    if (secretLen > KEY_SECRET_LEN_MAX) return CHECK_SESSION_KEY_LENGTH;
  }
  keyType = type;
  keyCreatedNs = (load<u32>(at + 2) as u64) * 1000000000 + (load<u32>(at + 6) as u64);
  keySecret = at + CRYPTOKEY_HEADER_LEN;
  keySecretLen = secretLen;
  return CHECK_OK;
}

/** Shortest secret of a key type, in bytes; 0 for any other. No branch: a type may be secret. */
export function secretLenMin(type: u32): i32 {
  return (((type == KEY_TYPE_AES) as i32) << 4) | (((type == KEY_TYPE_AES256K) as i32) << 5);
}

/** 1 if something can be sealed with such a key. */
export function keyUsable(type: u32, secretLen: i32): i32 {
  return (secretLen > 0 && type != KEY_TYPE_NONE) as i32;
}

/** Bytes that sealing adds room for: ciphertext length of n plaintext bytes. */
export function sealedLen(type: u32, n: i32): i32 {
  return type == KEY_TYPE_AES ? (n & ~15) + 16 : n + 40;
}

/**
 * Seals n bytes at src into dst; `confounder` is 16 bytes and unused by `aes`. Returns the length.
 */
export function keySeal(
  type: u32,
  secret: usize,
  secretLen: i32,
  usage: u32,
  confounder: usize,
  src: usize,
  n: i32,
  dst: usize,
): i32 {
  if (type == KEY_TYPE_AES) return cbcSeal(secret, src, n, dst);
  return k256Seal(secret, secretLen, usage, confounder, src, n, dst);
}

/** Where the last `keyOpen` left its plaintext, and how long it is. */
export let openedAt: usize = 0;
export let openedLen: i32 = 0;

/**
 * Opens n sealed bytes at src into dst (n bytes of room). Returns 1, or 0 if lengths or the MAC
 * are wrong. For `aes` padding is stripped by Ceph's rule: min(last byte, 16), nothing else read.
 */
export function keyOpen(
  type: u32,
  secret: usize,
  secretLen: i32,
  usage: u32,
  src: usize,
  n: i32,
  dst: usize,
): i32 {
  let ok = 0;
  if (type == KEY_TYPE_AES) {
    if (n <= 0 || (n & 15) != 0) return 0;
    cbcPrepareOpen(secret, PREPARED);
    cbcOpen(PREPARED, 0, src, n, dst);
    const last: i32 = load<u8>(dst + n - 1);
    openedAt = dst;
    openedLen = n - min(last, 16);
    ok = 1;
  } else if (n >= 40) {
    k256PrepareOpen(secret, secretLen, usage, PREPARED);
    ok = k256MacOk(PREPARED, src, n);
    if (ok) {
      k256Decrypt(PREPARED, 0, src, n, dst);
      openedAt = dst + 16;
      openedLen = n - 40;
    }
  }
  wipe(PREPARED, 512);
  return ok;
}

/** Writes the envelope at p. Returns its length. */
export function putEnvelope(p: usize): i32 {
  store<u8>(p, 1);
  store<u64>(p + 1, ENVELOPE_MAGIC);
  return ENVELOPE_LEN;
}
