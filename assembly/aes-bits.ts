/**
 * AES decryption on bit planes, up to sixteen blocks at a time, for the builds with SIMD: thirteen
 * blocks, a usual ticket, take two thirds of the time of aes-simd.ts without relaxed instructions.
 * Constant time: no branch and no address depends on a key or on data.
 *
 * Plane b holds bit b of 128 bytes: its byte 4 * row + column is that byte of the state, of which
 * bit k belongs to block k. Round keys are kept as planes too, the last one first, and carry the
 * affine constant 0x63 of SubBytes except for the first key: InvMixColumns leaves a column of equal
 * bytes alone.
 */

import { bitsLast, bitsRound, GROUP_LEN, GROUPS } from './aes-bits-round';
import { simdExpandEncrypt } from './aes-simd';
import { KEY_ENC_LAST } from './aes-tables';
import { wipe, zeroSpare } from './bytes';
import { Vec } from './vec';

/**
 * Bytes of a key schedule: the last round key as it is, then the others as planes, at most the 14
 * that AES-256 has left.
 */
export const BITS_SCHEDULE_LEN: i32 = 16 + 14 * 128;

const SCHEDULE: usize = memory.data(240, 16);
/** The blocks behind the eighth. */
const REST: usize = memory.data(128, 16);

/** Expands a key of 16 or 32 bytes into BITS_SCHEDULE_LEN bytes. */
export function bitsExpand(key: usize, keyLen: i32, planes: usize): void {
  const rounds = (keyLen >> 2) + 6;
  simdExpandEncrypt(key, keyLen, SCHEDULE);
  for (let n = 0; n <= rounds; n++) {
    const x = v128.load(SCHEDULE + (n << 4));
    if (n == rounds) {
      v128.store(planes, x);
      continue;
    }
    // Out of tower form, in which all but the last key are.
    putKey(planes + ((rounds - n) << 7) - 112, Vec.pair(KEY_ENC_LAST, Vec.high(x), Vec.low(x)));
  }
  wipe(SCHEDULE, 240);
}

/** Bit b of every byte, to all bits of that byte of plane b. */
function putKey(to: usize, rows: v128): void {
  for (let b = 0; b < 8; b++) {
    const bit = Vec.bytes(1 << b);
    v128.store(to + (b << 4), i8x16.eq(v128.and(rows, bit), bit));
  }
}

/** CBC decryption of 9 to 16 blocks at src into dst (which may not overlap); iv is 16 bytes. */
export function bitsCbcDecrypt(
  planes: usize,
  rounds: i32,
  iv: usize,
  src: usize,
  dst: usize,
  blocks: i32,
): void {
  const rest = (blocks - 8) << 4;
  // The second group is as long as the first: behind the last block it has old ciphertext.
  for (let n = 0; n < rest; n += 16) v128.store(REST + n, v128.load(src + 128 + n));
  const first = v128.load(planes);
  transpose(src, GROUPS, first);
  transpose(REST, GROUPS + GROUP_LEN, first);
  let key = planes + 16;
  for (const end = key + ((rounds - 1) << 7); key < end; key += 128) bitsRound(key);
  bitsLast(key);
  const nothing = i64x2(0, 0);
  transpose(GROUPS, GROUPS, nothing);
  transpose(GROUPS + GROUP_LEN, GROUPS + GROUP_LEN, nothing);
  chain(iv, src, GROUPS, dst, 128);
  chain(src + 112, REST, GROUPS + GROUP_LEN, dst + 128, rest);
  // Wiped here: most calls of the core come by without planes. A long fill would be a call.
  for (let n = 0; n < 2 * GROUP_LEN; n += 64) zeroSpare(GROUPS + n);
}

/** The blocks at `opened`, each with the ciphertext before it added, into dst. */
function chain(iv: usize, src: usize, opened: usize, dst: usize, len: i32): void {
  let before = v128.load(iv);
  for (let n = 0; n < len; n += 16) {
    v128.store(dst + n, v128.xor(v128.load(opened + n), before));
    before = v128.load(src + n);
  }
}

/**
 * Eight blocks, with `key` added, to planes, or planes to blocks: by rows or out of them, and bit b
 * of byte j of word k to bit k of byte j of word b, which is its own inverse.
 */
// biome-ignore format: one exchange a line
function transpose(from: usize, to: usize, key: v128): void {
  let x0 = Bits.load(from, 0, key); let x1 = Bits.load(from, 1, key);
  let x2 = Bits.load(from, 2, key); let x3 = Bits.load(from, 3, key);
  let x4 = Bits.load(from, 4, key); let x5 = Bits.load(from, 5, key);
  let x6 = Bits.load(from, 6, key); let x7 = Bits.load(from, 7, key);
  let t = Bits.unlike(x0, x1, 1, 0x55); x0 = Bits.up(x0, t, 1); x1 = v128.xor(x1, t);
  t = Bits.unlike(x2, x3, 1, 0x55); x2 = Bits.up(x2, t, 1); x3 = v128.xor(x3, t);
  t = Bits.unlike(x4, x5, 1, 0x55); x4 = Bits.up(x4, t, 1); x5 = v128.xor(x5, t);
  t = Bits.unlike(x6, x7, 1, 0x55); x6 = Bits.up(x6, t, 1); x7 = v128.xor(x7, t);
  t = Bits.unlike(x0, x2, 2, 0x33); x0 = Bits.up(x0, t, 2); x2 = v128.xor(x2, t);
  t = Bits.unlike(x1, x3, 2, 0x33); x1 = Bits.up(x1, t, 2); x3 = v128.xor(x3, t);
  t = Bits.unlike(x4, x6, 2, 0x33); x4 = Bits.up(x4, t, 2); x6 = v128.xor(x6, t);
  t = Bits.unlike(x5, x7, 2, 0x33); x5 = Bits.up(x5, t, 2); x7 = v128.xor(x7, t);
  t = Bits.unlike(x0, x4, 4, 0x0f); x0 = Bits.up(x0, t, 4); x4 = v128.xor(x4, t);
  t = Bits.unlike(x1, x5, 4, 0x0f); x1 = Bits.up(x1, t, 4); x5 = v128.xor(x5, t);
  t = Bits.unlike(x2, x6, 4, 0x0f); x2 = Bits.up(x2, t, 4); x6 = v128.xor(x6, t);
  t = Bits.unlike(x3, x7, 4, 0x0f); x3 = Bits.up(x3, t, 4); x7 = v128.xor(x7, t);
  v128.store(to, x0); v128.store(to, x1, 16); v128.store(to, x2, 32); v128.store(to, x3, 48);
  v128.store(to, x4, 64); v128.store(to, x5, 80); v128.store(to, x6, 96); v128.store(to, x7, 112);
}

class Bits {
  /** Word n, with `key` added and its rows made columns. */
  @inline static load(from: usize, n: i32, key: v128): v128 {
    const rows = i8x16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return i8x16.swizzle(v128.xor(v128.load(from + 16 * n), key), rows);
  }

  /** Where the bits of a at mask << n are not those of b at mask. */
  @inline static unlike(a: v128, b: v128, n: i32, mask: i32): v128 {
    return v128.and(v128.xor(i16x8.shr_u(a, n), b), Vec.bytes(mask));
  }

  /** a with the bits of t, n higher, turned. */
  @inline static up(a: v128, t: v128, n: i32): v128 {
    return v128.xor(a, i16x8.shl(t, n));
  }
}
