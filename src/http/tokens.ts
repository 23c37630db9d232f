/**
 * The two MAC tokens of the sidecar (interface section 3.1): `challenge_state`, which remembers a
 * server challenge between two calls, and `receipt`, which remembers that one was answered.
 *
 * Both are a body and HMAC-SHA256 over a label, the binding and the body. The binding itself
 * (service, caller, connection, peer, part a) is not in the token: whoever presents it must say
 * the same again. The challenge is derived from the token and never leaves in the clear, so that
 * a token in wrong hands tells nothing about the number that the client must answer.
 */

import { PRIMITIVE_HMAC_SHA256, PRIMITIVE_SHA256 } from '../../assembly/abi.ts';
import { equalBytes } from '../cephx/denc.ts';
import type { Engine } from '../engine/engine.ts';
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

/** What computes SHA-256 and HMAC: the core, since a token is made or read at every handshake. */
export type Hashing = Pick<Engine, 'primitive'>;

/** How the challenge of a receipt was answered. */
export type ReceiptMode = 'state' | 'expected';

export interface Receipt {
  readonly mode: ReceiptMode;
  /** When the challenge was answered. */
  readonly answeredNs: bigint;
}

/** Makes a `challenge_state` and its fresh challenge. `salt` is SALT_LEN random bytes. */
export function makeChallengeState(
  hashing: Hashing,
  keys: StateKeys,
  binding: Binding,
  fields: Omit<ChallengeState, 'challenge'>,
  salt: Uint8Array,
): { token: string; challenge: bigint } {
  MADE_VIEW.setUint8(0, TOKEN_VERSION);
  MADE_VIEW.setBigUint64(1, fields.issuedNs, true);
  MADE.set(fields.instance, 9);
  MADE_VIEW.setBigUint64(9 + INSTANCE_LEN, fields.serial, true);
  MADE.set(salt, 17 + INSTANCE_LEN);
  const input = new MacInput(hashing, binding, MADE.subarray(0, STATE_LEN));
  const token = seal(input, keys.current, LABEL_STATE, STATE_LEN);
  return { token, challenge: deriveChallenge(input, keys.current) };
}

/** The content of a `challenge_state` if it is ours and bound to just this; else undefined. */
export function readChallengeState(
  hashing: Hashing,
  keys: StateKeys,
  binding: Binding,
  token: string,
): ChallengeState | undefined {
  const opened = open(hashing, keys, LABEL_STATE, binding, token, STATE_LEN);
  if (opened === undefined) return undefined;
  const { key, body, input } = opened;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    issuedNs: view.getBigUint64(1, true),
    instance: body.slice(9, 9 + INSTANCE_LEN),
    serial: view.getBigUint64(9 + INSTANCE_LEN, true),
    challenge: deriveChallenge(input, key),
  };
}

/** Makes a `receipt`: a challenge for just this was answered. */
export function makeReceipt(
  hashing: Hashing,
  keys: StateKeys,
  binding: Binding,
  receipt: Receipt,
): string {
  MADE_VIEW.setUint8(0, TOKEN_VERSION);
  MADE_VIEW.setUint8(1, RECEIPT_MODES.indexOf(receipt.mode));
  MADE_VIEW.setBigUint64(2, receipt.answeredNs, true);
  const input = new MacInput(hashing, binding, MADE.subarray(0, RECEIPT_LEN));
  return seal(input, keys.current, LABEL_RECEIPT, RECEIPT_LEN);
}

/** The content of a `receipt` if it is ours and bound to just this; else undefined. */
export function readReceipt(
  hashing: Hashing,
  keys: StateKeys,
  binding: Binding,
  token: string,
): Receipt | undefined {
  const opened = open(hashing, keys, LABEL_RECEIPT, binding, token, RECEIPT_LEN);
  if (opened === undefined) return undefined;
  const view = new DataView(opened.body.buffer, opened.body.byteOffset);
  return {
    mode: RECEIPT_MODES[view.getUint8(1)] ?? 'state',
    answeredNs: view.getBigUint64(2, true),
  };
}

/** The token whose body is what `MADE` begins with. */
function seal(input: MacInput, key: Uint8Array, label: Uint8Array, bodyLen: number): string {
  MADE.set(input.mac(key, label), bodyLen);
  return encodeBase64(MADE.subarray(0, bodyLen + MAC_LEN));
}

