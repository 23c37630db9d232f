/**
 * The cephx structures that the core opens: decoding is total and, for bytes that a cipher without
 * MAC may have garbled, straight-line: every load happens for every input and at the same address,
 * and each rule that fails sets a bit. Offsets are sums of lengths below 2^32; what is read at one
 * behind the end is of no account, for then the ticket is truncated. Spec sections 2, 8, 9.
 */

import {
  CHECK_AUTHORIZE_TRAILING,
  CHECK_AUTHORIZE_TRUNCATED,
  CHECK_FOLD,
  CHECK_SESSION_KEY_LENGTH,
  CHECK_SESSION_KEY_TYPE,
  CHECK_TICKET_TRAILING,
  CHECK_TICKET_TRUNCATED,
  KEY_SECRET_LEN_MAX,
  KEY_TYPE_AES256K,
} from './abi';
import { choose64, less32, less64, notZero64, wipe } from './bytes';
import { secretLenMin } from './cryptokey';
import { WINDOW_LEN, WINDOW_SPARE, windowTake } from './window';

/**
 * CephXServiceTicketInfo (mon -> service, sealed; usage 0x30), after the 9-byte envelope:
 *
 *   9 u8 struct_v · AuthTicket { 10 u8 v · 11 u32 name.type · 15 u32 L · 19 L bytes name.id ·
 *   19+L u64 global_id · u64 auid (v >= 2) · utime created · utime expires ·
 *   AuthCapsInfo { u8 v · u8 allow_all · u32 C · C bytes } · u32 flags } ·
 *   CryptoKey { u16 type · utime created · u16 len · secret }
 */
export let infoEntityType: u32 = 0;
export let infoEntity: usize = 0;
export let infoEntityLen: i32 = 0;
export let infoGlobalId: u64 = 0;
export let infoHasAuid: i32 = 0;
export let infoAuid: u64 = 0;
export let infoCreated: u64 = 0;
export let infoExpires: u64 = 0;
export let infoAllowAll: i32 = 0;
export let infoCaps: usize = 0;
export let infoCapsLen: i32 = 0;
/** What the caps buffer begins with: the length of the string in it. */
export let infoCapsInner: u32 = 0;
/** The session key as encoded, its type, creation utime, secret and the secret's length. */
export let infoKey: usize = 0;
export let infoKeyType: u32 = 0;
export let infoKeyCreated: u64 = 0;
export let infoSecret: usize = 0;
export let infoSecretLen: i32 = 0;

/** Bytes behind the plaintext that are read: the buffer has that much to spare. */
export const DECODE_SPARE: i32 = WINDOW_SPARE;
/** What stands behind the entity's id: up to the caps and the first four bytes of them. */
const FIELDS: usize = memory.data(WINDOW_LEN, 16);
/** Nothing of the sort begins before: the least offset, down to a multiple of 16. */
const FIELDS_LEAST: i32 = 16;
/** The ticket's flags and the session key: its secret lies aligned, as the ciphers want it. */
const KEY: usize = memory.data(WINDOW_LEN, 16);
const KEY_LEAST: i32 = 48;
const KEY_HEAD: i32 = 4;
const KEY_SECRET: i32 = 16;
/** The session key's secret in its window, and how many bytes of it. */
export const INFO_SECRET: usize = KEY + KEY_SECRET;
export const INFO_SECRET_LEN: i32 = WINDOW_LEN - KEY_SECRET;

/** Bit of a check number in the fold. */
export function bit(check: i32, failed: i32): u64 {
  return (failed as u64) << (check - CHECK_FOLD);
}

/**
 * Decodes a ServiceTicketInfo of n bytes at p (envelope included) into the `info` variables and
 * returns the bits of the rules that failed. n may be secret, its limit `size` is not. p, a
 * multiple of 16, has size + DECODE_SPARE readable bytes, and those that `windowTake` asks for.
 */
export function decodeTicketInfo(p: usize, size: i32, n: i32, strict: i32): u64 {
  const end = n as u64;
  infoEntityType = load<u32>(p + 11);
  infoHasAuid = less32(1, load<u8>(p + 10));
  const auidLen = (infoHasAuid * 8) as u64;
  const fields = 19 + (load<u32>(p + 15) as u64);
  // From global_id to the caps length: 8 + (8) + 8 + 8 + 2 + 4 bytes.
  const caps = fields + 30 + auidLen;
  windowTake(p, size, FIELDS_LEAST, fields, FIELDS);
  const capsInfo = choose64(load<u64>(FIELDS, 32), load<u64>(FIELDS, 24), infoHasAuid);
  const capsEnd = caps + ((capsInfo >> 16) & 0xffffffff);
  windowTake(p, size, KEY_LEAST, capsEnd, KEY);
  const id = clamp(19, end);
  infoEntity = p + (id as usize);
  infoEntityLen = (clamp(fields, end) - id) as i32;
  infoGlobalId = load<u64>(FIELDS);
  infoAuid = load<u64>(FIELDS, 8);
  // With an auid the rest stands 8 bytes further on: both places are read.
  infoCreated = choose64(load<u64>(FIELDS, 16), load<u64>(FIELDS, 8), infoHasAuid);
  infoExpires = choose64(load<u64>(FIELDS, 24), load<u64>(FIELDS, 16), infoHasAuid);
  infoCapsInner = choose64(load<u32>(FIELDS, 38), load<u32>(FIELDS, 30), infoHasAuid) as u32;
  infoAllowAll = notZero64(capsInfo & 0xff00);
  const capsAt = clamp(caps, end);
  infoCaps = p + (capsAt as usize);
  infoCapsLen = (clamp(capsEnd, end) - capsAt) as i32;
  return decodeSessionKey(p, capsEnd + 4, end, strict);
}

