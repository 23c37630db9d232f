/**
 * CryptoKey and sealing with it (Ceph: Crypto.h, CephxProtocol.h). The ciphers themselves are
 * injected as a Sealer: the engine in production, the twin in tests.
 */

import { KEY_TYPE_AES, KEY_TYPE_AES256K, KEY_TYPE_NONE } from '../../assembly/abi.ts';
import { type DecodeCode, DecodeError, encode, Reader, type Utime, Writer } from './denc.ts';

/** A key type: its number on the wire, its name, and the lengths that go with it. */
export interface KeyType {
  readonly type: number;
  readonly name: 'none' | 'aes' | 'aes256k';
  /** Shortest secret that decodes, in bytes; also the length of a created one. */
  readonly secretLen: number;
  /** Whether a ciphertext of n bytes can be one. */
  readonly ciphertextLenOk: (n: number) => boolean;
}

/** Ceph: CEPH_CRYPTO_NONE, CEPH_CRYPTO_AES, CEPH_CRYPTO_AES256KRB5. */
export const KEY_TYPES: readonly KeyType[] = [
  { type: KEY_TYPE_NONE, name: 'none', secretLen: 0, ciphertextLenOk: () => false },
  {
    type: KEY_TYPE_AES,
    name: 'aes',
    secretLen: 16,
    ciphertextLenOk: (n) => n >= 16 && n % 16 === 0,
  },
  // RFC 8009: 16 bytes of confounder and 24 of MAC around the plaintext.
  { type: KEY_TYPE_AES256K, name: 'aes256k', secretLen: 32, ciphertextLenOk: (n) => n >= 40 },
];

export type KeyTypeName = KeyType['name'];

/** The key type of a name; RangeError for a name that is none. */
export function keyTypeNamed(name: string): KeyType {
  const found = KEY_TYPES.find((each) => each.name === name);
  if (found === undefined) throw new RangeError(`unknown key type: "${name}"`);
  return found;
}

/** Gives n random bytes. */
export type Random = (n: number) => Uint8Array;

/**
 * CryptoKey, 12 + len bytes. Known to both sides, never sent in the clear.
 *
 *   0 u16 type · 2 utime created · 10 u16 len · 12 len bytes secret
 *
 * Prints as its type only. `secret` is the key's own copy; `wipe` ends its use.
 */
export class CryptoKey {
  readonly type: number;
  readonly created: Utime;
  readonly #secret: Uint8Array;

  /** @param secret is copied */
  constructor(type: number, created: Utime, secret: Uint8Array) {
    this.type = type;
    this.created = created;
    // A slice of a subclass of Uint8Array may share its bytes.
    this.#secret = new Uint8Array(secret);
  }

  /** A fresh key of a type that can seal. */
  static create(type: 'aes' | 'aes256k', created: Utime, random: Random): CryptoKey {
    const keyType = keyTypeNamed(type);
    const secret = random(keyType.secretLen);
    if (secret.length !== keyType.secretLen) {
      throw new RangeError(`"random" gave ${secret.length} bytes: expected ${keyType.secretLen}`);
    }
    const key = new CryptoKey(keyType.type, created, secret);
    secret.fill(0);
    return key;
  }

  /** The key of nothing: type none, no secret. */
  static none(): CryptoKey {
    return new CryptoKey(KEY_TYPE_NONE, { seconds: 0, nanoseconds: 0 }, new Uint8Array(0));
  }

  /**
   * Reads a key. Throws DecodeError `decode.truncated`; `key.type` for an unknown type with a
   * secret; `key.length` for a secret shorter than the type needs. An empty secret is accepted
   * for any type. Ceph: CryptoKey::decode.
   */
  static decode(reader: Reader): CryptoKey {
    const type = reader.u16('CryptoKey');
    const created = reader.utime('CryptoKey');
    const secret = reader.bytes(reader.u16('CryptoKey'), 'CryptoKey');
    if (secret.length > 0) {
      const keyType = KEY_TYPES[type];
      if (keyType === undefined) throw new DecodeError('key.type', 'CryptoKey');
      if (secret.length < keyType.secretLen) throw new DecodeError('key.length', 'CryptoKey');
    }
    return new CryptoKey(type, created, secret);
  }

