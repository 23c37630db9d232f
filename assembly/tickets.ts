/**
 * The ticket cache: tickets that were opened, so that the next authorizer with the same blob costs
 * its part b alone. An entry holds what the ticket says and the prepared session key; it is never a
 * decision: clock, revocations and policy are judged on every use.
 *
 * An entry is found by public bytes alone: service, secret id and the whole blob, compared in full.
 * It is made only after everything was proved and allowed, and the cache is emptied whenever the
 * ring or the policy of the host block changes. It is associative in sets of WAYS, so neither a
 * hit nor a miss nor an eviction looks at more than one set, whatever a peer sends.
 */

import {
  HOST_SESSION_LIFETIME,
  HOST_SESSION_MAX_AGE,
  HOST_SKEW,
  HOST_TICKET_CACHE,
  TICKET_CACHE_BLOB_MAX,
  TICKETS_EMPTIED,
  TICKETS_EVICTED,
  TICKETS_HELD,
  TICKETS_HITS,
  TICKETS_MISSES,
} from './abi';
import { HOST, TICKET_SLOT_LEN, TICKETS, ticketSlots, ticketsMax, ticketTags } from './arena';
import { copySmall, wipe } from './bytes';
import { INFO_SAVED_LEN, infoRestore, infoSave } from './protocol';
import { K256_OPEN_LEN } from './rfc8009';

/**
 * Slot: u64 secret id, u32 service, u32 blob length, u32 bytes in use, u32 0, u64 handle of caps;
 * the saved info; the prepared session key; the blob; the plaintext, 8-aligned.
 */
const SECRET_ID: i32 = 0;
const SERVICE: i32 = 8;
const BLOB_LEN: i32 = 12;
const IN_USE: i32 = 16;
/** u64: handle of the compiled caps (capstore.ts) of the ticket, 0 until a session needed them. */
export const TICKET_CAPS: i32 = 24;
const INFO: i32 = 32;
/** Prepared session key: CBC_OPEN_LEN or K256_OPEN_LEN bytes. */
export const TICKET_KEY: i32 = INFO + INFO_SAVED_LEN;
const BLOB: i32 = TICKET_KEY + K256_OPEN_LEN;

/** Least length of a blob that can be found: as many bytes as the hash reads. */
const BLOB_LEN_MIN: i32 = 16;
const WAYS: i32 = 8;
/** Bits of a tag: in use; used since the last eviction in its set. The others are of the hash. */
const USED: u32 = 1;
const TOUCHED: u32 = 2;

/** The set and the tag of the last look-up that found nothing, for the entry to be made. */
let missedSet: i32 = 0;
let missedTag: u32 = 0;

/** The policy under which the entries were made. */
const POLICY: usize = memory.data(56, 8);

/** Said before each call of `run`: empties the cache if the policy is not what it was. */
export function ticketsBegin(): void {
  const held = load<i32>(TICKETS + TICKETS_HELD);
  if (held == 0 && load<u32>(HOST + HOST_TICKET_CACHE) == 0) return;
  let changed = differs(0, load<u64>(HOST + HOST_SKEW));
  // Plausibility and expiry; allowed types and no flags; release and general secret.
  changed |= differs(8, load<u64>(HOST + 16));
  changed |= differs(16, load<u32>(HOST + 24) as u64);
  changed |= differs(24, load<u64>(HOST + 64));
  // msgr1 under aes256k, and whether there is to be a cache.
  changed |= differs(32, load<u64>(HOST + 72));
  changed |= differs(40, load<u32>(HOST + HOST_SESSION_LIFETIME) as u64);
  changed |= differs(48, load<u64>(HOST + HOST_SESSION_MAX_AGE));
  if (changed != 0) ticketsClear();
}

/** Not zero if a word of the policy has changed; the new one is remembered. */
function differs(at: i32, now: u64): u64 {
  const was = load<u64>(POLICY + at);
  store<u64>(POLICY + at, now);
  return was ^ now;
}

/** The entry of a ticket, or 0. All that is looked at is public. */
export function ticketFind(service: u32, secretId: u64, blob: usize, len: i32): usize {
  missedTag = 0;
  if (load<u32>(HOST + HOST_TICKET_CACHE) == 0) return 0;
  if (len < BLOB_LEN_MIN || len > TICKET_CACHE_BLOB_MAX) return 0;
  const hash = hashOf(service, secretId, blob + len - BLOB_LEN_MIN);
  const tag = (hash as u32) | USED | TOUCHED;
  const set = ((hash >> 32) as i32) & (ticketsMax - 1) & ~(WAYS - 1);
  for (let i = set; i < set + WAYS; i++) {
    const at = ticketTags + (i << 2);
    if ((load<u32>(at) | TOUCHED) != tag) continue;
    const slot = ticketSlots + i * TICKET_SLOT_LEN;
    if (
      load<u64>(slot + SECRET_ID) != secretId ||
      load<u32>(slot + SERVICE) != service ||
      load<i32>(slot + BLOB_LEN) != len ||
      !same(slot + BLOB, blob, len)
    ) {
      continue;
    }
    store<u32>(at, tag);
    count(TICKETS_HITS);
    return slot;
  }
  missedSet = set;
  missedTag = tag;
  count(TICKETS_MISSES);
  return 0;
}

