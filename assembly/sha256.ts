/**
 * The compression function of SHA-256: FIPS 180-4 section 6.2. Straight-line code on locals.
 */

import { SHA2_CONSTANTS } from './sha512';

/** W[t] of the 16 rounds at hand: secret. */
export const SHA256_WORDS: usize = memory.data(64, 16);
export const SHA256_WORDS_LEN: i32 = 64;

class Sha256 {
  /** h + W + K + Ch + Sigma1 of round t mod 16. */
  @inline static first(e: u32, f: u32, g: u32, h: u32, k: usize, t: usize): u32 {
    const sigma = rotr<u32>(e ^ rotr<u32>(e, 5) ^ rotr<u32>(e, 19), 6);
    const word = load<u32>(SHA256_WORDS + 4 * t) + load<u32>(k + 8 * t + 4);
    return h + word + (g ^ (e & (f ^ g))) + sigma;
  }

  /** Sigma0 + Maj. */
  @inline static second(a: u32, b: u32, c: u32): u32 {
    const sigma = rotr<u32>(a ^ rotr<u32>(a, 11) ^ rotr<u32>(a, 20), 2);
    return sigma + (b ^ ((a ^ b) & (b ^ c)));
  }

  /** Replaces W[t] by W[t + 16], t mod 16. */
  @inline static extend(t: usize): void {
    const w15 = Sha256.word(t + 1);
    const w2 = Sha256.word(t + 14);
    const sigma0 = rotr<u32>(w15, 7) ^ rotr<u32>(w15, 18) ^ (w15 >> 3);
    const sigma1 = rotr<u32>(w2, 17) ^ rotr<u32>(w2, 19) ^ (w2 >> 10);
    store<u32>(SHA256_WORDS + 4 * t, Sha256.word(t) + sigma0 + Sha256.word(t + 9) + sigma1);
  }

  @inline static word(t: usize): u32 {
    return load<u32>(SHA256_WORDS + 4 * (t & 15));
  }

  @inline static add(state: usize, a: u32, b: u32, c: u32, d: u32): void {
    store<u32>(state, load<u32>(state) + a);
    store<u32>(state + 4, load<u32>(state + 4) + b);
    store<u32>(state + 8, load<u32>(state + 8) + c);
    store<u32>(state + 12, load<u32>(state + 12) + d);
  }
}

/** Adds the block of 64 bytes at `block` to the state, eight native words. */
export function sha256Compress(state: usize, block: usize): void {
  for (let t: usize = 0; t < 16; t++) {
    store<u32>(SHA256_WORDS + 4 * t, bswap<u32>(load<u32>(block + 4 * t)));
  }
  let a = load<u32>(state + 0);
  let b = load<u32>(state + 4);
  let c = load<u32>(state + 8);
  let d = load<u32>(state + 12);
  let e = load<u32>(state + 16);
  let f = load<u32>(state + 20);
  let g = load<u32>(state + 24);
  let h = load<u32>(state + 28);
  // biome-ignore format: one round a line
  for (let k = SHA2_CONSTANTS; k < SHA2_CONSTANTS + 512; k += 128) {
    h = Sha256.first(e, f, g, h, k, 0); d += h; h += Sha256.second(a, b, c);
    Sha256.extend(0);
    g = Sha256.first(d, e, f, g, k, 1); c += g; g += Sha256.second(h, a, b);
    Sha256.extend(1);
    f = Sha256.first(c, d, e, f, k, 2); b += f; f += Sha256.second(g, h, a);
    Sha256.extend(2);
    e = Sha256.first(b, c, d, e, k, 3); a += e; e += Sha256.second(f, g, h);
    Sha256.extend(3);
    d = Sha256.first(a, b, c, d, k, 4); h += d; d += Sha256.second(e, f, g);
    Sha256.extend(4);
    c = Sha256.first(h, a, b, c, k, 5); g += c; c += Sha256.second(d, e, f);
    Sha256.extend(5);
    b = Sha256.first(g, h, a, b, k, 6); f += b; b += Sha256.second(c, d, e);
    Sha256.extend(6);
    a = Sha256.first(f, g, h, a, k, 7); e += a; a += Sha256.second(b, c, d);
    Sha256.extend(7);
    h = Sha256.first(e, f, g, h, k, 8); d += h; h += Sha256.second(a, b, c);
    Sha256.extend(8);
    g = Sha256.first(d, e, f, g, k, 9); c += g; g += Sha256.second(h, a, b);
    Sha256.extend(9);
    f = Sha256.first(c, d, e, f, k, 10); b += f; f += Sha256.second(g, h, a);
    Sha256.extend(10);
    e = Sha256.first(b, c, d, e, k, 11); a += e; e += Sha256.second(f, g, h);
    Sha256.extend(11);
    d = Sha256.first(a, b, c, d, k, 12); h += d; d += Sha256.second(e, f, g);
    Sha256.extend(12);
    c = Sha256.first(h, a, b, c, k, 13); g += c; c += Sha256.second(d, e, f);
    Sha256.extend(13);
    b = Sha256.first(g, h, a, b, k, 14); f += b; b += Sha256.second(c, d, e);
    Sha256.extend(14);
    a = Sha256.first(f, g, h, a, k, 15); e += a; a += Sha256.second(b, c, d);
    Sha256.extend(15);
  }
  Sha256.add(state, a, b, c, d);
  Sha256.add(state + 16, e, f, g, h);
}
