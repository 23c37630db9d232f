/**
 * aes256-cts-hmac-sha384-192 of RFC 8009, as cephx seals with it under key type `aes256k`
 * (spec section 5; Ceph: src/auth/Crypto.cc, CryptoAES256KRB5).
 *
 * Sealed: C ‖ MAC. C is confounder ‖ plaintext under AES-256-CBC with ciphertext stealing CS3 and a
 * zero IV; the MAC is 24 bytes of HMAC-SHA384 over the zero IV ‖ C. Open in this order: k256MacOk,
 * then, and only if it says 1, k256Decrypt.
 */

import {
  AES_SCHEDULE_LEN,
  AES256_ROUNDS,
  aesCbcDecrypt,
  aesCbcEncrypt,
  aesExpandDecrypt,
  aesExpandEncrypt,
  aesExpandWide,
} from './aes';
import { equal, wipe } from './bytes';
import { HMAC384_PADS_LEN, hmac384, hmac384Pads, hmac384Two } from './sha2';

/** Bytes of a prepared opening key: schedule of Ke for decryption, saved pads of Ki. */
export const K256_OPEN_LEN: i32 = AES_SCHEDULE_LEN + HMAC384_PADS_LEN;
/** Bytes of the confounder, and of the MAC: what sealing adds. */
export const K256_CONFOUNDER_LEN: i32 = 16;
export const K256_MAC_LEN: i32 = 24;

/** Tags of RFC 8009 section 5: encryption, integrity, checksum. */
const TAG_KE: i32 = 0xaa;
const TAG_KI: i32 = 0x55;

const KE_LEN: i32 = 32;
const KI_LEN: i32 = 24;
const LABEL_LEN: i32 = 14;

const ZEROS: usize = memory.data(16, 16);

/** Scratch: derived key or MAC, label, a block and its neighbour, pads of the secret. */
const SCRATCH_LEN: i32 = 240;
const SCRATCH: usize = memory.data(SCRATCH_LEN, 16);
const DERIVED: usize = SCRATCH;
const LABEL: usize = SCRATCH + 48;
const TAIL: usize = SCRATCH + 64;
const SECRET_PADS: usize = SCRATCH + 112;

/** Sealing key, wiped by k256Seal itself. */
const SEAL_KEY: usize = memory.data(K256_OPEN_LEN, 16);

/** Prepares a secret of 1 to 128 bytes for opening under one usage, into K256_OPEN_LEN bytes. */
export function k256PrepareOpen(secret: usize, secretLen: i32, usage: u32, prepared: usize): void {
  hmac384Pads(secret, secretLen, SECRET_PADS);
  derive(usage, TAG_KE, KE_LEN);
  aesExpandDecrypt(DERIVED, KE_LEN, prepared);
  derive(usage, TAG_KI, KI_LEN);
  hmac384Pads(DERIVED, KI_LEN, prepared + AES_SCHEDULE_LEN);
}

/** Prepares the same secret and usage for many blocks, into AES_WIDE_LEN bytes. */
export function k256PrepareWide(secret: usize, secretLen: i32, usage: u32, wide: usize): void {
  hmac384Pads(secret, secretLen, SECRET_PADS);
  derive(usage, TAG_KE, KE_LEN);
  aesExpandWide(DERIVED, KE_LEN, wide);
}

/** 1 if the MAC of the len (at least 40) bytes C ‖ MAC at src is right, else 0. */
export function k256MacOk(prepared: usize, src: usize, len: i32): i32 {
  const bodyLen = len - K256_MAC_LEN;
  hmac384Two(prepared + AES_SCHEDULE_LEN, ZEROS, 16, src, bodyLen, DERIVED);
  return equal(DERIVED, src + bodyLen, K256_MAC_LEN);
}

/**
 * Decrypts C of the len (at least 40) bytes C ‖ MAC at src into dst: len - 24 bytes, of which the
 * first 16 are the confounder. `wide` is the wide schedule of the same key (aes.ts), or 0.
 */
