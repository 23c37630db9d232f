/**
 * Reads a request's JSON body and checks it against a shape: unknown and doubled fields are
 * refused, and every complaint names the field, what it is and what it should be, never its value.
 */

import { Buffer } from 'node:buffer';
import { type BodyLimits, readBytes, type Sent } from './bodybytes.ts';
import { decodeBase64, isWellFormed, parseU64 } from './codec.ts';
import type { HeaderLookup } from './headers.ts';
import { Problem } from './problem.ts';
import {
  BASE64_PATTERN,
  BYTES_KEYWORD,
  described,
  objectSchema,
  type Schema,
  schemaOf,
  U64_PATTERN,
  WELL_FORMED_PATTERN,
} from './schema.ts';

/** Reads one value at a place such as `op.classes[0].name`; throws Problem `field.*`. */
export interface Field<T> {
  (value: unknown, at: string): T;
  /** JSON Schema of the values that are read: see schema.ts. */
  readonly schema?: () => Schema;
  readonly optional?: boolean;
}

/** What an object may hold. A field made by `optional` may be missing. */
export type Shape = Readonly<Record<string, Field<unknown>>>;
export type ShapeOf<S extends Shape> = { readonly [K in keyof S]: ReturnType<S[K]> };

/**
 * The body of a request as the object that `field` describes. Throws Problem `body.*`, `field.*`.
 */
export async function readBody<T>(from: Sent, field: Field<T>, limits: BodyLimits): Promise<T> {
  requireJson(from.headers ?? from.raw.headers);
  return parseBody(await readBytes(from, limits), field);
}

/** The same of a body that is there. */
export function parseBody<T>(bytes: Uint8Array, field: Field<T>): T {
  let text: string;
  let value: unknown;
  try {
    text = decodeUtf8(bytes);
    value = JSON.parse(text);
  } catch {
    throw new Problem('body.not_json', 'the body is not JSON in UTF-8');
  }
  if (hasDoubledName(text, value)) {
    throw new Problem('body.not_json', 'the body names a field of one object twice');
  }
  return field(value, '');
}

/** Throws TypeError for what is no UTF-8. */
function decodeUtf8(bytes: Uint8Array): string {
  const { buffer, byteOffset, byteLength } = bytes;
  const text = Buffer.from(buffer, byteOffset, byteLength).toString('utf8');
  // What is wrong comes out as this character: then the strict and slower way decides.
  return text.includes(REPLACEMENT) || text.startsWith(BYTE_ORDER_MARK) ? utf8.decode(bytes) : text;
}

/** An object with these fields and no others. */
export function object<S extends Shape>(shape: S): Field<ShapeOf<S>> {
  const names = Object.keys(shape);
  const fields = Object.values(shape);
  const known: ReadonlySet<string> = new Set(names);
  const empty = Object.fromEntries(names.map((name) => [name, undefined]));
  return described(
    () => objectSchema(shape),
    (value, at) => {
      if (!isObject(value)) throw wrongType(at, 'an object', value);
      for (const name of Object.keys(value)) if (!known.has(name)) throw unknownField(at, name);
      // A copy has all its fields at once; one by one they would take longer than to be read.
      const out: Record<string, unknown> = { ...empty };
      for (let n = 0; n < names.length; n++) {
        const name = names[n]!;
        const held = value[name];
        const field = fields[n]!;
        if (held === undefined && field.optional === true) continue;
        out[name] = field(held, at === '' ? name : `${at}.${name}`);
      }
      return out as ShapeOf<S>;
    },
  );
}

/** A field that may be missing (but not null). */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  const read: Field<T | undefined> = (value, at) =>
    value === undefined ? undefined : field(value, at);
  return Object.assign(
    described(() => schemaOf(field), read),
    { optional: true },
  );
}

