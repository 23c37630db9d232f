/**
 * Reading at a secret offset without a secret address. Loads are not alike to whoever has a clock:
 * one that crosses two lines of the cache costs more, so does one of bytes whose store is still on
 * its way, and processors guess which store that is. So all of a plaintext is read, in its order,
 * and what was asked for is kept.
 */

import { isZero64 } from './bytes';
import { Vec } from './vec';

/** Bytes of a window. */
export const WINDOW_LEN: i32 = 48;
/** Bytes behind the data that are read as a part of a window. */
export const WINDOW_SPARE: i32 = 64;
/** Up to so many bytes a window begins in one of 16 blocks, the first left out. */
const SHORT_MAX: i32 = 256;

/**
 * Copies WINDOW_LEN bytes from offset `at` on of the `size` bytes at p to `to`. `at` is secret; if
 * it is below `least` or above `size`, zeros or other bytes of the buffer are copied. p, `to` and
 * `least` are multiples of 16. 304 bytes from `least` on can be read, however few the data are.
 */
export function windowTake(p: usize, size: i32, least: i32, at: u64, to: usize): void {
  if (!ASC_FEATURE_SIMD) takePlain(p, size, least, at, to);
  else if (size <= SHORT_MAX) takeShort(p + least, at - least, to);
  else takeLong(p, size, least, at, to);
}

/** Blocks move to the front by 8, 4, 2 and 1 places, or stay: half the work of the loop below. */
function takeShort(from: usize, at: u64, to: usize): void {
  const place = i32x4.splat((at >> 4) as i32);
  const eight = i32x4.shr_s(i32x4.shl(place, 28), 31);
  const four = i32x4.shr_s(i32x4.shl(place, 29), 31);
  const two = i32x4.shr_s(i32x4.shl(place, 30), 31);
  const one = i32x4.shr_s(i32x4.shl(place, 31), 31);
  let x0 = v128.bitselect(v128.load(from, 128), v128.load(from, 0), eight);
  let x1 = v128.bitselect(v128.load(from, 144), v128.load(from, 16), eight);
  let x2 = v128.bitselect(v128.load(from, 160), v128.load(from, 32), eight);
  let x3 = v128.bitselect(v128.load(from, 176), v128.load(from, 48), eight);
  let x4 = v128.bitselect(v128.load(from, 192), v128.load(from, 64), eight);
  let x5 = v128.bitselect(v128.load(from, 208), v128.load(from, 80), eight);
  let x6 = v128.bitselect(v128.load(from, 224), v128.load(from, 96), eight);
  let x7 = v128.bitselect(v128.load(from, 240), v128.load(from, 112), eight);
  let x8 = v128.bitselect(v128.load(from, 256), v128.load(from, 128), eight);
  let x9 = v128.bitselect(v128.load(from, 272), v128.load(from, 144), eight);
  let x10 = v128.bitselect(v128.load(from, 288), v128.load(from, 160), eight);
  x0 = v128.bitselect(x4, x0, four);
  x1 = v128.bitselect(x5, x1, four);
  x2 = v128.bitselect(x6, x2, four);
  x3 = v128.bitselect(x7, x3, four);
  x4 = v128.bitselect(x8, x4, four);
  x5 = v128.bitselect(x9, x5, four);
  x6 = v128.bitselect(x10, x6, four);
  x0 = v128.bitselect(x2, x0, two);
  x1 = v128.bitselect(x3, x1, two);
  x2 = v128.bitselect(x4, x2, two);
  x3 = v128.bitselect(x5, x3, two);
  x4 = v128.bitselect(x6, x4, two);
  x0 = v128.bitselect(x1, x0, one);
  x1 = v128.bitselect(x2, x1, one);
  x2 = v128.bitselect(x3, x2, one);
  x3 = v128.bitselect(x4, x3, one);
  v128.store(to, Vec.shifted(x0, x1, at as i32));
  v128.store(to, Vec.shifted(x1, x2, at as i32), 16);
  v128.store(to, Vec.shifted(x2, x3, at as i32), 32);
}

/** Each block of 16 bytes is the first of a window: of the right one, four blocks are kept. */
function takeLong(p: usize, size: i32, least: i32, at: u64, to: usize): void {
  let a = i64x2.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let left = i32x4.splat(((at - least) >> 4) as i32);
  const end = p + size;
  for (let block = p + least; block <= end; block += 16) {
    const here = i32x4.eq(left, i64x2.splat(0));
    a = v128.or(a, v128.and(v128.load(block), here));
    b = v128.or(b, v128.and(v128.load(block, 16), here));
    c = v128.or(c, v128.and(v128.load(block, 32), here));
    d = v128.or(d, v128.and(v128.load(block, 48), here));
    left = i32x4.sub(left, i32x4.splat(1));
  }
  v128.store(to, Vec.shifted(a, b, at as i32));
  v128.store(to, Vec.shifted(b, c, at as i32), 16);
  v128.store(to, Vec.shifted(c, d, at as i32), 32);
}

/** The same by words of eight bytes, of which seven are kept. */
function takePlain(p: usize, size: i32, least: i32, at: u64, to: usize): void {
  let a: u64 = 0;
  let b: u64 = 0;
  let c: u64 = 0;
  let d: u64 = 0;
  let e: u64 = 0;
  let f: u64 = 0;
  let g: u64 = 0;
  let left = (at - least) >> 3;
  const end = p + size;
  for (let word = p + least; word <= end; word += 8, left--) {
    const here = 0 - (isZero64(left) as u64);
    a |= load<u64>(word) & here;
    b |= load<u64>(word, 8) & here;
    c |= load<u64>(word, 16) & here;
    d |= load<u64>(word, 24) & here;
    e |= load<u64>(word, 32) & here;
    f |= load<u64>(word, 40) & here;
    g |= load<u64>(word, 48) & here;
  }
  store<u64>(to, shifted(a, b, at));
  store<u64>(to, shifted(b, c, at), 8);
  store<u64>(to, shifted(c, d, at), 16);
  store<u64>(to, shifted(d, e, at), 24);
  store<u64>(to, shifted(e, f, at), 32);
  store<u64>(to, shifted(f, g, at), 40);
}

/** 8 bytes of the 16 of `low` and `high`, from byte `at & 7` on. */
function shifted(low: u64, high: u64, at: u64): u64 {
  const n = (at & 7) << 3;
  return (low >> n) | ((high << 1) << (63 - n));
}