  static encode(out: Writer, key: CryptoKey): void {
    out.u16(key.type).utime(key.created).u16(key.#secret.length).bytes(key.#secret);
  }

  /**
   * Reads the text of a keyring: base64 with mandatory padding. Bytes after the secret are
   * ignored, as in Ceph. Throws DecodeError, `base64` for text that is none.
   */
  static fromBase64(text: string): CryptoKey {
    const bytes = decodeBase64(text);
    try {
      return CryptoKey.decode(new Reader(bytes));
    } finally {
      bytes.fill(0);
    }
  }

  toBase64(): string {
    const bytes = this.encode();
    const text = encodeBase64(bytes);
    bytes.fill(0);
    return text;
  }

  /** The 12 + len bytes of the key. */
  encode(): Uint8Array {
    const out = new Writer();
    CryptoKey.encode(out, this);
    return out.finish();
  }

  /** The secret bytes, not a copy. */
  get secret(): Uint8Array {
    return this.#secret;
  }

  /** Name of the key type, or undefined for a type we do not know (then the secret is empty). */
  get typeName(): KeyTypeName | undefined {
    return KEY_TYPES[this.type]?.name;
  }

  /** Whether something can be sealed with it. */
  get usable(): boolean {
    return this.#secret.length > 0 && this.type !== KEY_TYPE_NONE && this.typeName !== undefined;
  }

  /** Overwrites the secret with zeros (best effort: JavaScript may have moved copies). */
  wipe(): void {
    this.#secret.fill(0);
  }

  toString(): string {
    return `CryptoKey(${this.typeName ?? `type ${this.type}`})`;
  }
  toJSON(): string {
    return this.toString();
  }

  // What `console.log` asks for in Node, Bun and Deno.
  static {
    for (const inspect of ['nodejs.util.inspect.custom', 'Deno.customInspect']) {
      Object.defineProperty(CryptoKey.prototype, Symbol.for(inspect), {
        value: CryptoKey.prototype.toString,
      });
    }
  }
}

/**
 * The ciphers of cephx. `key` is usable; `usage` is one of USAGE_* of assembly/abi.ts: usages
 * separate objects under `aes256k`, `aes` ignores them.
 * Implementations never throw because of the ciphertext.
 */
export interface Sealer {
  /**
   * Ciphertext of a whole plaintext: 16 * (n / 16 + 1) bytes for `aes`, n + 40 for `aes256k`.
   * `confounder` is 16 random bytes, not used by `aes`.
   */
  seal(key: CryptoKey, usage: number, plaintext: Uint8Array, confounder: Uint8Array): Uint8Array;
  /** The plaintext, or undefined if the length or the MAC is wrong. */
  open(key: CryptoKey, usage: number, ciphertext: Uint8Array): Uint8Array | undefined;
  /** HMAC-SHA256 with the key's raw secret: 32 bytes. */
  hmacSha256(key: CryptoKey, data: Uint8Array): Uint8Array;
}

/** Envelope of every sealed object: u8 struct_v 1, u64 magic. Ceph does not compare struct_v. */
export const ENVELOPE_LEN = 9;
export const ENVELOPE_MAGIC = 0xff009cad8826aa55n;

/** How an object is sealed. */
export interface SealOptions {
  /** A u32 length stands before the ciphertext (Ceph: encode_encrypt). */
  readonly prefixed: boolean;
  readonly random: Random;
}

/**
 * Seals an encoded object in the envelope. The plaintext is wiped; `object` is not. Throws
 * RangeError if the key is not usable.
 */
export function sealObject(
  sealer: Sealer,
  key: CryptoKey,
  usage: number,
  object: Uint8Array,
  options: SealOptions,
): Uint8Array {
  if (!key.usable) throw new RangeError(`cannot seal with ${key}: it has no secret`);
  const plaintext = new Writer().u8(1).u64(ENVELOPE_MAGIC).bytes(object).finish();
  const sealed = sealer.seal(key, usage, plaintext, options.random(CONFOUNDER_LEN));
  plaintext.fill(0);
  return options.prefixed ? new Writer().bl(sealed).finish() : sealed;
}

/**
 * Opens a sealed object and returns it without its envelope: the caller decodes, then may wipe.
 * With `prefixed` the u32 length is read first and bytes after the ciphertext are ignored.
 * Throws DecodeError `key.empty`, `decode.truncated`, `ciphertext.length`, `ciphertext.mac`,
 * `envelope.short`, `envelope.magic`.
 */
export function openObject(
  sealer: Sealer,
  key: CryptoKey,
  usage: number,
  sealed: Uint8Array,
  options: Pick<SealOptions, 'prefixed'>,
): Uint8Array {
  const ciphertext = options.prefixed ? new Reader(sealed).bl('sealed object') : sealed;
  const fail = (code: DecodeCode): never => {
    throw new DecodeError(code, 'sealed object');
  };
  if (!key.usable) fail('key.empty');
  if (!KEY_TYPES[key.type]!.ciphertextLenOk(ciphertext.length)) fail('ciphertext.length');
  const plaintext = sealer.open(key, usage, ciphertext) ?? fail('ciphertext.mac');
  if (plaintext.length < ENVELOPE_LEN) fail('envelope.short');
  const envelope = new Reader(plaintext);
  envelope.u8();
  if (envelope.u64() !== ENVELOPE_MAGIC) fail('envelope.magic');
  return envelope.rest();
}

/**
 * Opens a sealed object and decodes it; bytes after the structure are ignored, as in Ceph. The
 * plaintext is wiped, so `decoder` must copy the buffers it keeps. Throws DecodeError as
 * `openObject` and `decoder` do.
 */
export function openDecoded<T>(
  sealer: Sealer,
  key: CryptoKey,
  usage: number,
  sealed: Uint8Array,
  options: Pick<SealOptions, 'prefixed'>,
  decoder: (reader: Reader) => T,
): T {
  const object = openObject(sealer, key, usage, sealed, options);
  try {
    return decoder(new Reader(object));
  } finally {
    object.fill(0);
  }
}

/** Seals one structure: `sealObject` of what `encoder` writes, which is wiped. */
export function sealEncoded<T>(
  sealer: Sealer,
  key: CryptoKey,
  usage: number,
  value: T,
  options: SealOptions,
  encoder: (out: Writer, value: T) => void,
): Uint8Array {
  const object = encode(encoder, value);
  try {
    return sealObject(sealer, key, usage, object, options);
  } finally {
    object.fill(0);
  }
}

/** Standard base64 with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  const chars: string[] = [];
  for (let at = 0; at < bytes.length; at += 3) {
    const left = bytes.length - at;
    const group = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    chars.push(BASE64[group >> 18]!, BASE64[(group >> 12) & 63]!);
    chars.push(left > 1 ? BASE64[(group >> 6) & 63]! : '=', left > 2 ? BASE64[group & 63]! : '=');
  }
  return chars.join('');
}

/**
 * Bytes of standard base64. Padding is mandatory, nothing else may stand in the text; bits that
 * the padding leaves over are ignored, as Ceph does. Throws DecodeError `base64`.
 */
export function decodeBase64(text: string): Uint8Array {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) {
    throw new DecodeError('base64', 'base64 text');
  }
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  let at = 0;
  for (let i = 0; i < text.length; i += 4) {
    let group = 0;
    for (let j = 0; j < 4; j++) group = (group << 6) | (BASE64.indexOf(text[i + j]!) & 63);
    out[at++] = group >> 16;
    // Writes past the end of a typed array are dropped: that is the padding.
    out[at++] = group >> 8;
    out[at++] = group;
  }
  return out;
}

const CONFOUNDER_LEN = 16;
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
