/**
 * Revocations: `deny` of an entity or global_id, `not_before` of an entity, a service or all.
 * A small open-addressed table, so that `verify` costs the same however many users there are.
 */

import {
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_RECORD_FIELD,
  REVOCATIONS_MAX,
  REVOKE_CLEAR,
  REVOKE_DENY,
  REVOKE_ENTITY_TYPE,
  REVOKE_LIFT,
  REVOKE_NOT_BEFORE,
  REVOKE_OP,
  REVOKE_SUBJECT,
  REVOKE_TIME,
  REVOKE_VALUE,
  SUBJECT_ALL,
  SUBJECT_ENTITY,
  SUBJECT_GLOBAL_ID,
  SUBJECT_SERVICE,
  WORK_KEY,
} from './abi';
import { REVOCATIONS_LEN, revocations, work } from './arena';
import { equal } from './bytes';

/** Entry: u32 subject (0 free), u32 deny, u64 value, u64 not_before ns, u32 type, u32 len, id. */
const ENTRY_LEN: i32 = 160;
const SUBJECT: i32 = 0;
const DENY: i32 = 4;
const VALUE: i32 = 8;
const NOT_BEFORE: i32 = 16;
const TYPE: i32 = 24;
const ID_LEN: i32 = 28;
const ID: i32 = 32;
/** Longest entity id that can be revoked by name, in bytes. */
const ID_LEN_MAX: i32 = ENTRY_LEN - ID;

/** Counts changes, so that a session re-examines itself only when something changed. */
export let revocationEpoch: u32 = 1;
let used: i32 = 0;

/** Applies the REVOKE_* fields of the work block; an entity id of idLen bytes is at WORK_KEY. */
export function revokeApply(idLen: i32): i32 {
  const op = load<i32>(work + REVOKE_OP);
  const subject = load<i32>(work + REVOKE_SUBJECT);
  if (op < REVOKE_DENY || op > REVOKE_CLEAR) return CHECK_RECORD_FIELD;
  revocationEpoch++;
  if (op == REVOKE_CLEAR) {
    memory.fill(revocations, 0, REVOCATIONS_LEN);
    used = 0;
    return CHECK_OK;
  }
  if (subject < SUBJECT_ENTITY || subject > SUBJECT_ALL) return CHECK_RECORD_FIELD;
  const value =
    subject == SUBJECT_ENTITY || subject == SUBJECT_ALL ? 0 : load<u64>(work + REVOKE_VALUE);
  const len = subject == SUBJECT_ENTITY ? idLen : 0;
  if (len < 0 || len > ID_LEN_MAX) return CHECK_LIMIT;
  const type = len > 0 || subject == SUBJECT_ENTITY ? load<u32>(work + REVOKE_ENTITY_TYPE) : 0;
  if (op == REVOKE_DENY && subject > SUBJECT_GLOBAL_ID) return CHECK_RECORD_FIELD;
  const make = (op != REVOKE_LIFT) as i32;
  const entry = find(subject as u32, value, type, work + WORK_KEY, len, make);
  if (entry == 0) return make ? CHECK_LIMIT : CHECK_OK;
  if (op == REVOKE_NOT_BEFORE) store<u64>(entry + NOT_BEFORE, load<u64>(work + REVOKE_TIME));
  else store<u32>(entry + DENY, (op == REVOKE_DENY) as u32);
  return CHECK_OK;
}

/** 1 if a ticket of this subject, made at `created` for `service`, is revoked under `skew`. */
export function revoked(
  type: u32,
  id: usize,
  idLen: i32,
  globalId: u64,
  service: u32,
  created: u64,
  skew: u64,
): i32 {
  if (used == 0) return 0;
  let entry = idLen <= ID_LEN_MAX ? find(SUBJECT_ENTITY, 0, type, id, idLen, 0) : 0;
  if (hits(entry, created, skew)) return 1;
  entry = find(SUBJECT_GLOBAL_ID, globalId, 0, 0, 0, 0);
  if (hits(entry, created, skew)) return 1;
  entry = find(SUBJECT_SERVICE, service as u64, 0, 0, 0, 0);
  if (hits(entry, created, skew)) return 1;
  return hits(find(SUBJECT_ALL, 0, 0, 0, 0, 0), created, skew);
}

function hits(entry: usize, created: u64, skew: u64): i32 {
  if (entry == 0) return 0;
  if (load<u32>(entry + DENY) != 0) return 1;
  const notBefore = load<u64>(entry + NOT_BEFORE);
  if (notBefore == 0) return 0;
  const limit = notBefore + skew;
  return (created < limit || limit < notBefore) as i32;
}

/** The entry of a subject; with `make` a new one if there is room, else 0. */
function find(subject: u32, value: u64, type: u32, id: usize, idLen: i32, make: i32): usize {
  let hash: u32 = 2166136261 ^ subject;
  hash = (hash ^ (value as u32) ^ ((value >> 32) as u32) ^ type) * 16777619;
  for (let i = 0; i < idLen; i++) hash = (hash ^ load<u8>(id + i)) * 16777619;
  hash ^= hash >> 15;
  for (let i = 0; i < REVOCATIONS_MAX; i++) {
    const entry = revocations + ((hash + i) & (REVOCATIONS_MAX - 1)) * ENTRY_LEN;
    const there = load<u32>(entry + SUBJECT);
    if (there == 0) {
      // A quarter stays free, so that a miss ends soon.
      if (!make || used >= (REVOCATIONS_MAX * 3) / 4) return 0;
      return fill(entry, subject, value, type, id, idLen);
    }
    if (
      there == subject &&
      load<u64>(entry + VALUE) == value &&
      load<u32>(entry + TYPE) == type &&
      load<i32>(entry + ID_LEN) == idLen &&
      equal(entry + ID, id, idLen)
    ) {
      return entry;
    }
  }
  return 0;
}

function fill(entry: usize, subject: u32, value: u64, type: u32, id: usize, idLen: i32): usize {
  used++;
  store<u32>(entry + SUBJECT, subject);
  store<u64>(entry + VALUE, value);
  store<u32>(entry + TYPE, type);
  store<i32>(entry + ID_LEN, idLen);
  memory.copy(entry + ID, id, idLen);
  return entry;
}
