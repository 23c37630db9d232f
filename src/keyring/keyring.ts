/**
 * KeyRing: keys and caps by entity, as text and as the binary form of old releases (Ceph:
 * KeyRing.cc).
 */

import { CryptoKey } from '../cephx/cryptokey.ts';
import { Reader, Writer } from '../cephx/denc.ts';
import {
  capsBuffer,
  capsText,
  decodeEntityAuth,
  decodeEntityName,
  type EntityName,
  encodeEntityAuth,
  encodeEntityName,
  formatEntityName,
  parseEntityName,
} from '../cephx/protocol.ts';
import { FileError } from '../errors.ts';
import { atOnce, type Steps } from '../turns.ts';
import { type ConfFile, ConfFileError, confFileSteps } from './conffile.ts';
import { decodeKeyText, knownTo, type Release } from './keytext.ts';

/**
 * Bytes that are no keyring. `words` are Ceph's own and quote what stands there, which may be a
 * key text: they are for the commands that must print them. The message quotes nothing.
 */
export class KeyRingError extends FileError {
  readonly words: string;

  constructor(words: string, reason: string) {
    super('file.content', `cannot read keyring: ${reason}`);
    this.words = words;
  }
}

/** What a keyring holds of one entity. */
export interface KeyRingEntity {
  readonly key: CryptoKey;
  /** The key that is to replace `key` (since Quincy). */
  readonly pendingKey?: CryptoKey;
  /** Caps text by subsystem. */
  readonly caps: ReadonlyMap<string, string>;
}

export class KeyRing {
  readonly #entities = new Map<string, readonly [EntityName, KeyRingEntity]>();

  /**
   * Reads a keyring file. Release 16 tries the binary form first, and refuses `aes256k` keys and
   * pending keys. Throws KeyRingError.
   */
  static parse(bytes: Uint8Array, release: Release = 20): KeyRing {
    return atOnce(KeyRing.parseSteps(bytes, release));
  }

  /** The same in pieces, for keyrings of many entities. */
  static *parseSteps(bytes: Uint8Array, release: Release = 20): Steps<KeyRing> {
    const binary = release === 16 ? decodeBinary(bytes) : undefined;
    return binary ?? (yield* decodeText(bytes, release));
  }

  get size(): number {
    return this.#entities.size;
  }

  get(name: EntityName): KeyRingEntity | undefined {
    return this.#entities.get(idOf(name))?.[1];
  }

  /** Replaces the entity whole. */
  add(name: EntityName, entity: KeyRingEntity): void {
    this.#entities.set(idOf(name), [name, entity]);
  }

  /** Replaces all caps; an entity that is new gets the key of nothing. */
  setCaps(name: EntityName, caps: ReadonlyMap<string, string>): void {
    const key = this.get(name)?.key ?? CryptoKey.none();
    this.add(name, { ...this.get(name), key, caps });
  }

  /** Each entity of the other keyring replaces ours of that name. */
  import(other: KeyRing): void {
    for (const [name, entity] of other.entities()) this.add(name, entity);
  }

  /** By number of the type, then by the bytes of the id. */
  entities(): readonly (readonly [EntityName, KeyRingEntity])[] {
    return [...this.#entities.values()].sort(
      ([a], [b]) => a.type - b.type || compareBytes(a.id, b.id),
    );
  }

  /**
   * The text of the file. Ceph: of a caps text only `"` is escaped, so `\`, `#`, `;`, line ends
   * and outer blanks do not survive the next reading.
   */
  format(): string {
    return this.entities()
      .map(([name, entity]) => formatEntity(name, entity))
      .join('');
  }

  /** The binary form, which Ceph up to 16.2 reads and nothing writes any more. */
  encode(): Uint8Array {
    const out = new Writer().u8(1).u32(this.size);
    for (const [name, { key, caps }] of this.entities()) {
      encodeEntityName(out, name);
      const buffers = [...caps].map(([service, text]) => [service, capsBuffer(text)] as const);
      const pendingKey = CryptoKey.none();
      encodeEntityAuth(out, { version: 2, key, caps: new Map(buffers), pendingKey });
    }
    return out.finish();
  }

  /** Overwrites all secrets (best effort). */
  wipe(): void {
    for (const [, { key, pendingKey }] of this.#entities.values()) {
      key.wipe();
      pendingKey?.wipe();
    }
  }
}

