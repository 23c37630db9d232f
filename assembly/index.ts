/**
 * The ABI: every export of the core, and nothing else.
 *
 * All parameters and results are 32-bit numbers; 64-bit values stay in memory. No export throws;
 * nothing here calls out. One instance serves one thread and is not re-entrant.
 * Names of blocks, fields and codes are in abi.ts.
 */

import { ABI_VERSION, CHECK_RECORD_FIELD, LAYOUT_LITERALS, LAYOUT_LITERALS_LEN } from './abi';
import { arenaInit, LAYOUT, word } from './arena';
import { capsClear, capsFind, capsInit, capsView } from './capstore';
import { osdcapLiterals, osdcapLiteralsLen } from './osdprofile';
import { runRecords } from './record';
import { revokeApply } from './revocations';
import { secretClear, secretCount, secretPut, secretRemove } from './secrets';
import { sessionRelease, sessionsClear } from './sessions';
import { ticketsClear } from './tickets';
import { workChallengeHash, workDerive, workOpen, workPrimitive, workSeal, workWipe } from './work';

/** The version of this ABI. */
export function abi_version(): i32 {
  return ABI_VERSION;
}

/**
 * Lays memory out for a preset (PRESET_*) and readies every table. Call once, first.
 * Returns 1; 0 for an unknown preset, a second call, or when memory cannot be had.
 */
export function init(preset: i32): i32 {
  if (!arenaInit(preset)) return 0;
  word(LAYOUT_LITERALS, osdcapLiterals() as i32);
  word(LAYOUT_LITERALS_LEN, osdcapLiteralsLen());
  capsInit();
  return 1;
}

/** Address of the layout table (LAYOUT_*). Memory does not move or grow after `init`. */
export function layout(): usize {
  return LAYOUT;
}

/**
 * Answers the request records in the first `bytes` bytes of the request region, in order, into the
 * response region. Reads the host block, the challenge array and the random pool; rewrites the
 * secret block. Returns the bytes of the response; a record that cannot be told from the next ends
 * the call after its verdict. No plaintext and no session key stays outside the kept regions.
 */
export function run(bytes: i32): i32 {
  return runRecords(bytes);
}

/**
 * Puts or replaces a service secret: encoded CryptoKey (keyLen bytes) at WORK_KEY, PUT_* fields.
 * Returns CHECK_OK, CHECK_RECORD_FIELD (not a service), CHECK_LIMIT (table full) or the fault of
 * the key (CHECK_TICKET_TRUNCATED, CHECK_SESSION_KEY_TYPE, CHECK_SESSION_KEY_LENGTH).
 * The work block is wiped.
 */
export function secret_put(keyLen: i32): i32 {
  const check = secretPut(keyLen);
  workWipe();
  return check;
}

/** Removes the secret (service, id); id in two halves. Returns 1, or 0 if it was not there. */
export function secret_remove(service: u32, idLow: u32, idHigh: u32): i32 {
  return secretRemove(service, ((idHigh as u64) << 32) | (idLow as u64));
}

/** Removes all secrets of a service, or of every service for 0. */
export function secret_clear(service: u32): void {
  secretClear(service);
}

/** Number of secrets kept for a service. */
export function secret_count(service: u32): i32 {
  return secretCount(service);
}

/** Ends a session (handle in two halves) and wipes it. Returns 1, or 0 for a stale handle. */
export function session_release(low: u32, high: u32): i32 {
  return sessionRelease(((high as u64) << 32) | (low as u64));
}

/**
 * Applies a revocation: REVOKE_* fields of the work block, an entity id of idLen bytes at WORK_KEY.
 * Returns CHECK_OK, CHECK_RECORD_FIELD or CHECK_LIMIT. Sessions and cached tickets feel it
 * on their next use.
 */
export function revoke(idLen: i32): i32 {
  const check = idLen < 0 ? CHECK_RECORD_FIELD : revokeApply(idLen);
  workWipe();
  return check;
}

/** Ends every session, drops all compiled caps and empties the ticket cache. */
export function cache_clear(): void {
  ticketsClear();
  sessionsClear();
  capsClear();
}

/**
 * Fills the caps view (LAYOUT_CAPS_VIEW) for the compiled caps of a handle from caps-parse.
 * Returns 1, or 0 for a stale handle. The view holds until the next call of `run`.
 */
export function caps_view(service: u32, low: u32, high: u32): i32 {
  const index = capsFind(((high as u64) << 32) | (low as u64), service);
  return index < 0 ? 0 : capsView(index);
}

/**
 * Seals inLen bytes of WORK_DATA under the CryptoKey at WORK_KEY for a usage (USAGE_*) into
 * WORK_RESULT; 16 bytes of confounder at WORK_IV (unused by `aes`). form: SEAL_ENVELOPE puts the
 * envelope around it, SEAL_PREFIXED a u32 length before it.
 * Returns the bytes written, -1 for an unusable key, -2 for a bad length.
 */
export function seal(keyLen: i32, usage: u32, inLen: i32, form: i32): i32 {
  return workSeal(keyLen, usage, inLen, form);
}

/**
 * Opens what `seal` makes: inLen bytes of WORK_DATA, the object lands at WORK_RESULT.
 * Returns its length, -1 for an unusable key, -2 for a bad length, -3 when it does not open.
 */
export function open(keyLen: i32, usage: u32, inLen: i32, form: i32): i32 {
  return workOpen(keyLen, usage, inLen, form);
}

/** RFC 8009 key derivation: tag DERIVE_*; result in WORK_OUT. Returns 32 or 24, or below zero. */
export function derive(keyLen: i32, usage: u32, tag: i32): i32 {
  return workDerive(keyLen, usage, tag);
}

/** Challenge hash of u64 server, u64 client at WORK_DATA; u64 in WORK_OUT. Returns 8 or -1. */
export function challenge_hash(keyLen: i32): i32 {
  return workChallengeHash(keyLen);
}

/**
 * A bare primitive (PRIMITIVE_*): raw key of keyLen bytes at WORK_KEY, IV at WORK_IV, input at
 * WORK_DATA, result at WORK_RESULT. Returns its length, or -2 for a bad length.
 */
export function primitive(op: i32, keyLen: i32, inLen: i32): i32 {
  return workPrimitive(op, keyLen, inLen);
}

/** Zeros over the work block. */
export function work_wipe(): void {
  workWipe();
}
