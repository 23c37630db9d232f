/**
 * The grammar of MDS caps (Ceph: MDSAuthCaps.cc, MDSCapParser; spec section 6), of release 16 and
 * of 20: a text becomes a flat array of grants, groups in an array of their own.
 */

import {
  GRANT_A,
  GRANT_B,
  GRANT_C,
  GRANT_F,
  GRANT_FLAGS,
  GRANT_HAS_FSNAME,
  GRANT_HAS_GIDS,
  GRANT_HAS_PATH,
  GRANT_HAS_UID,
  GRANT_INDEX,
  GRANT_KIND,
  GRANT_LEN,
  GRANT_MASK,
  GRANT_MDS,
  GRANT_ROOT_SQUASH,
  MDS_CAP_ALL,
  MDS_CAP_FULL,
  MDS_CAP_READ,
  MDS_CAP_SET_VXATTR,
  MDS_CAP_SNAPSHOT,
  MDS_CAP_WRITE,
  SPAN_LEN,
} from './abi';
import {
  byte,
  estr,
  fsname,
  keyword,
  netchars,
  SPACES_SIX,
  SPACES_THREE,
  scanAt,
  scanBegin,
  scanDone,
  scanOffset,
  scanSeek,
  scanSkip,
  sp,
  spKeyword,
  tokenAt,
  tokenLen,
  uint,
  uintValue,
} from './capscan';
import { networkParse } from './network';

/** Releases before this one know fewer combinations (spec section 6.2). */
const RELEASE_ANY_SUBSET: i32 = 19;
const BLANK: u64 = 0x100000000;
const UNPARSABLE: i32 = -1;
const TOO_LARGE: i32 = -2;

let text: usize = 0;
let grant: usize = 0;
let newer: bool = false;
let gids: usize = 0;
let gidsMax: i32 = 0;
let gidCount: i32 = 0;
let overflow: bool = false;
let stop: i32 = 0;
let written: i32 = 0;
let newMessage: i32 = 0;

/** Offset of what was not understood (REST of spec 1.5), after `mdscapParse` gave -1. */
export function mdscapStop(): i32 {
  return stop;
}

/** Grants as written, after a successful parse. */
export function mdscapWritten(): i32 {
  return written;
}

/** Groups in the array, after a successful parse. */
export function mdscapGidCount(): i32 {
  return gidCount;
}

/** 1 if Ceph says of this text what permission flags must be, instead of where it stopped. */
export function mdscapNewMessage(): i32 {
  return newMessage;
}

/** Parses a text. Returns grants (>= 1), -1 unparsable, -2 more grants or groups than fit. */
export function mdscapParse(
  from: usize,
  len: i32,
  release: i32,
  grants: usize,
  grantsMax: i32,
  spans: usize,
  spansMax: i32,
  gidArray: usize,
  gidArrayMax: i32,
): i32 {
  text = from;
  newer = release >= RELEASE_ANY_SUBSET;
  gids = gidArray;
  gidsMax = gidArrayMax;
  gidCount = 0;
  overflow = false;
  written = 0;
  newMessage = 0;
  scanBegin(from, len, SPACES_THREE);
  grant = grants;
  if (keyword('allow') && scanDone()) return allowAlone(spans);
  scanSeek(from);
  scanSkip(SPACES_SIX);
  const count = grantList(grants, grantsMax < spansMax ? grantsMax : spansMax, spans);
  if (count == UNPARSABLE && newer) newMessage = mentionsAllow(len);
  return count;
}

/** The whole text is `allow`: rwps. */
function allowAlone(spans: usize): i32 {
  memory.fill(grant, 0, GRANT_LEN);
  store<u8>(grant + GRANT_KIND, GRANT_MDS);
  const mask = MDS_CAP_READ | MDS_CAP_WRITE | MDS_CAP_SET_VXATTR | MDS_CAP_SNAPSHOT;
  store<u32>(grant + GRANT_MASK, mask);
  store<u32>(spans, 0);
  store<u32>(spans, 5, 4);
  written = 1;
  return 1;
}

function grantList(grants: usize, max: i32, spans: usize): i32 {
  stop = scanOffset();
  while (true) {
    if (written == max) return TOO_LARGE;
    grant = grants + written * GRANT_LEN;
    const begin = scanOffset();
    if (!grantOne()) return UNPARSABLE;
    if (overflow) return TOO_LARGE;
    store<u32>(spans + written * SPAN_LEN, begin);
    store<u32>(spans + written * SPAN_LEN, scanOffset(), 4);
    store<u32>(grant + GRANT_INDEX, written);
    written++;
    const whole = scanAt;
    scanSkip(SPACES_SIX);
    stop = scanOffset();
    if (scanDone()) return written;
    scanSeek(whole);
    scanSkip(BLANK);
    if (!byte(0x2c) && !byte(0x3b)) return UNPARSABLE;
    scanSkip(BLANK);
  }
  // biome-ignore lint/correctness/noUnreachable: asc wants a result behind the loop
  return UNPARSABLE;
}

