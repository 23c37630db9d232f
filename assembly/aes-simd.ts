/**
 * AES by vector permutation, for builds with SIMD. Constant time: no branch and no address depends
 * on a key or on data; table reads are byte shuffles inside a register (vec.ts).
 *
 * A block is held by rows (row r in 32-bit lane r) and in tower form (aes-tables.ts), so that
 * MixColumns moves whole lanes. Round keys carry the affine constant 0x63 of SubBytes.
 */

import {
  A_OVER,
  DEC_63,
  DEC_IN,
  DEC_OUT,
  DEC_OUT_ROWS,
  DEC_ROUND,
  ENC_63,
  ENC_IN,
  ENC_OUT,
  ENC_OUT_ROWS,
  ENC_SUB,
  ENC_SUB_2,
  INVERSE,
  KEY_DEC,
  KEY_DEC_FIRST,
  KEY_ENC_LAST,
  ROUND_CONSTANTS,
  ROWS,
  SHIFT_ROWS,
} from './aes-tables';
import { Vec } from './vec';

/** Bytes of a block by rows in another order. One that is constant takes the machine one step. */
class Rows {
  /** InvShiftRows. */
  @inline static unshift(x: v128): v128 {
    return i8x16.swizzle(x, i8x16(0, 1, 2, 3, 7, 4, 5, 6, 10, 11, 8, 9, 13, 14, 15, 12));
  }

  /** The last word in all columns. */
  @inline static lastWord(x: v128): v128 {
    return i8x16.swizzle(x, i8x16(3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15));
  }

  /** The last word in all columns, rotated up by one row. */
  @inline static rotWord(x: v128): v128 {
    return i8x16.swizzle(x, i8x16(7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15, 3, 3, 3, 3));
  }
}

/** Steps of the cipher on one block. */
class Block {
  /** 1 / (1/a + over) + b: io and jo of the tables. */
  @inline static inverse(a: v128, over: v128, b: v128): v128 {
    const table = v128.load(INVERSE);
    return v128.xor(Vec.lookup(table, v128.xor(Vec.lookup(table, a), over)), b);
  }

  /** A linear map of every byte of x, given by its two tables. */
  @inline static linear(x: v128, tables: usize): v128 {
    return Vec.pair(tables, Vec.high(x), Vec.low(x));
  }

  /** The four maps at `tables`, map n taken from n rows below, summed with `key`. */
  @inline static mix(tables: usize, a: v128, b: v128, key: v128): v128 {
    const c0 = Vec.pair(tables, a, b);
    const c1 = Vec.pair(tables + 32, a, b);
    const c2 = Vec.pair(tables + 64, a, b);
    const c3 = Vec.pair(tables + 96, a, b);
    return v128.xor(
      v128.xor(v128.xor(key, c0), v128.shuffle<i32>(c1, c1, 1, 2, 3, 0)),
      v128.xor(v128.shuffle<i32>(c2, c2, 2, 3, 0, 1), v128.shuffle<i32>(c3, c3, 3, 0, 1, 2)),
    );
  }

  @inline static encryptRound(x: v128, key: v128): v128 {
    const s = Vec.arrange(x, SHIFT_ROWS);
    const i = Vec.high(s);
    const k = Vec.low(s);
    const j = v128.xor(i, k);
    const over = Vec.lookup(v128.load(A_OVER), k);
    const io = Block.inverse(i, over, j);
    const jo = Block.inverse(j, over, i);
    // 2 * x0 + 3 * x1 + x2 + x3 as (2 * x0 + x1) + (2 * x1 + x2) + x3, rows counted downwards.
    const once = Vec.pair(ENC_SUB, io, jo);
    const half = v128.xor(Vec.pair(ENC_SUB_2, io, jo), v128.shuffle<i32>(once, once, 1, 2, 3, 0));
    return v128.xor(
      v128.xor(half, v128.shuffle<i32>(half, half, 1, 2, 3, 0)),
      v128.xor(v128.shuffle<i32>(once, once, 3, 0, 1, 2), key),
    );
  }

  @inline static decryptRound(x: v128, key: v128): v128 {
    const s = Rows.unshift(x);
    const i = Vec.high(s);
    const k = Vec.low(s);
    const j = v128.xor(i, k);
    const over = Vec.lookup(v128.load(A_OVER), k);
    const io = Block.inverse(i, over, j);
    const jo = Block.inverse(j, over, i);
    return Block.mix(DEC_ROUND, io, jo, key);
  }

