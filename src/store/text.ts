/** Byte strings as text of one character (0 to 255) a byte: it compares as the bytes do. */

import { Buffer } from 'node:buffer';

export function keyText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** Fresh bytes. */
export function keyBytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}
