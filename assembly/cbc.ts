/**
 * Sealing with a key of type `aes`: AES-128-CBC under a constant IV, PKCS#7, no MAC, no usage
 * (spec section 4; Ceph: src/auth/Crypto.cc, CryptoAESKeyHandler).
 *
 * What this key type cannot promise: equal plaintexts seal to equal ciphertexts, and a ciphertext
 * can be altered; flipping a bit garbles one block and flips the same bit in the next.
 */

import {
  AES_SCHEDULE_LEN,
  AES128_ROUNDS,
  aesCbcDecrypt,
  aesCbcEncrypt,
  aesExpandDecrypt,
  aesExpandEncrypt,
  aesExpandWide,
} from './aes';
import { wipe } from './bytes';

/** Bytes of a prepared opening key. */
export const CBC_OPEN_LEN: i32 = AES_SCHEDULE_LEN;

/** CEPH_AES_IV, the ASCII text "cephsageyudagreg". */
const IV: usize = memory.data<u8>(
  [0x63, 0x65, 0x70, 0x68, 0x73, 0x61, 0x67, 0x65, 0x79, 0x75, 0x64, 0x61, 0x67, 0x72, 0x65, 0x67],
  16,
);

const SCHEDULE: usize = memory.data(AES_SCHEDULE_LEN, 16);
const LAST: usize = memory.data(16, 16);

/** Prepares the first 16 bytes of a secret for opening, into CBC_OPEN_LEN bytes. */
export function cbcPrepareOpen(secret: usize, prepared: usize): void {
  aesExpandDecrypt(secret, 16, prepared);
}

/** Prepares the same for many blocks, into AES_WIDE_LEN bytes. */
export function cbcPrepareWide(secret: usize, wide: usize): void {
  aesExpandWide(secret, 16, wide);
}

/**
 * Decrypts len bytes (a positive multiple of 16) at src into dst; the padding stays in place.
 * `wide` is the wide schedule of the secret (aes.ts), or 0.
 */
export function cbcOpen(prepared: usize, wide: usize, src: usize, len: i32, dst: usize): void {
  aesCbcDecrypt(prepared, wide, AES128_ROUNDS, IV, src, dst, len >> 4);
}

/** Seals len bytes at src into dst. Returns the ciphertext length, 16 * (len / 16 + 1). */
export function cbcSeal(secret: usize, src: usize, len: i32, dst: usize): i32 {
  const whole = len & ~15;
  const rest = len & 15;
  memory.fill(LAST, (16 - rest) as u8, 16);
  memory.copy(LAST, src + whole, rest);
  aesExpandEncrypt(secret, 16, SCHEDULE);
  aesCbcEncrypt(SCHEDULE, AES128_ROUNDS, IV, src, dst, whole >> 4);
  const before = whole == 0 ? IV : dst + whole - 16;
  aesCbcEncrypt(SCHEDULE, AES128_ROUNDS, before, LAST, dst + whole, 1);
  wipe(SCHEDULE, AES_SCHEDULE_LEN);
  wipe(LAST, 16);
  return whole + 16;
}