  /** The last SubBytes or InvSubBytes, out of tower form; `order` shifts the rows. */
  @inline static last(x: v128, tables: usize, order: usize, key: v128): v128 {
    const i = Vec.high(x);
    const k = Vec.low(x);
    const j = v128.xor(i, k);
    const over = Vec.lookup(v128.load(A_OVER), k);
    const io = Block.inverse(i, over, j);
    const jo = Block.inverse(j, over, i);
    return v128.xor(Vec.arrange(Vec.pair(tables, io, jo), order), key);
  }

  /** Into rows and tower form, then the first round key. */
  @inline static first(x: v128, tables: usize, key: v128): v128 {
    return v128.xor(Block.linear(Vec.arrange(x, ROWS), tables), key);
  }
}

/** Steps of the key schedule, on round keys by rows and in tower form. */
class Schedule {
  /**
   * The round key after `back` (4 or 8 words back) and the round key right before it, of which
   * `word` is its last word in all columns, `constant` is 0x63 with or without a round constant.
   */
  @inline static next(back: v128, word: v128, constant: v128): v128 {
    const i = Vec.high(word);
    const k = Vec.low(word);
    const j = v128.xor(i, k);
    const over = Vec.lookup(v128.load(A_OVER), k);
    const io = Block.inverse(i, over, j);
    const jo = Block.inverse(j, over, i);
    const pairs = v128.xor(back, i32x4.shl(back, 8));
    const sums = v128.xor(pairs, i32x4.shl(pairs, 16));
    return v128.xor(v128.xor(sums, constant), Vec.pair(ENC_SUB, io, jo));
  }

  /** 0x63 in every byte and round constant n in row 0. */
  @inline static constant(n: i32): v128 {
    const row: i32 = load<u8>(ROUND_CONSTANTS + n);
    return i32x4.replace_lane(Vec.bytes(ENC_63), 0, row * 0x01010101);
  }

  /** A round key that is neither the first nor the last, as decryption needs it. */
  @inline static inverse(key: v128): v128 {
    return Block.mix(KEY_DEC, Vec.high(key), Vec.low(key), Vec.bytes(DEC_63));
  }
}

/** Encrypts the 16 bytes at src into dst. */
export function simdEncrypt(schedule: usize, rounds: i32, src: usize, dst: usize): void {
  let s = Block.first(v128.load(src), ENC_IN, v128.load(schedule));
  let key = schedule + 16;
  const end = schedule + (rounds << 4);
  for (; key < end; key += 16) s = Block.encryptRound(s, v128.load(key));
  v128.store(dst, Block.last(s, ENC_OUT, ENC_OUT_ROWS, v128.load(end)));
}

/** Decrypts the 16 bytes at src into dst. */
export function simdDecrypt(schedule: usize, rounds: i32, src: usize, dst: usize): void {
  v128.store(dst, decryptOne(schedule, rounds, v128.load(src)));
}

function decryptOne(schedule: usize, rounds: i32, x: v128): v128 {
  let s = Block.first(x, DEC_IN, v128.load(schedule));
  let key = schedule + 16;
  const end = schedule + (rounds << 4);
  for (; key < end; key += 16) s = Block.decryptRound(s, v128.load(key));
  return Block.last(s, DEC_OUT, DEC_OUT_ROWS, v128.load(end));
}

