/**
 * AES-128 and AES-256, constant time in key and data: FIPS 197, and CBC of SP 800-38A. With SIMD
 * the cipher is aes-simd.ts and for many blocks aes-bits.ts, without it is aes-plain.ts; a schedule
 * of the one is nothing to the other.
 */

import { BITS_SCHEDULE_LEN, bitsCbcDecrypt, bitsExpand } from './aes-bits';
import { plainCbcDecrypt, plainDecrypt, plainEncrypt, plainExpand, plainWipe } from './aes-plain';
import {
  simdCbcDecrypt,
  simdDecrypt,
  simdEncrypt,
  simdExpandDecrypt,
  simdExpandEncrypt,
} from './aes-simd';

/** Bytes of a key schedule: 15 round keys, the number of AES-256. */
export const AES_SCHEDULE_LEN: i32 = 240;
/** Whether many blocks under one key are decrypted on bit planes, with a schedule for that. */
const WIDE: bool = ASC_FEATURE_SIMD;
/** Bit planes take as many blocks at once, and as long for one as for all of them. */
const WIDE_BLOCKS: i32 = 16;
/** Below this number of blocks the other way is quicker. */
const WIDE_BLOCKS_MIN: i32 = 9;
/** Bytes of a wide schedule; 0: the build has none. */
export const AES_WIDE_LEN: i32 = WIDE ? BITS_SCHEDULE_LEN : 0;
/** Rounds of AES-128 and of AES-256. */
export const AES128_ROUNDS: i32 = 10;
export const AES256_ROUNDS: i32 = 14;

/** Expands a key of 16 or 32 bytes at `key` for encryption, into AES_SCHEDULE_LEN bytes. */
export function aesExpandEncrypt(key: usize, keyLen: i32, schedule: usize): void {
  if (ASC_FEATURE_SIMD) simdExpandEncrypt(key, keyLen, schedule);
  else plainExpand(key, keyLen, schedule);
}

/** Expands a key of 16 or 32 bytes at `key` for decryption, into AES_SCHEDULE_LEN bytes. */
export function aesExpandDecrypt(key: usize, keyLen: i32, schedule: usize): void {
  if (ASC_FEATURE_SIMD) simdExpandDecrypt(key, keyLen, schedule);
  else plainExpand(key, keyLen, schedule);
}

/** Expands a key of 16 or 32 bytes for decryption of many blocks, into AES_WIDE_LEN bytes. */
export function aesExpandWide(key: usize, keyLen: i32, wide: usize): void {
  if (WIDE) bitsExpand(key, keyLen, wide);
}

/** Encrypts the 16 bytes at src into dst; they may be the same. */
export function aesEncryptBlock(schedule: usize, rounds: i32, src: usize, dst: usize): void {
  if (ASC_FEATURE_SIMD) simdEncrypt(schedule, rounds, src, dst);
  else plainEncrypt(schedule, rounds, src, dst);
}

/** Decrypts the 16 bytes at src into dst; they may be the same. */
export function aesDecryptBlock(schedule: usize, rounds: i32, src: usize, dst: usize): void {
  if (ASC_FEATURE_SIMD) simdDecrypt(schedule, rounds, src, dst);
  else plainDecrypt(schedule, rounds, src, dst);
}

/** CBC encryption of `blocks` blocks at src into dst (which may not overlap); iv is 16 bytes. */
export function aesCbcEncrypt(
  schedule: usize,
  rounds: i32,
  iv: usize,
  src: usize,
  dst: usize,
  blocks: i32,
): void {
  let before = iv;
  for (; blocks > 0; blocks--, src += 16, dst += 16) {
    store<u64>(dst, load<u64>(src) ^ load<u64>(before));
    store<u64>(dst + 8, load<u64>(src + 8) ^ load<u64>(before + 8));
    aesEncryptBlock(schedule, rounds, dst, dst);
    before = dst;
  }
}

/**
 * CBC decryption of `blocks` blocks at src into dst (which may not overlap); iv is 16 bytes. `wide`
 * is the wide schedule of the same key, or 0.
 */
export function aesCbcDecrypt(
  schedule: usize,
  wide: usize,
  rounds: i32,
  iv: usize,
  src: usize,
  dst: usize,
  blocks: i32,
): void {
  if (WIDE && wide != 0) {
    while (blocks >= WIDE_BLOCKS_MIN) {
      const n = min(blocks, WIDE_BLOCKS);
      bitsCbcDecrypt(wide, rounds, iv, src, dst, n);
      if (n == blocks) return;
      blocks -= n;
      iv = src + (n << 4) - 16;
      src += n << 4;
      dst += n << 4;
    }
  }
  if (ASC_FEATURE_SIMD) simdCbcDecrypt(schedule, rounds, iv, src, dst, blocks);
  else plainCbcDecrypt(schedule, rounds, iv, src, dst, blocks);
}

/** Zeroes the static scratch that the cipher leaves. */
export function aesWipe(): void {
  if (!ASC_FEATURE_SIMD) plainWipe();
}
