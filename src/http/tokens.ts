/**
 * The two MAC tokens of the sidecar (interface section 3.1): `challenge_state`, which remembers a
 * server challenge between two calls, and `receipt`, which remembers that one was answered.
 *
 * Both are a body and HMAC-SHA256 over a label, the binding and the body. The binding itself
 * (service, caller, connection, peer, part a) is not in the token: whoever presents it must say
 * the same again. The challenge is derived from the token and never leaves in the clear, so that
 * a token in wrong hands tells nothing about the number that the client must answer.
 */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes } from '../cephx/denc.ts';
import type { Address } from '../engine/types.ts';
import { decodeBase64, encodeBase64 } from './codec.ts';

/** The state keys: 32 bytes each; the previous one still checks, only the current one makes. */
export interface StateKeys {
  readonly current: Uint8Array;
  readonly previous: Uint8Array | undefined;
}

/** What a token is good for, and for nothing else. */
export interface Binding {
  /** Entity type of the service. */
  readonly service: number;
  /** Who called, as its listener knows it. */
  readonly caller: string;
  /** The caller's name of the connection, if it gave one. */
  readonly connection: string | undefined;
  readonly peer: Address | undefined;
  /** Part a of the authorizer (global_id, service_id, ticket blob). */
  readonly partA: Uint8Array;
}

/** What a `challenge_state` holds. */
export interface ChallengeState {
  readonly issuedNs: bigint;
  /** The process that made it, INSTANCE_LEN bytes. */
  readonly instance: Uint8Array;
  /** Counts the states of that process. */
  readonly serial: bigint;
  /** The server challenge. */
  readonly challenge: bigint;
}

/** How the challenge of a receipt was answered. */
export type ReceiptMode = 'state' | 'expected';

export interface Receipt {
  readonly mode: ReceiptMode;
  /** When the challenge was answered. */
  readonly answeredNs: bigint;
}

/** Makes a `challenge_state` and its fresh challenge. `salt` is SALT_LEN random bytes. */
export function makeChallengeState(
  keys: StateKeys,
  binding: Binding,
  fields: Omit<ChallengeState, 'challenge'>,
  salt: Uint8Array,
): { token: string; challenge: bigint } {
  const body = new Uint8Array(STATE_LEN);
  const view = new DataView(body.buffer);
  view.setUint8(0, TOKEN_VERSION);
  view.setBigUint64(1, fields.issuedNs, true);
  body.set(fields.instance, 9);
  view.setBigUint64(9 + INSTANCE_LEN, fields.serial, true);
  body.set(salt, 17 + INSTANCE_LEN);
  const bound = boundTo(binding);
  const token = seal(keys.current, LABEL_STATE, bound, body);
  return { token, challenge: deriveChallenge(keys.current, bound, body) };
}

/** The content of a `challenge_state` if it is ours and bound to just this; else undefined. */
export function readChallengeState(
  keys: StateKeys,
  binding: Binding,
  token: string,
): ChallengeState | undefined {
  const bound = boundTo(binding);
  const opened = open(keys, LABEL_STATE, bound, token, STATE_LEN);
  if (opened === undefined) return undefined;
  const { key, body } = opened;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    issuedNs: view.getBigUint64(1, true),
    instance: body.slice(9, 9 + INSTANCE_LEN),
    serial: view.getBigUint64(9 + INSTANCE_LEN, true),
    challenge: deriveChallenge(key, bound, body),
  };
}

/** Makes a `receipt`: a challenge for just this was answered. */
export function makeReceipt(keys: StateKeys, binding: Binding, receipt: Receipt): string {
  const body = new Uint8Array(RECEIPT_LEN);
  const view = new DataView(body.buffer);
  view.setUint8(0, TOKEN_VERSION);
  view.setUint8(1, RECEIPT_MODES.indexOf(receipt.mode));
  view.setBigUint64(2, receipt.answeredNs, true);
  return seal(keys.current, LABEL_RECEIPT, boundTo(binding), body);
}

