/**
 * AES on bit planes, four blocks at a time, for builds without SIMD. Constant time: no branch and
 * no
 * address depends on a key or on data.
 *
 * In a plane, bit 16 * row + 4 * block + column stands for a byte of the state, so that rows move
 * by
 * rotation. A round key is kept as eight 16-bit planes, bit 4 * row + column, and carries the
 * affine
 * constant 0x63 of SubBytes except for the first key; one schedule serves both directions, as
 * InvMixColumns leaves a column of equal bytes alone.
 */

import { PLANES, PLANES_LEN, Planes, substitute, unsubstitute } from './aes-planes';
import { wipe } from './bytes';

/** Four blocks on their way in or out: secret. */
const TEXT: usize = memory.data(64, 16);
const TEXT_LEN: i32 = 64;

/** Encrypts the 16 bytes at src into dst. */
export function plainEncrypt(schedule: usize, rounds: i32, src: usize, dst: usize): void {
  memory.copy(TEXT, src, 16);
  gather();
  addKey(schedule);
  for (let n = 1; n < rounds; n++) {
    substitute();
    shiftRows();
    mixColumns();
    addKey(schedule + (n << 4));
  }
  substitute();
  shiftRows();
  addKey(schedule + (rounds << 4));
  scatter();
  memory.copy(dst, TEXT, 16);
}

/** Decrypts the 16 bytes at src into dst. */
export function plainDecrypt(schedule: usize, rounds: i32, src: usize, dst: usize): void {
  memory.copy(TEXT, src, 16);
  decryptText(schedule, rounds);
  memory.copy(dst, TEXT, 16);
}

/** CBC decryption of n blocks. */
export function plainCbcDecrypt(
  schedule: usize,
  rounds: i32,
  iv: usize,
  src: usize,
  dst: usize,
  blocks: i32,
): void {
  let before = iv;
  for (; blocks > 0; blocks -= 4) {
    const count = min(blocks, 4);
    memory.copy(TEXT, src, count << 4);
    decryptText(schedule, rounds);
    for (let i = 0; i < count; i++, src += 16, dst += 16) {
      store<u64>(dst, load<u64>(TEXT + (i << 4)) ^ load<u64>(before));
      store<u64>(dst + 8, load<u64>(TEXT + (i << 4) + 8) ^ load<u64>(before + 8));
      before = src;
    }
  }
}

/** Expands a key of 16 or 32 bytes: FIPS 197 section 5.2, a whole round key at a time. */
export function plainExpand(key: usize, keyLen: i32, schedule: usize): void {
  const rounds = (keyLen >> 2) + 6;
  memory.copy(TEXT, key, keyLen);
  gather();
  putKey(schedule, 0);
  if (keyLen == 32) putKey(schedule + 16, 4);
  let constant = 1;
  for (let n = keyLen >> 4; n <= rounds; n++) {
    const at = schedule + (n << 4);
    if (keyLen == 16 || (n & 1) == 0) {
      nextKey(at, at - keyLen, 1, constant);
      constant = (constant << 1) ^ (0x11b & -(constant >> 7));
    } else nextKey(at, at - keyLen, 0, 0);
  }
  for (let at = schedule + 16; at <= schedule + (rounds << 4); at += 16) {
    store<u64>(at, load<u64>(at) ^ 0x00000000ffffffff);
    store<u64>(at + 8, load<u64>(at + 8) ^ 0x0000ffffffff0000);
  }
}

/** Zeroes the scratch of this module. */
export function plainWipe(): void {
  wipe(TEXT, TEXT_LEN);
  wipe(PLANES, PLANES_LEN);
}

/** Stores the block that stands `shift` bits up in each row as a round key. */
function putKey(at: usize, shift: u64): void {
  for (let b: usize = 0; b < 8; b++) {
    let x = (Planes.get(b) >> shift) & 0x000f000f000f000f;
    x = (x | (x >> 12)) & 0x000000ff000000ff;
    store<u16>(at + 2 * b, (x | (x >> 24)) as u16);
  }
}

/** The round key after the one before `at`, from the one at `back`; `turn` is 1 for RotWord. */
function nextKey(at: usize, back: usize, turn: i32, constant: i32): void {
  for (let b: usize = 0; b < 8; b++) {
    const word: u32 = ((load<u16>(at - 16 + 2 * b) as u32) >> 3) & 0x1111;
    Planes.put(b, turn ? (word >> 4) | ((word << 12) & 0xffff) : word);
  }
  substitute();
  for (let b: usize = 0; b < 8; b++) {
    const affine: u32 = 0x1111 & -((0x63 >> (b as i32)) & 1);
    const word = (Planes.get(b) as u32) ^ affine ^ (((constant >> (b as i32)) & 1) as u32);
    let x: u32 = load<u16>(back + 2 * b);
    x ^= (x << 1) & 0xeeee;
    x ^= (x << 2) & 0xcccc;
    store<u16>(at + 2 * b, (x ^ (word * 15)) as u16);
  }
}

/** Decrypts the four blocks of TEXT. */
function decryptText(schedule: usize, rounds: i32): void {
  gather();
  addKey(schedule + (rounds << 4));
  for (let n = rounds - 1; n > 0; n--) {
    unshiftRows();
    unsubstitute();
    addKey(schedule + (n << 4));
    unmixColumns();
  }
  unshiftRows();
  unsubstitute();
  addKey(schedule);
  scatter();
}

