/**
 * Key text as Ceph reads it (Ceph: armor.c, CryptoKey::decode_base64). More is accepted than
 * base64: line ends between groups of four, `=` as a zero, anything after the padding.
 */

import { KEY_TYPE_AES256K } from '../../assembly/abi.ts';
import { CryptoKey } from '../cephx/cryptokey.ts';
import { DecodeError, Reader } from '../cephx/denc.ts';

/** The Ceph release that is imitated: 16 has no `aes256k` and reads binary keyrings. */
export type Release = 16 | 20;

/** The key of a text. Throws DecodeError as CryptoKey.decode does; `base64`; `key.type`. */
export function decodeKeyText(text: string, release: Release): CryptoKey {
  const bytes = unarmor(text);
  try {
    return knownTo(release, CryptoKey.decode(new Reader(bytes)));
  } finally {
    bytes.fill(0);
  }
}

/** The key, if the release can hold it. Throws DecodeError `key.type`. */
export function knownTo(release: Release, key: CryptoKey): CryptoKey {
  if (release === 16 && key.type === KEY_TYPE_AES256K && key.secret.length > 0) {
    key.wipe();
    throw new DecodeError('key.type', 'CryptoKey');
  }
  return key;
}

function unarmor(text: string): Uint8Array {
  const out = new Uint8Array(Math.ceil((text.length * 3) / 4));
  let length = 0;
  for (let at = 0; at < text.length; ) {
    if (text[at] === '\n') {
      at++;
      continue;
    }
    let group = 0;
    for (let i = 0; i < 4; i++) group = (group << 6) | bitsOf(text[at + i]);
    const kept = text[at + 2] === '=' ? 1 : text[at + 3] === '=' ? 2 : 3;
    for (let i = 0; i < kept; i++) out[length++] = group >> (16 - 8 * i);
    if (kept < 3) break;
    at += 4;
  }
  const bytes = out.slice(0, length);
  out.fill(0);
  return bytes;
}

function bitsOf(char: string | undefined): number {
  if (char === '=') return 0;
  const bits = char === undefined ? -1 : ALPHABET.indexOf(char);
  if (bits < 0) throw new DecodeError('base64', 'key text');
  return bits;
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
