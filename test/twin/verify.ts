/**
 * `verify` a second time, step by step as in spec section 13, with early exits and big integers:
 * the oracle for the core. It must give the same numbers, check and reason, for every input.
 */

import * as abi from '../../assembly/abi.ts';
import { CryptoKey, ENVELOPE_LEN, ENVELOPE_MAGIC } from '../../src/cephx/cryptokey.ts';
import { DecodeError, Reader, type Utime, utimeNs } from '../../src/cephx/denc.ts';
import { aes256kOpen, aesOpenPadded, paddingIsPkcs7, stripCephPadding } from './sealer.ts';

export interface TwinSecret {
  readonly service: number;
  readonly secretId: bigint;
  readonly key: CryptoKey;
  /** Expiration in nanoseconds since 1970, when known. */
  readonly expiresNs?: bigint | undefined;
}

export interface TwinPolicy {
  readonly plausibility: 'released' | 'pr71231-order' | 'pr71231-span' | 'strict';
  readonly expiry: 'enforce' | 'report' | 'ring';
  readonly skewNs: bigint;
  /** Key types that may seal a ticket; `ring`: any that is kept. */
  readonly allowedTypes: 'ring' | readonly number[];
  readonly generalSecret: boolean;
}

export interface TwinInput {
  /** CephXAuthorizer, parts a and b. */
  readonly bytes: Uint8Array;
  readonly service: number;
  readonly secrets: readonly TwinSecret[];
  readonly challenge:
    | { readonly mode: 'required' }
    | { readonly mode: 'issued'; readonly value: bigint }
    | { readonly mode: 'off' };
  readonly nowNs: bigint;
  readonly policy: TwinPolicy;
  /** Whether what the ticket says is revoked; nobody is if it is not given. */
  readonly revoked?: (ticket: TwinTicket) => boolean;
}

/** What a sealed CephXServiceTicketInfo says; ids and caps as bytes, since `aes` can be garbled. */
export interface TwinTicket {
  readonly entityType: number;
  readonly entityId: Uint8Array;
  readonly globalId: bigint;
  readonly auid: bigint | undefined;
  readonly created: Utime;
  readonly expires: Utime;
  readonly allowAll: boolean;
  readonly capsRaw: Uint8Array;
  readonly sessionKey: CryptoKey;
}

export interface TwinVerdict {
  /** CHECK_*: the first rule that failed, by number. */
  readonly check: number;
  /** REASON_*: what a caller may see. */
  readonly reason: number;
  readonly decision: boolean;
  /** Part b opened under the ticket's session key. */
  readonly proven: boolean;
  readonly secretId?: bigint;
  /** Key type that sealed the ticket. */
  readonly ticketType?: number;
  readonly ticket?: TwinTicket;
  /** The text in the caps buffer, if it holds an encoded string. */
  readonly capsText?: Uint8Array | undefined;
  readonly nonce?: bigint;
  readonly haveChallenge?: boolean;
  readonly challenged?: boolean;
  /** Past its time, in the modes where that is no failure. */
  readonly expired?: boolean;
}

/** Judges an authorizer. Never throws for its bytes. */
export function verify(input: TwinInput): TwinVerdict {
  const { bytes, policy } = input;
  const strict = policy.plausibility === 'strict';
  if (bytes.length > abi.AUTHORIZER_LEN_MAX) return refuse(abi.CHECK_LIMIT);
  const outer = decodeOuter(bytes, strict);
  if (typeof outer === 'number') return refuse(outer);
  if (outer.serviceId !== input.service) return refuse(abi.CHECK_AUTHORIZER_SERVICE);
  const secret = input.secrets.find(
    (each) => each.service === input.service && each.secretId === outer.secretId,
  );
  if (secret === undefined || (outer.secretId === GENERAL_SECRET_ID && !policy.generalSecret)) {
    return refuse(abi.CHECK_SECRET_UNKNOWN);
  }

  const known = { secretId: outer.secretId, ticketType: secret.key.type };
  const failed = new Set<number>();
  const ticket = openTicket(secret.key, outer.blob, strict, failed);
  if (ticket === undefined) return { ...refuse(Math.min(...failed)), ...known };
  harden(ticket, secret, policy.plausibility, failed);
  if (ticket.globalId !== outer.globalId) failed.add(abi.CHECK_GLOBAL_ID);
  const authorize = openAuthorize(ticket.sessionKey, outer.sealed, strict, failed);
  const proven = [...failed].every((check) => isHarden(check)) && authorize !== undefined;

  const late = utimeNs(ticket.expires) + policy.skewNs <= input.nowNs;
  if (proven) {
    judgeChallenge(authorize, input.challenge, failed);
    const { allowedTypes } = policy;
    if (allowedTypes !== 'ring' && !allowedTypes.includes(secret.key.type)) {
      failed.add(abi.CHECK_POLICY_CIPHER);
    }
    if (input.revoked?.(ticket)) failed.add(abi.CHECK_TICKET_REVOKED);
    if (policy.expiry === 'enforce') {
      if (late) failed.add(abi.CHECK_TICKET_EXPIRED);
      if (input.nowNs + policy.skewNs < utimeNs(ticket.created)) {
        failed.add(abi.CHECK_TICKET_NOT_YET_VALID);
      }
    }
  }
  const check = failed.size === 0 ? abi.CHECK_OK : Math.min(...failed);
  return {
    check,
    reason: proven ? provenReason(check, input.challenge.mode) : abi.REASON_AUTHORIZER_INVALID,
    decision: check === abi.CHECK_OK,
    proven,
    ...known,
    ticket,
    capsText: capsString(ticket.capsRaw)?.text,
    ...(authorize && { nonce: authorize.nonce, haveChallenge: authorize.haveChallenge }),
    challenged:
      proven &&
      input.challenge.mode === 'issued' &&
      authorize.haveChallenge &&
      !failed.has(abi.CHECK_CHALLENGE_MISMATCH),
    expired: policy.expiry !== 'enforce' && late,
  };
}