/** Every bit of a 16-bit plane, to the same place of all four blocks. */
function addKey(key: usize): void {
  for (let b: usize = 0; b < 8; b++) {
    let x: u64 = load<u16>(key + 2 * b);
    x = (x | (x << 24)) & 0x000000ff000000ff;
    x = (x | (x << 12)) & 0x000f000f000f000f;
    Planes.put(b, Planes.get(b) ^ (x * 0x1111));
  }
}

function shiftRows(): void {
  for (let b: usize = 0; b < 8; b++) {
    const x = Step.turnTwo(Planes.get(b));
    const turned = ((x >> 1) & 0x7777000077770000) | ((x << 3) & 0x8888000088880000);
    Planes.put(b, (x & 0x0000ffff0000ffff) | turned);
  }
}

function unshiftRows(): void {
  for (let b: usize = 0; b < 8; b++) {
    const x = Step.turnTwo(Planes.get(b));
    const turned = ((x << 1) & 0xeeee0000eeee0000) | ((x >> 3) & 0x1111000011110000);
    Planes.put(b, (x & 0x0000ffff0000ffff) | turned);
  }
}

/**
 * 2 * x0 + 3 * x1 + x2 + x3, rows counted downwards: 2 * y + x1 + (y of two rows on), y = x0 + x1.
 */
function mixColumns(): void {
  const top = Planes.get(7);
  const carry = top ^ rotr<u64>(top, 16);
  let below: u64 = 0;
  for (let b: usize = 0; b < 8; b++) {
    const x = Planes.get(b);
    const x1 = rotr<u64>(x, 16);
    const y = x ^ x1;
    // Bits 0, 1, 3 and 4 of 0x1b take the carry of the doubling.
    const reduced = carry & -((0x1b >> b) & 1);
    Planes.put(b, below ^ reduced ^ x1 ^ rotr<u64>(y, 32));
    below = y;
  }
}

/** InvMixColumns is MixColumns after x0 + 4 * (x0 + x2). */
function unmixColumns(): void {
  const x6 = Planes.get(6);
  const x7 = Planes.get(7);
  const y6 = x6 ^ rotr<u64>(x6, 32);
  const y7 = x7 ^ rotr<u64>(x7, 32);
  let below: u64 = 0;
  let belowTwo: u64 = 0;
  for (let b: usize = 0; b < 8; b++) {
    const x = Planes.get(b);
    // x^8 = 0x1b takes plane 6, x^9 = 0x36 takes plane 7.
    const reduced = (y6 & -((0x1b >> b) & 1)) ^ (y7 & -((0x36 >> b) & 1));
    Planes.put(b, x ^ belowTwo ^ reduced);
    belowTwo = below;
    below = x ^ rotr<u64>(x, 32);
  }
  mixColumns();
}

/** TEXT to planes. */
function gather(): void {
  for (let k: usize = 0; k < 8; k++) {
    const low = Step.spread(load<u32>(TEXT + 4 * k));
    const high = Step.spread(load<u32>(TEXT + 4 * k + 32));
    Planes.put(k, low | (high << 8));
  }
  transpose();
}

/** Planes to TEXT. */
function scatter(): void {
  transpose();
  for (let k: usize = 0; k < 8; k++) {
    store<u32>(TEXT + 4 * k, Step.collect(Planes.get(k)));
    store<u32>(TEXT + 4 * k + 32, Step.collect(Planes.get(k) >> 8));
  }
}

/** Bit b of byte j of word k to bit k of byte j of word b; its own inverse. */
function transpose(): void {
  for (let k: usize = 0; k < 8; k += 2) Step.exchange(k, k + 1, 1, 0x5555555555555555);
  for (let k: usize = 0; k < 8; k += k == 1 ? 3 : 1) {
    if (k > 5) break;
    Step.exchange(k, k + 2, 2, 0x3333333333333333);
  }
  for (let k: usize = 0; k < 4; k++) Step.exchange(k, k + 4, 4, 0x0f0f0f0f0f0f0f0f);
}

class Step {
  /** Bytes 0 to 3 to the even bytes of a word, and back. */
  @inline static spread(word: u32): u64 {
    let x: u64 = word;
    x = (x | (x << 16)) & 0x0000ffff0000ffff;
    return (x | (x << 8)) & 0x00ff00ff00ff00ff;
  }

  @inline static collect(word: u64): u32 {
    let x = word & 0x00ff00ff00ff00ff;
    x = (x | (x >> 8)) & 0x0000ffff0000ffff;
    return (x | (x >> 16)) as u32;
  }

  /** Rows 2 and 3 turned by two columns. */
  @inline static turnTwo(x: u64): u64 {
    const t = (x ^ (x >> 2)) & 0x3333333300000000;
    return x ^ t ^ (t << 2);
  }

  /** Exchanges the bits of word `a` at mask << n with those of word `b` at mask. */
  @inline static exchange(a: usize, b: usize, n: u64, mask: u64): void {
    const x = Planes.get(a);
    const t = ((x >> n) ^ Planes.get(b)) & mask;
    Planes.put(b, Planes.get(b) ^ t);
    Planes.put(a, x ^ (t << n));
  }
}
