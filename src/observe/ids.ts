/**
 * Ids of requests and decisions: 12 random bytes in hex. Made many at a time: alone, each would
 * cost as much as a check does.
 */

import { encodeHex } from '../http/codec.ts';

export class Ids {
  readonly #random: (n: number) => Uint8Array;
  #supply = '';
  #at = 0;

  /** @param random gives n random bytes */
  constructor(random: (n: number) => Uint8Array) {
    this.#random = random;
  }

  /** An id that nobody has had. */
  next(): string {
    if (this.#at === this.#supply.length) {
      this.#supply = encodeHex(this.#random(ID_LEN * SUPPLY));
      this.#at = 0;
    }
    const id = this.#supply.slice(this.#at, this.#at + 2 * ID_LEN);
    this.#at += 2 * ID_LEN;
    return id;
  }
}

const ID_LEN = 12;
const SUPPLY = 1024;
