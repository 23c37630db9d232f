/**
 * Values as they lie in etcd: sealed under a store key, so that whoever reads the keyspace or its
 * backups learns no keys, and whoever writes it can neither alter a value nor put it elsewhere. It
 * does not protect against rollback: a writer of the keyspace can put an older value of the same
 * key back.
 *
 *   u8 1, then chunks, each u32 length and an aes256k ciphertext of
 *     16 bytes id of the value · u32 index · u32 count · u32 length and path · data
 *   u8 0, then the value, where sealing is off
 */

import { type CryptoKey, KEY_TYPES, type Random, type Sealer } from '../../cephx/cryptokey.ts';
import { StoreError } from '../../errors.ts';
import { ValueReader, ValueWriter } from '../value.ts';

/** What is put into etcd for a value, and back. */
export interface Envelope {
  readonly kind: 'sealed' | 'plaintext';
  close(path: Uint8Array, value: Uint8Array): Uint8Array;
  /** Throws StoreError `store.content` if it is not what was closed under that path. */
  open(path: Uint8Array, stored: Uint8Array): Uint8Array;
}

/**
 * @param keys aes256k; the first one (current) seals, all (current and previous) open. They belong
 *   to the caller and are needed for as long as the envelope is
 */
export function sealedEnvelope(
  sealer: Sealer,
  keys: readonly CryptoKey[],
  random: Random,
): Envelope {
  const [current] = keys;
  if (current === undefined || keys.length > STORE_KEYS_MAX) {
    throw new RangeError(`"keys" has ${keys.length} store keys: expected 1 or 2`);
  }
  for (const key of keys) {
    if (KEY_TYPES[key.type]?.name !== 'aes256k') throw new TypeError('a store key is not aes256k');
  }
  return {
    kind: 'sealed',
    close: (path, value) => {
      const id = random(ID_LEN);
      const count = Math.max(1, Math.ceil(value.length / CHUNK_LEN));
      const out = new ValueWriter(SEALED);
      for (let index = 0; index < count; index++) {
        const data = value.subarray(index * CHUNK_LEN, (index + 1) * CHUNK_LEN);
        const head = new ValueWriter(SEALED).bytes(id).count(index).count(count);
        const plaintext = head.bytes(path).bytes(data).finish();
        out.bytes(sealer.seal(current, STORE_USAGE, plaintext, random(CONFOUNDER_LEN)));
        plaintext.fill(0);
      }
      return out.finish();
    },
    open: (path, stored) => {
      const opened = (sealed: Uint8Array): Uint8Array => {
        for (const key of keys) {
          const plaintext = sealer.open(key, STORE_USAGE, sealed);
          if (plaintext !== undefined) return plaintext;
        }
        throw damaged('it does not open under the store key');
      };
      if (stored[0] !== SEALED) throw damaged('it is not sealed');
      return joined(path, new ValueReader(stored, damaged), opened);
    },
  };
}

/** Values as they are, for keyspaces that are protected otherwise. */
export function plaintextEnvelope(): Envelope {
  return {
    kind: 'plaintext',
    close: (_path, value) => {
      const stored = new Uint8Array(1 + value.length);
      stored.set(value, 1);
      return stored;
    },
    open: (_path, stored) => {
      if (stored[0] !== PLAINTEXT) throw damaged('it is sealed, and no store key was given');
      return stored.slice(1);
    },
  };
}

/** The data of all chunks, if they are all of one value, complete, in order, and of that path. */
function joined(
  path: Uint8Array,
  stored: ValueReader,
  opened: (sealed: Uint8Array) => Uint8Array,
): Uint8Array {
  const parts: Uint8Array[] = [];
  let first = '';
  let count = 1;
  for (let index = 0; index < count; index++) {
    const plaintext = opened(stored.bytes());
    const reader = new ValueReader(plaintext, damaged);
    const id = String(reader.bytes());
    const place = reader.count();
    count = reader.count();
    const isHere = equal(reader.bytes(), path);
    parts.push(reader.bytes());
    reader.end();
    plaintext.fill(0);
    if (index === 0) first = id;
    if (!isHere || id !== first || place !== index)
      throw damaged('it was sealed for another place');
  }
  stored.end();
  const value = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    value.set(part, at);
    at += part.length;
    part.fill(0);
  }
  return value;
}

/** What is compared came out of a checked MAC: not secret against whoever could measure it. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function damaged(why: string): StoreError {
  return new StoreError('store.content', `cannot read a value of the store: ${why}`);
}

const PLAINTEXT = 0;
const SEALED = 1;
const ID_LEN = 16;
const CONFOUNDER_LEN = 16;
/** Below what the engine seals in one call, with room for path and envelope. */
const CHUNK_LEN = 49_152;
/** No key usage of cephx: what is sealed here opens nowhere else. */
const STORE_USAGE = 0x63677374;
export const STORE_KEYS_MAX = 2;
