/**
 * Sessions: what a successful `verify` leaves behind so that a check need not open a ticket again.
 * A handle is slot + generation; a slot that was released or evicted never answers to it again.
 */

import {
  HOST_NOW,
  HOST_SESSION_LIFETIME,
  HOST_SESSION_MAX_AGE,
  HOST_SKEW,
  REASON_OK,
  REASON_SESSION_EXPIRED,
  REASON_SESSION_PEER_MISMATCH,
  REASON_SESSION_UNKNOWN,
  REASON_TICKET_REVOKED,
  SESSION_LIFETIME_TICKET,
} from './abi';
import { HOST, SESSION_LEN, sessions, sessionsMax } from './arena';
import { equal, wipe } from './bytes';
import { capsRelease } from './capstore';
import { utimeNs } from './protocol';
import { revocationEpoch, revoked } from './revocations';

export const SESSION_GENERATION: i32 = 0;
/** u32: 1 while in use. */
export const SESSION_USED: i32 = 4;
export const SESSION_SERVICE: i32 = 8;
/** u32: caps slot + 1, 0 for none. */
export const SESSION_CAPS: i32 = 12;
export const SESSION_GLOBAL_ID: i32 = 16;
/** utimes as in the ticket. */
export const SESSION_CREATED: i32 = 24;
export const SESSION_EXPIRES: i32 = 32;
/** u64: when it was opened, ns. */
export const SESSION_OPENED: i32 = 40;
export const SESSION_SECRET_ID: i32 = 48;
/** u32: INFO_* bits of the verify. */
export const SESSION_INFO: i32 = 56;
export const SESSION_PEER_FAMILY: i32 = 60;
export const SESSION_PEER: i32 = 64;
export const SESSION_KEY_TYPE: i32 = 80;
export const SESSION_KEY_LEN: i32 = 84;
export const SESSION_KEY: i32 = 88;
export const SESSION_ENTITY_TYPE: i32 = 152;
export const SESSION_ENTITY_LEN: i32 = 156;
export const SESSION_ENTITY: i32 = 160;
/** u32: the revocation epoch at which the session was last found good. */
export const SESSION_EPOCH: i32 = 256;
/** u32: used since the eviction hand last passed. */
export const SESSION_TOUCHED: i32 = 260;
/** u32: next free slot + 1. */
const SESSION_NEXT: i32 = 264;

/** First slot that was never used, head of the free list (slot + 1), and the eviction hand. */
let fresh: i32 = 0;
let free: u32 = 0;
let hand: i32 = 0;

/**
 * A zeroed slot in use: a slot is wiped when it is dropped. When all are taken the eviction hand
 * takes one not used of late.
 */
export function sessionOpen(): usize {
  let slot: usize;
  if (free != 0) {
    slot = at(free - 1);
    free = load<u32>(slot + SESSION_NEXT);
  } else if (fresh < sessionsMax) {
    slot = at(fresh++);
  } else {
    slot = evict();
  }
  const generation = load<u32>(slot + SESSION_GENERATION) + 1;
  store<u32>(slot + SESSION_NEXT, 0);
  store<u32>(slot + SESSION_GENERATION, generation);
  store<u32>(slot + SESSION_USED, 1);
  store<u32>(slot + SESSION_TOUCHED, 1);
  return slot;
}

function evict(): usize {
  while (load<u32>(at(hand) + SESSION_TOUCHED) != 0) {
    store<u32>(at(hand) + SESSION_TOUCHED, 0);
    hand = (hand + 1) % sessionsMax;
  }
  const slot = at(hand);
  hand = (hand + 1) % sessionsMax;
  drop(slot);
  return slot;
}

/** The handle of a slot: generation in the high half, slot + 1 below 2^31 in the low. */
export function sessionHandle(slot: usize): u64 {
  const index = ((slot - sessions) / SESSION_LEN + 1) as u64;
  return ((load<u32>(slot + SESSION_GENERATION) as u64) << 32) | index;
}

/** The slot of a handle, or 0 if it is stale or was never given. */
export function sessionFind(handle: u64): usize {
  const index = (handle as u32 as i64) - 1;
  if (index < 0 || index >= sessionsMax) return 0;
  const slot = at(index as i32);
  if (load<u32>(slot + SESSION_USED) == 0) return 0;
  if (load<u32>(slot + SESSION_GENERATION) != ((handle >> 32) as u32)) return 0;
  return slot;
}

/** Ends a session and wipes it. Returns 1, or 0 for a stale handle. */
export function sessionRelease(handle: u64): i32 {
  const slot = sessionFind(handle);
  if (slot == 0) return 0;
  drop(slot);
  store<u32>(slot + SESSION_NEXT, free);
  free = ((slot - sessions) / SESSION_LEN + 1) as u32;
  return 1;
}

function drop(slot: usize): void {
  const caps = load<u32>(slot + SESSION_CAPS);
  if (caps != 0) capsRelease(caps - 1);
  const generation = load<u32>(slot + SESSION_GENERATION);
  wipe(slot, SESSION_LEN);
  store<u32>(slot + SESSION_GENERATION, generation);
}

/** Ends every session. */
export function sessionsClear(): void {
  for (let i = 0; i < fresh; i++) {
    if (load<u32>(at(i) + SESSION_USED) != 0) sessionRelease(sessionHandle(at(i)));
  }
}

/** Judges a session on use: age, ticket, revocation, peer. Returns REASON_OK or the refusal. */
export function sessionJudge(slot: usize, service: u32, family: u32, peer: usize): i32 {
  if (slot == 0 || load<u32>(slot + SESSION_SERVICE) != service) return REASON_SESSION_UNKNOWN;
  const now = load<u64>(HOST + HOST_NOW);
  const skew = load<u64>(HOST + HOST_SKEW);
  const maxAge = load<u64>(HOST + HOST_SESSION_MAX_AGE);
  const opened = load<u64>(slot + SESSION_OPENED);
  if (maxAge != 0 && now > opened && now - opened >= maxAge) return REASON_SESSION_EXPIRED;
  if (load<u32>(HOST + HOST_SESSION_LIFETIME) == SESSION_LIFETIME_TICKET) {
    const expires = utimeNs(load<u64>(slot + SESSION_EXPIRES));
    // Subtracting from now cannot wrap where adding skew to expires could.
    if (now >= skew && now - skew >= expires) return REASON_SESSION_EXPIRED;
  }
  if (load<u32>(slot + SESSION_EPOCH) != revocationEpoch) {
    if (sessionRevoked(slot, skew)) return REASON_TICKET_REVOKED;
    store<u32>(slot + SESSION_EPOCH, revocationEpoch);
  }
  if (family != 0) {
    if (load<u32>(slot + SESSION_PEER_FAMILY) != family) return REASON_SESSION_PEER_MISMATCH;
    if (!equal(slot + SESSION_PEER, peer, family == 4 ? 4 : 16))
      return REASON_SESSION_PEER_MISMATCH;
  }
  store<u32>(slot + SESSION_TOUCHED, 1);
  return REASON_OK;
}

function sessionRevoked(slot: usize, skew: u64): i32 {
  return revoked(
    load<u32>(slot + SESSION_ENTITY_TYPE),
    slot + SESSION_ENTITY,
    load<i32>(slot + SESSION_ENTITY_LEN),
    load<u64>(slot + SESSION_GLOBAL_ID),
    load<u32>(slot + SESSION_SERVICE),
    utimeNs(load<u64>(slot + SESSION_CREATED)),
    skew,
  );
}

function at(index: i32): usize {
  return sessions + index * SESSION_LEN;
}
