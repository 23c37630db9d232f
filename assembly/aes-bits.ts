/**
 * AES decryption on bit planes, eight blocks at a time, for the build with SIMD but without its
 * relaxed instructions: there a byte shuffle of a secret index costs twice what it should, and this
 * way, which needs none, takes two thirds of the time of aes-simd.ts. Constant time: no branch and
 * no address depends on a key or on data.
 *
 * Plane b holds bit b of 128 bytes: its byte 4 * row + column is that byte of the state, of which
 * bit k belongs to block k. Round keys are kept as planes too, the last one first, and carry the
 * affine constant 0x63 of SubBytes except for the first key: InvMixColumns leaves a column of equal
 * bytes alone. Bytes are inverted as in aes-planes.ts.
 */

import { simdExpandEncrypt } from './aes-simd';
import { KEY_ENC_LAST, ROWS } from './aes-tables';
import { wipe } from './bytes';
import { Vec } from './vec';

/** Bytes of a key schedule as planes: 15 round keys, the number of AES-256. */
export const BITS_SCHEDULE_LEN: i32 = 15 * 128;

/** The state on its way in and out: secret. */
const PLANES: usize = memory.data(128, 16);
const SCHEDULE: usize = memory.data(240, 16);

/** InvShiftRows: row r turned by r columns. */
const UNSHIFT: usize = memory.data<u8>([0, 1, 2, 3, 7, 4, 5, 6, 10, 11, 8, 9, 13, 14, 15, 12], 16);