/** "allow" sp perm, then what the release takes, then the network. */
function grantOne(): bool {
  memory.fill(grant, 0, GRANT_LEN);
  store<u8>(grant + GRANT_KIND, GRANT_MDS);
  if (!keyword('allow') || !sp() || !perm()) return false;
  if (newer) {
    fs();
    path();
    squash();
    uid();
    gidList();
  } else matchOfOld();
  const begin = scanAt;
  if (spKeyword('network') && sp() && netchars()) {
    networkParse(text + tokenAt, tokenLen as i32, grant);
  } else scanSeek(begin);
  return true;
}

/** Release 16: [fsname] [path] [root_squash], or [path] uid [gids]. */
function matchOfOld(): void {
  const named = fs();
  path();
  if (!named && uid()) gidList();
  else squash();
}

function perm(): bool {
  if (keyword('*') || keyword('all')) return mask(MDS_CAP_ALL);
  if (!byte(0x72)) return false;
  let bits = MDS_CAP_READ;
  if (byte(0x77)) {
    bits |= MDS_CAP_WRITE;
    if (byte(0x66)) bits |= MDS_CAP_FULL;
    if (byte(0x70)) bits |= MDS_CAP_SET_VXATTR;
    if (byte(0x73)) bits |= MDS_CAP_SNAPSHOT;
  }
  return mask(bits);
}

function mask(bits: i32): bool {
  store<u32>(grant + GRANT_MASK, bits);
  return true;
}

function fs(): bool {
  const begin = scanAt;
  if (spKeyword('fsname=') && fsname()) {
    store<u32>(grant + GRANT_B, tokenAt);
    store<u32>(grant + GRANT_B, tokenLen, 4);
    has(GRANT_HAS_FSNAME);
    return true;
  }
  scanSeek(begin);
  return false;
}

/** A path, kept without its leading slashes; without anything else it means anywhere. */
function path(): void {
  const begin = scanAt;
  if (!spKeyword('path=') || !estr()) return scanSeek(begin);
  let at = tokenAt;
  let n = tokenLen;
  while (n > 0 && load<u8>(text + at) == 0x2f) {
    at++;
    n--;
  }
  store<u32>(grant + GRANT_A, at);
  store<u32>(grant + GRANT_A, n, 4);
  if (n > 0) has(GRANT_HAS_PATH);
}

function squash(): void {
  if (spKeyword('root_squash')) has(GRANT_ROOT_SQUASH);
}

/** A uid; 0 means any since an absent one is 0 inside the newer parser. */
function uid(): bool {
  const begin = scanAt;
  if (spKeyword('uid=') && uint()) {
    if (uintValue != 0 || !newer) {
      store<u32>(grant + GRANT_F, uintValue);
      has(GRANT_HAS_UID);
    }
    return true;
  }
  scanSeek(begin);
  return false;
}

/** Groups, sorted. Without a uid they restrict nothing and are not kept. */
function gidList(): void {
  const begin = scanAt;
  if (!spKeyword('gids=') || !uint()) return scanSeek(begin);
  const first = gidCount;
  let more = true;
  while (more) {
    if (gidCount == gidsMax) overflow = true;
    else store<u32>(gids + gidCount++ * 4, uintValue);
    const whole = scanAt;
    more = byte(0x2c) && uint();
    if (!more) scanSeek(whole);
  }
  if ((load<u16>(grant + GRANT_FLAGS) & GRANT_HAS_UID) == 0) {
    gidCount = first;
    return;
  }
  sort(gids + first * 4, gidCount - first);
  store<u32>(grant + GRANT_C, first);
  store<u32>(grant + GRANT_C, gidCount - first, 4);
  has(GRANT_HAS_GIDS);
}

/** Heap sort: a text may hold as many groups as it likes. */
function sort(at: usize, n: i32): void {
  for (let i = n / 2 - 1; i >= 0; i--) sink(at, i, n);
  for (let end = n - 1; end > 0; end--) {
    const top = load<u32>(at);
    store<u32>(at, load<u32>(at + end * 4));
    store<u32>(at + end * 4, top);
    sink(at, 0, end);
  }
}

function sink(at: usize, from: i32, n: i32): void {
  const value = load<u32>(at + from * 4);
  let hole = from;
  while (hole * 2 + 1 < n) {
    let child = hole * 2 + 1;
    if (child + 1 < n && load<u32>(at + child * 4) < load<u32>(at + child * 4 + 4)) child++;
    if (load<u32>(at + child * 4) <= value) break;
    store<u32>(at + hole * 4, load<u32>(at + child * 4));
    hole = child;
  }
  store<u32>(at + hole * 4, value);
}

/** 1 if "allow" stands in what was not understood. */
function mentionsAllow(len: i32): i32 {
  const end = text + len;
  for (let p = text + stop; p + 5 <= end; p++) {
    scanSeek(p);
    if (keyword('allow')) return 1;
  }
  return 0;
}

function has(flag: i32): void {
  store<u16>(grant + GRANT_FLAGS, load<u16>(grant + GRANT_FLAGS) | (flag as u16));
}

/** 1 if some grant is `*` without uid and path (fsname, root_squash and network play no part). */
export function mdscapIsAllowAll(grants: usize, count: i32): i32 {
  for (let i = 0; i < count; i++) {
    const each = grants + i * GRANT_LEN;
    if (load<u32>(each + GRANT_MASK) != MDS_CAP_ALL) continue;
    if ((load<u16>(each + GRANT_FLAGS) & (GRANT_HAS_UID | GRANT_HAS_PATH)) == 0) return 1;
  }
  return 0;
}