/** Text of `min` to `max` bytes in UTF-8. */
export function text(min: number, max: number): Field<string> {
  return described(textSchema(min, max), (value, at) => {
    if (typeof value !== 'string') throw wrongType(at, 'a string', value);
    if (!isWellFormed(value)) throw wrongValue(at, 'text without lone surrogates');
    // A UTF-16 unit is at most three bytes: count only what is near the limit.
    const length = value.length * 3 <= max ? value.length : utf8Out.encode(value).length;
    if (length < min || length > max) {
      throw wrongValue(at, `${min} to ${max} bytes`, `${length} bytes`);
    }
    return value;
  });
}

/** Canonical base64 of `min` to `max` bytes. */
export function base64(min: number, max: number): Field<Uint8Array> {
  return described(
    {
      type: 'string',
      contentEncoding: 'base64',
      pattern: BASE64_PATTERN,
      [BYTES_KEYWORD]: { min, max },
    },
    (value, at) => {
      if (typeof value !== 'string') throw wrongType(at, 'a base64 string', value);
      const bytes = decodeBase64(value);
      if (bytes === undefined) throw wrongValue(at, 'standard base64 with padding');
      if (bytes.length < min || bytes.length > max) {
        throw wrongValue(at, `${min} to ${max} bytes in base64`, `${bytes.length} bytes`);
      }
      return bytes;
    },
  );
}

/** A u64 as a decimal string. */
export const u64: Field<bigint> = described(
  { type: 'string', pattern: U64_PATTERN },
  (value, at) => {
    if (typeof value !== 'string') throw wrongType(at, 'a decimal string', value);
    const number = parseU64(value);
    if (number === undefined) throw wrongValue(at, 'a decimal number from 0 to 2^64-1');
    return number;
  },
);

/** An integer from 0 to 2^32-1, as a JSON number. */
export const u32: Field<number> = described(
  { type: 'integer', minimum: 0, maximum: 0xffff_ffff },
  (value, at) => {
    if (typeof value !== 'number') throw wrongType(at, 'a number', value);
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
      throw wrongValue(at, 'a whole number from 0 to 4294967295');
    }
    return value;
  },
);

export const flag: Field<boolean> = described({ type: 'boolean' }, (value, at) => {
  if (typeof value !== 'boolean') throw wrongType(at, 'true or false', value);
  return value;
});

/** One of the names. */
export function oneOf<const N extends string>(names: readonly N[]): Field<N> {
  return described({ enum: names }, (value, at) => {
    if (typeof value !== 'string') throw wrongType(at, 'a string', value);
    const found = names.find((name) => name === value);
    if (found === undefined) throw wrongValue(at, `one of ${names.join(', ')}`);
    return found;
  });
}

/** A list of at most `max` values. */
export function list<T>(field: Field<T>, max: number): Field<T[]> {
  return described(
    () => ({ type: 'array', items: schemaOf(field), maxItems: max }),
    (value, at) => {
      if (!Array.isArray(value)) throw wrongType(at, 'a list', value);
      if (value.length > max) {
        throw wrongValue(at, `at most ${max} entries`, `${value.length} entries`);
      }
      return value.map((each, index) => field(each, `${at}[${index}]`));
    },
  );
}

/** An object whose names are free. The result has no prototype, so any name is just a name. */
export function record<T>(field: Field<T>, max: number): Field<Record<string, T>> {
  return described(
    () => ({
      type: 'object',
      propertyNames: { pattern: WELL_FORMED_PATTERN },
      additionalProperties: schemaOf(field),
      maxProperties: max,
    }),
    (value, at) => {
      if (!isObject(value)) throw wrongType(at, 'an object', value);
      const entries = Object.entries(value);
      if (entries.length > max) {
        throw wrongValue(at, `at most ${max} entries`, `${entries.length} entries`);
      }
      const out = Object.create(null) as Record<string, T>;
      for (const [name, held] of entries) {
        if (!isWellFormed(name)) throw wrongValue(at, 'names without lone surrogates');
        out[name] = field(held, `${at}.*`);
      }
      return out;
    },
  );
}

