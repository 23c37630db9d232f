/**
 * Where things lie in etcd. All of it is under one prefix, by default `cephgate/`:
 *
 *   generation            the id of the generation that counts, and whether values are sealed
 *   g/ID/d/KEY            the database
 *   g/ID/last             written by every transaction and by the beats of watches
 *   r/REQUEST             a transaction that was applied, or must not be any more
 *   l/NAME                a lease, and its note
 *
 * A generation is a whole database. An import fills one that nobody reads and then moves
 * `generation` on to it, in one transaction.
 */

import { StoreError } from '../../errors.ts';
import { ValueReader, ValueWriter } from '../value.ts';

export interface GenerationRecord {
  readonly id: string;
  readonly kind: 'sealed' | 'plaintext';
}

export class Layout {
  readonly generation: Uint8Array;
  /** The prefixes of all generations, requests and leases. */
  readonly generations: Uint8Array;
  readonly requests: Uint8Array;
  readonly leases: Uint8Array;
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.generation = utf8(`${prefix}generation`);
    this.generations = utf8(`${prefix}g/`);
    this.requests = utf8(`${prefix}r/`);
    this.leases = utf8(`${prefix}l/`);
  }

  /** Prefix of all of a generation: what a watch watches. */
  all(generation: string): Uint8Array {
    return utf8(`${this.#prefix}g/${generation}/`);
  }

  data(generation: string): Uint8Array {
    return utf8(`${this.#prefix}g/${generation}/d/`);
  }

  last(generation: string): Uint8Array {
    return utf8(`${this.#prefix}g/${generation}/last`);
  }

  request(id: Uint8Array): Uint8Array {
    return joined(this.requests, id);
  }

  lease(name: string): Uint8Array {
    return utf8(`${this.#prefix}l/${name}`);
  }
}

export function encodeGeneration({ id, kind }: GenerationRecord): Uint8Array {
  return new ValueWriter(VERSION).text(id).text(kind).finish();
}

/** Throws StoreError `store.content` or `store.version`. */
export function decodeGeneration(value: Uint8Array): GenerationRecord {
  const fail = (why: string) => new StoreError('store.content', `cannot read generation: ${why}`);
  const reader = new ValueReader(value, fail);
  if (reader.version !== VERSION) {
    const present = `it has version ${reader.version}, this program knows ${VERSION}`;
    throw new StoreError('store.version', `cannot read generation: ${present}`);
  }
  const id = reader.text();
  const kind = reader.text();
  reader.end();
  if (kind !== 'sealed' && kind !== 'plaintext') throw fail('its kind is not known');
  if (!/^[0-9a-f]{32}$/.test(id)) throw fail('its id is not one');
  return { id, kind };
}

export function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const VERSION = 1;
/** In `last`: how it was written. */
export const LAST_COMMIT: Uint8Array = new Uint8Array([1]);
export const LAST_BEAT: Uint8Array = new Uint8Array([2]);
/** This generation counts no more. */
export const LAST_MOVED: Uint8Array = new Uint8Array([3]);
/** In a request: what became of it. */
export const REQUEST_DONE: Uint8Array = new Uint8Array([1]);
export const REQUEST_VOID: Uint8Array = new Uint8Array([2]);
