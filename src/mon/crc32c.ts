/**
 * crc32c as msgr2 uses it: Castagnoli's polynomial, reflected, no inversion at the end. Preambles
 * start from 0, segments from 2^32 - 1 (Ceph: include/crc32c.h).
 */

/** Start value for preambles. */
export const CRC_PREAMBLE = 0;
/** Start value for segments; also the crc of an empty one. */
export const CRC_SEGMENT = 0xffffffff;

/** The crc of bytes as a u32. */
export function crc32c(bytes: Uint8Array, start: number): number {
  let crc = start;
  for (let i = 0; i < bytes.length; i++) {
    crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]!) & 0xff]!;
  }
  return crc >>> 0;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});
