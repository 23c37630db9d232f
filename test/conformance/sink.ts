/** What a conformance hash is made of: see the README, "Embedding". */

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { Verdict } from '../../src/engine/index.ts';

/** Takes what the core answers, in order. */
export class Sink {
  readonly #hash = sha256.create();
  readonly #marks: string[] = [];
  readonly #onMark: (vectors: number) => void;

  /** @param onMark told of each mark, as it is set */
  constructor(onMark: (vectors: number) => void = () => undefined) {
    this.#onMark = onMark;
  }

  /** The verdicts of one call: their bytes, then what the secret block held. */
  verdicts(all: readonly Verdict[]): void {
    for (const { bytes } of all) this.#hash.update(bytes);
    for (const { secrets } of all) {
      if (secrets === undefined) continue;
      this.number(secrets.nonce);
      this.bytes(secrets.sessionKey);
      if (secrets.connectionSecret !== undefined) this.bytes(secrets.connectionSecret);
    }
  }

  bytes(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** A u64, little-endian. */
  number(value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.#hash.update(bytes);
  }

  /** Keeps the hash over everything so far. */
  mark(vectors: number): void {
    this.#marks.push(`${vectors} ${bytesToHex(this.#hash.clone().digest())}`);
    this.#onMark(vectors);
  }

  /** "COUNT HASH" of each mark. */
  get marks(): readonly string[] {
    return this.#marks;
  }
}