/** Sets `info` to what the ticket of an entry says. Returns where its plaintext ends. */
export function ticketRestore(slot: usize): usize {
  infoRestore(slot + INFO, slot + plainAt(load<i32>(slot + BLOB_LEN)));
  return slot + load<u32>(slot + IN_USE);
}

/**
 * Makes the entry that the last look-up missed: `info` was decoded from the n plain bytes at
 * `opened`, the session key was prepared in keyLen bytes at `key`.
 */
export function ticketKeep(
  service: u32,
  secretId: u64,
  blob: usize,
  blobLen: i32,
  opened: usize,
  n: i32,
  key: usize,
  keyLen: i32,
): void {
  if (missedTag == 0) return;
  const way = freeWay(missedSet);
  const slot = ticketSlots + way * TICKET_SLOT_LEN;
  const plain = plainAt(blobLen);
  store<u32>(ticketTags + (way << 2), missedTag);
  store<u64>(slot + SECRET_ID, secretId);
  store<u32>(slot + SERVICE, service);
  store<i32>(slot + BLOB_LEN, blobLen);
  store<i32>(slot + IN_USE, plain + n);
  store<u64>(slot + TICKET_CAPS, 0);
  infoSave(slot + INFO, opened);
  copySmall(slot + TICKET_KEY, key, keyLen);
  copySmall(slot + BLOB, blob, blobLen);
  copySmall(slot + plain, opened, n);
  store<i32>(TICKETS + TICKETS_HELD, load<i32>(TICKETS + TICKETS_HELD) + 1);
  missedTag = 0;
}

/** A free way of a set, or one not used since the last eviction there, wiped. */
function freeWay(set: i32): i32 {
  let victim = set;
  for (let i = set + WAYS - 1; i >= set; i--) {
    const tag = load<u32>(ticketTags + (i << 2));
    if (tag == 0) return i;
    if ((tag & TOUCHED) == 0) victim = i;
  }
  for (let i = set; i < set + WAYS; i++) {
    const at = ticketTags + (i << 2);
    store<u32>(at, load<u32>(at) & ~TOUCHED);
  }
  drop(victim);
  count(TICKETS_EVICTED);
  return victim;
}

/** Empties the cache: every entry is wiped. */
export function ticketsClear(): void {
  missedTag = 0;
  if (load<i32>(TICKETS + TICKETS_HELD) == 0) return;
  for (let i = 0; i < ticketsMax; i++) {
    if (load<u32>(ticketTags + (i << 2)) != 0) drop(i);
  }
  count(TICKETS_EMPTIED);
}

function drop(way: i32): void {
  const slot = ticketSlots + way * TICKET_SLOT_LEN;
  wipe(slot, load<i32>(slot + IN_USE));
  store<u32>(ticketTags + (way << 2), 0);
  store<i32>(TICKETS + TICKETS_HELD, load<i32>(TICKETS + TICKETS_HELD) - 1);
}

function count(field: i32): void {
  store<u32>(TICKETS + field, load<u32>(TICKETS + field) + 1);
}

function plainAt(blobLen: i32): i32 {
  return BLOB + ((blobLen + 7) & ~7);
}

/** Ciphertext is not secret: this stops at the first difference. */
function same(a: usize, b: usize, n: i32): bool {
  let i = 0;
  for (; i + 32 <= n; i += 32) {
    const difference =
      (load<u64>(a + i) ^ load<u64>(b + i)) |
      (load<u64>(a + i, 8) ^ load<u64>(b + i, 8)) |
      (load<u64>(a + i, 16) ^ load<u64>(b + i, 16)) |
      (load<u64>(a + i, 24) ^ load<u64>(b + i, 24));
    if (difference != 0) return false;
  }
  for (; i < n; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}

/**
 * The last 16 bytes of a blob are the MAC of a ticket or the last block of a CBC chain: with a
 * ticket that was ever kept nobody but the monitor chose them.
 */
function hashOf(service: u32, secretId: u64, tail: usize): u64 {
  let hash = (load<u64>(tail) ^ secretId) * 0x9e3779b97f4a7c15;
  hash ^= hash >> 32;
  hash = (hash ^ load<u64>(tail, 8) ^ ((service as u64) << 48)) * 0xd6e8feb86659fd93;
  return hash ^ (hash >> 32);
}
