/**
 * Matches one OSD operation against compiled grants (Ceph: OSDCap::is_capable; spec section 3).
 * Knows no caps text but through the references of the grants.
 */

import {
  CAP_ANY,
  CAP_CLASS_R,
  CAP_CLASS_W,
  CAP_R,
  CAP_W,
  CLASS_ALLOW_LISTED,
  CLASS_READ,
  CLASS_WRITE,
  CONDITION_CLASS,
  CONDITION_NAMESPACE,
  CONDITION_NETWORK,
  CONDITION_NONE,
  CONDITION_NOT_EXAMINED,
  CONDITION_OBJECT_PREFIX,
  CONDITION_PERMISSION,
  CONDITION_POOL,
  CONDITION_PROFILE,
  CONDITION_TAG,
  EXPLAIN_CONDITION,
  EXPLAIN_GRANT,
  EXPLAIN_LEN,
  EXPLAIN_SPAN_END,
  EXPLAIN_SPAN_START,
  GRANT_A,
  GRANT_B,
  GRANT_C,
  GRANT_CLASS,
  GRANT_D,
  GRANT_E,
  GRANT_F,
  GRANT_FLAGS,
  GRANT_HAS_METHOD,
  GRANT_HAS_NAMESPACE,
  GRANT_HAS_NETWORK,
  GRANT_HAS_POOL,
  GRANT_HAS_PREFIX,
  GRANT_HAS_TAG,
  GRANT_INDEX,
  GRANT_KIND,
  GRANT_LEN,
  GRANT_LITERAL_BASE,
  GRANT_MASK,
  GRANT_NAMESPACE_GLOB,
  GRANT_PROFILE,
  GRANT_PROFILE_INDEX,
  GRANT_TAG_KEY_ANY,
  GRANT_TAG_VALUE_ANY,
  OSD_APP_KEY,
  OSD_APP_LEN,
  OSD_APP_METADATA,
  OSD_APP_NAME,
  OSD_APP_VALUE,
  OSD_BITS,
  OSD_CLASS_BITS,
  OSD_CLASS_LEN,
  OSD_CLASS_METHOD,
  OSD_CLASS_NAME,
  OSD_CLASSES,
  OSD_NAMESPACE,
  OSD_OBJECT,
  OSD_POOL,
  OSD_READ,
  OSD_WRITE,
  PROFILE_UNKNOWN,
  SPAN_LEN,
} from './abi';
import { outcomeMiss, outcomeReset, outcomeYes } from './nearest';
import { networkMatch } from './network';
import { osdcapLiterals } from './osdprofile';

/** `judge` of the entry of a profile that has entries of its own behind it. */
const SKIP: i32 = -1;

let text: usize = 0;
let literals: usize = 0;
let record: usize = 0;
let family: u32 = 0;
let address: usize = 0;
let need: u32 = 0;
let classCount: i32 = 0;
/** A bit for each class call that some grant covers: shared by all grants of the cap. */
let marks: u64 = 0;
/** What the marks would be if the written grant at hand were within its network. */
let elsewhere: u64 = 0;
let elsewhereIndex: i32 = -1;

/**
 * 1 if the grants allow the operation in a checked record, for a peer of this family (0: none) at
 * `peer`. `checkGrant` and `checkCondition` tell which grant, or what the nearest miss lacked.
 */
export function osdCheck(
  capsText: usize,
  grants: usize,
  count: i32,
  request: usize,
  peerFamily: u32,
  peer: usize,
): i32 {
  begin(capsText, request, peerFamily, peer);
  const end = grants + count * GRANT_LEN;
  for (let each = grants; each < end; each += GRANT_LEN) {
    const failed = judge(each);
    if (failed == CONDITION_NONE) {
      outcomeYes(load<i32>(each + GRANT_INDEX));
      return 1;
    }
    outcomeMiss(failed, load<i32>(each + GRANT_INDEX));
  }
  return 0;
}

