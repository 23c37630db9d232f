/**
 * A round of AES decryption on bit planes (aes-bits.ts), for two groups of eight blocks at once.
 *
 * What costs here is waiting: a round is 26 operations deep, and one group has less than two of
 * them to do at a time. So the groups take turns, a part of the round each. Two things keep an
 * engine's compiler from undoing that: what a part hands on goes by way of memory, which fixes the
 * order, and no more than 15 values are alive anywhere, so that none goes to the stack. There a
 * store may cross two lines, as V8 does not align it.
 *
 * Bytes are inverted as in aes-planes.ts: with x = h * Y^16 + l * Y and
 * n = h * l + norm(Y) * (h + l)^2, 1/x is l/n * Y^16 + h/n * Y. A sum of two bits and their product
 * is one operation, `or`. Constant time: no branch and no address depends on a key or on data.
 */

/** Bytes of one group: its planes, then what the parts of a round hand on. */
export const GROUP_LEN: i32 = 512;

/** Both groups: secret. */
export const GROUPS: usize = memory.data(1024, 16);

// Where a group keeps h and l, the sums hs = h_high + h_low and ls, and its element n of GF(16).
const H3: i32 = 8;
const H2: i32 = 9;
const H1: i32 = 10;
const H0: i32 = 11;
const L3: i32 = 12;
const L2: i32 = 13;
const L1: i32 = 14;
const L0: i32 = 15;
const HS1: i32 = 16;
const HS0: i32 = 17;
const LS1: i32 = 18;
const LS0: i32 = 19;
const N3: i32 = 20;
const N2: i32 = 21;
const N1: i32 = 22;
const N0: i32 = 23;
/** Parts of n, gone when the products come. */
const PARTS: i32 = 24;
/** Twelve halves of the products l/n and h/n, over n and its parts. */
const PRODUCTS: i32 = 20;

/** All rounds but the last: InvShiftRows, InvSubBytes, the key of the round, InvMixColumns. */
export function bitsRound(key: usize): void {
  bitsLast(key);
  Round.mixColumns(GROUPS);
  Round.mixColumns(GROUPS + GROUP_LEN);
}

/** The last round, which has no InvMixColumns. */
export function bitsLast(key: usize): void {
  Round.split(GROUPS);
  Round.split(GROUPS + GROUP_LEN);
  Round.divide(GROUPS);
  Round.divide(GROUPS + GROUP_LEN);
  Round.join(GROUPS, key);
  Round.join(GROUPS + GROUP_LEN, key);
}

class Round {
  @inline static get(group: usize, n: i32): v128 {
    return v128.load(group + 16 * n);
  }

  @inline static put(group: usize, n: i32, x: v128): void {
    v128.store(group + 16 * n, x);
  }

  /** Plane n after InvShiftRows: row r turned by r columns. */
  @inline static plane(group: usize, n: i32): v128 {
    // A constant order is one instruction of the machine, one from memory two.
    const order = i8x16(0, 1, 2, 3, 7, 4, 5, 6, 10, 11, 8, 9, 13, 14, 15, 12);
    return i8x16.swizzle(Round.get(group, n), order);
  }