/** One section of a keyring: `[name]`, the key, the caps in bytewise order of the subsystem. */
export function formatEntity(name: EntityName, entity: KeyRingEntity): string {
  const { key, pendingKey } = entity;
  const caps = [...entity.caps].sort(([a], [b]) => compareBytes(a, b));
  return [
    `[${formatEntityName(name)}]\n`,
    `\tkey = ${key.toBase64()}\n`,
    pendingKey === undefined ? '' : `\tpending key = ${pendingKey.toBase64()}\n`,
    ...caps.map(([service, text]) => `\tcaps ${service} = "${text.replaceAll('"', '\\"')}"\n`),
  ].join('');
}

/** undefined if these bytes are not the binary form; bytes after it are ignored. */
function decodeBinary(bytes: Uint8Array): KeyRing | undefined {
  const keyring = new KeyRing();
  try {
    const reader = new Reader(bytes);
    reader.u8('KeyRing');
    for (let left = reader.count(ENTITY_LEN_MIN, 'KeyRing'); left > 0; left--) {
      const name = decodeEntityName(reader);
      const auth = decodeEntityAuth(reader);
      const caps = new Map<string, string>();
      for (const [service, buffer] of auth.caps) caps.set(service, capsText(buffer) ?? '');
      keyring.add(name, { key: knownTo(16, auth.key), caps });
    }
    return keyring;
  } catch {
    // Ceph: whatever is wrong with the binary form, the text form is tried.
    keyring.wipe();
    return undefined;
  }
}

function* decodeText(bytes: Uint8Array, release: Release): Steps<KeyRing> {
  const keyring = new KeyRing();
  for (const [heading, fields] of yield* sectionsOf(bytes)) {
    yield;
    if (heading === 'global') continue;
    const name = parseEntityName(heading);
    if (name === undefined) {
      throw new KeyRingError(
        `bad entity name in keyring: ${heading}`,
        'a section is not named TYPE.ID',
      );
    }
    let entity: KeyRingEntity | undefined;
    for (const [key, value] of fields) {
      const field = key.replaceAll('_', ' ');
      const held: KeyRingEntity = entity ?? { key: CryptoKey.none(), caps: new Map() };
      const changed = withField(held, field, untilNul(value), release);
      if (changed === undefined) {
        throw new KeyRingError(
          `error setting modifier for [${heading}] type=${field} val=${value}`,
          'a field is unknown or has a wrong value',
        );
      }
      if (changed !== held) entity = changed;
    }
    if (entity !== undefined) keyring.add(name, entity);
  }
  return keyring;
}

function* sectionsOf(bytes: Uint8Array): Steps<ConfFile> {
  try {
    return yield* confFileSteps(bytes);
  } catch (error) {
    if (error instanceof ConfFileError) {
      throw new KeyRingError('cannot parse buffer', 'not in the form of one');
    }
    throw error;
  }
}

/** The entity with a field set; itself for one that means nothing; undefined for a wrong one. */
function withField(
  entity: KeyRingEntity,
  field: string,
  value: string,
  release: Release,
): KeyRingEntity | undefined {
  if (field === 'auid') return entity;
  if (field.startsWith('caps ') && field.length > 'caps '.length) {
    return { ...entity, caps: new Map(entity.caps).set(field.slice('caps '.length), value) };
  }
  try {
    if (field === 'key') return { ...entity, key: decodeKeyText(value, release) };
    if (field === 'pending key' && release > 16) {
      return { ...entity, pendingKey: decodeKeyText(value, release) };
    }
  } catch {
    return undefined;
  }
  return undefined;
}

function untilNul(value: string): string {
  const nul = value.indexOf('\0');
  return nul < 0 ? value : value.slice(0, nul);
}

function idOf(name: EntityName): string {
  return `${name.type}.${name.id}`;
}

/** Code points order as their UTF-8 bytes do; UTF-16 units do not. */
function compareBytes(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  if (at === length) return a.length - b.length;
  return codePointOrder(a.charCodeAt(at)) - codePointOrder(b.charCodeAt(at));
}

/** Surrogates stand for code points beyond all others. */
function codePointOrder(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** EntityName 8, EntityAuth 9 + 12 + 4 bytes. */
const ENTITY_LEN_MIN = 33;
