/**
 * The only comparison and the only wipe of secret bytes, and constant-time selection.
 *
 * What is secret is compared by arithmetic, not by operators: of `(a != b) & (c != d)` the
 * optimiser makes a branch on the first half.
 */

/** 1 if the n bytes at a and b are equal, else 0; time depends on n only. */
export function equal(a: usize, b: usize, n: i32): i32 {
  let difference: u64 = 0;
  let i = 0;
  for (; i + 8 <= n; i += 8) difference |= load<u64>(a + i) ^ load<u64>(b + i);
  for (; i < n; i++) difference |= (load<u8>(a + i) ^ load<u8>(b + i)) as u64;
  return isZero64(difference);
}

/** Writes zeros over n bytes at p. */
export function wipe(p: usize, n: usize): void {
  // Below a few hundred bytes stores are cheaper than the call that a fill is.
  if (n > 640) {
    memory.fill(p, 0, n);
    return;
  }
  let i: usize = 0;
  if (ASC_FEATURE_SIMD) {
    for (; i + 32 <= n; i += 32) {
      v128.store(p + i, i64x2.splat(0));
      v128.store(p + i, i64x2.splat(0), 16);
    }
  }
  for (; i + 8 <= n; i += 8) store<u64>(p + i, 0);
  for (; i < n; i++) store<u8>(p + i, 0);
}

/** Zeros over 64 bytes at p, without the call that a fill costs. */
export function zeroSpare(p: usize): void {
  if (ASC_FEATURE_SIMD) {
    v128.store(p, i64x2.splat(0));
    v128.store(p, i64x2.splat(0), 16);
    v128.store(p, i64x2.splat(0), 32);
    v128.store(p, i64x2.splat(0), 48);
  } else {
    store<u64>(p, 0);
    store<u64>(p, 0, 8);
    store<u64>(p, 0, 16);
    store<u64>(p, 0, 24);
    store<u64>(p, 0, 32);
    store<u64>(p, 0, 40);
    store<u64>(p, 0, 48);
    store<u64>(p, 0, 56);
  }
}

/** Copies n bytes, few enough that the call that a copy is would cost more. */
export function copySmall(to: usize, from: usize, n: i32): void {
  let i = 0;
  for (; i + 8 <= n; i += 8) store<u64>(to + i, load<u64>(from + i));
  for (; i < n; i++) store<u8>(to + i, load<u8>(from + i));
}

/** a where flag is 1, b where it is 0. Not `select`, which an engine may turn into a branch. */
export function choose(a: usize, b: usize, flag: i32): usize {
  return b ^ ((a ^ b) & ((0 - flag) as usize));
}

/** The same of 64 bits. */
export function choose64(a: u64, b: u64, flag: i32): u64 {
  return b ^ ((a ^ b) & (0 - (flag as u64)));
}

/** 1 unless x is 0, without a branch. */
export function notZero64(x: u64): i32 {
  return isZero64(x) ^ 1;
}

/** 1 if x is 0, else 0, without a branch. */
export function isZero64(x: u64): i32 {
  return ((~x & (x - 1)) >> 63) as i32;
}

/** 1 if a < b (unsigned), else 0, without a branch. */
export function less32(a: u32, b: u32): i32 {
  return (((a as u64) - (b as u64)) >> 63) as i32;
}

/** 1 if a < b (unsigned), else 0, without a branch. */
export function less64(a: u64, b: u64): i32 {
  return (((~a & b) | ((~a | b) & (a - b))) >> 63) as i32;
}
