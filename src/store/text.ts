/** Byte strings as text of one character (0 to 255) a byte: it compares as the bytes do. */

import { Buffer } from 'node:buffer';

export function keyText(bytes: Uint8Array): string {
  // A Buffer is dear, and keys are short; spread, they would go through an iterator.
  if (bytes.length <= SHORT) return Reflect.apply(String.fromCharCode, undefined, bytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** Puts the bytes there, or into fresh ones. */
export function keyBytes(text: string, into: Uint8Array = new Uint8Array(text.length)): Uint8Array {
  for (let at = 0; at < text.length; at++) into[at] = text.charCodeAt(at);
  return into;
}

const SHORT = 64;
