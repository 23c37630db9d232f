/**
 * What the store holds, and the one place that encodes and decodes it. A value is a version byte
 * and fields: little-endian integers, byte strings and UTF-8 texts after a u32 length. A version
 * that this program does not know is an error, so nothing of a newer program is misread or lost.
 */

import { StoreError } from '../errors.ts';
import { ValueReader, ValueWriter } from './value.ts';

/** How one kind of record is kept: under which keys, and as which bytes. */
export interface RecordKind<Id, T> {
  /** All keys of this kind begin with it. */
  readonly prefix: Uint8Array;
  key(id: Id): Uint8Array;
  /** The id in a key of this kind. Throws StoreError `store.content`. */
  id(key: Uint8Array): Id;
  encode(record: T): Uint8Array;
  /** Throws StoreError `store.version` or `store.content`; the text never holds the bytes. */
  decode(value: Uint8Array): T;
}

/** One row of the entity database; the id is the entity name, as `client.admin`. */
export interface EntityRecord {
  /** The encoded CryptoKey. */
  readonly key: Uint8Array;
  /** The encoded CryptoKey that replaces it at the next commit, if there is one. */
  readonly pendingKey: Uint8Array | undefined;
  /** Service and caps text, in the order they were given. */
  readonly caps: ReadonlyMap<string, string>;
}

export interface RotatingSecret {
  readonly secretId: bigint;
  /** The encoded CryptoKey. */
  readonly key: Uint8Array;
  /** Nanoseconds since 1970. */
  readonly expiresNs: bigint;
}

/** The rotating secrets of one service; the id is the service name, as `osd`. */
export interface RotatingRecord {
  /** The highest secret id ever given out, which a wipe does not reset. */
  readonly secretIdMax: bigint;
  /** In the order of their ids. */
  readonly secrets: readonly RotatingSecret[];
}

/** Every global_id up to this one may have been given out. */
export interface GlobalIdRecord {
  readonly globalIdMax: bigint;
}

/** Key type names; Ceph's auth_allowed_ciphers, auth_preferred_cipher, auth_service_cipher. */
export interface CipherRecord {
  readonly allowed: readonly string[];
  readonly preferred: string;
  readonly service: string;
}

/** Whom a revocation is about; `all` only with `not_before`. */
export type RevocationTarget =
  | { readonly kind: 'entity'; readonly entity: string }
  | { readonly kind: 'global_id'; readonly globalId: bigint }
  | { readonly kind: 'service'; readonly service: string }
  | { readonly kind: 'all' };

/** There is at most one of each kind for a target. */
export interface RevocationId {
  readonly kind: 'deny' | 'not_before';
  readonly target: RevocationTarget;
}

export interface RevocationRecord {
  /** Nanoseconds since 1970: for `not_before`, tickets created before it are refused. */
  readonly timeNs: bigint;
  /** When the revocation was made, nanoseconds since 1970. */
  readonly createdNs: bigint;
  /** The operator's words. */
  readonly comment: string;
}

const ENTITY_VALUE: Pick<Parts<unknown, EntityRecord>, 'write' | 'read'> = {
  write: (out, record) => {
    out.bytes(record.key).optional(record.pendingKey).count(record.caps.size);
    for (const [service, caps] of record.caps) out.text(service).text(caps);
  },
  read: (reader) => {
    const key = reader.bytes();
    const pendingKey = reader.optional();
    const caps = reader.list(() => [reader.text(), reader.text()] as const);
    return { key, pendingKey, caps: new Map(caps) };
  },
};

export const ENTITIES: RecordKind<string, EntityRecord> = kind({
  name: 'entity',
  prefix: 'entity/',
  idText: (entity) => entity,
  idOf: (text) => (text === '' ? undefined : { id: text }),
  ...ENTITY_VALUE,
});

/** An entity on its way in: nobody reads it before its import is committed. */
export interface StagedId {
  /** Hex digits. */
  readonly importId: string;
  readonly entity: string;
}

export const STAGED: RecordKind<StagedId, EntityRecord> = kind({
  name: 'staged entity',
  prefix: 'staged/',
  idText: (id) => `${id.importId}/${id.entity}`,
  idOf: (text) => {
    const [, importId, entity] = /^([0-9a-f]+)\/(.+)$/s.exec(text) ?? [];
    return importId && entity ? { id: { importId, entity } } : undefined;
  },
  ...ENTITY_VALUE,
});

/** The import that is committed and not yet carried out: its staged entities replace the others. */
export interface ImportRecord {
  readonly importId: string;
}

export const IMPORT: RecordKind<undefined, ImportRecord> = kind({
  ...only('import'),
  write: (out, record) => void out.text(record.importId),
  read: (reader) => ({ importId: reader.text() }),
});