export function k256Decrypt(prepared: usize, wide: usize, src: usize, len: i32, dst: usize): void {
  const bodyLen = len - K256_MAC_LEN;
  const rest = ((bodyLen - 1) & 15) + 1;
  const blocks = (bodyLen - rest) >> 4;
  if (blocks == 0) {
    aesCbcDecrypt(prepared, 0, AES256_ROUNDS, ZEROS, src, dst, 1);
    return;
  }
  // C ends with X, the last block of plain CBC, then Y, the first bytes of the block before X.
  const x = src + ((blocks - 1) << 4);
  const y = x + 16;
  const before = blocks > 1 ? x - 16 : ZEROS;
  const last = dst + ((blocks - 1) << 4);
  // X goes with the blocks before it, so that it costs no more than they; its chaining is undone.
  aesCbcDecrypt(prepared, wide, AES256_ROUNDS, ZEROS, src, dst, blocks);
  store<u64>(TAIL, load<u64>(last) ^ load<u64>(before));
  store<u64>(TAIL, load<u64>(last, 8) ^ load<u64>(before, 8), 8);
  for (let i = 0; i < rest; i++) {
    const stolen = load<u8>(y + i);
    store<u8>(dst + (blocks << 4) + i, load<u8>(TAIL + i) ^ stolen);
    store<u8>(TAIL + i, stolen);
  }
  aesCbcDecrypt(prepared, 0, AES256_ROUNDS, before, TAIL, last, 1);
}

/**
 * Seals len bytes at src under a secret of 1 to 128 bytes; `confounder` is 16 random bytes. Writes
 * C ‖ MAC at dst (which may not overlap src) and returns its length, len + 40.
 */
export function k256Seal(
  secret: usize,
  secretLen: i32,
  usage: u32,
  confounder: usize,
  src: usize,
  len: i32,
  dst: usize,
): i32 {
  hmac384Pads(secret, secretLen, SECRET_PADS);
  derive(usage, TAG_KE, KE_LEN);
  aesExpandEncrypt(DERIVED, KE_LEN, SEAL_KEY);
  derive(usage, TAG_KI, KI_LEN);
  hmac384Pads(DERIVED, KI_LEN, SEAL_KEY + AES_SCHEDULE_LEN);
  encrypt(confounder, src, len, dst);
  const bodyLen = len + K256_CONFOUNDER_LEN;
  hmac384Two(SEAL_KEY + AES_SCHEDULE_LEN, ZEROS, 16, dst, bodyLen, DERIVED);
  memory.copy(dst + bodyLen, DERIVED, K256_MAC_LEN);
  wipe(SEAL_KEY, K256_OPEN_LEN);
  return bodyLen + K256_MAC_LEN;
}

/** C = confounder ‖ plaintext under CBC; the last two blocks change places, the stolen one cut. */
function encrypt(confounder: usize, src: usize, len: i32, dst: usize): void {
  const whole = len >> 4;
  const rest = len & 15;
  aesCbcEncrypt(SEAL_KEY, AES256_ROUNDS, ZEROS, confounder, dst, 1);
  aesCbcEncrypt(SEAL_KEY, AES256_ROUNDS, dst, src, dst + 16, whole);
  if (len == 0) return;
  const last = dst + (whole << 4);
  if (rest == 0) {
    memory.copy(TAIL, last, 16);
    memory.copy(last, last - 16, 16);
    memory.copy(last - 16, TAIL, 16);
    return;
  }
  memory.fill(TAIL, 0, 16);
  memory.copy(TAIL, src + (whole << 4), rest);
  aesCbcEncrypt(SEAL_KEY, AES256_ROUNDS, last, TAIL, TAIL + 16, 1);
  memory.copy(last + 16, last, rest);
  memory.copy(last, TAIL + 16, 16);
}

/** Writes the derived key of a tag (0xaa Ke, 0x55 Ki, 0x99 Kc) at `out`. Returns 32 or 24. */
export function k256Derive(secret: usize, secretLen: i32, usage: u32, tag: i32, out: usize): i32 {
  const len = tag == TAG_KE ? KE_LEN : KI_LEN;
  hmac384Pads(secret, secretLen, SECRET_PADS);
  derive(usage, tag, len);
  memory.copy(out, DERIVED, len);
  return len;
}

/** Zeroes the scratch of this module. */
export function rfc8009Wipe(): void {
  wipe(SCRATCH, SCRATCH_LEN);
}

/**
 * RFC 8009 section 3, KDF-HMAC-SHA2 under SECRET_PADS: one call gives len (at most 48) bytes, at
 * DERIVED. Label: counter 1, usage, tag, 0, length in bits; numbers are big-endian.
 */
function derive(usage: u32, tag: i32, len: i32): void {
  store<u32>(LABEL, bswap<u32>(1));
  store<u32>(LABEL + 4, bswap<u32>(usage));
  store<u16>(LABEL + 8, tag as u16);
  store<u32>(LABEL + 10, bswap<u32>((len << 3) as u32));
  hmac384(SECRET_PADS, LABEL, LABEL_LEN, DERIVED);
}
