/**
 * AES-128-GCM of a secure connection: one stream of units a direction, each under the next nonce
 * (Ceph: crypto_onwire.cc). No additional data.
 */

import { type CipherGCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';
import { protocolError } from './errors.ts';

/** Bytes of a connection secret. The first 40 are used. */
export const CONNECTION_SECRET_LEN = 64;
/** Bytes of the tag after each ciphertext. */
export const GCM_TAG_LEN = 16;

/** Which part of the nonce counts: u32 at 0 in msgr2.0, u64 at 4 in msgr2.1. */
export type Revision = 0 | 1;

/** The nonces of one direction. A nonce is given once; then the connection is at its end. */
class NonceCounter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #revision: Revision;
  readonly #start: bigint;
  #spent = false;

  constructor(first: Uint8Array, revision: Revision) {
    this.#bytes = first.slice();
    this.#view = new DataView(this.#bytes.buffer);
    this.#revision = revision;
    this.#start = this.#count;
  }

  /** The nonce that `next` will give. */
  peek(): Uint8Array {
    if (this.#spent) throw protocolError('nonces', 'all of them are used');
    return this.#bytes.slice();
  }

  /** The next nonce, 12 bytes of the caller's own. */
  next(): Uint8Array {
    const nonce = this.peek();
    if (this.#revision === 0) this.#view.setUint32(0, Number(this.#count + 1n) >>> 0, true);
    else this.#view.setBigUint64(4, BigInt.asUintN(64, this.#count + 1n), true);
    this.#spent = this.#count === this.#start;
    return nonce;
  }

  get #count(): bigint {
    if (this.#revision === 0) return BigInt(this.#view.getUint32(0, true));
    return this.#view.getBigUint64(4, true);
  }
}

/** One direction of a secure connection. The key is its own copy; `wipe` ends its use. */
export class GcmStream {
  readonly #key: Uint8Array;
  readonly #nonces: NonceCounter;
  #failed = false;

  /** @param key 16 bytes @param nonce the first of 12 bytes */
  constructor(key: Uint8Array, nonce: Uint8Array, revision: Revision) {
    this.#key = key.slice();
    this.#nonces = new NonceCounter(nonce, revision);
  }

  /** Ciphertext and tag of the next unit. */
  seal(plaintext: Uint8Array): Uint8Array {
    const cipher = createCipheriv(CIPHER, this.#key, this.#nonces.next());
    const out = new Uint8Array(plaintext.length + GCM_TAG_LEN);
    out.set(cipher.update(plaintext));
    cipher.final();
    out.set(cipher.getAuthTag(), plaintext.length);
    return out;
  }

  /** Plaintext of the next unit. A wrong tag is MonError `mon.protocol`, and the stream's end. */
  open(unit: Uint8Array): Uint8Array {
    if (this.#failed) throw protocolError('secure stream', 'it has failed before');
    const length = unit.length - GCM_TAG_LEN;
    const decipher = createDecipheriv(CIPHER, this.#key, this.#nonces.next(), {
      authTagLength: GCM_TAG_LEN,
    });
    decipher.setAuthTag(unit.subarray(length));
    const plaintext = new Uint8Array(length);
    const opened = decipher.update(unit.subarray(0, length));
    plaintext.set(opened);
    // Whoever wipes the plaintext wipes all there is of it.
    opened.fill(0);
    try {
      decipher.final();
    } catch {
      this.#failed = true;
      plaintext.fill(0);
      throw protocolError('secure unit', 'its tag is wrong');
    }
    return plaintext;
  }

  /**
   * The start of the next unit before its tag was seen: anybody may have altered it. For msgr2.0,
   * which says the length of a unit inside the unit.
   */
  peek(start: Uint8Array): Uint8Array {
    const decipher = createDecipheriv(CIPHER, this.#key, this.#nonces.peek());
    return Uint8Array.from(decipher.update(start));
  }

  wipe(): void {
    this.#key.fill(0);
    this.#failed = true;
  }
}

/** The two streams of a connection, as one of its sides sees them. */
export interface GcmStreams {
  readonly send: GcmStream;
  readonly receive: GcmStream;
}

/**
 * The streams of a connection secret: 16 bytes of key, 12 of the first nonce of what the server
 * sends, 12 of what the client sends. Another length than 64 is MonError `mon.protocol`.
 */
export function gcmStreams(
  secret: Uint8Array,
  side: 'client' | 'server',
  revision: Revision,
): GcmStreams {
  if (secret.length !== CONNECTION_SECRET_LEN) {
    throw protocolError('connection secret', `it has ${secret.length} bytes`);
  }
  const key = secret.subarray(0, 16);
  const byServer = new GcmStream(key, secret.subarray(16, 28), revision);
  const byClient = new GcmStream(key, secret.subarray(28, 40), revision);
  if (side === 'client') return { send: byClient, receive: byServer };
  return { send: byServer, receive: byClient };
}

const CIPHER: CipherGCMTypes = 'aes-128-gcm';
