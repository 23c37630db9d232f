/**
 * Sixteen bytes at a time: the one place that looks up a byte by a secret index.
 */

const COUNT: usize = memory.data<u8>([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 16);

/** Operations on v128, for the builds with SIMD only. */
export class Vec {
  /**
   * Byte n of the result is table[index[n]], or 0 where index[n] has its high bit set. An index is
   * below 16 or above 127: only there do the strict and the relaxed instruction agree.
   */
  @inline static lookup(table: v128, index: v128): v128 {
    if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(table, index);
    return i8x16.swizzle(table, index);
  }

  /** The bytes of x in the order that the 16 bytes at `order` give. */
  @inline static arrange(x: v128, order: usize): v128 {
    return Vec.lookup(x, v128.load(order));
  }

  /** 16 bytes of the 32 of `low` and `high`, from byte `at & 15` on. */
  @inline static shifted(low: v128, high: v128, at: i32): v128 {
    const first = v128.add<i8>(v128.load(COUNT), i8x16.splat((at & 15) as i8));
    // Indexes from 16 on give 0, which the relaxed instruction does not promise.
    const begin = i8x16.swizzle(low, first);
    return v128.or(begin, i8x16.swizzle(high, v128.sub<i8>(first, Vec.bytes(16))));
  }

  /** n in every byte. */
  @inline static bytes(n: i32): v128 {
    return i8x16.splat(n as i8);
  }

  /** The high nibble of every byte. */
  @inline static high(x: v128): v128 {
    return v128.and(i16x8.shr_u(x, 4), Vec.bytes(15));
  }

  /** The low nibble of every byte. */
  @inline static low(x: v128): v128 {
    return v128.and(x, Vec.bytes(15));
  }

  /** The sum of two lookups, in the tables at `tables` and 16 bytes on. */
  @inline static pair(tables: usize, a: v128, b: v128): v128 {
    return v128.xor(Vec.lookup(v128.load(tables), a), Vec.lookup(v128.load(tables + 16), b));
  }
}
