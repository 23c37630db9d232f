/**
 * The compression function of SHA-512 and SHA-384: FIPS 180-4 section 6.4. Straight-line code on
 * locals; with SIMD the message schedule runs two words at a time beside the scalar rounds.
 */

import { Vec } from './vec';

/**
 * Section 4.2.3, and zeros for the words that the schedule makes beyond the last round. The upper
 * halves of the first 64 words are the constants of SHA-256.
 */
export const SHA2_CONSTANTS: usize = memory.data<u64>(
  [
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
    0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
    0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
    0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
    0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
    0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
    0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
    0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
    0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
    0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
    0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  ],
  16,
);

/** W[t] + K[t] of the 16 rounds at hand; without SIMD, then W[t]. Secret. */
export const SHA512_WORDS: usize = memory.data(256, 16);
export const SHA512_WORDS_LEN: i32 = ASC_FEATURE_SIMD ? 128 : 256;

/** Byte order of two big-endian words. */
const REVERSED: usize = memory.data<u8>([7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8], 16);

/** Adds the block of 128 bytes at `block` to the state, eight native words. */
export function sha512Compress(state: usize, block: usize): void {
  if (ASC_FEATURE_SIMD) compressSimd(state, block);
  else compressPlain(state, block);
}

class Sha512 {
  /** h + W + K + Ch + Sigma1 of round t mod 16; the shortest way from e to the sum goes last. */
  @inline static first(e: u64, f: u64, g: u64, h: u64, t: usize): u64 {
    const sigma = rotr<u64>(e ^ rotr<u64>(e, 4) ^ rotr<u64>(e, 27), 14);
    return h + load<u64>(SHA512_WORDS + 8 * t) + (g ^ (e & (f ^ g))) + sigma;
  }

  /** Sigma0 + Maj; the next round shares a ^ b. */
  @inline static second(a: u64, b: u64, c: u64): u64 {
    const sigma = rotr<u64>(a ^ rotr<u64>(a, 6) ^ rotr<u64>(a, 11), 28);
    return sigma + (b ^ ((a ^ b) & (b ^ c)));
  }

  /** Words 2n and 2n + 1 of the block; their sums with K go to memory. */
  @inline static message(block: usize, n: usize): v128 {
    const x = Vec.arrange(v128.load(block + 16 * n), REVERSED);
    v128.store(SHA512_WORDS + 16 * n, i64x2.add(x, v128.load(SHA2_CONSTANTS + 16 * n)));
    return x;
  }

  /** W[t] and W[t + 1], t even, from the pairs that start at W[t - 16], W[t - 14] and so on. */
  @inline static extend(
    k: usize,
    n: usize,
    w16: v128,
    w14: v128,
    w8: v128,
    w6: v128,
    w2: v128,
  ): v128 {
    const w15 = v128.shuffle<u64>(w16, w14, 1, 2);
    const w7 = v128.shuffle<u64>(w8, w6, 1, 2);
    const x = i64x2.add(i64x2.add(i64x2.add(w16, w7), Sha512.sigma0(w15)), Sha512.sigma1(w2));
    v128.store(SHA512_WORDS + 16 * n, i64x2.add(x, v128.load(k + 16 * n)));
    return x;
  }

  @inline static sigma0(x: v128): v128 {
    const rotr1 = v128.xor(i64x2.shr_u(x, 1), i64x2.shl(x, 63));
    const rotr8 = v128.xor(i64x2.shr_u(x, 8), i64x2.shl(x, 56));
    return v128.xor(v128.xor(rotr1, rotr8), i64x2.shr_u(x, 7));
  }

  @inline static sigma1(x: v128): v128 {
    const rotr19 = v128.xor(i64x2.shr_u(x, 19), i64x2.shl(x, 45));
    const rotr61 = v128.xor(i64x2.shr_u(x, 61), i64x2.shl(x, 3));
    return v128.xor(v128.xor(rotr19, rotr61), i64x2.shr_u(x, 6));
  }