/**
 * Writes an EXPLAIN entry per written grant, at most `outMax`, and returns how many. The grant that
 * allows has condition 0; those behind it were not examined.
 */
export function osdExplain(
  capsText: usize,
  grants: usize,
  count: i32,
  spans: usize,
  written: i32,
  request: usize,
  peerFamily: u32,
  peer: usize,
  out: usize,
  outMax: i32,
): i32 {
  begin(capsText, request, peerFamily, peer);
  const lines = written < outMax ? written : outMax;
  let each = grants;
  const end = grants + count * GRANT_LEN;
  let allowed = false;
  for (let line = 0; line < lines; line++) {
    let furthest = allowed ? CONDITION_NOT_EXAMINED : CONDITION_NONE;
    for (; each < end && load<i32>(each + GRANT_INDEX) == line; each += GRANT_LEN) {
      if (allowed) continue;
      const failed = judge(each);
      if (failed == CONDITION_NONE) {
        allowed = true;
        furthest = CONDITION_NONE;
      } else if (failed > furthest) furthest = failed;
    }
    explainLine(out + line * EXPLAIN_LEN, line, furthest, spans);
  }
  return lines;
}

/** Writes one EXPLAIN entry. */
export function explainLine(at: usize, line: i32, condition: i32, spans: usize): void {
  store<u32>(at + EXPLAIN_GRANT, line);
  store<u32>(at + EXPLAIN_CONDITION, condition);
  store<u32>(at + EXPLAIN_SPAN_START, load<u32>(spans + line * SPAN_LEN));
  store<u32>(at + EXPLAIN_SPAN_END, load<u32>(spans + line * SPAN_LEN, 4));
}

function begin(capsText: usize, request: usize, peerFamily: u32, peer: usize): void {
  text = capsText;
  literals = osdcapLiterals();
  record = request;
  family = peerFamily;
  address = peer;
  const bits = load<u32>(request + OSD_BITS);
  need = (bits & OSD_READ ? CAP_R : 0) | (bits & OSD_WRITE ? CAP_W : 0);
  classCount = load<i32>(request + OSD_CLASSES + 4) / OSD_CLASS_LEN;
  marks = 0;
  elsewhereIndex = -1;
  outcomeReset();
}

/** The first condition that this entry fails, CONDITION_NONE if it allows, SKIP for a profile. */
function judge(grant: usize): i32 {
  if (load<u8>(grant + GRANT_KIND) == GRANT_PROFILE) {
    return load<u8>(grant + GRANT_PROFILE_INDEX) == PROFILE_UNKNOWN ? CONDITION_PROFILE : SKIP;
  }
  const flags: u32 = load<u16>(grant + GRANT_FLAGS);
  const failed = matchFails(grant, flags);
  if (failed != CONDITION_NONE) return failed;
  const mask = load<u32>(grant + GRANT_MASK);
  if ((mask & need) != need) return CONDITION_PERMISSION;
  const here = (flags & GRANT_HAS_NETWORK) == 0 || networkMatch(grant, family, address) != 0;
  if (classCount > 0 && mask != CAP_ANY) {
    const own = marksOf(grant, flags, mask);
    if ((here ? mark(own) : markElsewhere(own, load<i32>(grant + GRANT_INDEX))) != allMarks()) {
      return CONDITION_CLASS;
    }
  }
  return here ? CONDITION_NONE : CONDITION_NETWORK;
}

function mark(own: u64): u64 {
  marks |= own;
  return marks;
}

/** A grant outside its network sets no marks; the entries of a profile add up all the same. */
function markElsewhere(own: u64, index: i32): u64 {
  if (index != elsewhereIndex) {
    elsewhereIndex = index;
    elsewhere = marks;
  }
  elsewhere |= own;
  return elsewhere;
}

function allMarks(): u64 {
  return classCount >= 64 ? ~(0 as u64) : ((1 as u64) << (classCount as u64)) - 1;
}

