/**
 * The S-box of AES on bit planes, for builds without SIMD (aes-plain.ts): plane b holds bit b of 64
 * bytes, so that one operation on a plane works on all of them, in constant time.
 *
 * A byte is inverted in the tower GF(((2^2)^2)^2) after David Canright, "A Very Compact S-Box for
 * AES", 2005: normal bases (W^2, W) with W = 0xbc, (Z^4, Z) with Z = 0x5c and norm W,
 * (Y^16, Y) with Y = 0xfe, all of trace 1. In tower form plane 7 is the coordinate of
 * Y^16 * Z^4 * W^2 and plane 0 that of Y * Z * W. The affine constant 0x63 is left to the round
 * keys.
 */

/** Eight planes of 64 bits, the state of the cipher: secret. */
export const PLANES: usize = memory.data(64, 16);
export const PLANES_LEN: i32 = 64;

/** One plane of the state. */
export class Planes {
  @inline static get(b: usize): u64 {
    return load<u64>(PLANES + 8 * b);
  }

  @inline static put(b: usize, x: u64): void {
    store<u64>(PLANES + 8 * b, x);
  }
}

/** SubBytes without its constant. */
export function substitute(): void {
  encryptIn();
  invert();
  encryptOut();
}

/** InvSubBytes of bytes that have the constant added already. */
export function unsubstitute(): void {
  decryptIn();
  invert();
  decryptOut();
}

/** Products in GF(4), on the basis (W^2, W). */
class Gf4 {
  @inline static high(a1: u64, a0: u64, b1: u64, b0: u64): u64 {
    return ((a1 ^ a0) & (b1 ^ b0)) ^ (a1 & b1);
  }

  @inline static low(a1: u64, a0: u64, b1: u64, b0: u64): u64 {
    return ((a1 ^ a0) & (b1 ^ b0)) ^ (a0 & b0);
  }
}

/**
 * 1/x of every byte in tower form, 0 for 0: with x = h * Y^16 + l * Y and
 * n = h * l + norm(Y) * (h + l)^2 it is l/n * Y^16 + h/n * Y. The same one field down, where
 * squaring in GF(4) is changing places.
 */
function invert(): void {
  const h3 = Planes.get(7);
  const h2 = Planes.get(6);
  const h1 = Planes.get(5);
  const h0 = Planes.get(4);
  const l3 = Planes.get(3);
  const l2 = Planes.get(2);
  const l1 = Planes.get(1);
  const l0 = Planes.get(0);
  // A product in GF(16) is high * high + e, low * low + e with e = W * (sum * sum).
  const p1 = Gf4.high(h3 ^ h1, h2 ^ h0, l3 ^ l1, l2 ^ l0);
  const p0 = Gf4.low(h3 ^ h1, h2 ^ h0, l3 ^ l1, l2 ^ l0);
  const s3 = h3 ^ l3;
  const s2 = h2 ^ l2;
  const s1 = h1 ^ l1;
  const s0 = h0 ^ l0;
  const n3 = Gf4.high(h3, h2, l3, l2) ^ p1 ^ p0 ^ s2 ^ s0;
  const n2 = Gf4.low(h3, h2, l3, l2) ^ p1 ^ s3 ^ s1;
  const n1 = Gf4.high(h1, h0, l1, l0) ^ p1 ^ p0 ^ s1;
  const n0 = Gf4.low(h1, h0, l1, l0) ^ p1 ^ s1 ^ s0;
  // 1/n in GF(16): m = n_high * n_low + W * (n_high + n_low)^2, then 1/m = m^2.
  const m1 = Gf4.high(n3, n2, n1, n0) ^ n3 ^ n1 ^ n2 ^ n0;
  const m0 = Gf4.low(n3, n2, n1, n0) ^ n2 ^ n0;
  const v3 = Gf4.high(n1, n0, m0, m1);
  const v2 = Gf4.low(n1, n0, m0, m1);
  const v1 = Gf4.high(n3, n2, m0, m1);
  const v0 = Gf4.low(n3, n2, m0, m1);
  const q1 = Gf4.high(v3 ^ v1, v2 ^ v0, l3 ^ l1, l2 ^ l0);
  const q0 = Gf4.low(v3 ^ v1, v2 ^ v0, l3 ^ l1, l2 ^ l0);
  Planes.put(7, Gf4.high(v3, v2, l3, l2) ^ q1 ^ q0);
  Planes.put(6, Gf4.low(v3, v2, l3, l2) ^ q1);
  Planes.put(5, Gf4.high(v1, v0, l1, l0) ^ q1 ^ q0);
  Planes.put(4, Gf4.low(v1, v0, l1, l0) ^ q1);
  const r1 = Gf4.high(v3 ^ v1, v2 ^ v0, h3 ^ h1, h2 ^ h0);
  const r0 = Gf4.low(v3 ^ v1, v2 ^ v0, h3 ^ h1, h2 ^ h0);
  Planes.put(3, Gf4.high(v3, v2, h3, h2) ^ r1 ^ r0);
  Planes.put(2, Gf4.low(v3, v2, h3, h2) ^ r1);
  Planes.put(1, Gf4.high(v1, v0, h1, h0) ^ r1 ^ r0);
  Planes.put(0, Gf4.low(v1, v0, h1, h0) ^ r1);
}