/** The content of a `receipt` if it is ours and bound to just this; else undefined. */
export function readReceipt(keys: StateKeys, binding: Binding, token: string): Receipt | undefined {
  const opened = open(keys, LABEL_RECEIPT, boundTo(binding), token, RECEIPT_LEN);
  if (opened === undefined) return undefined;
  const view = new DataView(opened.body.buffer, opened.body.byteOffset);
  return {
    mode: RECEIPT_MODES[view.getUint8(1)] ?? 'state',
    answeredNs: view.getBigUint64(2, true),
  };
}

function seal(key: Uint8Array, label: string, bound: Uint8Array, body: Uint8Array): string {
  const token = new Uint8Array(body.length + MAC_LEN);
  token.set(body);
  token.set(mac(key, label, bound, body), body.length);
  return encodeBase64(token);
}

function open(
  keys: StateKeys,
  label: string,
  bound: Uint8Array,
  token: string,
  bodyLen: number,
): { key: Uint8Array; body: Uint8Array } | undefined {
  const bytes = decodeBase64(token);
  if (bytes === undefined || bytes.length !== bodyLen + MAC_LEN) return undefined;
  const body = bytes.subarray(0, bodyLen);
  const given = bytes.subarray(bodyLen);
  for (const key of [keys.current, keys.previous]) {
    if (key === undefined || !equalBytes(given, mac(key, label, bound, body))) continue;
    return body[0] === TOKEN_VERSION ? { key, body } : undefined;
  }
  return undefined;
}

function deriveChallenge(key: Uint8Array, bound: Uint8Array, body: Uint8Array): bigint {
  const digest = mac(key, LABEL_CHALLENGE, bound, body);
  return new DataView(digest.buffer, digest.byteOffset).getBigUint64(0, true);
}

/** A binding as it goes into a MAC: no two of them give the same bytes. */
function boundTo({ service, caller, connection, peer, partA }: Binding): Uint8Array {
  const serviceBytes = new Uint8Array(4);
  new DataView(serviceBytes.buffer).setUint32(0, service, true);
  return lengthened([
    serviceBytes,
    utf8.encode(caller),
    // Absent and empty differ.
    connection === undefined ? ABSENT : utf8.encode(`=${connection}`),
    peer === undefined ? ABSENT : peer.bytes,
    sha256(partA),
  ]);
}

function mac(key: Uint8Array, label: string, bound: Uint8Array, body: Uint8Array): Uint8Array {
  return keyed(key)
    .clone()
    .update(lengthened([utf8.encode(label)]))
    .update(bound)
    .update(lengthened([body]))
    .digest();
}

/** HMAC under a key, with the key's two blocks hashed. There are two keys at a time. */
function keyed(key: Uint8Array): ReturnType<typeof hmac.create> {
  let prepared = keyedBy.get(key);
  if (prepared === undefined) {
    prepared = hmac.create(sha256, key);
    keyedBy.set(key, prepared);
  }
  return prepared;
}

/** The parts, each behind its length. */
function lengthened(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + 4 + part.length, 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    bytes.set(part, at + 4);
    at += 4 + part.length;
  }
  return bytes;
}

/** Length of the random name of a process, in bytes. */
export const INSTANCE_LEN = 16;
/** Random bytes that make each challenge fresh. */
export const SALT_LEN = 16;
/** Length of a state key, in bytes. */
export const STATE_KEY_LEN = 32;

const TOKEN_VERSION = 1;
const STATE_LEN = 17 + INSTANCE_LEN + SALT_LEN;
const RECEIPT_LEN = 10;
const MAC_LEN = 32;
const LABEL_STATE = 'cephgate challenge_state v1';
const LABEL_CHALLENGE = 'cephgate server challenge v1';
const LABEL_RECEIPT = 'cephgate receipt v1';
const RECEIPT_MODES: readonly ReceiptMode[] = ['state', 'expected'];
const ABSENT = new Uint8Array(0);
const utf8 = new TextEncoder();
const keyedBy = new WeakMap<Uint8Array, ReturnType<typeof hmac.create>>();