export const ROTATING: RecordKind<string, RotatingRecord> = kind({
  name: 'rotating secrets',
  prefix: 'rotating/',
  idText: (service) => service,
  idOf: (text) => (text === '' ? undefined : { id: text }),
  write: (out, record) => {
    out.u64(record.secretIdMax).count(record.secrets.length);
    for (const each of record.secrets) out.u64(each.secretId).bytes(each.key).u64(each.expiresNs);
  },
  read: (reader) => ({
    secretIdMax: reader.u64(),
    secrets: reader.list(() => ({
      secretId: reader.u64(),
      key: reader.bytes(),
      expiresNs: reader.u64(),
    })),
  }),
});

export const GLOBAL_ID: RecordKind<undefined, GlobalIdRecord> = kind({
  ...only('global_id'),
  write: (out, record) => void out.u64(record.globalIdMax),
  read: (reader) => ({ globalIdMax: reader.u64() }),
});

export const CIPHERS: RecordKind<undefined, CipherRecord> = kind({
  ...only('ciphers'),
  write: (out, record) => {
    out.count(record.allowed.length);
    for (const name of record.allowed) out.text(name);
    out.text(record.preferred).text(record.service);
  },
  read: (reader) => ({
    allowed: reader.list(() => reader.text()),
    preferred: reader.text(),
    service: reader.text(),
  }),
});

export const REVOCATIONS: RecordKind<RevocationId, RevocationRecord> = kind({
  name: 'revocation',
  prefix: 'revocation/',
  idText: (id) => `${id.kind}/${id.target.kind}/${targetText(id.target)}`,
  idOf: revocationOf,
  write: (out, record) => void out.u64(record.timeNs).u64(record.createdNs).text(record.comment),
  read: (reader) => ({
    timeNs: reader.u64(),
    createdNs: reader.u64(),
    comment: reader.text(),
  }),
});

interface Parts<Id, T> {
  readonly name: string;
  readonly prefix: string;
  readonly idText: (id: Id) => string;
  /** Undefined for a text that is no id of this kind. */
  readonly idOf: (text: string) => { id: Id } | undefined;
  readonly write: (out: ValueWriter, record: T) => void;
  readonly read: (reader: ValueReader) => T;
}

/** There is one record of this kind, under this key. */
function only(name: string): Pick<Parts<undefined, never>, 'name' | 'prefix' | 'idText' | 'idOf'> {
  return {
    name,
    prefix: name,
    idText: () => '',
    idOf: (text) => (text === '' ? { id: undefined } : undefined),
  };
}

function targetText(target: RevocationTarget): string {
  switch (target.kind) {
    case 'entity':
      return target.entity;
    case 'global_id':
      return String(target.globalId);
    case 'service':
      return target.service;
    case 'all':
      return '';
  }
}

function revocationOf(text: string): { id: RevocationId } | undefined {
  const [, kind, about, name] = /^(deny|not_before)\/([a-z_]+)\/(.*)$/s.exec(text) ?? [];
  if (kind === undefined || name === undefined) return undefined;
  const target = targetOf(about, name);
  return target && { id: { kind: kind as RevocationId['kind'], target } };
}

function targetOf(about: string | undefined, name: string): RevocationTarget | undefined {
  if (about === 'all' && name === '') return { kind: 'all' };
  if (name === '') return undefined;
  if (about === 'entity') return { kind: 'entity', entity: name };
  if (about === 'service') return { kind: 'service', service: name };
  if (about === 'global_id' && /^\d{1,20}$/.test(name)) {
    return { kind: 'global_id', globalId: BigInt(name) };
  }
  return undefined;
}

function kind<Id, T>(parts: Parts<Id, T>): RecordKind<Id, T> {
  const { name, prefix } = parts;
  const fail = (why: string) => new StoreError('store.content', `cannot read ${name}: ${why}`);
  return {
    prefix: new TextEncoder().encode(prefix),
    key: (id) => utf8Encoder.encode(prefix + parts.idText(id)),
    id: (key) => {
      const text = utf8Decoder.decode(key);
      const found = text.startsWith(prefix) ? parts.idOf(text.slice(prefix.length)) : undefined;
      if (found === undefined) throw fail(`no such key is known, "${text}"`);
      return found.id;
    },
    encode: (record) => {
      const out = new ValueWriter(VERSION);
      parts.write(out, record);
      return out.finish();
    },
    decode: (value) => {
      const reader = new ValueReader(value, fail);
      if (reader.version !== VERSION) {
        const present = `it has version ${reader.version}, this program knows ${VERSION}`;
        throw new StoreError('store.version', `cannot read ${name}: ${present}`);
      }
      const record = parts.read(reader);
      reader.end();
      return record;
    },
  };
}

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder();
const VERSION = 1;
