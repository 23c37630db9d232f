/** The printed form of OSD caps (Ceph: operator<< of OSDCap and its parts; spec section 3.5). */

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
  GRANT_TAG_KEY_ANY,
  GRANT_TAG_VALUE_ANY,
} from './abi';
import { print, printBegin, printBytes, printEnd, printNetwork } from './capsprint';
import { osdcapLiterals } from './osdprofile';

let text: usize = 0;

/** Prints compiled grants. Returns the bytes written, or -1 when `outMax` is too small. */
export function osdcapPrint(
  capsText: usize,
  grants: usize,
  count: i32,
  spans: usize,
  out: usize,
  outMax: i32,
): i32 {
  text = capsText;
  printBegin(out, outMax);
  print('osdcap[');
  for (let i = 0; i < count; ) {
    const grant = grants + i * GRANT_LEN;
    const entries = entriesOf(grant, count - i);
    if (i > 0) print(',');
    print('grant(');
    if (load<u8>(grant + GRANT_KIND) == GRANT_PROFILE) profile(grant, entries);
    else matchAndSpec(grant);
    if (load<u16>(grant + GRANT_FLAGS) & GRANT_HAS_NETWORK) {
      printNetwork(text, spans, load<i32>(grant + GRANT_INDEX));
    }
    print(')');
    i += entries;
  }
  print(']');
  return printEnd();
}

/** 1, and 1 for each entry that a profile expands to. */
function entriesOf(grant: usize, left: i32): i32 {
  let entries = 1;
  while (
    entries < left &&
    (load<u16>(grant + entries * GRANT_LEN + GRANT_FLAGS) & GRANT_CHILD) != 0
  ) {
    entries++;
  }
  return entries;
}

/** The children are printed without the network, which is the profile's. */
function profile(grant: usize, entries: i32): void {
  print('profile ');
  string(grant + GRANT_E);
  poolAndNamespace(grant);
  print(' [');
  for (let i = 1; i < entries; i++) {
    if (i > 1) print(',');
    print('grant(');
    matchAndSpec(grant + i * GRANT_LEN);
    print(')');
  }
  print(']');
}

function matchAndSpec(grant: usize): void {
  const flags: u32 = load<u16>(grant + GRANT_FLAGS);
  poolAndNamespace(grant);
  if (flags & GRANT_HAS_TAG) {
    print('app ');
    string(grant + GRANT_A);
    print(' key ');
    if (flags & GRANT_TAG_KEY_ANY) print('*');
    else string(grant + GRANT_C);
    print(' val ');
    if (flags & GRANT_TAG_VALUE_ANY) print('*');
    else string(grant + GRANT_D);
    print(' ');
  }
  if (flags & GRANT_HAS_PREFIX) {
    print('object_prefix ');
    string(grant + GRANT_C);
    print(' ');
  }
  if (load<u8>(grant + GRANT_KIND) == GRANT_CLASS) classSpec(grant, flags);
  else perms(load<u32>(grant + GRANT_MASK));
}

function poolAndNamespace(grant: usize): void {
  const flags: u32 = load<u16>(grant + GRANT_FLAGS);
  if (flags & GRANT_HAS_POOL) {
    print('pool ');
    string(grant + GRANT_A);
    print(' ');
  }
  if ((flags & GRANT_HAS_NAMESPACE) == 0) return;
  print('namespace ');
  const glob = (flags & GRANT_NAMESPACE_GLOB) != 0;
  if (load<u32>(grant + GRANT_B, 4) == 0 && !glob) print('""');
  string(grant + GRANT_B);
  if (glob) print('*');
  print(' ');
}

function perms(mask: u32): void {
  if (mask == CAP_ANY) return print('*');
  if (mask & CAP_R) print('r');
  if (mask & CAP_W) print('w');
  if ((mask & CAP_X) == CAP_X) return print('x');
  if (mask & CAP_CLASS_R) print(' class-read');
  if (mask & CAP_CLASS_W) print(' class-write');
}

function classSpec(grant: usize, flags: u32): void {
  print("class '");
  string(grant + GRANT_E);
  print("'");
  if ((flags & GRANT_HAS_METHOD) == 0) return;
  print(" '");
  string(grant + GRANT_F);
  print("'");
}

function string(reference: usize): void {
  const offset = load<u32>(reference);
  const from =
    offset < (GRANT_LITERAL_BASE as u32)
      ? text + offset
      : osdcapLiterals() + (offset - GRANT_LITERAL_BASE);
  printBytes(from, load<i32>(reference, 4));
}
