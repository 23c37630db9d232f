/**
 * The grammar of OSD caps (Ceph: OSDCap.cc, OSDCapParser; spec section 2): a text becomes a flat
 * array of grants, profiles expanded. PEG: the first alternative that matches is final.
 */

import {
  CAP_ANY,
  CAP_CLASS_R,
  CAP_CLASS_W,
  CAP_R,
  CAP_W,
  CAP_X,
  GRANT_A,
  GRANT_B,
  GRANT_C,
  GRANT_CHILD,
  GRANT_CLASS,
  GRANT_D,
  GRANT_E,
  GRANT_F,
  GRANT_FLAGS,
  GRANT_HAS_METHOD,
  GRANT_HAS_NAMESPACE,
  GRANT_HAS_POOL,
  GRANT_HAS_PREFIX,
  GRANT_HAS_TAG,
  GRANT_INDEX,
  GRANT_KIND,
  GRANT_LEN,
  GRANT_MASK,
  GRANT_NAMESPACE_GLOB,
  GRANT_PERMS,
  GRANT_PROFILE,
  GRANT_TAG_KEY_ANY,
  GRANT_TAG_VALUE_ANY,
  SPAN_LEN,
} from './abi';
import {
  byte,
  estr,
  keyword,
  keywordValue,
  netchars,
  SPACES_SIX,
  scanAt,
  scanBegin,
  scanDone,
  scanOffset,
  scanSeek,
  scanSkip,
  sp,
  spKeyword,
  str,
  tokenAt,
  tokenLen,
} from './capscan';
import { networkParse } from './network';
import { profileExpand } from './osdprofile';

/** Space and tab. */
const BLANKS: u64 = 0x100000200;
const UNPARSABLE: i32 = -1;
const TOO_LARGE: i32 = -2;

let text: usize = 0;
/** The grant that is being written. */
let grant: usize = 0;
let stop: i32 = 0;
let written: i32 = 0;

/** Offset of what was not understood (REST of spec 1.5), after `osdcapParse` gave -1. */
export function osdcapStop(): i32 {
  return stop;
}

/** Grants as written (a profile is one), after a successful parse. */
export function osdcapWritten(): i32 {
  return written;
}

/**
 * Parses a text. Returns compiled grants (>= 1), -1 unparsable, -2 more grants than there is room.
 */
export function osdcapParse(
  from: usize,
  len: i32,
  grants: usize,
  grantsMax: i32,
  spans: usize,
  spansMax: i32,
): i32 {
  text = from;
  written = 0;
  scanBegin(from, len, SPACES_SIX);
  scanSkip(SPACES_SIX);
  stop = scanOffset();
  let count = 0;
  while (true) {
    scanSkip(BLANKS);
    if (count == grantsMax || written == spansMax) return TOO_LARGE;
    grant = grants + count * GRANT_LEN;
    const begin = scanOffset();
    if (!grantOne()) return UNPARSABLE;
    store<u32>(spans + written * SPAN_LEN, begin);
    store<u32>(spans + written * SPAN_LEN, scanOffset(), 4);
    store<u32>(grant + GRANT_INDEX, written);
    const entries = 1 + expand(grantsMax - count - 1);
    if (entries == 0) return TOO_LARGE;
    count += entries;
    written++;
    scanSkip(BLANKS);
    const whole = scanAt;
    if (byte(0x2c) || byte(0x3b)) {
      // What is left, if the next grant fails, begins at the separator.
      stop = (whole - text) as i32;
      continue;
    }
    scanSkip(SPACES_SIX);
    stop = scanOffset();
    return scanDone() ? count : UNPARSABLE;
  }
  // biome-ignore lint/correctness/noUnreachable: asc wants a result behind the loop
  return UNPARSABLE;
}

/** The entries behind a profile; -1 when they do not fit. */
function expand(room: i32): i32 {
  return load<u8>(grant + GRANT_KIND) == GRANT_PROFILE ? profileExpand(text, grant, room) : 0;
}

/** A | B | P. */
function grantOne(): bool {
  const begin = scanAt;
  memory.fill(grant, 0, GRANT_LEN);
  if (keyword('allow')) {
    if (spec()) {
      match();
      network();
      return true;
    }
    match();
    if (spec()) {
      network();
      return true;
    }
    scanSeek(begin);
    return false;
  }
  if (!keywordValue('profile') || !str()) {
    scanSeek(begin);
    return false;
  }
  store<u8>(grant + GRANT_KIND, GRANT_PROFILE);
  reference(GRANT_E);
  pool();
  namespace_();
  network();
  return true;
}

/** perms | class. */
function spec(): bool {
  const begin = scanAt;
  if (sp() && (keyword('*') || keyword('all'))) return perms(CAP_ANY);
  scanSeek(begin);
  if (sp()) {
    let mask = 0;
    if (byte(0x72)) mask |= CAP_R;
    if (byte(0x77)) mask |= CAP_W;
    if (byte(0x78)) mask |= CAP_X;
    if (mask != 0) return perms(mask | classRead() | classWrite());
  }
  scanSeek(begin);
  const reads = classRead();
  const bits = reads | classWrite();
  if (bits != 0) return perms(bits);
  if (!spKeyword('class')) return false;
  if (!sp() || !str()) {
    scanSeek(begin);
    return false;
  }
  store<u8>(grant + GRANT_KIND, GRANT_CLASS);
  reference(GRANT_E);
  const method = scanAt;
  if (sp() && str()) {
    reference(GRANT_F);
    has(GRANT_HAS_METHOD);
  } else scanSeek(method);
  return true;
}