function textSchema(min: number, max: number): Schema {
  return {
    ...{ type: 'string', ...(min > 0 && { minLength: 1 }), maxLength: max },
    ...{ pattern: WELL_FORMED_PATTERN, [BYTES_KEYWORD]: { min, max } },
  };
}

export function wrongType(at: string, expected: string, value: unknown): Problem {
  if (value === undefined) {
    return new Problem('field.missing', `${named(at)} is missing: expected ${expected}`);
  }
  const kind = value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value;
  return new Problem('field.type', `${named(at)} has type ${kind}: expected ${expected}`);
}

export function wrongValue(at: string, expected: string, got?: string): Problem {
  const state = got === undefined ? 'is not what it should be' : `has ${got}`;
  return new Problem('field.value', `${named(at)} ${state}: expected ${expected}`);
}

/** Throws Problem `body.content_type` for a body that does not say that it is JSON. */
export function requireJson(headers: HeaderLookup): void {
  const type = headers.get('content-type') ?? '';
  if (
    type !== 'application/json' &&
    !/^application\/json(?:\s*;\s*charset="?utf-8"?)?\s*$/i.test(type)
  ) {
    throw new Problem('body.content_type', 'the content-type is not application/json');
  }
  refuseEncoded(headers);
}

/** Throws Problem `body.content_type` for a body that would have to be unpacked. */
export function refuseEncoded(headers: HeaderLookup): void {
  if (headers.has('content-encoding')) {
    throw new Problem('body.content_type', 'a content-encoding is not accepted');
  }
}

/**
 * Whether some object of this (valid) JSON text has a name twice: JSON.parse takes the last one,
 * other readers the first, and a decision must not depend on the reader. Each name has a colon
 * behind it, and what was parsed has each name once.
 */
function hasDoubledName(json: string, value: unknown): boolean {
  let names = 0;
  for (let at = 0; at < json.length; at++) {
    const char = json.charCodeAt(at);
    if (char === QUOTE) at = endOfString(json, at) - 1;
    else if (char === COLON) names += 1;
  }
  return names !== namesIn(value);
}

/** Names of all objects in a parsed document. A stack of our own: documents may be deep. */
function namesIn(value: unknown): number {
  let names = 0;
  const left: unknown[] = [value];
  while (left.length > 0) {
    const each = left.pop();
    if (typeof each !== 'object' || each === null) continue;
    const held = Array.isArray(each) ? each : Object.values(each);
    if (!Array.isArray(each)) names += held.length;
    for (const inner of held) if (typeof inner === 'object') left.push(inner);
  }
  return names;
}

/** The next quote that an even number of backslashes precedes: base64 is long and has none. */
function endOfString(json: string, start: number): number {
  for (let at = json.indexOf('"', start + 1); ; at = json.indexOf('"', at + 1)) {
    let before = at;
    while (json.charCodeAt(before - 1) === BACKSLASH) before -= 1;
    if ((at - before) % 2 === 0) return at + 1;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unknownField(at: string, name: string): Problem {
  // A name that is not spelled like a field could be a value that slipped: it is not repeated.
  const shown = /^[a-z_]{1,32}$/.test(name) ? named(at === '' ? name : `${at}.${name}`) : 'a field';
  const place = at === '' ? 'here' : `in "${at}"`;
  return new Problem('field.unknown', `${shown} is not known ${place}`);
}

function named(at: string): string {
  return at === '' ? 'the document' : `"${at}"`;
}

// ignoreBOM keeps a byte order mark, which is then no JSON (RFC 8259 section 8.1).
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8Out = new TextEncoder();
const REPLACEMENT = '\ufffd';
const BYTE_ORDER_MARK = '\ufeff';
const QUOTE = 34;
const COLON = 58;
const BACKSLASH = 92;
