/**
 * Matches one MDS operation against compiled grants (Ceph: MDSAuthCaps::is_capable; spec section
 * 6.4).
 */

import {
  CONDITION_CHGRP,
  CONDITION_CHOWN,
  CONDITION_FSNAME,
  CONDITION_GIDS,
  CONDITION_MDS_PERMISSION,
  CONDITION_MODE,
  CONDITION_NETWORK,
  CONDITION_NONE,
  CONDITION_NOT_EXAMINED,
  CONDITION_PATH,
  CONDITION_ROOT_SQUASH,
  CONDITION_UID,
  EXPLAIN_LEN,
  GRANT_A,
  GRANT_B,
  GRANT_C,
  GRANT_F,
  GRANT_FLAGS,
  GRANT_HAS_FSNAME,
  GRANT_HAS_GIDS,
  GRANT_HAS_NETWORK,
  GRANT_HAS_PATH,
  GRANT_HAS_UID,
  GRANT_INDEX,
  GRANT_LEN,
  GRANT_MASK,
  GRANT_ROOT_SQUASH,
  MAY_CHGRP,
  MAY_CHOWN,
  MAY_EXECUTE,
  MAY_FULL,
  MAY_READ,
  MAY_SET_VXATTR,
  MAY_SNAPSHOT,
  MAY_WRITE,
  MDS_CALLER_GID,
  MDS_CALLER_UID,
  MDS_CAP_ALL,
  MDS_CAP_FULL,
  MDS_CAP_READ,
  MDS_CAP_SET_VXATTR,
  MDS_CAP_SNAPSHOT,
  MDS_CAP_WRITE,
  MDS_FS,
  MDS_GIDS,
  MDS_INODE_GID,
  MDS_INODE_MODE,
  MDS_INODE_UID,
  MDS_MASK,
  MDS_NEW_GID,
  MDS_NEW_UID,
  MDS_PATH,
} from './abi';
import { bytesEqual, explainLine } from './grant';
import { mdscapIsAllowAll } from './mdscap';
import { outcomeMiss, outcomeReset, outcomeYes } from './nearest';
import { networkMatch } from './network';

let text: usize = 0;
let gids: usize = 0;
let record: usize = 0;
let newer: bool = false;
let family: u32 = 0;
let address: usize = 0;

