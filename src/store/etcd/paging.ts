/**
 * Where to look for a page of a list. etcd 3.4 goes through all keys of a range, however few it is
 * asked for: of 10^6 keys each page of 1,000 took it a second. So where there are many keys, a page
 * that follows another is looked for among the keys that share all but the last byte with the key
 * before it, then among those that share a byte less, and so on, until it is full: 10^6 keys of
 * the same make take some five questions a page, over some thousands of keys.
 */

import { endOf } from './codec.ts';
import { joined } from './layout.ts';

/** Keys from `from` to before `end`, both as the store's users know them. */
export interface Part {
  readonly from: Uint8Array;
  /** Undefined: all that begin with the prefix. */
  readonly end: Uint8Array | undefined;
}

export class Pager {
  /** Prefixes, as text, under which there were many keys when all were looked through. */
  readonly #large = new Set<string>();

  /** Parts in which the keys after another one are to be looked for, in their order. */
  *parts(prefix: Uint8Array, after: Uint8Array | undefined): Generator<Part, void> {
    // The first key that is after another one is that key with a zero byte.
    let from = after === undefined ? prefix : joined(after, ZERO);
    if (after !== undefined && this.#large.has(nameOf(prefix))) {
      for (let shared = after.length - 1; shared > prefix.length; shared--) {
        const begin = from.subarray(0, Math.min(shared, from.length));
        // Nothing comes after bytes that are all 0xff; what is not of the prefix is not asked for.
        const end = begin.every((byte) => byte === 0xff) ? undefined : endOf(begin);
        if (end === undefined || !prefix.every((byte, i) => end[i] === byte)) break;
        yield { from, end };
        from = end;
      }
    }
    yield { from, end: undefined };
  }

  /** `count` keys were looked through from the beginning of the prefix. */
  note(prefix: Uint8Array, count: number): void {
    const name = nameOf(prefix);
    if (count <= LARGE_COUNT) this.#large.delete(name);
    // Prefixes come from our own record kinds: a bound all the same.
    else if (this.#large.size < PREFIXES_MAX) this.#large.add(name);
  }
}

function nameOf(prefix: Uint8Array): string {
  return String(prefix);
}

const ZERO = new Uint8Array(1);
const LARGE_COUNT = 10_000;
const PREFIXES_MAX = 64;
