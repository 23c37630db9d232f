/**
 * etcd's JSON gateway: byte strings are base64, 64-bit numbers are decimal texts, and a field with
 * its default value (0, false, empty) is left out.
 */

import { Buffer } from 'node:buffer';
import { StoreError } from '../../errors.ts';

/** A JSON object from outside. */
export type Json = Readonly<Record<string, unknown>>;

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  /** 0n for none. */
  readonly lease: bigint;
}

export interface RangeAnswer {
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  /** All keys of the range, whatever the limit. */
  readonly count: number;
}

export interface RangeOptions {
  /** First key after the range; only `key` if left out. */
  readonly end?: Uint8Array | undefined;
  readonly limit?: number | undefined;
  /** 0n is the latest. */
  readonly revision?: bigint | undefined;
  readonly keysOnly?: boolean | undefined;
  readonly oldestFirst?: boolean | undefined;
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

export function rangeRequest(key: Uint8Array, options: RangeOptions = {}): Json {
  return {
    key: toBase64(key),
    ...(options.end && { range_end: toBase64(options.end) }),
    ...(options.limit && { limit: String(options.limit) }),
    ...(options.revision && { revision: String(options.revision) }),
    ...(options.keysOnly && { keys_only: true }),
    ...(options.oldestFirst && { sort_order: 'ASCEND', sort_target: 'MOD' }),
  };
}

export function rangeOp(key: Uint8Array, options: RangeOptions = {}): Json {
  return { request_range: rangeRequest(key, options) };
}

export function putOp(key: Uint8Array, value: Uint8Array, lease = 0n): Json {
  const put = { key: toBase64(key), value: toBase64(value) };
  return { request_put: lease === 0n ? put : { ...put, lease: String(lease) } };
}

export function deleteOp(key: Uint8Array, end?: Uint8Array): Json {
  const range = end && { range_end: toBase64(end) };
  return { request_delete_range: { key: toBase64(key), ...range } };
}

/** The key was last written by that revision; 0n: it is absent. */
export function modIs(key: Uint8Array, revision: bigint): Json {
  const compare = { key: toBase64(key), target: 'MOD', result: 'EQUAL' };
  return { ...compare, mod_revision: String(revision) };
}

/** The key was made by that revision, and not deleted since. */
export function createdIs(key: Uint8Array, revision: bigint): Json {
  const compare = { key: toBase64(key), target: 'CREATE', result: 'EQUAL' };
  return { ...compare, create_revision: String(revision) };
}

export function valueIs(key: Uint8Array, value: Uint8Array): Json {
  const compare = { key: toBase64(key), target: 'VALUE', result: 'EQUAL' };
  return { ...compare, value: toBase64(value) };
}

/** The first key after all keys with that prefix, which is not all 0xff. */
export function endOf(prefix: Uint8Array): Uint8Array {
  const end = new Uint8Array(prefix);
  let last = end.length - 1;
  while (end[last] === 0xff) last -= 1;
  end[last]! += 1;
  return end.slice(0, last + 1);
}

/** The revision in the header of an answer. */
export function revisionOf(answer: Json): bigint {
  return int(object(answer, 'header'), 'revision');
}

/** The ranges in the answer of a transaction, by the place of their request. */
export function rangesOf(answer: Json): (RangeAnswer | undefined)[] {
  return list(answer, 'responses').map((response) =>
    response.response_range === undefined ? undefined : rangeOf(object(response, 'response_range')),
  );
}

export function rangeOf(answer: Json): RangeAnswer {
  const kvs = list(answer, 'kvs').map(keyValueOf);
  return { kvs, more: flag(answer, 'more'), count: Number(int(answer, 'count')) };
}

export function keyValueOf(kv: Json): KeyValue {
  return {
    key: bytes(kv, 'key'),
    value: bytes(kv, 'value'),
    createRevision: int(kv, 'create_revision'),
    modRevision: int(kv, 'mod_revision'),
    lease: int(kv, 'lease'),
  };
}

/** The object of a field; an empty one if it was left out. */
export function object(from: Json, name: string): Json {
  const value = from[name] ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong(name);
  return value as Json;
}

export function list(from: Json, name: string): readonly Json[] {
  const value = from[name] ?? [];
  if (!Array.isArray(value)) throw wrong(name);
  return value;
}

export function int(from: Json, name: string): bigint {
  const value = from[name] ?? '0';
  if (typeof value !== 'string' || !/^-?\d{1,20}$/.test(value)) throw wrong(name);
  return BigInt(value);
}

export function text(from: Json, name: string): string {
  const value = from[name] ?? '';
  if (typeof value !== 'string') throw wrong(name);
  return value;
}

export function flag(from: Json, name: string): boolean {
  return from[name] === true;
}

function bytes(from: Json, name: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text(from, name), 'base64'));
}

function wrong(name: string): StoreError {
  return new StoreError('store.failed', `cannot read an answer of etcd: "${name}" is not as known`);
}