/** A verdict before anything was proved. */
function refuse(check: number): TwinVerdict {
  const reason = PUBLIC_REASONS.get(check) ?? abi.REASON_AUTHORIZER_INVALID;
  return { check, reason, decision: false, proven: false };
}

interface Outer {
  readonly globalId: bigint;
  readonly serviceId: number;
  readonly secretId: bigint;
  readonly blob: Uint8Array;
  readonly sealed: Uint8Array;
}

/** Step 0 and 1: part a and the frame of part b, or the check that failed. */
function decodeOuter(bytes: Uint8Array, strict: boolean): Outer | number {
  if (bytes.length === 0) return abi.CHECK_OUTER_TRUNCATED;
  const reader = new Reader(bytes);
  const mode = reader.u8();
  if (mode < 1 || mode > (strict ? 1 : 9)) return abi.CHECK_AUTHORIZER_MODE;
  try {
    const globalId = reader.u64();
    const serviceId = reader.u32();
    reader.u8();
    const secretId = reader.u64();
    const blob = reader.bl();
    const sealed = reader.bl();
    if (strict && reader.left > 0) return abi.CHECK_OUTER_TRAILING;
    return { globalId, serviceId, secretId, blob, sealed };
  } catch (error) {
    return decodeFailure(error, abi.CHECK_OUTER_TRUNCATED);
  }
}

/** Steps 3 and 4. Adds what fails; undefined if nothing was decoded. */
function openTicket(
  key: CryptoKey,
  blob: Uint8Array,
  strict: boolean,
  failed: Set<number>,
): TwinTicket | undefined {
  const plaintext = open(key, abi.USAGE_TICKET_INFO, blob, strict, TICKET_CHECKS, failed);
  if (plaintext === undefined) return undefined;
  try {
    const reader = new Reader(plaintext);
    const ticket = decodeTicket(reader);
    const { type, secret } = ticket.sessionKey;
    if (secret.length > 0) {
      const shortest = { 0: 0, 1: 16, 2: 32 }[type];
      if (shortest === undefined) failed.add(abi.CHECK_SESSION_KEY_TYPE);
      else if (secret.length < shortest || secret.length > abi.KEY_SECRET_LEN_MAX) {
        failed.add(abi.CHECK_SESSION_KEY_LENGTH);
      }
    }
    if (strict && reader.left > 0) failed.add(abi.CHECK_TICKET_TRAILING);
    const undecodable = [abi.CHECK_SESSION_KEY_TYPE, abi.CHECK_SESSION_KEY_LENGTH];
    return undecodable.some((check) => failed.has(check)) ? undefined : ticket;
  } catch (error) {
    failed.add(decodeFailure(error, abi.CHECK_TICKET_TRUNCATED));
    return undefined;
  }
}

/** CephXServiceTicketInfo after the envelope; the session key is not judged. */
function decodeTicket(reader: Reader): TwinTicket {
  reader.u8(); // CephXServiceTicketInfo struct_v
  const version = reader.u8();
  const entityType = reader.u32();
  const entityId = reader.bl();
  const globalId = reader.u64();
  const auid = version >= 2 ? reader.u64() : undefined;
  const created = reader.utime();
  const expires = reader.utime();
  reader.u8(); // AuthCapsInfo struct_v
  const allowAll = reader.u8() !== 0;
  const capsRaw = reader.bl();
  reader.u32(); // flags
  const keyType = reader.u16();
  const keyCreated = reader.utime();
  const sessionKey = new CryptoKey(keyType, keyCreated, reader.bytes(reader.u16()));
  return {
    ...{ entityType, entityId, globalId, auid, created, expires, allowAll, capsRaw },
    sessionKey,
  };
}

