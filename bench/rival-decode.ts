/**
 * What every by-hand rival does around its ciphers: frames, envelope, ticket, plausibility,
 * challenge, expiry, caps. Each byte is looked at once; no allocation that is not needed.
 * Follows policy `pr71231-order` with expiry enforced, as the engine does by default.
 */

import { Buffer } from 'node:buffer';
import * as abi from '../assembly/abi.ts';
import type { Item, Secret } from './items.ts';
import { type CapsSource, decide } from './rival-caps.ts';

/** The ciphers of one rival. `P` is what it keeps of a service secret. */
export interface Ciphers<P> {
  prepare(secret: Secret): P;
  /** Plaintext of a ticket with its envelope, or undefined. The caller wipes it. */
  openTicket(prepared: P, sealed: Uint8Array): Uint8Array | undefined;
  /** Plaintext of a CephXAuthorize, under a key that is used once. */
  openAuthorize(type: number, secret: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}

/** Judges one item; REASON_*, with all refusals by caps that parse as one reason. */
export type Judge = (item: Item) => number;

export interface RivalClock {
  /** Seconds since 1970, and the skew that is allowed. */
  readonly now: number;
  readonly skew: number;
}

/** A whole verifier around some ciphers. */
export function makeRival<P>(
  ciphers: Ciphers<P>,
  secrets: readonly Secret[],
  service: number,
  clock: RivalClock,
  caps: CapsSource,
): Judge {
  const ring = secrets.map((secret) => ({
    low: Number(secret.secretId & 0xffffffffn),
    high: Number(secret.secretId >> 32n),
    type: secret.key.type,
    prepared: ciphers.prepare(secret),
  }));
  return (item) => {
    const bytes = item.authorizer;
    const frame = decodeFrame(bytes);
    if (typeof frame === 'number') return frame;
    if (u32(bytes, 9) !== service) return abi.REASON_AUTHORIZER_SERVICE;
    const low = u32(bytes, 14);
    const high = u32(bytes, 18);
    const secret = ring.find((each) => each.low === low && each.high === high);
    if (secret === undefined) return abi.REASON_AUTHORIZER_SECRET_UNKNOWN;
    const opened = ciphers.openTicket(secret.prepared, bytes.subarray(26, frame.blobEnd));
    if (opened === undefined) return abi.REASON_AUTHORIZER_INVALID;
    const plain = secret.type === abi.KEY_TYPE_AES ? stripPadding(opened) : opened;
    const reason = judgeTicket(plain, bytes, frame, item, secret.type);
    opened.fill(0);
    return reason;
  };

  function judgeTicket(
    plain: Uint8Array,
    bytes: Uint8Array,
    frame: Frame,
    item: Item,
    sealedBy: number,
  ): number {
    const ticket = decodeTicket(plain);
    if (ticket === undefined) return abi.REASON_AUTHORIZER_INVALID;
    if (u32(plain, ticket.globalId) !== u32(bytes, 1)) return abi.REASON_AUTHORIZER_INVALID;
    if (u32(plain, ticket.globalId + 4) !== u32(bytes, 5)) return abi.REASON_AUTHORIZER_INVALID;
    const key = plain.subarray(ticket.secret, ticket.secret + ticket.secretLen);
    const sealed = bytes.subarray(frame.sealed, frame.sealedEnd);
    const opened = ciphers.openAuthorize(ticket.keyType, key, sealed);
    if (opened === undefined) return abi.REASON_AUTHORIZER_INVALID;
    const part = ticket.keyType === abi.KEY_TYPE_AES ? stripPadding(opened) : opened;
    const challenge = judgeAuthorize(part, item.challenge.value);
    opened.fill(0);
    if (challenge === abi.REASON_AUTHORIZER_INVALID) return challenge;
    if (sealedBy === abi.KEY_TYPE_AES && !plausible(plain, ticket)) {
      return abi.REASON_TICKET_IMPLAUSIBLE;
    }
    if (challenge !== abi.REASON_OK) return challenge;
    const { now, skew } = clock;
    if (!later(plain, ticket.expires, now - skew)) return abi.REASON_TICKET_EXPIRED;
    if (later(plain, ticket.created, now + skew)) return abi.REASON_TICKET_NOT_YET_VALID;
    return judgeCaps(plain, ticket, item);
  }

  function judgeCaps(plain: Uint8Array, ticket: Ticket, item: Item): number {
    if (plain[ticket.allowAll] !== 0) return abi.REASON_OK;
    if (ticket.capsLen < 4) return abi.REASON_CAPS_NONE;
    const length = u32(plain, ticket.caps);
    if (length > ticket.capsLen - 4) return abi.REASON_CAPS_NONE;
    const at = plain.byteOffset + ticket.caps + 4;
    const grants = caps(Buffer.from(plain.buffer, at, length).toString('latin1'));
    if (grants === undefined) return abi.REASON_CAPS_UNPARSABLE;
    return decide(grants, item.op, item.peer) ? abi.REASON_OK : abi.REASON_CAPS_NO_MATCHING_GRANT;
  }
}

interface Frame {
  readonly blobEnd: number;
  readonly sealed: number;
  readonly sealedEnd: number;
}

/** CephXAuthorizer: where its parts lie, or the reason to refuse. */
function decodeFrame(bytes: Uint8Array): Frame | number {
  if (bytes.length > abi.AUTHORIZER_LEN_MAX) return abi.REASON_LIMIT_EXCEEDED;
  if (bytes.length === 0) return abi.REASON_AUTHORIZER_MALFORMED;
  if (bytes[0]! < 1 || bytes[0]! > 9) return abi.REASON_AUTHORIZER_MODE;
  if (bytes.length < 30) return abi.REASON_AUTHORIZER_MALFORMED;
  const blobEnd = 26 + u32(bytes, 22);
  if (blobEnd + 4 > bytes.length) return abi.REASON_AUTHORIZER_MALFORMED;
  const sealed = blobEnd + 4;
  const sealedEnd = sealed + u32(bytes, blobEnd);
  if (sealedEnd > bytes.length) return abi.REASON_AUTHORIZER_MALFORMED;
  return { blobEnd, sealed, sealedEnd };
}

/** Ceph strips min(last byte, 16) bytes and compares none of the others. */
function stripPadding(padded: Uint8Array): Uint8Array {
  return padded.subarray(0, padded.length - Math.min(padded[padded.length - 1]!, 16));
}

/** Offsets into the plaintext of a CephXServiceTicketInfo. */
interface Ticket {
  readonly globalId: number;
  /** 0: not in this version. */
  readonly auid: number;
  readonly created: number;
  readonly expires: number;
  readonly allowAll: number;
  readonly caps: number;
  readonly capsLen: number;
  readonly keyType: number;
  readonly keyCreated: number;
  readonly secret: number;
  readonly secretLen: number;
}

function decodeTicket(plain: Uint8Array): Ticket | undefined {
  const { length } = plain;
  if (length < 19 || !magicFits(plain)) return undefined;
  const version = plain[10]!;
  const globalId = 19 + u32(plain, 15);
  const auid = version >= 2 ? globalId + 8 : 0;
  const created = globalId + (version >= 2 ? 16 : 8);
  const allowAll = created + 17;
  const caps = allowAll + 5;
  if (caps > length) return undefined;
  const capsLen = u32(plain, caps - 4);
  const keyType = caps + capsLen + 4;
  const secret = keyType + 12;
  if (secret > length) return undefined;
  const secretLen = u16(plain, secret - 2);
  if (secret + secretLen > length) return undefined;
  const type = u16(plain, keyType);
  const shortest = type === abi.KEY_TYPE_AES ? 16 : type === abi.KEY_TYPE_AES256K ? 32 : -1;
  if (shortest < 0 || secretLen < shortest || secretLen > abi.KEY_SECRET_LEN_MAX) return undefined;
  return {
    ...{ globalId, auid, created, expires: created + 8, allowAll, caps, capsLen },
    ...{ keyType: type, keyCreated: keyType + 2, secret, secretLen },
  };
}

/** Spec section 17: what an altered `aes` ticket hardly gets right. */
function plausible(plain: Uint8Array, ticket: Ticket): boolean {
  const { auid, caps, capsLen, created, expires, keyCreated } = ticket;
  if (auid !== 0 && (u32(plain, auid) & u32(plain, auid + 4)) >>> 0 !== 0xffffffff) return false;
  if (plain[ticket.allowAll] !== 0) return false;
  if (capsLen !== 0 && (capsLen < 4 || u32(plain, caps) !== capsLen - 4)) return false;
  for (const at of [created, expires, keyCreated]) {
    if (u32(plain, at + 4) > 1_000_000_000) return false;
  }
  return (
    !before(plain, expires, created, 0) &&
    !before(plain, keyCreated, created, SLOP) &&
    !before(plain, created, keyCreated, SLOP)
  );
}

/** The part that a service demands of a client that answers its challenge. */
function judgeAuthorize(plain: Uint8Array, challenge: bigint): number {
  if (plain.length < 18 || !magicFits(plain)) return abi.REASON_AUTHORIZER_INVALID;
  if (plain[9]! < 2) return abi.REASON_AUTHORIZER_CHALLENGE_MISMATCH;
  if (plain.length < 27) return abi.REASON_AUTHORIZER_INVALID;
  const expected = BigInt.asUintN(64, challenge + 1n);
  const fits =
    plain[18] !== 0 &&
    u32(plain, 19) === Number(expected & 0xffffffffn) &&
    u32(plain, 23) === Number(expected >> 32n);
  return fits ? abi.REASON_OK : abi.REASON_AUTHORIZER_CHALLENGE_MISMATCH;
}

/** The envelope's magic; its struct_v is not compared. */
function magicFits(plain: Uint8Array): boolean {
  return u32(plain, 1) === 0x8826aa55 && u32(plain, 5) === 0xff009cad;
}

/** utime at `a` plus `slop` seconds < utime at `b`. */
function before(plain: Uint8Array, a: number, b: number, slop: number): boolean {
  const seconds = u32(plain, a) + slop - u32(plain, b);
  const nanoseconds = u32(plain, a + 4) - u32(plain, b + 4);
  return seconds * 1e9 + nanoseconds < 0;
}

/** utime at `at` > whole seconds. */
function later(plain: Uint8Array, at: number, seconds: number): boolean {
  return (u32(plain, at) - seconds) * 1e9 + u32(plain, at + 4) > 0;
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}

/** Seconds that the session key's time may lie off the ticket's. */
const SLOP = 300;
