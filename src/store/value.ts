/** Bytes of stored values: bounded reading, growing writing. */

import type { StoreError } from '../errors.ts';
import { keyText } from './text.ts';

/** Builds one value; numbers out of range are a mistake of the caller: RangeError. */
export class ValueWriter {
  #bytes = new Uint8Array(VALUE_LEN);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  /** @param version 0 to 255, the first byte */
  constructor(version: number) {
    this.#bytes[this.#take(1)] = version;
  }

  count(value: number): this {
    const at = this.#take(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(value: bigint): this {
    if (value < 0n || value > U64_MAX) throw new RangeError(`u64 out of range: ${value}`);
    const at = this.#take(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.count(value.length);
    const at = this.#take(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  text(value: string): this {
    // The encoder would put a replacement character, and another text would come back.
    if (LONE_SURROGATE.test(value)) throw new RangeError('text is not well-formed Unicode');
    return this.bytes(utf8Encoder.encode(value));
  }

  /** A list of none or one. */
  optional(value: Uint8Array | undefined): this {
    return value === undefined ? this.count(0) : this.count(1).bytes(value);
  }

  /** The value; what it was built in is wiped, as it holds keys. */
  finish(): Uint8Array {
    const out = this.#bytes.slice(0, this.#at);
    this.#bytes.fill(0);
    return out;
  }

  /** Makes room and returns where it begins. */
  #take(n: number): number {
    const at = this.#at;
    this.#at += n;
    if (this.#at > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#at, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes.fill(0);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** Reads one value and never outside it; `fail` makes the error for bytes that do not fit. */
export class ValueReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fail: (why: string) => StoreError;
  #at = 0;

  constructor(bytes: Uint8Array, fail: (why: string) => StoreError) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fail = fail;
    this.#take(1);
  }

  get version(): number {
    return this.#bytes[0]!;
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** A copy. */
  bytes(): Uint8Array {
    const length = this.count();
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  text(): string {
    const length = this.count();
    const at = this.#take(length);
    const bytes = this.#bytes.subarray(at, at + length);
    if (length <= SHORT && isAscii(bytes)) return keyText(bytes);
    try {
      return utf8Decoder.decode(bytes);
    } catch {
      throw this.#fail('a text is not UTF-8');
    }
  }

  list<T>(item: () => T): T[] {
    const count = this.count();
    // An item takes a byte at least: a count beyond the value ends here, before a large array.
    if (count > this.#bytes.length - this.#at) throw this.#fail('it is cut short');
    return Array.from({ length: count }, item);
  }

  optional(): Uint8Array | undefined {
    const found = this.list(() => this.bytes());
    if (found.length > 1) throw this.#fail('a field is there twice');
    return found[0];
  }

  /** Demands that nothing is left. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw this.#fail('bytes are left over');
  }

  count(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #take(n: number): number {
    if (n > this.#bytes.length - this.#at) throw this.#fail('it is cut short');
    const at = this.#at;
    this.#at += n;
    return at;
  }
}

function isAscii(bytes: Uint8Array): boolean {
  // With a call for each byte this took half of the time of a text.
  for (let at = 0; at < bytes.length; at++) if (bytes[at]! >= 0x80) return false;
  return true;
}

/** Up to here the decoder takes longer than the text. */
const SHORT = 64;
const LONE_SURROGATE = /\p{Surrogate}/u;
/** What most values fit in. */
const VALUE_LEN = 256;
const U64_MAX = 0xffffffffffffffffn;
const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
