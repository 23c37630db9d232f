/**
 * Authorizers of one length that fail in different places. To an attacker all of them are
 * `authorizer.invalid`; their times must be alike too.
 */

import { cbc } from '@noble/ciphers/aes.js';
import * as abi from '../../assembly/abi.ts';
import { CryptoKey } from '../../src/cephx/cryptokey.ts';
import { encode, Writer } from '../../src/cephx/denc.ts';
import { capsBuffer, encodeServiceTicketInfo } from '../../src/cephx/protocol.ts';
import { NOW_NS } from '../authorizers.ts';
import type { Rng } from '../rng.ts';

export const FAILURES = ['padding', 'magic', 'truncated', 'implausible', 'part b'] as const;
export type Failure = (typeof FAILURES)[number];

const SECONDS = Number(NOW_NS / 1_000_000_000n);
const IV = new TextEncoder().encode('cephsageyudagreg');
const MAGIC = 0xff009cad8826aa55n;
const SECRET_ID = 2n;
/** struct_v and magic. */
const ENVELOPE_LEN = 9;

/** What can be wrong with part b alone. */
export const PART_FAILURES = ['part padding', 'part magic', 'part b'] as const;
export type PartFailure = (typeof PART_FAILURES)[number];

/** A ticket of one client. */
export interface Shown {
  /** An authorizer that answers `challenge`. */
  readonly good: Uint8Array;
  readonly challenge: bigint;
  /** Another one with the same blob, that fails in part b. */
  failing(failure: PartFailure): Uint8Array;
}

export function shown(rng: Rng, secret: Uint8Array): Shown {
  const globalId = rng.u64();
  const sessionKey = new CryptoKey(1, { seconds: SECONDS, nanoseconds: 0 }, rng.bytes(16));
  const blob = encrypt(secret, pad(makeTicket(rng, sessionKey, globalId, false)));
  const withPart = (part: Uint8Array): Uint8Array => {
    const out = new Writer();
    out.u8(1).u64(globalId).u32(abi.ENTITY_TYPE_OSD).u8(1).u64(SECRET_ID);
    return out.bl(blob).bl(part).finish();
  };
  const failing = (failure: PartFailure): Uint8Array => {
    const part = pad(makeAuthorize(rng));
    if (failure === 'part padding') part[part.length - 1] = 0;
    if (failure === 'part magic') alterMagic(part, rng);
    const sealed = encrypt(sessionKey.secret, part);
    if (failure === 'part b') sealed.set(rng.bytes(16), sealed.length - 16);
    return withPart(sealed);
  };
  const challenge = rng.u64();
  const good = withPart(encrypt(sessionKey.secret, pad(makeAuthorize(rng, challenge))));
  return { good, challenge, failing };
}

/** An authorizer for service osd, sealed with `aes`, that fails in one place only. */
export function failing(rng: Rng, secret: Uint8Array, failure: Failure): Uint8Array {
  const globalId = rng.u64();
  const sessionKey = new CryptoKey(1, { seconds: SECONDS, nanoseconds: 0 }, rng.bytes(16));
  const ticket = pad(makeTicket(rng, sessionKey, globalId, failure === 'implausible'));
  if (failure === 'padding') ticket[ticket.length - 1] = 0;
  if (failure === 'magic') alterMagic(ticket, rng);
  // The id of the entity claims to be longer than all that there is.
  if (failure === 'truncated') ticket[ENVELOPE_LEN + 1 + 1 + 4 + 3] = 1 + rng.int(200);
  const part = pad(makeAuthorize(rng));
  const sealed = encrypt(sessionKey.secret, part);
  // What is implausible is told only to those who have the session key: not to this one.
  const altered = failure === 'part b' || failure === 'implausible';
  if (altered) sealed.set(rng.bytes(16), sealed.length - 16);
  const out = new Writer();
  out.u8(1).u64(globalId).u32(abi.ENTITY_TYPE_OSD).u8(1).u64(SECRET_ID);
  out.bl(encrypt(secret, ticket)).bl(sealed);
  return out.finish();
}

/** Another magic, never the same: one input that is taken would be seen. */
function alterMagic(object: Uint8Array, rng: Rng): void {
  const at = 1 + rng.int(8);
  object[at] = object[at]! ^ (1 + rng.int(255));
}

function makeTicket(
  rng: Rng,
  sessionKey: CryptoKey,
  globalId: bigint,
  implausible: boolean,
): Uint8Array {
  const created = { seconds: SECONDS, nanoseconds: rng.int(1e9) };
  const ticket = {
    ...{ name: { type: 8, id: 'john' }, globalId, created, flags: 0 },
    auid: implausible ? rng.u64() : 0xffffffffffffffffn,
    expires: { seconds: SECONDS + 3600, nanoseconds: rng.int(1e9) },
    caps: { allowAll: false, caps: capsBuffer('allow rw pool=liverpool') },
  };
  return envelope(encode(encodeServiceTicketInfo, { ticket, sessionKey }));
}

function makeAuthorize(rng: Rng, challenge?: bigint): Uint8Array {
  const out = new Writer();
  out.u8(2).u64(rng.u64());
  if (challenge === undefined) out.u8(0).u64(0n);
  else out.u8(1).u64(BigInt.asUintN(64, challenge + 1n));
  return envelope(out.finish());
}

function envelope(object: Uint8Array): Uint8Array {
  const out = new Writer();
  out.u8(1).u64(MAGIC).bytes(object);
  return out.finish();
}

function pad(plain: Uint8Array): Uint8Array {
  const n = 16 - (plain.length % 16);
  const padded = new Uint8Array(plain.length + n).fill(n);
  padded.set(plain);
  return padded;
}

function encrypt(secret: Uint8Array, padded: Uint8Array): Uint8Array {
  return cbc(secret, IV, { disablePadding: true }).encrypt(padded);
}
