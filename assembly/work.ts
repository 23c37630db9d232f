/**
 * Exports that work on one key at a time through the work block: sealing and opening for issuers
 * and clients, derivation, the challenge hash, and the bare primitives for conformance.
 */

import {
  DERIVE_KC,
  DERIVE_KE,
  DERIVE_KI,
  KEY_TYPE_AES,
  KEY_TYPE_AES256K,
  PRIMITIVE_AES128_CBC_DECRYPT,
  PRIMITIVE_AES128_CBC_ENCRYPT,
  PRIMITIVE_AES128_DECRYPT,
  PRIMITIVE_AES128_ENCRYPT,
  PRIMITIVE_AES256_CBC_DECRYPT,
  PRIMITIVE_AES256_CBC_ENCRYPT,
  PRIMITIVE_AES256_DECRYPT,
  PRIMITIVE_AES256_ENCRYPT,
  PRIMITIVE_HMAC_SHA256,
  PRIMITIVE_HMAC_SHA384,
  PRIMITIVE_SHA256,
  PRIMITIVE_SHA384,
  SEAL_ENVELOPE,
  SEAL_PREFIXED,
  WORK_DATA,
  WORK_DATA_LEN,
  WORK_IV,
  WORK_KEY,
  WORK_KEY_LEN,
  WORK_LEN,
  WORK_OUT,
  WORK_RESULT,
} from './abi';
import {
  AES_WIDE_LEN,
  aesCbcDecrypt,
  aesCbcEncrypt,
  aesDecryptBlock,
  aesEncryptBlock,
  aesExpandDecrypt,
  aesExpandEncrypt,
  aesExpandWide,
  aesWipe,
} from './aes';
import { work } from './arena';
import { wipe } from './bytes';
import { cbcSeal } from './cbc';
import {
  cryptoKeyCheck,
  ENVELOPE_LEN,
  ENVELOPE_MAGIC,
  keyOpen,
  keySeal,
  keySecret,
  keySecretLen,
  keyType,
  keyUsable,
  openedAt,
  openedLen,
  putEnvelope,
} from './cryptokey';
import { k256Derive, rfc8009Wipe } from './rfc8009';
import { hmac256, hmac384, hmac384Pads, sha2Wipe, sha256, sha384 } from './sha2';

const SCHEDULE: usize = memory.data(256, 16);
const WIDE: usize = memory.data(AES_WIDE_LEN + 16, 16);
const PADS: usize = memory.data(128, 16);
const BLOB: usize = memory.data(64, 16);

/** Answers below zero: the CryptoKey or a length is unusable, or the object does not open. */
export const WORK_BAD_KEY: i32 = -1;
export const WORK_BAD_LENGTH: i32 = -2;
export const WORK_NOT_OPENED: i32 = -3;

/** Seals inLen bytes of WORK_DATA into WORK_RESULT; WORK_IV holds the confounder. See `seal`. */
export function workSeal(keyLen: i32, usage: u32, inLen: i32, form: i32): i32 {
  if (!loadKey(keyLen)) return WORK_BAD_KEY;
  if (inLen < 0 || inLen > WORK_DATA_LEN - ENVELOPE_LEN) return WORK_BAD_LENGTH;
  let n = inLen;
  if (form & SEAL_ENVELOPE) {
    memory.copy(work + WORK_DATA + ENVELOPE_LEN, work + WORK_DATA, n);
    n += putEnvelope(work + WORK_DATA);
  }
  const prefix = form & SEAL_PREFIXED ? 4 : 0;
  const to = work + WORK_RESULT + prefix;
  const iv = work + WORK_IV;
  const sealed = keySeal(keyType, keySecret, keySecretLen, usage, iv, work + WORK_DATA, n, to);
  if (prefix) store<u32>(work + WORK_RESULT, sealed);
  scratchWipe();
  return prefix + sealed;
}

/** Opens inLen bytes of WORK_DATA; the object starts at WORK_RESULT. See `open`. */
export function workOpen(keyLen: i32, usage: u32, inLen: i32, form: i32): i32 {
  if (!loadKey(keyLen)) return WORK_BAD_KEY;
  if (inLen < 0 || inLen > WORK_DATA_LEN) return WORK_BAD_LENGTH;
  let from = work + WORK_DATA;
  let n = inLen;
  if (form & SEAL_PREFIXED) {
    if (n < 4 || load<u32>(from) > ((n - 4) as u32)) return WORK_BAD_LENGTH;
    n = load<i32>(from);
    from += 4;
  }
  const to = work + WORK_RESULT;
  const ok = keyOpen(keyType, keySecret, keySecretLen, usage, from, n, to);
  scratchWipe();
  if (!ok) return WORK_NOT_OPENED;
  let at = openedAt;
  let len = openedLen;
  if (form & SEAL_ENVELOPE) {
    if (len < ENVELOPE_LEN || load<u64>(at + 1) != ENVELOPE_MAGIC) return WORK_NOT_OPENED;
    at += ENVELOPE_LEN;
    len -= ENVELOPE_LEN;
  }
  memory.copy(to, at, len);
  return len;
}