/** Expands a key of 16 or 32 bytes into BITS_SCHEDULE_LEN bytes. */
export function bitsExpand(key: usize, keyLen: i32, planes: usize): void {
  const rounds = (keyLen >> 2) + 6;
  simdExpandEncrypt(key, keyLen, SCHEDULE);
  for (let n = 0; n <= rounds; n++) {
    const x = v128.load(SCHEDULE + (n << 4));
    const to = planes + ((rounds - n) << 7);
    // Out of tower form, in which all but the last key are.
    if (n == rounds) putKey(to, Vec.arrange(x, ROWS));
    else putKey(to, Vec.pair(KEY_ENC_LAST, Vec.high(x), Vec.low(x)));
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

/** Zeroes the scratch of this module. */
export function bitsWipe(): void {
  wipe(PLANES, 128);
}

/** CBC decryption of eight blocks at src into dst (which may not overlap); iv is 16 bytes. */
export function bitsCbcDecrypt(
  planes: usize,
  rounds: i32,
  iv: usize,
  src: usize,
  dst: usize,
): void {
  for (let k = 0; k < 128; k += 16) {
    v128.store(PLANES + k, Vec.arrange(v128.load(src + k), ROWS));
  }
  transpose();
  decryptPlanes(planes, planes + (rounds << 7));
  transpose();
  let before = v128.load(iv);
  for (let k = 0; k < 128; k += 16) {
    const x = Vec.arrange(v128.load(PLANES + k), ROWS);
    v128.store(dst + k, v128.xor(x, before));
    before = v128.load(src + k);
  }
}

/** Bit b of byte j of word k to bit k of byte j of word b; its own inverse. */
function transpose(): void {
  Bits.exchange(0, 16, 1, 0x55);
  Bits.exchange(32, 48, 1, 0x55);
  Bits.exchange(64, 80, 1, 0x55);
  Bits.exchange(96, 112, 1, 0x55);
  Bits.exchange(0, 32, 2, 0x33);
  Bits.exchange(16, 48, 2, 0x33);
  Bits.exchange(64, 96, 2, 0x33);
  Bits.exchange(80, 112, 2, 0x33);
  Bits.exchange(0, 64, 4, 0x0f);
  Bits.exchange(16, 80, 4, 0x0f);
  Bits.exchange(32, 96, 4, 0x0f);
  Bits.exchange(48, 112, 4, 0x0f);
}

class Bits {
  /** Exchanges the bits of word `a` at mask << n with those of word `b` at mask. */
  @inline static exchange(a: usize, b: usize, n: i32, mask: i32): void {
    const x = v128.load(PLANES + a);
    const y = v128.load(PLANES + b);
    const t = v128.and(v128.xor(i16x8.shr_u(x, n), y), Vec.bytes(mask));
    v128.store(PLANES + b, v128.xor(y, t));
    v128.store(PLANES + a, v128.xor(x, i16x8.shl(t, n)));
  }

  /** Plane b with the first key of the schedule added. */
  @inline static first(b: usize, planes: usize): v128 {
    return v128.xor(v128.load(PLANES + 16 * b), v128.load(planes + 16 * b));
  }

  @inline static put(b: usize, x: v128): void {
    v128.store(PLANES + 16 * b, x);
  }

  @inline static sum(a: v128, b: v128): v128 {
    return v128.xor(a, b);
  }

  @inline static shift(x: v128, order: v128): v128 {
    return Vec.lookup(x, order);
  }

  /** The plane of a round key at byte b added. */
  @inline static key(x: v128, key: usize, b: usize): v128 {
    return v128.xor(x, v128.load(key + b));
  }

  /** x0 + x2, rows counted downwards. */
  @inline static fold(x: v128): v128 {
    return v128.xor(x, v128.shuffle<i32>(x, x, 2, 3, 0, 1));
  }

  /** x0 + x1. */
  @inline static pair(x: v128): v128 {
    return v128.xor(x, v128.shuffle<i32>(x, x, 1, 2, 3, 0));
  }

  /** x1 + z2. */
  @inline static mix(x: v128, z: v128): v128 {
    return v128.xor(v128.shuffle<i32>(x, x, 1, 2, 3, 0), v128.shuffle<i32>(z, z, 2, 3, 0, 1));
  }
}

/** Products in GF(4), on the basis (W^2, W). */
class Gf4 {
  @inline static high(a1: v128, a0: v128, b1: v128, b0: v128): v128 {
    const sums = v128.and(v128.xor(a1, a0), v128.xor(b1, b0));
    return v128.xor(sums, v128.and(a1, b1));
  }

  @inline static low(a1: v128, a0: v128, b1: v128, b0: v128): v128 {
    const sums = v128.and(v128.xor(a1, a0), v128.xor(b1, b0));
    return v128.xor(sums, v128.and(a0, b0));
  }
}

/**
 * All rounds, from the key at `planes` to that at `end`, on locals: by way of memory it would take
 * a third more. In order InvShiftRows (x), into tower form (h, l), the inverse (p to u), out of it,
 * the key, InvMixColumns: MixColumns after x0 + 4 * (x0 + x2), where doubling is the next plane and
 * 0x1b for what leaves the last.
 */
// biome-ignore format: several planes a line
function decryptPlanes(planes: usize, end: usize): void {
  const order = v128.load(UNSHIFT);
  let c0 = Bits.first(0, planes); let c1 = Bits.first(1, planes);
  let c2 = Bits.first(2, planes); let c3 = Bits.first(3, planes);
  let c4 = Bits.first(4, planes); let c5 = Bits.first(5, planes);
  let c6 = Bits.first(6, planes); let c7 = Bits.first(7, planes);
  for (let key = planes + 128; ; key += 128) {
    const x0 = Bits.shift(c0, order); const x1 = Bits.shift(c1, order);
    const x2 = Bits.shift(c2, order); const x3 = Bits.shift(c3, order);
    const x4 = Bits.shift(c4, order); const x5 = Bits.shift(c5, order);
    const x6 = Bits.shift(c6, order); const x7 = Bits.shift(c7, order); const a0 = Bits.sum(x4, x6);
    const a1 = Bits.sum(x0, x1); const a2 = Bits.sum(a0, a1); const a3 = Bits.sum(x0, x3);
    const a4 = Bits.sum(x2, x7); const a5 = Bits.sum(x3, x6); const l1 = Bits.sum(a1, a5);
    const l2 = Bits.sum(x4, x7); const h0 = Bits.sum(x4, a3); const h1 = Bits.sum(x5, a2);
    const h2 = Bits.sum(x7, a0); const h3 = Bits.sum(x5, a4);
    const p1 = Gf4.high(Bits.sum(h3, h1), Bits.sum(h2, h0), Bits.sum(a2, l1), Bits.sum(l2, a0));
    const p0 = Gf4.low(Bits.sum(h3, h1), Bits.sum(h2, h0), Bits.sum(a2, l1), Bits.sum(l2, a0));
    const s3 = Bits.sum(h3, a2); const s2 = Bits.sum(h2, l2); const s1 = Bits.sum(h1, l1);
    const s0 = Bits.sum(h0, a0);
    const n3 = Bits.sum(Bits.sum(Bits.sum(Bits.sum(Gf4.high(h3, h2, a2, l2), p1), p0), s2), s0);
    const n2 = Bits.sum(Bits.sum(Bits.sum(Gf4.low(h3, h2, a2, l2), p1), s3), s1);
    const n1 = Bits.sum(Bits.sum(Bits.sum(Gf4.high(h1, h0, l1, a0), p1), p0), s1);
    const n0 = Bits.sum(Bits.sum(Bits.sum(Gf4.low(h1, h0, l1, a0), p1), s1), s0);
    const m1 = Bits.sum(Bits.sum(Bits.sum(Bits.sum(Gf4.high(n3, n2, n1, n0), n3), n1), n2), n0);
    const m0 = Bits.sum(Bits.sum(Gf4.low(n3, n2, n1, n0), n2), n0);
    const v3 = Gf4.high(n1, n0, m0, m1); const v2 = Gf4.low(n1, n0, m0, m1);
    const v1 = Gf4.high(n3, n2, m0, m1); const v0 = Gf4.low(n3, n2, m0, m1);
    const q1 = Gf4.high(Bits.sum(v3, v1), Bits.sum(v2, v0), Bits.sum(a2, l1), Bits.sum(l2, a0));
    const q0 = Gf4.low(Bits.sum(v3, v1), Bits.sum(v2, v0), Bits.sum(a2, l1), Bits.sum(l2, a0));
    const u7 = Bits.sum(Bits.sum(Gf4.high(v3, v2, a2, l2), q1), q0);
    const u6 = Bits.sum(Gf4.low(v3, v2, a2, l2), q1);
    const u5 = Bits.sum(Bits.sum(Gf4.high(v1, v0, l1, a0), q1), q0);
    const u4 = Bits.sum(Gf4.low(v1, v0, l1, a0), q1);
    const r1 = Gf4.high(Bits.sum(v3, v1), Bits.sum(v2, v0), Bits.sum(h3, h1), Bits.sum(h2, h0));
    const r0 = Gf4.low(Bits.sum(v3, v1), Bits.sum(v2, v0), Bits.sum(h3, h1), Bits.sum(h2, h0));
    const u3 = Bits.sum(Bits.sum(Gf4.high(v3, v2, h3, h2), r1), r0);
    const u2 = Bits.sum(Gf4.low(v3, v2, h3, h2), r1);
    const u1 = Bits.sum(Bits.sum(Gf4.high(v1, v0, h1, h0), r1), r0);
    const u0 = Bits.sum(Gf4.low(v1, v0, h1, h0), r1); const b0 = Bits.sum(u0, u4);
    const b1 = Bits.sum(u3, u6); const b2 = Bits.sum(u2, b1); const b3 = Bits.sum(u1, b0);
    const b4 = Bits.sum(u5, b2); const b5 = Bits.sum(u7, b1); const b7 = Bits.sum(u0, b4);
    const o2 = Bits.sum(u2, b3); const o3 = Bits.sum(b3, b5); const o4 = Bits.sum(u3, u4);
    const o5 = Bits.sum(u7, b7); const o6 = Bits.sum(b0, b4); const o7 = Bits.sum(u1, u4);
    c0 = Bits.key(u7, key, 0); c1 = Bits.key(b0, key, 16); c2 = Bits.key(o2, key, 32);
    c3 = Bits.key(o3, key, 48); c4 = Bits.key(o4, key, 64); c5 = Bits.key(o5, key, 80);
    c6 = Bits.key(o6, key, 96); c7 = Bits.key(o7, key, 112);
    if (key == end) break;
    const y0 = Bits.fold(c0); const y1 = Bits.fold(c1); const y2 = Bits.fold(c2);
    const y3 = Bits.fold(c3); const y4 = Bits.fold(c4); const y5 = Bits.fold(c5);
    const y6 = Bits.fold(c6); const y7 = Bits.fold(c7); const w0 = Bits.sum(c0, y6);
    const w1 = Bits.sum(Bits.sum(c1, y6), y7); const w2 = Bits.sum(Bits.sum(c2, y0), y7);
    const w3 = Bits.sum(Bits.sum(c3, y1), y6);
    const w4 = Bits.sum(Bits.sum(Bits.sum(c4, y2), y6), y7);
    const w5 = Bits.sum(Bits.sum(c5, y3), y7); const w6 = Bits.sum(c6, y4);
    const w7 = Bits.sum(c7, y5); const z0 = Bits.pair(w0); const z1 = Bits.pair(w1);
    const z2 = Bits.pair(w2); const z3 = Bits.pair(w3); const z4 = Bits.pair(w4);
    const z5 = Bits.pair(w5); const z6 = Bits.pair(w6); const z7 = Bits.pair(w7);
    c0 = Bits.sum(Bits.mix(w0, z0), z7); c1 = Bits.sum(Bits.sum(Bits.mix(w1, z1), z0), z7);
    c2 = Bits.sum(Bits.mix(w2, z2), z1); c3 = Bits.sum(Bits.sum(Bits.mix(w3, z3), z2), z7);
    c4 = Bits.sum(Bits.sum(Bits.mix(w4, z4), z3), z7); c5 = Bits.sum(Bits.mix(w5, z5), z4);
    c6 = Bits.sum(Bits.mix(w6, z6), z5); c7 = Bits.sum(Bits.mix(w7, z7), z6);
  }
  Bits.put(0, c0); Bits.put(1, c1); Bits.put(2, c2); Bits.put(3, c3);
  Bits.put(4, c4); Bits.put(5, c5); Bits.put(6, c6); Bits.put(7, c7);
}