/** 1 if the grants allow the operation in a checked record; else see `checkCondition`. */
export function mdsCheck(
  capsText: usize,
  grants: usize,
  count: i32,
  gidArray: usize,
  request: usize,
  release: i32,
  peerFamily: u32,
  peer: usize,
): i32 {
  begin(capsText, gidArray, request, release, peerFamily, peer);
  if (!fsCapable(grants, count)) {
    outcomeMiss(CONDITION_FSNAME, -1);
    return 0;
  }
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

/** Writes an EXPLAIN entry per grant, at most `outMax`, and returns how many; as `osdExplain`. */
export function mdsExplain(
  capsText: usize,
  grants: usize,
  count: i32,
  gidArray: usize,
  spans: usize,
  written: i32,
  request: usize,
  release: i32,
  peerFamily: u32,
  peer: usize,
  out: usize,
  outMax: i32,
): i32 {
  begin(capsText, gidArray, request, release, peerFamily, peer);
  const lines = written < outMax ? written : outMax;
  const closed = !fsCapable(grants, count);
  let allowed = false;
  for (let line = 0; line < lines; line++) {
    const failed = closed
      ? CONDITION_FSNAME
      : allowed
        ? CONDITION_NOT_EXAMINED
        : judge(grants + line * GRANT_LEN);
    if (failed == CONDITION_NONE) allowed = true;
    explainLine(out + line * EXPLAIN_LEN, line, failed, spans);
  }
  return lines;
}

function begin(
  capsText: usize,
  gidArray: usize,
  request: usize,
  release: i32,
  peerFamily: u32,
  peer: usize,
): void {
  text = capsText;
  gids = gidArray;
  record = request;
  newer = release >= 19;
  family = peerFamily;
  address = peer;
  outcomeReset();
}

/**
 * Whether some grant opens the file system that the operation names, if it names one. A daemon asks
 * so once, when it is mounted, and for READ, which every grant has.
 */
function fsCapable(grants: usize, count: i32): bool {
  const n = load<u32>(record + MDS_FS, 4);
  if (n == 0 || mdscapIsAllowAll(grants, count)) return true;
  const wanted = record + load<u32>(record + MDS_FS);
  for (let i = 0; i < count; i++) {
    const grant = grants + i * GRANT_LEN;
    if ((load<u16>(grant + GRANT_FLAGS) & GRANT_HAS_FSNAME) == 0) return true;
    if (load<u32>(grant + GRANT_B, 4) != n) continue;
    if (bytesEqual(text + load<u32>(grant + GRANT_B), wanted, n)) return true;
  }
  return false;
}

/** The first condition that a grant fails, the network last; CONDITION_NONE if it allows. */
function judge(grant: usize): i32 {
  const flags: u32 = load<u16>(grant + GRANT_FLAGS);
  const failed = judgeHere(grant, flags);
  if (failed != CONDITION_NONE) return failed;
  if (flags & GRANT_HAS_NETWORK && !networkMatch(grant, family, address)) return CONDITION_NETWORK;
  return CONDITION_NONE;
}

function judgeHere(grant: usize, flags: u32): i32 {
  const caller = load<u32>(record + MDS_CALLER_UID);
  const callerGid = load<u32>(record + MDS_CALLER_GID);
  const mask = load<u32>(record + MDS_MASK);
  const caps = load<u32>(grant + GRANT_MASK);
  if (flags & GRANT_HAS_UID) {
    // Ceph compares 64 bits with a signed caller: a uid from 2^31 up is nobody's.
    const uid = load<u32>(grant + GRANT_F);
    if (uid != caller || uid > 0x7fffffff) return CONDITION_UID;
    if (flags & GRANT_HAS_GIDS && !someGidListed(grant)) return CONDITION_GIDS;
  }
  if (flags & GRANT_HAS_PATH && !pathFits(grant)) return CONDITION_PATH;
  if (mask & (MAY_READ | MAY_EXECUTE) && (caps & MDS_CAP_READ) == 0) {
    return CONDITION_MDS_PERMISSION;
  }
  if (mask & MAY_WRITE && (caps & MDS_CAP_WRITE) == 0) return CONDITION_MDS_PERMISSION;
  if (flags & GRANT_ROOT_SQUASH && mask & MAY_WRITE && (caller == 0 || callerGid == 0)) {
    return CONDITION_ROOT_SQUASH;
  }
  if (caps != MDS_CAP_ALL) {
    if (mask & MAY_SET_VXATTR && (caps & MDS_CAP_SET_VXATTR) == 0) return CONDITION_MDS_PERMISSION;
    if (mask & MAY_SNAPSHOT && (caps & MDS_CAP_SNAPSHOT) == 0) return CONDITION_MDS_PERMISSION;
    if (mask & MAY_FULL && (caps & MDS_CAP_FULL) == 0) return CONDITION_MDS_PERMISSION;
  }
  return flags & GRANT_HAS_UID ? judgeFile(grant, flags, mask, caller) : CONDITION_NONE;
}

/** A grant with a uid obeys owner, group and mode of the file. */
function judgeFile(grant: usize, flags: u32, mask: u32, caller: u32): i32 {
  const owner = load<u32>(record + MDS_INODE_UID);
  if (mask & MAY_CHOWN && (load<u32>(record + MDS_NEW_UID) != caller || owner != caller)) {
    return CONDITION_CHOWN;
  }
  if (mask & MAY_CHGRP) {
    if (owner != caller || !inGroups(grant, flags, load<u32>(record + MDS_NEW_GID))) {
      return CONDITION_CHGRP;
    }
  }
  const mode = load<u32>(record + MDS_INODE_MODE);
  const shift: u32 =
    owner == caller ? 6 : inGroups(grant, flags, load<u32>(record + MDS_INODE_GID)) ? 3 : 0;
  const bits = mode >> shift;
  if (mask & MAY_READ && (bits & 4) == 0) return CONDITION_MODE;
  if (mask & MAY_WRITE && (bits & 2) == 0) return CONDITION_MODE;
  if (mask & MAY_EXECUTE && (bits & 1) == 0) return CONDITION_MODE;
  return CONDITION_NONE;
}

/** Whether the caller is in a group, and the grant lists it. */
function inGroups(grant: usize, flags: u32, gid: u32): bool {
  return (flags & GRANT_HAS_GIDS) != 0 && listed(grant, gid) && callerHas(gid);
}

function callerHas(gid: u32): bool {
  if (load<u32>(record + MDS_CALLER_GID) == gid) return true;
  const first = record + load<u32>(record + MDS_GIDS);
  const end = first + load<u32>(record + MDS_GIDS, 4);
  for (let p = first; p < end; p += 4) if (load<u32>(p) == gid) return true;
  return false;
}

function someGidListed(grant: usize): bool {
  if (listed(grant, load<u32>(record + MDS_CALLER_GID))) return true;
  const first = record + load<u32>(record + MDS_GIDS);
  const end = first + load<u32>(record + MDS_GIDS, 4);
  for (let p = first; p < end; p += 4) if (listed(grant, load<u32>(p))) return true;
  return false;
}

/** Whether the grant's sorted groups hold this one. */
function listed(grant: usize, gid: u32): bool {
  let low = load<u32>(grant + GRANT_C);
  let high = low + load<u32>(grant + GRANT_C, 4);
  while (low < high) {
    const middle = (low + high) >> 1;
    const value = load<u32>(gids + middle * 4);
    if (value == gid) return true;
    if (value < gid) low = middle + 1;
    else high = middle;
  }
  return false;
}

/** The path is the grant's, or lies below it. */
function pathFits(grant: usize): bool {
  const ours = text + load<u32>(grant + GRANT_A);
  const theirs = record + load<u32>(record + MDS_PATH);
  const n = load<u32>(record + MDS_PATH, 4);
  let len = load<u32>(grant + GRANT_A, 4);
  // Release 16 takes a trailing slash to the letter: the directory itself is not covered.
  if (newer) while (len > 0 && load<u8>(ours + len - 1) == 0x2f) len--;
  if (len == 0) return true;
  if (len > n || !bytesEqual(ours, theirs, len)) return false;
  return n == len || load<u8>(ours + len - 1) == 0x2f || load<u8>(theirs + len) == 0x2f;
}