/** Step 4a: spec section 17, for tickets sealed under `aes` only. */
function harden(
  ticket: TwinTicket,
  secret: TwinSecret,
  plausibility: TwinPolicy['plausibility'],
  failed: Set<number>,
): void {
  if (plausibility === 'released' || secret.key.type !== abi.KEY_TYPE_AES) return;
  const span = plausibility === 'pr71231-span';
  const created = utimeNs(ticket.created);
  const expires = utimeNs(ticket.expires);
  const keyCreated = utimeNs(ticket.sessionKey.created);
  const demand = (ok: boolean, check: number): unknown => ok || failed.add(check);

  demand(ticket.auid === undefined || ticket.auid === AUID_DEFAULT, abi.CHECK_HARDEN_AUID);
  demand(!ticket.allowAll, abi.CHECK_HARDEN_ALLOW_ALL);
  const caps = capsString(ticket.capsRaw);
  demand(ticket.capsRaw.length === 0 || caps?.left === 0, abi.CHECK_HARDEN_CAPS);
  const times = [ticket.created, ticket.expires];
  if (!span) times.push(ticket.sessionKey.created);
  demand(
    times.every((time) => time.nanoseconds <= 1_000_000_000),
    abi.CHECK_HARDEN_NSEC,
  );
  demand(expires >= created, abi.CHECK_HARDEN_TIME_ORDER);
  if (span) {
    if (secret.expiresNs !== undefined) {
      const limit = secret.expiresNs - utimeNs(secret.key.created);
      demand(expires - created <= limit, abi.CHECK_HARDEN_SPAN);
    }
    const within = keyCreated >= created && keyCreated <= created + SLOP_NS;
    demand(within && keyCreated <= expires, abi.CHECK_HARDEN_SESSION_KEY_CREATED);
  } else {
    const within = keyCreated + SLOP_NS >= created && keyCreated <= created + SLOP_NS;
    demand(within, abi.CHECK_HARDEN_SESSION_KEY_CREATED);
  }
}

interface TwinAuthorize {
  readonly nonce: bigint;
  readonly haveChallenge: boolean;
  readonly plusOne: bigint;
}

/** Step 6. Adds what fails; undefined if nothing was decoded. */
function openAuthorize(
  sessionKey: CryptoKey,
  sealed: Uint8Array,
  strict: boolean,
  failed: Set<number>,
): TwinAuthorize | undefined {
  const usage = abi.USAGE_AUTHORIZE;
  const plaintext = open(sessionKey, usage, sealed, strict, AUTHORIZE_CHECKS, failed);
  if (plaintext === undefined) return undefined;
  try {
    const reader = new Reader(plaintext);
    const version = reader.u8();
    const nonce = reader.u64();
    const haveChallenge = version >= 2 && reader.u8() !== 0;
    const plusOne = version >= 2 ? reader.u64() : 0n;
    if (strict && reader.left > 0) failed.add(abi.CHECK_AUTHORIZE_TRAILING);
    return { nonce, haveChallenge, plusOne };
  } catch (error) {
    failed.add(decodeFailure(error, abi.CHECK_AUTHORIZE_TRUNCATED));
    return undefined;
  }
}

/** Steps 7 and 8. */
function judgeChallenge(
  authorize: TwinAuthorize,
  challenge: TwinInput['challenge'],
  failed: Set<number>,
): void {
  if (challenge.mode === 'required') failed.add(abi.CHECK_CHALLENGE_MISSING);
  if (challenge.mode !== 'issued') return;
  if (!authorize.haveChallenge) failed.add(abi.CHECK_CHALLENGE_MISSING);
  if (authorize.plusOne !== BigInt.asUintN(64, challenge.value + 1n)) {
    failed.add(abi.CHECK_CHALLENGE_MISMATCH);
  }
}

/** Numbers of the rules of opening, which the ticket and part b have each of their own. */
interface OpenChecks {
  readonly keyEmpty: number;
  readonly ciphertextLength: number;
  readonly mac: number;
  readonly padding: number;
  readonly envelopeShort: number;
  readonly envelopeMagic: number;
}