  /** The same for word t mod 16, in memory. */
  @inline static extendWord(k: usize, t: usize): void {
    const w15 = Sha512.word(t + 1);
    const w2 = Sha512.word(t + 14);
    const sigma0 = rotr<u64>(w15 ^ rotr<u64>(w15, 7), 1) ^ (w15 >> 7);
    const sigma1 = rotr<u64>(w2 ^ rotr<u64>(w2, 42), 19) ^ (w2 >> 6);
    Sha512.put(k, t, Sha512.word(t) + sigma0 + Sha512.word(t + 9) + sigma1);
  }

  @inline static word(t: usize): u64 {
    return load<u64>(SHA512_WORDS + 128 + 8 * (t & 15));
  }

  @inline static put(k: usize, t: usize, w: u64): void {
    store<u64>(SHA512_WORDS + 128 + 8 * t, w);
    store<u64>(SHA512_WORDS + 8 * t, w + load<u64>(k + 8 * t));
  }

  @inline static add(state: usize, a: u64, b: u64, c: u64, d: u64): void {
    store<u64>(state, load<u64>(state) + a);
    store<u64>(state + 8, load<u64>(state + 8) + b);
    store<u64>(state + 16, load<u64>(state + 16) + c);
    store<u64>(state + 24, load<u64>(state + 24) + d);
  }
}

// Both loops extend the schedule once more than needed; a last pass without that is no faster.

function compressSimd(state: usize, block: usize): void {
  let w0 = Sha512.message(block, 0);
  let w1 = Sha512.message(block, 1);
  let w2 = Sha512.message(block, 2);
  let w3 = Sha512.message(block, 3);
  let w4 = Sha512.message(block, 4);
  let w5 = Sha512.message(block, 5);
  let w6 = Sha512.message(block, 6);
  let w7 = Sha512.message(block, 7);
  let a = load<u64>(state + 0);
  let b = load<u64>(state + 8);
  let c = load<u64>(state + 16);
  let d = load<u64>(state + 24);
  let e = load<u64>(state + 32);
  let f = load<u64>(state + 40);
  let g = load<u64>(state + 48);
  let h = load<u64>(state + 56);
  // biome-ignore format: one round a line
  for (let k = SHA2_CONSTANTS + 128; k < SHA2_CONSTANTS + 768; k += 128) {
    h = Sha512.first(e, f, g, h, 0); d += h; h += Sha512.second(a, b, c);
    g = Sha512.first(d, e, f, g, 1); c += g; g += Sha512.second(h, a, b);
    w0 = Sha512.extend(k, 0, w0, w1, w4, w5, w7);
    f = Sha512.first(c, d, e, f, 2); b += f; f += Sha512.second(g, h, a);
    e = Sha512.first(b, c, d, e, 3); a += e; e += Sha512.second(f, g, h);
    w1 = Sha512.extend(k, 1, w1, w2, w5, w6, w0);
    d = Sha512.first(a, b, c, d, 4); h += d; d += Sha512.second(e, f, g);
    c = Sha512.first(h, a, b, c, 5); g += c; c += Sha512.second(d, e, f);
    w2 = Sha512.extend(k, 2, w2, w3, w6, w7, w1);
    b = Sha512.first(g, h, a, b, 6); f += b; b += Sha512.second(c, d, e);
    a = Sha512.first(f, g, h, a, 7); e += a; a += Sha512.second(b, c, d);
    w3 = Sha512.extend(k, 3, w3, w4, w7, w0, w2);
    h = Sha512.first(e, f, g, h, 8); d += h; h += Sha512.second(a, b, c);
    g = Sha512.first(d, e, f, g, 9); c += g; g += Sha512.second(h, a, b);
    w4 = Sha512.extend(k, 4, w4, w5, w0, w1, w3);
    f = Sha512.first(c, d, e, f, 10); b += f; f += Sha512.second(g, h, a);
    e = Sha512.first(b, c, d, e, 11); a += e; e += Sha512.second(f, g, h);
    w5 = Sha512.extend(k, 5, w5, w6, w1, w2, w4);
    d = Sha512.first(a, b, c, d, 12); h += d; d += Sha512.second(e, f, g);
    c = Sha512.first(h, a, b, c, 13); g += c; c += Sha512.second(d, e, f);
    w6 = Sha512.extend(k, 6, w6, w7, w2, w3, w5);
    b = Sha512.first(g, h, a, b, 14); f += b; b += Sha512.second(c, d, e);
    a = Sha512.first(f, g, h, a, 15); e += a; a += Sha512.second(b, c, d);
    w7 = Sha512.extend(k, 7, w7, w0, w3, w4, w6);
  }
  Sha512.add(state, a, b, c, d);
  Sha512.add(state + 32, e, f, g, h);
}

