/**
 * `network ADDR/LEN` of a grant (Ceph: parse_network, network_contains; spec section 1.6). A text
 * that is no network leaves family 0: such a grant never matches.
 */

import { GRANT_FLAGS, GRANT_HAS_NETWORK, GRANT_NET, GRANT_NET_BITS, GRANT_NET_FAMILY } from './abi';

/** Writes the network in n bytes of text into a grant. */
export function networkParse(text: usize, n: i32, grant: usize): void {
  store<u16>(grant + GRANT_FLAGS, load<u16>(grant + GRANT_FLAGS) | (GRANT_HAS_NETWORK as u16));
  let slash = 0;
  while (slash < n && load<u8>(text + slash) != 0x2f) slash++;
  if (slash + 1 >= n) return;
  if (!decimal(text + slash + 1, text + n)) return;
  const family = parse4(text, text + slash, grant + GRANT_NET)
    ? 4
    : parse6(text, text + slash, grant + GRANT_NET)
      ? 6
      : 0;
  if (family == 0) {
    store<u64>(grant + GRANT_NET, 0);
    store<u64>(grant + GRANT_NET, 0, 8);
    return;
  }
  const width: u32 = family == 4 ? 32 : 128;
  const bits = length < width ? length : width;
  store<u8>(grant + GRANT_NET_FAMILY, family as u8);
  store<u8>(grant + GRANT_NET_BITS, bits as u8);
  const high = load<u64>(grant + GRANT_NET) & mask(bits);
  store<u64>(grant + GRANT_NET, high);
  store<u64>(grant + GRANT_NET, load<u64>(grant + GRANT_NET, 8) & mask((bits as i32) - 64), 8);
}

/** 1 if an address of this family (4, 6; 0 for none) lies in the grant's network. */
export function networkMatch(grant: usize, family: u32, address: usize): i32 {
  if (family == 0 || (load<u8>(grant + GRANT_NET_FAMILY) as u32) != family) return 0;
  const bits = load<u8>(grant + GRANT_NET_BITS) as i32;
  const high = (load<u64>(address) ^ load<u64>(grant + GRANT_NET)) & mask(bits);
  const low = (load<u64>(address, 8) ^ load<u64>(grant + GRANT_NET, 8)) & mask(bits - 64);
  return ((high | low) == 0) as i32;
}

/** The first n bits of 8 bytes in network order, as they lie in memory. */
function mask(n: i32): u64 {
  if (n <= 0) return 0;
  return n >= 64 ? ~(0 as u64) : bswap<u64>(~(0 as u64) << ((64 - n) as u64));
}

let length: u32 = 0;

/** A number as strtol reads it: kept as 32 bits, stuck at the largest signed 64-bit value. */
function decimal(from: usize, to: usize): bool {
  let value: u64 = 0;
  for (let p = from; p < to; p++) {
    const digit = (load<u8>(p) as u64) - 0x30;
    if (digit > 9) return false;
    value = value > (MAX - digit) / 10 ? MAX : value * 10 + digit;
  }
  length = value as u32;
  return true;
}

const MAX: u64 = 0x7fffffffffffffff;

/** Four decimal parts up to 255 without leading zeros (inet_pton). */
function parse4(from: usize, to: usize, out: usize): bool {
  let p = from;
  for (let part = 0; part < 4; part++) {
    if (part > 0) {
      if (p == to || load<u8>(p) != 0x2e) return false;
      p++;
    }
    const begin = p;
    let value: u32 = 0;
    while (p < to && (load<u8>(p) as u32) - 0x30 < 10) {
      if (p > begin && value == 0) return false;
      value = value * 10 + (load<u8>(p) as u32) - 0x30;
      if (value > 255) return false;
      p++;
    }
    if (p == begin) return false;
    store<u8>(out + part, value as u8);
  }
  return p == to;
}

/** Groups of up to four hexadecimal digits, one `::`, perhaps an IPv4 tail (inet_pton). */
function parse6(from: usize, to: usize, out: usize): bool {
  let p = from;
  let count = 0;
  let gap = -1;
  if (p < to && load<u8>(p) == 0x3a) {
    p++;
    if (p == to || load<u8>(p) != 0x3a) return false;
  }
  while (p < to) {
    if (load<u8>(p) == 0x3a) {
      // Here a colon follows a group's colon, or the first colon of the text.
      if (gap >= 0) return false;
      gap = count;
      p++;
      continue;
    }
    const begin = p;
    const value = group(p, to);
    p = groupEnd;
    if (p == begin) return false;
    if (p < to && load<u8>(p) == 0x2e) {
      if (count > 12 || !parse4(begin, to, out + count)) return false;
      count += 4;
      p = to;
      break;
    }
    if (count == 16) return false;
    store<u16>(out + count, bswap<u16>(value as u16));
    count += 2;
    if (p == to) break;
    if (load<u8>(p) != 0x3a) return false;
    p++;
    if (p == to) return false;
  }
  return spread(out, count, gap);
}

let groupEnd: usize = 0;

function group(from: usize, to: usize): u32 {
  let value: u32 = 0;
  let p = from;
  while (p < to && p - from < 4) {
    const c: u32 = load<u8>(p);
    const letter = (c | 0x20) - 0x61;
    if (c - 0x30 < 10) value = (value << 4) | (c - 0x30);
    else if (letter < 6) value = (value << 4) | (letter + 10);
    else break;
    p++;
  }
  groupEnd = p;
  return value;
}

/** Moves what stands behind the `::` to the end; false if that leaves it no room, or no gap. */
function spread(out: usize, count: i32, gap: i32): bool {
  if (gap < 0) return count == 16;
  if (count == 16) return false;
  const tail = count - gap;
  memory.copy(out + 16 - tail, out + gap, tail);
  memory.fill(out + gap, 0, 16 - count);
  return true;
}