/** CBC decryption of n blocks, three at a time, then two. */
export function simdCbcDecrypt(
  schedule: usize,
  rounds: i32,
  iv: usize,
  src: usize,
  dst: usize,
  blocks: i32,
): void {
  let before = v128.load(iv);
  const end = schedule + (rounds << 4);
  const endKey = v128.load(end);
  for (; blocks >= 3; blocks -= 3, src += 48, dst += 48) {
    // Two pairs are quicker than three blocks and a single one.
    if (blocks == 4) break;
    const x0 = v128.load(src);
    const x1 = v128.load(src, 16);
    const x2 = v128.load(src, 32);
    const firstKey = v128.load(schedule);
    let s0 = Block.first(x0, DEC_IN, firstKey);
    let s1 = Block.first(x1, DEC_IN, firstKey);
    let s2 = Block.first(x2, DEC_IN, firstKey);
    for (let at = schedule + 16; at < end; at += 16) {
      const key = v128.load(at);
      s0 = Block.decryptRound(s0, key);
      s1 = Block.decryptRound(s1, key);
      s2 = Block.decryptRound(s2, key);
    }
    s0 = Block.last(s0, DEC_OUT, DEC_OUT_ROWS, endKey);
    s1 = Block.last(s1, DEC_OUT, DEC_OUT_ROWS, endKey);
    s2 = Block.last(s2, DEC_OUT, DEC_OUT_ROWS, endKey);
    v128.store(dst, v128.xor(s0, before));
    v128.store(dst, v128.xor(s1, x0), 16);
    v128.store(dst, v128.xor(s2, x1), 32);
    before = x2;
  }
  for (; blocks >= 2; blocks -= 2, src += 32, dst += 32) {
    const x0 = v128.load(src);
    const x1 = v128.load(src, 16);
    const firstKey = v128.load(schedule);
    let s0 = Block.first(x0, DEC_IN, firstKey);
    let s1 = Block.first(x1, DEC_IN, firstKey);
    for (let at = schedule + 16; at < end; at += 16) {
      const key = v128.load(at);
      s0 = Block.decryptRound(s0, key);
      s1 = Block.decryptRound(s1, key);
    }
    s0 = Block.last(s0, DEC_OUT, DEC_OUT_ROWS, endKey);
    s1 = Block.last(s1, DEC_OUT, DEC_OUT_ROWS, endKey);
    v128.store(dst, v128.xor(s0, before));
    v128.store(dst, v128.xor(s1, x0), 16);
    before = x1;
  }
  if (blocks > 0) {
    v128.store(dst, v128.xor(decryptOne(schedule, rounds, v128.load(src)), before));
  }
}

/** Expands a key of 16 or 32 bytes for encryption. */
export function simdExpandEncrypt(key: usize, keyLen: i32, schedule: usize): void {
  const constant = Vec.bytes(ENC_63);
  let a = Block.linear(Vec.arrange(v128.load(key), ROWS), ENC_IN);
  v128.store(schedule, a);
  let at = schedule + 16;
  if (keyLen == 16) {
    for (let n = 0; n < 9; n++, at += 16) {
      a = Schedule.next(a, Rows.rotWord(a), Schedule.constant(n));
      v128.store(at, v128.xor(a, constant));
    }
    a = Schedule.next(a, Rows.rotWord(a), Schedule.constant(9));
  } else {
    let b = Block.linear(Vec.arrange(v128.load(key, 16), ROWS), ENC_IN);
    v128.store(at, v128.xor(b, constant));
    at += 16;
    for (let n = 0; n < 6; n++, at += 32) {
      a = Schedule.next(a, Rows.rotWord(b), Schedule.constant(n));
      v128.store(at, v128.xor(a, constant));
      b = Schedule.next(b, Rows.lastWord(a), constant);
      v128.store(at, v128.xor(b, constant), 16);
    }
    a = Schedule.next(a, Rows.rotWord(b), Schedule.constant(6));
  }
  const last = Vec.arrange(Block.linear(a, KEY_ENC_LAST), ROWS);
  v128.store(at, v128.xor(last, Vec.bytes(0x63)));
}

/** Expands a key of 16 or 32 bytes for the equivalent inverse cipher: its last round key first. */
export function simdExpandDecrypt(key: usize, keyLen: i32, schedule: usize): void {
  const first = v128.load(key);
  const constant = Vec.bytes(ENC_63);
  let a = Block.linear(Vec.arrange(first, ROWS), ENC_IN);
  let at = schedule + (((keyLen >> 2) + 6) << 4);
  v128.store(at, first);
  at -= 16;
  if (keyLen == 16) {
    for (let n = 0; n < 9; n++, at -= 16) {
      a = Schedule.next(a, Rows.rotWord(a), Schedule.constant(n));
      v128.store(at, Schedule.inverse(a));
    }
    a = Schedule.next(a, Rows.rotWord(a), Schedule.constant(9));
  } else {
    let b = Block.linear(Vec.arrange(v128.load(key, 16), ROWS), ENC_IN);
    v128.store(at, Schedule.inverse(b));
    at -= 32;
    for (let n = 0; n < 6; n++, at -= 32) {
      a = Schedule.next(a, Rows.rotWord(b), Schedule.constant(n));
      v128.store(at, Schedule.inverse(a), 16);
      b = Schedule.next(b, Rows.lastWord(a), constant);
      v128.store(at, Schedule.inverse(b));
    }
    a = Schedule.next(a, Rows.rotWord(b), Schedule.constant(6));
  }
  v128.store(schedule, v128.xor(Block.linear(a, KEY_DEC_FIRST), Vec.bytes(DEC_63)));
}