function classRead(): i32 {
  return spKeyword('class-read') ? CAP_CLASS_R : 0;
}

function classWrite(): i32 {
  return spKeyword('class-write') ? CAP_CLASS_W : 0;
}

function perms(mask: i32): bool {
  store<u8>(grant + GRANT_KIND, GRANT_PERMS);
  store<u32>(grant + GRANT_MASK, mask);
  return true;
}

/** tag | ns tag | [pool] ns [prefix] | [pool] [prefix]; may be empty. */
function match(): void {
  if (tag()) return;
  const begin = scanAt;
  if (namespace_()) {
    if (!tag()) prefix();
    return;
  }
  scanSeek(begin);
  pool();
  namespace_();
  prefix();
}

function pool(): bool {
  const begin = scanAt;
  if (sp() && keywordValue('pool') && str()) {
    reference(GRANT_A);
    has(GRANT_HAS_POOL);
    return true;
  }
  scanSeek(begin);
  return false;
}

/** A namespace; whether it is a glob the last byte decides, however it was written. */
function namespace_(): bool {
  const begin = scanAt;
  if (!sp() || !keywordValue('namespace') || !estr()) {
    scanSeek(begin);
    return false;
  }
  reference(GRANT_B);
  has(GRANT_HAS_NAMESPACE);
  if (byte(0x2a)) has(GRANT_NAMESPACE_GLOB);
  else if (tokenLen > 0 && load<u8>(text + tokenAt + tokenLen - 1) == 0x2a) {
    store<u32>(grant + GRANT_B, tokenLen - 1, 4);
    has(GRANT_NAMESPACE_GLOB);
  }
  return true;
}

function prefix(): bool {
  const begin = scanAt;
  if (spKeyword('object_prefix') && sp() && str()) {
    reference(GRANT_C);
    has(GRANT_HAS_PREFIX);
    return true;
  }
  scanSeek(begin);
  return false;
}

/** tag APPLICATION KEY = VALUE. */
function tag(): bool {
  const begin = scanAt;
  if (!spKeyword('tag') || !sp() || !str()) {
    scanSeek(begin);
    return false;
  }
  const application = tokenAt;
  const applicationLen = tokenLen;
  if (!sp() || !wildcardOr()) {
    scanSeek(begin);
    return false;
  }
  const anyKey = wildcard;
  const key = tokenAt;
  const keyLen = tokenLen;
  sp();
  if (!byte(0x3d)) {
    scanSeek(begin);
    return false;
  }
  sp();
  if (!wildcardOr()) {
    scanSeek(begin);
    return false;
  }
  reference(GRANT_D);
  setReference(GRANT_A, application, applicationLen);
  setReference(GRANT_C, key, keyLen);
  has(GRANT_HAS_TAG);
  if (anyKey) has(GRANT_TAG_KEY_ANY);
  if (wildcard) has(GRANT_TAG_VALUE_ANY);
  return true;
}

let wildcard: bool = false;

/** "*" | "all" | str. A quoted "*" is a wildcard too: later only the text is compared. */
function wildcardOr(): bool {
  wildcard = keyword('*') || keyword('all');
  if (wildcard) return true;
  if (!str()) return false;
  wildcard = tokenLen == 1 && load<u8>(text + tokenAt) == 0x2a;
  return true;
}

function network(): void {
  const begin = scanAt;
  if (spKeyword('network') && sp() && netchars()) {
    networkParse(text + tokenAt, tokenLen as i32, grant);
  } else scanSeek(begin);
}

function reference(field: i32): void {
  setReference(field, tokenAt, tokenLen);
}

function setReference(field: i32, offset: u32, len: u32): void {
  store<u32>(grant + field, offset);
  store<u32>(grant + field, len, 4);
}

function has(flag: i32): void {
  store<u16>(grant + GRANT_FLAGS, load<u16>(grant + GRANT_FLAGS) | (flag as u16));
}

/** 1 if some grant is `*` without pool, namespace, tag or prefix (the network plays no part). */
export function osdcapIsAllowAll(grants: usize, count: i32): i32 {
  const matchFlags: u32 = GRANT_HAS_POOL | GRANT_HAS_NAMESPACE | GRANT_HAS_TAG | GRANT_HAS_PREFIX;
  for (let i = 0; i < count; i++) {
    const each = grants + i * GRANT_LEN;
    const flags: u32 = load<u16>(each + GRANT_FLAGS);
    if (load<u8>(each + GRANT_KIND) != GRANT_PERMS || (flags & GRANT_CHILD) != 0) continue;
    if (load<u32>(each + GRANT_MASK) == CAP_ANY && (flags & matchFlags) == 0) return 1;
  }
  return 0;
}
