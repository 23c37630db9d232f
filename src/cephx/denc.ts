/**
 * Ceph's encoding: little-endian integers, counted strings and buffers, times. Decoding is total:
 * whatever the bytes are, a read returns a value or throws a DecodeError with a check name.
 */

/** What decoding or opening can fail with: the check names of the verdicts. */
export type DecodeCode =
  | 'base64'
  | 'decode.truncated'
  | 'decode.trailing'
  | 'decode.utf8'
  | 'key.type'
  | 'key.length'
  | 'key.empty'
  | 'ciphertext.length'
  | 'ciphertext.mac'
  | 'envelope.short'
  | 'envelope.magic'
  | 'reply.nonce';

/** Bytes from elsewhere are not what they should be; `code` says which rule they break. */
export class DecodeError extends Error {
  override readonly name: string = 'DecodeError';
  readonly code: DecodeCode;

  /** @param what the structure or field that was being read; never its bytes */
  constructor(code: DecodeCode, what: string) {
    super(`Cannot decode ${what}: ${code}`);
    this.code = code;
  }
}

/** utime: u32 seconds and u32 nanoseconds since 1970, or a duration; not normalised. */
export interface Utime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Nanoseconds of a utime, as Ceph compares them: seconds * 10^9 + nanoseconds. */
export function utimeNs(time: Utime): bigint {
  return BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds);
}

/** The utime of a number of nanoseconds below 2^32 seconds. */
export function utimeFromNs(ns: bigint): Utime {
  return {
    seconds: Number(ns / 1_000_000_000n),
    nanoseconds: Number(ns % 1_000_000_000n),
  };
}

/** A cursor over bytes that never reads outside them. Buffers it returns share its memory. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // Not the array itself: a slice of a subclass of Uint8Array may share its bytes.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(what = 'u8'): number {
    return this.#view.getUint8(this.#take(1, what));
  }
  /** One byte; anything but zero is true. */
  bool(what = 'bool'): boolean {
    return this.u8(what) !== 0;
  }
  u16(what = 'u16'): number {
    return this.#view.getUint16(this.#take(2, what), true);
  }
  u32(what = 'u32'): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }
  s32(what = 's32'): number {
    return this.#view.getInt32(this.#take(4, what), true);
  }
  u64(what = 'u64'): bigint {
    return this.#view.getBigUint64(this.#take(8, what), true);
  }
  utime(what = 'utime'): Utime {
    const at = this.#take(8, what);
    return {
      seconds: this.#view.getUint32(at, true),
      nanoseconds: this.#view.getUint32(at + 4, true),
    };
  }

  /** The next n bytes. */
  bytes(n: number, what = 'bytes'): Uint8Array {
    const at = this.#take(n, what);
    return this.#bytes.subarray(at, at + n);
  }
  /** bufferlist: u32 length, then that many bytes. */
  bl(what = 'bl'): Uint8Array {
    return this.bytes(this.u32(what), what);
  }
  /** string: u32 length, then UTF-8 text. Bytes that are not UTF-8 are `decode.utf8`. */
  string(what = 'string'): string {
    return decodeUtf8(this.bl(what), what);
  }
  /**
   * u32 count of a vector or map whose entries take at least `entryBytesMin` bytes each. A count
   * that cannot fit into what is left is `decode.truncated` before anything is made for it.
   */
  count(entryBytesMin: number, what = 'count'): number {
    const count = this.u32(what);
    if (count * entryBytesMin > this.left) throw new DecodeError('decode.truncated', what);
    return count;
  }
  /** All bytes not read yet. */
  rest(): Uint8Array {
    return this.bytes(this.left);
  }
  /** Demands that nothing is left. */
  end(what = 'message'): void {
    if (this.left !== 0) throw new DecodeError('decode.trailing', what);
  }

  /** Moves on by n bytes and returns the offset they start at. */
  #take(n: number, what: string): number {
    if (n > this.left) throw new DecodeError('decode.truncated', what);
    const at = this.#at;
    this.#at += n;
    return at;
  }
}

/** A growing buffer. Numbers out of range are a mistake of the caller: RangeError. */
export class Writer {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor() {
    this.#bytes = new Uint8Array(WRITER_START_LEN);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): this {
    checkRange(value, 0, 0xff, 'u8');
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }
  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }
  u16(value: number): this {
    checkRange(value, 0, 0xffff, 'u16');
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
    return this;
  }
  u32(value: number): this {
    checkRange(value, 0, U32_MAX, 'u32');
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }
  s32(value: number): this {
    checkRange(value, -0x80000000, 0x7fffffff, 's32');
    const at = this.#grow(4);
    this.#view.setInt32(at, value, true);
    return this;
  }
  u64(value: bigint): this {
    if (value < 0n || value > U64_MAX) throw new RangeError(`u64 out of range: ${value}`);
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }
  utime(value: Utime): this {
    return this.u32(value.seconds).u32(value.nanoseconds);
  }
  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }
  bl(value: Uint8Array): this {
    return this.u32(value.length).bytes(value);
  }
  string(value: string): this {
    return this.bl(utf8Encoder.encode(value));
  }

  /** A copy of what was written; the writer's own buffer is wiped. */
  finish(): Uint8Array {
    const out = this.#bytes.slice(0, this.#at);
    this.#bytes.fill(0);
    this.#at = 0;
    return out;
  }

  /** Makes room for n bytes and returns the offset they start at. */
  #grow(n: number): number {
    const at = this.#at;
    this.#at += n;
    if (this.#at > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at));
      larger.set(this.#bytes);
      this.#bytes.fill(0);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** Encodes one structure into bytes of its own. */
export function encode<T>(encoder: (out: Writer, value: T) => void, value: T): Uint8Array {
  const out = new Writer();
  encoder(out, value);
  return out.finish();
}

/**
 * Decodes one structure that fills `bytes`. Ceph ignores bytes after it; whether we do is said at
 * every call. Throws DecodeError.
 */
export function decode<T>(
  decoder: (reader: Reader) => T,
  bytes: Uint8Array,
  trailing: 'ignore' | 'reject',
): T {
  const reader = new Reader(bytes);
  const value = decoder(reader);
  if (trailing === 'reject') reader.end();
  return value;
}

/** Text of UTF-8 bytes; `decode.utf8` if they are not. A byte order mark is kept. */
export function decodeUtf8(bytes: Uint8Array, what = 'text'): string {
  try {
    return utf8Decoder.decode(bytes);
  } catch {
    throw new DecodeError('decode.utf8', what);
  }
}

/** Compares secret bytes in a time that depends on the lengths alone (as far as JS allows). */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** (x + 1) modulo 2^64: how cephx answers a challenge or a nonce. */
export function plusOne(x: bigint): bigint {
  return BigInt.asUintN(64, x + 1n);
}

/** XOR of the first four u64 words: how cephx shortens a hash or ciphertext to 64 bits. */
export function foldWords(bytes: Uint8Array): bigint {
  const reader = new Reader(bytes);
  return reader.u64() ^ reader.u64() ^ reader.u64() ^ reader.u64();
}

function checkRange(value: number, min: number, max: number, type: string): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${type} out of range: ${value}`);
  }
}

const U32_MAX = 0xffffffff;
const U64_MAX = 0xffffffffffffffffn;
const WRITER_START_LEN = 128;
const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
