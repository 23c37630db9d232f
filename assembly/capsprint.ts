/** Writes canonical texts: the output, and what OSD and MDS prints share. */

import { SPAN_LEN } from './abi';

let start: usize = 0;
let at: usize = 0;
let end: usize = 0;

export function printBegin(out: usize, max: i32): void {
  start = out;
  at = out;
  end = out + max;
}

/** Bytes written, or -1 when they did not fit. */
export function printEnd(): i32 {
  return at > end ? -1 : ((at - start) as i32);
}

/** An ASCII text. */
export function print(text: string): void {
  for (let i = 0; i < text.length; i++) printByte(text.charCodeAt(i));
}

export function printByte(c: u32): void {
  if (at < end) store<u8>(at, c as u8);
  // Past the end only the position goes on, so that the end can be told.
  if (at <= end) at++;
}

/** n bytes as they are. */
export function printBytes(from: usize, n: i32): void {
  for (let i = 0; i < n; i++) printByte(load<u8>(from + i));
}

/** A decimal number. */
export function printNumber(value: u32): void {
  let divisor: u32 = 1;
  while (value / divisor >= 10) divisor *= 10;
  for (; divisor > 0; divisor /= 10) printByte(0x30 + ((value / divisor) % 10));
}

/**
 * ` network N`: the grant keeps it masked, so its text is taken from the end of the grant's span.
 */
export function printNetwork(text: usize, spans: usize, index: i32): void {
  const from = text + load<u32>(spans + index * SPAN_LEN);
  const to = text + load<u32>(spans + index * SPAN_LEN, 4);
  let p = to;
  while (p > from && load<u8>(p - 1) > 32) p--;
  print(' network ');
  printBytes(p, (to - p) as i32);
}