  /** InvShiftRows, into tower form, and n. */
  @inline static split(group: usize): void {
    const x3 = Round.plane(group, 3);
    const x4 = Round.plane(group, 4);
    const ls1 = v128.xor(x3, x4);
    Round.put(group, LS1, ls1);
    const x0 = Round.plane(group, 0);
    const h0 = v128.xor(x0, ls1);
    Round.put(group, H0, h0);
    const x6 = Round.plane(group, 6);
    const x7 = Round.plane(group, 7);
    const ls0 = v128.xor(x6, x7);
    Round.put(group, LS0, ls0);
    const h2 = v128.xor(x4, ls0);
    Round.put(group, H2, h2);
    const hs0 = v128.xor(h0, h2);
    Round.put(group, HS0, hs0);
    Round.put(group, L2, v128.xor(x4, x7));
    const l0 = v128.xor(x4, x6);
    Round.put(group, L0, l0);
    const x1 = Round.plane(group, 1);
    const e0 = v128.xor(x0, x1);
    const e1 = v128.xor(x1, ls1);
    const l3 = v128.xor(l0, e0);
    Round.put(group, L3, l3);
    const x2 = Round.plane(group, 2);
    const e2 = v128.xor(x2, x7);
    const hs1 = v128.xor(l3, e2);
    Round.put(group, HS1, hs1);
    const p8 = v128.and(hs1, ls1);
    const p7 = v128.and(v128.xor(x2, e1), v128.xor(ls1, ls0));
    Round.put(group, PARTS, v128.xor(p8, v128.or(hs0, ls0)));
    Round.put(group, PARTS + 1, v128.xor(p7, v128.or(hs1, ls1)));
    Round.put(group, PARTS + 2, v128.xor(p8, v128.and(hs0, ls0)));
    Round.put(group, PARTS + 3, v128.xor(p7, p8));
    const x5 = Round.plane(group, 5);
    const h3 = v128.xor(x5, e2);
    Round.put(group, H3, h3);
    const h1 = v128.xor(x5, l3);
    Round.put(group, H1, h1);
    const e3 = v128.xor(x5, l0);
    const h32 = v128.xor(x2, e3);
    const h10 = v128.xor(e3, e1);
    const l10 = v128.xor(e0, Round.get(group, LS1));
    const l1 = v128.xor(l0, l10);
    Round.put(group, L1, l1);
    const q1 = v128.xor(v128.and(h10, l10), v128.or(h1, l1));
    const q0 = v128.xor(v128.or(h10, l10), v128.and(Round.get(group, H0), l0));
    Round.put(group, N1, v128.xor(q1, Round.get(group, PARTS + 2)));
    Round.put(group, N0, v128.xor(q0, Round.get(group, PARTS + 3)));
    const p1 = v128.and(h32, v128.xor(e0, Round.get(group, LS0)));
    const q3 = v128.xor(p1, v128.and(h3, l3));
    Round.put(group, N3, v128.xor(q3, Round.get(group, PARTS)));
    const q2 = v128.xor(p1, v128.and(Round.get(group, H2), Round.get(group, L2)));
    Round.put(group, N2, v128.xor(q2, Round.get(group, PARTS + 1)));
  }

  /** v = 1/n, and the products v * h and v * l. */
  @inline static divide(group: usize): void {
    const n3 = Round.get(group, N3);
    const n2 = Round.get(group, N2);
    const n1 = Round.get(group, N1);
    const n0 = Round.get(group, N0);
    const p = v128.and(n2, n0);
    const s1 = v128.xor(n2, n3);
    const s0 = v128.xor(n0, n1);
    const v3 = v128.xor(v128.and(v128.xor(n3, p), s0), n1);
    const v1 = v128.xor(v128.and(v128.xor(n1, p), s1), n3);
    const v2 = v128.xor(v128.andnot(v128.and(n3, n0), n1), v128.xor(s0, p));
    const v0 = v128.xor(v128.andnot(v128.and(n1, n2), n3), v128.xor(s1, p));
    Round.multiply(group, v3, v2, H3, PRODUCTS);
    Round.multiply(group, v3, v2, L3, PRODUCTS + 2);
    Round.multiply(group, v1, v0, H1, PRODUCTS + 4);
    Round.multiply(group, v1, v0, L1, PRODUCTS + 6);
    const vs1 = v128.xor(v3, v1);
    const vs0 = v128.xor(v2, v0);
    Round.multiplySums(group, vs1, vs0, HS1, PRODUCTS + 8);
    Round.multiplySums(group, vs1, vs0, LS1, PRODUCTS + 10);
  }

  /**
   * The product of (a1, a0) and the element of GF(4) at `b`, on the basis (W^2, W): its high bit to
   * `to`, its low bit behind that.
   */
  @inline static multiply(group: usize, a1: v128, a0: v128, b: i32, to: i32): void {
    const b0 = Round.get(group, b + 1);
    const b1 = Round.get(group, b);
    const sum = v128.xor(b0, b1);
    Round.put(group, to, v128.xor(v128.and(a1, b0), v128.and(a0, sum)));
    Round.put(group, to + 1, v128.xor(v128.and(a1, sum), v128.and(a0, b1)));
  }

  /** The same, but behind the high bit the sum of both. */
  @inline static multiplySums(group: usize, a1: v128, a0: v128, b: i32, to: i32): void {
    const b1 = Round.get(group, b);
    const b0 = Round.get(group, b + 1);
    const sum = v128.xor(b0, b1);
    Round.put(group, to, v128.xor(v128.and(a1, b0), v128.and(a0, sum)));
    Round.put(group, to + 1, v128.xor(v128.and(a1, b1), v128.and(a0, b0)));
  }