/** Pool, namespace, tag and prefix, in this order. */
function matchFails(grant: usize, flags: u32): i32 {
  if (flags & GRANT_HAS_POOL && !same(grant + GRANT_A, record + OSD_POOL)) return CONDITION_POOL;
  if (flags & GRANT_HAS_NAMESPACE) {
    const fits =
      flags & GRANT_NAMESPACE_GLOB
        ? begins(grant + GRANT_B, record + OSD_NAMESPACE)
        : same(grant + GRANT_B, record + OSD_NAMESPACE);
    if (!fits) return CONDITION_NAMESPACE;
  }
  if (flags & GRANT_HAS_TAG && !tagFits(grant, flags)) return CONDITION_TAG;
  if (flags & GRANT_HAS_PREFIX && !begins(grant + GRANT_C, record + OSD_OBJECT)) {
    return CONDITION_OBJECT_PREFIX;
  }
  return CONDITION_NONE;
}

/** The pool has the application, and a key and value as the tag wants them. */
function tagFits(grant: usize, flags: u32): bool {
  const entries = record + load<u32>(record + OSD_APP_METADATA);
  const end = entries + load<u32>(record + OSD_APP_METADATA + 4);
  const anyKey = (flags & GRANT_TAG_KEY_ANY) != 0;
  const anyValue = (flags & GRANT_TAG_VALUE_ANY) != 0;
  for (let entry = entries; entry < end; entry += OSD_APP_LEN) {
    if (!same(grant + GRANT_A, entry + OSD_APP_NAME)) continue;
    if (anyKey && anyValue) return true;
    // An application without keys.
    if (load<i32>(entry + OSD_APP_KEY) == -1) continue;
    if (!anyKey && !same(grant + GRANT_C, entry + OSD_APP_KEY)) continue;
    if (anyValue || same(grant + GRANT_D, entry + OSD_APP_VALUE)) return true;
  }
  return false;
}

/** The class calls that this grant covers. */
function marksOf(grant: usize, flags: u32, mask: u32): u64 {
  let covered: u64 = 0;
  const isClass = load<u8>(grant + GRANT_KIND) == GRANT_CLASS;
  const calls = record + load<u32>(record + OSD_CLASSES);
  for (let i = 0; i < classCount; i++) {
    const call = calls + i * OSD_CLASS_LEN;
    if (covers(grant, flags, mask, isClass, call)) covered |= (1 as u64) << (i as u64);
  }
  return covered;
}

function covers(grant: usize, flags: u32, mask: u32, isClass: bool, call: usize): bool {
  if (
    isClass &&
    same(grant + GRANT_E, call + OSD_CLASS_NAME) &&
    ((flags & GRANT_HAS_METHOD) == 0 || same(grant + GRANT_F, call + OSD_CLASS_METHOD))
  ) {
    return true;
  }
  const bits = load<u32>(call + OSD_CLASS_BITS);
  if ((bits & CLASS_ALLOW_LISTED) == 0) return false;
  if (bits & CLASS_READ && (mask & CAP_CLASS_R) == 0) return false;
  return (bits & CLASS_WRITE) == 0 || (mask & CAP_CLASS_W) != 0;
}

/** Whether a string of the caps equals one of the record; each is (offset, length). */
function same(ours: usize, theirs: usize): bool {
  const n = load<u32>(ours, 4);
  return n == load<u32>(theirs, 4) && bytesEqual(stringAt(ours), record + load<u32>(theirs), n);
}

/** Whether a string of the record begins with one of the caps. */
function begins(ours: usize, theirs: usize): bool {
  const n = load<u32>(ours, 4);
  return n <= load<u32>(theirs, 4) && bytesEqual(stringAt(ours), record + load<u32>(theirs), n);
}

function stringAt(reference: usize): usize {
  const offset = load<u32>(reference);
  return offset < (GRANT_LITERAL_BASE as u32)
    ? text + offset
    : literals + (offset - GRANT_LITERAL_BASE);
}

/** Names are not secret: this stops at the first difference. */
export function bytesEqual(a: usize, b: usize, n: u32): bool {
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) return false;
  for (; i < n; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}