/** Standard to tower form. */
function encryptIn(): void {
  const x0 = Planes.get(0);
  const x1 = Planes.get(1);
  const x2 = Planes.get(2);
  const x3 = Planes.get(3);
  const x4 = Planes.get(4);
  const x5 = Planes.get(5);
  const x6 = Planes.get(6);
  const x7 = Planes.get(7);
  const s0 = x0 ^ x6;
  const s1 = x5 ^ s0;
  const s2 = x1 ^ s1;
  const s3 = x1 ^ x3;
  const s4 = x7 ^ s3;
  const s5 = x2 ^ s3;
  const s6 = x2 ^ s2;
  const s7 = x0 ^ s4;
  Planes.put(0, s2);
  Planes.put(1, x7 ^ s1);
  Planes.put(2, x7 ^ s6);
  Planes.put(3, x4 ^ s1);
  Planes.put(4, s1);
  Planes.put(5, s0 ^ s5);
  Planes.put(6, x4 ^ s7);
  Planes.put(7, x0);
}

/** The linear part of the affine map of FIPS 197 section 5.1.1, out of tower form. */
function encryptOut(): void {
  const x0 = Planes.get(0);
  const x1 = Planes.get(1);
  const x2 = Planes.get(2);
  const x3 = Planes.get(3);
  const x4 = Planes.get(4);
  const x5 = Planes.get(5);
  const x6 = Planes.get(6);
  const x7 = Planes.get(7);
  const s0 = x0 ^ x6;
  const s1 = x1 ^ x3;
  const s2 = x3 ^ x5;
  const s3 = x2 ^ s0;
  const s4 = x7 ^ s0;
  const s8 = x0 ^ x4;
  Planes.put(0, x4 ^ s1);
  Planes.put(1, x1 ^ s8);
  Planes.put(2, s2 ^ s4);
  Planes.put(3, s1 ^ s3);
  Planes.put(4, s3);
  Planes.put(5, s2);
  Planes.put(6, x2 ^ x6);
  Planes.put(7, s0);
}

/** The inverse of that part, into tower form. */
function decryptIn(): void {
  const x0 = Planes.get(0);
  const x1 = Planes.get(1);
  const x2 = Planes.get(2);
  const x3 = Planes.get(3);
  const x4 = Planes.get(4);
  const x5 = Planes.get(5);
  const x6 = Planes.get(6);
  const x7 = Planes.get(7);
  const s0 = x4 ^ x6;
  const s1 = x0 ^ x1;
  const s2 = s0 ^ s1;
  const s3 = x0 ^ x3;
  const s4 = x2 ^ x7;
  const s5 = x3 ^ x6;
  Planes.put(0, s0);
  Planes.put(1, s1 ^ s5);
  Planes.put(2, x4 ^ x7);
  Planes.put(3, s2);
  Planes.put(4, x4 ^ s3);
  Planes.put(5, x5 ^ s2);
  Planes.put(6, x7 ^ s0);
  Planes.put(7, x5 ^ s4);
}

/** Tower to standard form. */
function decryptOut(): void {
  const x0 = Planes.get(0);
  const x1 = Planes.get(1);
  const x2 = Planes.get(2);
  const x3 = Planes.get(3);
  const x4 = Planes.get(4);
  const x5 = Planes.get(5);
  const x6 = Planes.get(6);
  const x7 = Planes.get(7);
  const s0 = x0 ^ x4;
  const s1 = x3 ^ x6;
  const s2 = x2 ^ s1;
  const s3 = x1 ^ s0;
  const s4 = x5 ^ s2;
  const s5 = x7 ^ s1;
  const s7 = x0 ^ s4;
  Planes.put(0, x7);
  Planes.put(1, s0);
  Planes.put(2, x2 ^ s3);
  Planes.put(3, s3 ^ s5);
  Planes.put(4, x3 ^ x4);
  Planes.put(5, x7 ^ s7);
  Planes.put(6, s0 ^ s4);
  Planes.put(7, x1 ^ x4);
}