  /** Out of tower form, and the key of the round. */
  @inline static join(group: usize, key: usize): void {
    const c0 = Round.get(group, PRODUCTS + 5);
    const e = Round.get(group, PRODUCTS + 9);
    const s1 = v128.xor(e, v128.xor(c0, Round.get(group, PRODUCTS + 1)));
    const d0 = Round.get(group, PRODUCTS + 7);
    const f1 = Round.get(group, PRODUCTS + 10);
    const s2 = v128.xor(d0, f1);
    const a1 = Round.get(group, PRODUCTS);
    Round.put(group, 4, v128.xor(s2, v128.xor(e, v128.xor(Round.get(key, 4), a1))));
    const c1 = Round.get(group, PRODUCTS + 4);
    const s3 = v128.xor(s2, c1);
    Round.put(group, 7, v128.xor(s3, v128.xor(Round.get(key, 7), e)));
    Round.put(group, 2, v128.xor(s3, v128.xor(Round.get(key, 2), s1)));
    const s4 = v128.xor(s1, Round.get(group, PRODUCTS + 6));
    const s5 = v128.xor(a1, Round.get(group, PRODUCTS + 3));
    const b1 = Round.get(group, PRODUCTS + 2);
    const s6 = v128.xor(b1, s5);
    Round.put(group, 5, v128.xor(s4, v128.xor(s6, v128.xor(Round.get(key, 5), f1))));
    const f = Round.get(group, PRODUCTS + 11);
    const s7 = v128.xor(d0, f);
    Round.put(group, 6, v128.xor(s4, v128.xor(s7, v128.xor(Round.get(key, 6), s5))));
    Round.put(group, 0, v128.xor(f, v128.xor(Round.get(key, 0), b1)));
    const s8 = v128.xor(c0, Round.get(group, PRODUCTS + 8));
    Round.put(group, 1, v128.xor(s8, v128.xor(Round.get(key, 1), s2)));
    const s9 = v128.xor(s8, v128.xor(Round.get(key, 3), c1));
    Round.put(group, 3, v128.xor(s9, v128.xor(s6, s7)));
  }

  /**
   * InvMixColumns: MixColumns after x0 + 4 * (x0 + x2), rows counted downwards, where doubling is
   * the next plane and 0x1b for what leaves the last.
   */
  @inline static mixColumns(group: usize): void {
    const c7 = Round.get(group, 7);
    const y7 = Round.fold(c7);
    const c6 = Round.get(group, 6);
    const y6 = Round.fold(c6);
    const y67 = v128.xor(y6, y7);
    const c5 = Round.get(group, 5);
    const w7 = v128.xor(c7, Round.fold(c5));
    const z7 = Round.pair(w7);
    const c4 = Round.get(group, 4);
    const w6 = v128.xor(c6, Round.fold(c4));
    const z6 = Round.pair(w6);
    Round.mix(group, 7, w7, z7, z6);
    const c3 = Round.get(group, 3);
    const w5 = v128.xor(v128.xor(c5, y7), Round.fold(c3));
    const z5 = Round.pair(w5);
    Round.mix(group, 6, w6, z6, z5);
    const c2 = Round.get(group, 2);
    const w4 = v128.xor(v128.xor(c4, y67), Round.fold(c2));
    const z4 = Round.pair(w4);
    Round.mix(group, 5, w5, z5, z4);
    const c1 = Round.get(group, 1);
    const w3 = v128.xor(v128.xor(c3, y6), Round.fold(c1));
    const z3 = Round.pair(w3);
    Round.mix(group, 4, w4, z4, v128.xor(z3, z7));
    const c0 = Round.get(group, 0);
    const w2 = v128.xor(v128.xor(c2, y7), Round.fold(c0));
    const z2 = Round.pair(w2);
    Round.mix(group, 3, w3, z3, v128.xor(z2, z7));
    const w1 = v128.xor(c1, y67);
    const z1 = Round.pair(w1);
    Round.mix(group, 2, w2, z2, z1);
    const w0 = v128.xor(c0, y6);
    const z0 = Round.pair(w0);
    Round.mix(group, 1, w1, z1, v128.xor(z0, z7));
    Round.mix(group, 0, w0, z0, z7);
  }

  /** x0 + x2. */
  @inline static fold(x: v128): v128 {
    return v128.xor(x, v128.shuffle<i32>(x, x, 2, 3, 0, 1));
  }

  /** x0 + x1. */
  @inline static pair(x: v128): v128 {
    return v128.xor(x, v128.shuffle<i32>(x, x, 1, 2, 3, 0));
  }

  /** w1 + z2 and what doubling moved here, to plane n. */
  @inline static mix(group: usize, n: i32, w: v128, z: v128, doubled: v128): void {
    const w1 = v128.shuffle<i32>(w, w, 1, 2, 3, 0);
    const z2 = v128.shuffle<i32>(z, z, 2, 3, 0, 1);
    Round.put(group, n, v128.xor(v128.xor(w1, doubled), z2));
  }
}