/** Ke, Ki or Kc of RFC 8009 section 5 into WORK_OUT; returns 32 or 24. */
export function workDerive(keyLen: i32, usage: u32, tag: i32): i32 {
  if (!loadKey(keyLen) || keyType != KEY_TYPE_AES256K) return WORK_BAD_KEY;
  if (tag != DERIVE_KE && tag != DERIVE_KI && tag != DERIVE_KC) return WORK_BAD_LENGTH;
  const n = k256Derive(keySecret, keySecretLen, usage, tag, work + WORK_OUT);
  scratchWipe();
  return n;
}

/**
 * The client's proof (spec section 7) of the challenges at WORK_DATA (u64 server, u64 client) as
 * a u64 in WORK_OUT; returns 8.
 */
export function workChallengeHash(keyLen: i32): i32 {
  if (!loadKey(keyLen)) return WORK_BAD_KEY;
  const out = work + WORK_OUT;
  if (keyType == KEY_TYPE_AES) {
    // The prefixed seal of the blob: the u32 length takes part in the folding, the end does not.
    const n = putEnvelope(BLOB);
    memory.copy(BLOB + n, work + WORK_DATA, 16);
    store<u32>(out, cbcSeal(keySecret, BLOB, n + 16, out + 4));
  } else hmac256(keySecret, keySecretLen, work + WORK_DATA, 16, out);
  store<u64>(out, load<u64>(out) ^ load<u64>(out, 8) ^ load<u64>(out, 16) ^ load<u64>(out, 24));
  wipe(out + 8, 40);
  scratchWipe();
  return 8;
}

/**
 * Raw key of keyLen bytes at WORK_KEY, input at WORK_DATA; result at WORK_RESULT, its length back.
 */
export function workPrimitive(op: i32, keyLen: i32, inLen: i32): i32 {
  if (keyLen < 0 || keyLen > WORK_KEY_LEN || inLen < 0 || inLen > WORK_DATA_LEN) {
    return WORK_BAD_LENGTH;
  }
  const from = work + WORK_DATA;
  const to = work + WORK_RESULT;
  const key = work + WORK_KEY;
  let n = WORK_BAD_LENGTH;
  if (op == PRIMITIVE_SHA256) {
    sha256(from, inLen, to);
    n = 32;
  } else if (op == PRIMITIVE_SHA384) {
    sha384(from, inLen, to);
    n = 48;
  } else if (op == PRIMITIVE_HMAC_SHA256) {
    hmac256(key, keyLen, from, inLen, to);
    n = 32;
  } else if (op == PRIMITIVE_HMAC_SHA384) {
    hmac384Pads(key, keyLen, PADS);
    hmac384(PADS, from, inLen, to);
    n = 48;
  } else if (op >= PRIMITIVE_AES128_ENCRYPT && op <= PRIMITIVE_AES256_CBC_DECRYPT) {
    n = aes(op, key, keyLen, from, inLen, to);
  }
  scratchWipe();
  return n;
}

function aes(op: i32, key: usize, keyLen: i32, from: usize, inLen: i32, to: usize): i32 {
  const big =
    op == PRIMITIVE_AES256_ENCRYPT ||
    op == PRIMITIVE_AES256_DECRYPT ||
    op == PRIMITIVE_AES256_CBC_ENCRYPT ||
    op == PRIMITIVE_AES256_CBC_DECRYPT;
  if (keyLen != (big ? 32 : 16) || inLen == 0 || (inLen & 15) != 0) return WORK_BAD_LENGTH;
  const rounds = big ? 14 : 10;
  const iv = work + WORK_IV;
  const decrypt =
    op == PRIMITIVE_AES128_DECRYPT ||
    op == PRIMITIVE_AES256_DECRYPT ||
    op == PRIMITIVE_AES128_CBC_DECRYPT ||
    op == PRIMITIVE_AES256_CBC_DECRYPT;
  if (decrypt) aesExpandDecrypt(key, keyLen, SCHEDULE);
  else aesExpandEncrypt(key, keyLen, SCHEDULE);
  if (op >= PRIMITIVE_AES128_CBC_ENCRYPT) {
    if (decrypt) {
      aesExpandWide(key, keyLen, WIDE);
      aesCbcDecrypt(SCHEDULE, WIDE, rounds, iv, from, to, inLen >> 4);
    } else aesCbcEncrypt(SCHEDULE, rounds, iv, from, to, inLen >> 4);
    return inLen;
  }
  for (let i = 0; i < inLen; i += 16) {
    if (decrypt) aesDecryptBlock(SCHEDULE, rounds, from + i, to + i);
    else aesEncryptBlock(SCHEDULE, rounds, from + i, to + i);
  }
  return inLen;
}

/** Zeros over the whole work block. */
export function workWipe(): void {
  wipe(work, WORK_LEN);
}

function loadKey(keyLen: i32): bool {
  if (keyLen < 0 || keyLen > WORK_KEY_LEN) return false;
  return cryptoKeyCheck(work + WORK_KEY, keyLen) == 0 && keyUsable(keyType, keySecretLen) != 0;
}

function scratchWipe(): void {
  wipe(SCHEDULE, 256);
  wipe(WIDE, AES_WIDE_LEN);
  wipe(PADS, 128);
  aesWipe();
  sha2Wipe();
  rfc8009Wipe();
}