/** The CryptoKey at offset `key`, behind the ticket's u32 flags, is the last field. */
function decodeSessionKey(p: usize, key: u64, end: u64, strict: i32): u64 {
  infoKey = p + (clamp(key, end) as usize);
  infoKeyType = load<u16>(KEY, KEY_HEAD);
  infoKeyCreated = load<u64>(KEY, KEY_HEAD + 2);
  const secretLen = load<u16>(KEY, KEY_HEAD + 10) as u64;
  const secretEnd = key + 12 + secretLen;
  infoSecret = p + (clamp(key + 12, end) as usize);
  infoSecretLen = secretLen as i32;
  const given = notZero64(secretLen);
  const badType = given & less32(KEY_TYPE_AES256K, infoKeyType);
  const badLen =
    given &
    (less32(infoSecretLen, secretLenMin(infoKeyType)) | less32(KEY_SECRET_LEN_MAX, infoSecretLen));
  return (
    bit(CHECK_TICKET_TRUNCATED, less64(end, secretEnd)) |
    bit(CHECK_SESSION_KEY_TYPE, badType) |
    bit(CHECK_SESSION_KEY_LENGTH, badLen) |
    bit(CHECK_TICKET_TRAILING, strict & less64(secretEnd, end))
  );
}

/** Wipes what was copied from the ticket. */
export function infoWipe(): void {
  wipe(FIELDS, WINDOW_LEN);
  wipe(KEY, WINDOW_LEN);
}

/** Bytes that `infoSave` writes: addresses as offsets from where the plaintext lies. */
export const INFO_SAVED_LEN: i32 = 88;

/** Writes the `info` of a ticket, decoded without a failure from plaintext at `base`, at `to`. */
export function infoSave(to: usize, base: usize): void {
  store<u64>(to, infoGlobalId);
  store<u64>(to, infoAuid, 8);
  store<u64>(to, infoCreated, 16);
  store<u64>(to, infoExpires, 24);
  store<u64>(to, infoKeyCreated, 32);
  store<u32>(to, infoEntityType, 40);
  store<u32>(to, (infoEntity - base) as u32, 44);
  store<i32>(to, infoEntityLen, 48);
  store<i32>(to, infoHasAuid, 52);
  store<i32>(to, infoAllowAll, 56);
  store<u32>(to, (infoCaps - base) as u32, 60);
  store<i32>(to, infoCapsLen, 64);
  store<u32>(to, (infoKey - base) as u32, 68);
  store<u32>(to, infoKeyType, 72);
  store<u32>(to, (infoSecret - base) as u32, 76);
  store<i32>(to, infoSecretLen, 80);
}

/** Sets `info` as it was saved at `from`, for a copy of the plaintext at `base`. */
export function infoRestore(from: usize, base: usize): void {
  infoGlobalId = load<u64>(from);
  infoAuid = load<u64>(from, 8);
  infoCreated = load<u64>(from, 16);
  infoExpires = load<u64>(from, 24);
  infoKeyCreated = load<u64>(from, 32);
  infoEntityType = load<u32>(from, 40);
  infoEntity = base + load<u32>(from, 44);
  infoEntityLen = load<i32>(from, 48);
  infoHasAuid = load<i32>(from, 52);
  infoAllowAll = load<i32>(from, 56);
  infoCaps = base + load<u32>(from, 60);
  infoCapsLen = load<i32>(from, 64);
  infoCapsInner = load<u32>(infoCaps);
  infoKey = base + load<u32>(from, 68);
  infoKeyType = load<u32>(from, 72);
  infoSecret = base + load<u32>(from, 76);
  infoSecretLen = load<i32>(from, 80);
}

/**
 * CephXAuthorize (client -> service, sealed; usage 0x10), after the envelope:
 *
 *   9 u8 v · 10 u64 nonce · v >= 2: 18 u8 have_challenge · 19 u64 server_challenge_plus_one
 */
export let authorizeNonce: u64 = 0;
export let authorizeHaveChallenge: i32 = 0;
export let authorizePlusOne: u64 = 0;
/** Bytes of it that are read, up to a multiple of 8. */
export const AUTHORIZE_LEN: i32 = 32;

/** Decodes a CephXAuthorize of n bytes at p (n + DECODE_SPARE readable); returns failed bits. */
export function decodeAuthorize(p: usize, n: i32, strict: i32): u64 {
  const end = n as u64;
  const second = less32(1, load<u8>(p + 9));
  const needed = (18 + 9 * second) as u64;
  authorizeNonce = load<u64>(p + 10);
  authorizeHaveChallenge = second & notZero64(load<u8>(p + 18));
  authorizePlusOne = load<u64>(p + 19);
  return (
    bit(CHECK_AUTHORIZE_TRUNCATED, less64(end, needed)) |
    bit(CHECK_AUTHORIZE_TRAILING, strict & less64(needed, end))
  );
}

/** A utime as it lies in memory (u32 seconds, u32 nanoseconds) in nanoseconds, unnormalised. */
export function utimeNs(utime: u64): u64 {
  return (utime & 0xffffffff) * 1000000000 + (utime >> 32);
}

/** min(x, end) without a branch, for numbers below 2^63. */
function clamp(x: u64, end: u64): u64 {
  const over = (((end - x) as i64) >> 63) as u64;
  return x ^ ((x ^ end) & over);
}