function open(
  hashing: Hashing,
  keys: StateKeys,
  label: Uint8Array,
  binding: Binding,
  token: string,
  bodyLen: number,
): { key: Uint8Array; body: Uint8Array; input: MacInput } | undefined {
  const bytes = decodeBase64(token);
  if (bytes === undefined || bytes.length !== bodyLen + MAC_LEN) return undefined;
  const body = bytes.subarray(0, bodyLen);
  const given = bytes.subarray(bodyLen);
  const input = new MacInput(hashing, binding, body);
  for (const key of [keys.current, keys.previous]) {
    if (key === undefined || !equalBytes(given, input.mac(key, label))) continue;
    return body[0] === TOKEN_VERSION ? { key, body, input } : undefined;
  }
  return undefined;
}

function deriveChallenge(input: MacInput, key: Uint8Array): bigint {
  input.mac(key, LABEL_CHALLENGE);
  return HASH_VIEW.getBigUint64(0, true);
}

/**
 * What a MAC is over: label, binding and body, each part behind its length (u32), so that no two
 * of them give the same bytes. It lies in `macked`, so there is one at a time.
 */
class MacInput {
  readonly #hashing: Hashing;
  /** The label ends at LABEL_ROOM. */
  #end = LABEL_ROOM;

  constructor(hashing: Hashing, binding: Binding, body: Uint8Array) {
    const { service, caller, connection, peer, partA } = binding;
    const text = 3 * (caller.length + (connection?.length ?? 0));
    this.#hashing = hashing;
    makeRoom(LABEL_ROOM + PARTS_ROOM + text + body.length);
    mackedView.setUint32(this.#end, 4, true);
    mackedView.setUint32(this.#end + 4, service, true);
    this.#end += 8;
    this.#text(caller);
    // Absent and empty differ.
    this.#text(connection === undefined ? '' : `=${connection}`);
    this.#part(peer === undefined ? ABSENT : peer.bytes);
    this.#part(hashing.primitive(PRIMITIVE_SHA256, ABSENT, partA, undefined, HASH));
    this.#part(body);
  }

  /** In HASH. @param label one of the LABEL_* */
  mac(key: Uint8Array, label: Uint8Array): Uint8Array {
    const start = LABEL_ROOM - label.length;
    macked.set(label, start);
    const bytes = macked.subarray(start, this.#end);
    return this.#hashing.primitive(PRIMITIVE_HMAC_SHA256, key, bytes, undefined, HASH);
  }

  #part(bytes: Uint8Array): void {
    mackedView.setUint32(this.#end, bytes.length, true);
    macked.set(bytes, this.#end + 4);
    this.#end += 4 + bytes.length;
  }

  #text(text: string): void {
    const { written } = utf8.encodeInto(text, macked.subarray(this.#end + 4));
    mackedView.setUint32(this.#end, written, true);
    this.#end += 4 + written;
  }
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
const RECEIPT_MODES: readonly ReceiptMode[] = ['state', 'expected'];
const ABSENT = new Uint8Array(0);
const utf8 = new TextEncoder();
const LABEL_STATE = labelOf('cephgate challenge_state v1');
const LABEL_CHALLENGE = labelOf('cephgate server challenge v1');
const LABEL_RECEIPT = labelOf('cephgate receipt v1');
/** More than the longest label takes. */
const LABEL_ROOM = 64;
/** Lengths, service, the sign before a connection, address and hash. */
const PARTS_ROOM = 96;

// Tokens are put together in the same memory each time: a buffer of its own for each costs more
// than all that is hashed, several times as much on Deno.
/** Of a token that is made: its body, then its MAC. */
const MADE = new Uint8Array(STATE_LEN + MAC_LEN);
const MADE_VIEW = new DataView(MADE.buffer);
/** Of the hash or MAC that was computed last. */
const HASH = new Uint8Array(MAC_LEN);
const HASH_VIEW = new DataView(HASH.buffer);
/** Of a MacInput. */
let macked = new Uint8Array(1_024);
let mackedView = new DataView(macked.buffer);

function makeRoom(needed: number): void {
  if (needed <= macked.length) return;
  macked = new Uint8Array(needed);
  mackedView = new DataView(macked.buffer);
}

function labelOf(text: string): Uint8Array {
  const bytes = new Uint8Array(4 + text.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  utf8.encodeInto(text, bytes.subarray(4));
  return bytes;
}