/** Opens a sealed object and takes off its envelope. Adds what fails. */
function open(
  key: CryptoKey,
  usage: number,
  sealed: Uint8Array,
  strict: boolean,
  checks: OpenChecks,
  failed: Set<number>,
): Uint8Array | undefined {
  const fail = (check: number): undefined => void failed.add(check);
  if (!key.usable) return fail(checks.keyEmpty);
  let plaintext: Uint8Array;
  if (key.type === abi.KEY_TYPE_AES) {
    const padded = aesOpenPadded(key.secret, sealed);
    if (padded === undefined) return fail(checks.ciphertextLength);
    if (strict && !paddingIsPkcs7(padded)) fail(checks.padding);
    plaintext = stripCephPadding(padded);
  } else {
    if (sealed.length < 40) return fail(checks.ciphertextLength);
    const opened = aes256kOpen(key.secret, usage, sealed);
    if (opened === undefined) return fail(checks.mac);
    plaintext = opened;
  }
  if (plaintext.length < ENVELOPE_LEN) return fail(checks.envelopeShort);
  const reader = new Reader(plaintext);
  reader.u8(); // struct_v, not compared
  if (reader.u64() !== ENVELOPE_MAGIC) return fail(checks.envelopeMagic);
  return reader.rest();
}

/** The encoded string in a caps buffer and the bytes after it, or undefined. */
function capsString(caps: Uint8Array): { text: Uint8Array; left: number } | undefined {
  try {
    const reader = new Reader(caps);
    return { text: reader.bl(), left: reader.left };
  } catch (error) {
    decodeFailure(error, 0);
    return undefined;
  }
}

function decodeFailure(error: unknown, check: number): number {
  if (error instanceof DecodeError && error.code === 'decode.truncated') return check;
  throw error;
}

/** Interface section 3.6: what a caller sees once part b has opened. */
function provenReason(check: number, mode: TwinInput['challenge']['mode']): number {
  if (isHarden(check)) return abi.REASON_TICKET_IMPLAUSIBLE;
  if (check === abi.CHECK_CHALLENGE_MISSING && mode === 'required') {
    return abi.REASON_AUTHORIZER_CHALLENGE_REQUIRED;
  }
  return PROVEN_REASONS.get(check)!;
}

function isHarden(check: number): boolean {
  return check >= abi.CHECK_HARDEN_AUID && check <= abi.CHECK_HARDEN_SESSION_KEY_CREATED;
}

const PUBLIC_REASONS = new Map<number, number>([
  [abi.CHECK_LIMIT, abi.REASON_LIMIT_EXCEEDED],
  [abi.CHECK_OUTER_TRUNCATED, abi.REASON_AUTHORIZER_MALFORMED],
  [abi.CHECK_OUTER_TRAILING, abi.REASON_AUTHORIZER_MALFORMED],
  [abi.CHECK_AUTHORIZER_MODE, abi.REASON_AUTHORIZER_MODE],
  [abi.CHECK_AUTHORIZER_SERVICE, abi.REASON_AUTHORIZER_SERVICE],
  [abi.CHECK_SECRET_UNKNOWN, abi.REASON_AUTHORIZER_SECRET_UNKNOWN],
]);

const PROVEN_REASONS = new Map<number, number>([
  [abi.CHECK_OK, abi.REASON_OK],
  [abi.CHECK_CHALLENGE_MISSING, abi.REASON_AUTHORIZER_CHALLENGE_MISMATCH],
  [abi.CHECK_CHALLENGE_MISMATCH, abi.REASON_AUTHORIZER_CHALLENGE_MISMATCH],
  [abi.CHECK_POLICY_CIPHER, abi.REASON_TICKET_CIPHER_NOT_ALLOWED],
  [abi.CHECK_TICKET_REVOKED, abi.REASON_TICKET_REVOKED],
  [abi.CHECK_TICKET_EXPIRED, abi.REASON_TICKET_EXPIRED],
  [abi.CHECK_TICKET_NOT_YET_VALID, abi.REASON_TICKET_NOT_YET_VALID],
]);

const TICKET_CHECKS: OpenChecks = {
  keyEmpty: abi.CHECK_TICKET_KEY_EMPTY,
  ciphertextLength: abi.CHECK_TICKET_CIPHERTEXT_LENGTH,
  mac: abi.CHECK_TICKET_MAC,
  padding: abi.CHECK_TICKET_PADDING,
  envelopeShort: abi.CHECK_TICKET_ENVELOPE_SHORT,
  envelopeMagic: abi.CHECK_TICKET_ENVELOPE_MAGIC,
};

const AUTHORIZE_CHECKS: OpenChecks = {
  keyEmpty: abi.CHECK_SESSION_KEY_EMPTY,
  ciphertextLength: abi.CHECK_AUTHORIZE_CIPHERTEXT_LENGTH,
  mac: abi.CHECK_AUTHORIZE_MAC,
  padding: abi.CHECK_AUTHORIZE_PADDING,
  envelopeShort: abi.CHECK_AUTHORIZE_ENVELOPE_SHORT,
  envelopeMagic: abi.CHECK_AUTHORIZE_ENVELOPE_MAGIC,
};

const GENERAL_SECRET_ID = 0xffffffffffffffffn;
const AUID_DEFAULT = 0xffffffffffffffffn;
const SLOP_NS = 300_000_000_000n;