function compressPlain(state: usize, block: usize): void {
  for (let t: usize = 0; t < 16; t++)
    Sha512.put(SHA2_CONSTANTS, t, bswap<u64>(load<u64>(block + 8 * t)));
  let a = load<u64>(state + 0);
  let b = load<u64>(state + 8);
  let c = load<u64>(state + 16);
  let d = load<u64>(state + 24);
  let e = load<u64>(state + 32);
  let f = load<u64>(state + 40);
  let g = load<u64>(state + 48);
  let h = load<u64>(state + 56);
  // biome-ignore format: one round a line
  for (let k = SHA2_CONSTANTS + 128; k < SHA2_CONSTANTS + 768; k += 128) {
    h = Sha512.first(e, f, g, h, 0); d += h; h += Sha512.second(a, b, c);
    Sha512.extendWord(k, 0);
    g = Sha512.first(d, e, f, g, 1); c += g; g += Sha512.second(h, a, b);
    Sha512.extendWord(k, 1);
    f = Sha512.first(c, d, e, f, 2); b += f; f += Sha512.second(g, h, a);
    Sha512.extendWord(k, 2);
    e = Sha512.first(b, c, d, e, 3); a += e; e += Sha512.second(f, g, h);
    Sha512.extendWord(k, 3);
    d = Sha512.first(a, b, c, d, 4); h += d; d += Sha512.second(e, f, g);
    Sha512.extendWord(k, 4);
    c = Sha512.first(h, a, b, c, 5); g += c; c += Sha512.second(d, e, f);
    Sha512.extendWord(k, 5);
    b = Sha512.first(g, h, a, b, 6); f += b; b += Sha512.second(c, d, e);
    Sha512.extendWord(k, 6);
    a = Sha512.first(f, g, h, a, 7); e += a; a += Sha512.second(b, c, d);
    Sha512.extendWord(k, 7);
    h = Sha512.first(e, f, g, h, 8); d += h; h += Sha512.second(a, b, c);
    Sha512.extendWord(k, 8);
    g = Sha512.first(d, e, f, g, 9); c += g; g += Sha512.second(h, a, b);
    Sha512.extendWord(k, 9);
    f = Sha512.first(c, d, e, f, 10); b += f; f += Sha512.second(g, h, a);
    Sha512.extendWord(k, 10);
    e = Sha512.first(b, c, d, e, 11); a += e; e += Sha512.second(f, g, h);
    Sha512.extendWord(k, 11);
    d = Sha512.first(a, b, c, d, 12); h += d; d += Sha512.second(e, f, g);
    Sha512.extendWord(k, 12);
    c = Sha512.first(h, a, b, c, 13); g += c; c += Sha512.second(d, e, f);
    Sha512.extendWord(k, 13);
    b = Sha512.first(g, h, a, b, 14); f += b; b += Sha512.second(c, d, e);
    Sha512.extendWord(k, 14);
    a = Sha512.first(f, g, h, a, 15); e += a; a += Sha512.second(b, c, d);
    Sha512.extendWord(k, 15);
  }
  Sha512.add(state, a, b, c, d);
  Sha512.add(state + 32, e, f, g, h);
}
