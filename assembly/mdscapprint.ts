/**
 * The printed form of MDS caps (Ceph: operator<< of MDSAuthCaps and its parts; spec section 6.5).
 */

import {
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
  MDS_CAP_ALL,
  MDS_CAP_FULL,
  MDS_CAP_READ,
  MDS_CAP_SET_VXATTR,
  MDS_CAP_SNAPSHOT,
  MDS_CAP_WRITE,
} from './abi';
import { print, printBegin, printBytes, printEnd, printNetwork, printNumber } from './capsprint';

/** Prints compiled grants. Returns the bytes written, or -1 when `outMax` is too small. */
export function mdscapPrint(
  text: usize,
  grants: usize,
  count: i32,
  gids: usize,
  spans: usize,
  out: usize,
  outMax: i32,
): i32 {
  printBegin(out, outMax);
  print('MDSAuthCaps[');
  for (let i = 0; i < count; i++) {
    const grant = grants + i * GRANT_LEN;
    if (i > 0) print(', ');
    print('allow ');
    perms(load<u32>(grant + GRANT_MASK));
    match(text, grant, gids);
    if (load<u16>(grant + GRANT_FLAGS) & GRANT_HAS_NETWORK) {
      printNetwork(text, spans, load<i32>(grant + GRANT_INDEX));
    }
  }
  print(']');
  return printEnd();
}

function perms(mask: u32): void {
  if (mask == MDS_CAP_ALL) return print('*');
  if (mask & MDS_CAP_READ) print('r');
  if (mask & MDS_CAP_WRITE) print('w');
  if (mask & MDS_CAP_FULL) print('f');
  if (mask & MDS_CAP_SET_VXATTR) print('p');
  if (mask & MDS_CAP_SNAPSHOT) print('s');
}

function match(text: usize, grant: usize, gids: usize): void {
  const flags: u32 = load<u16>(grant + GRANT_FLAGS);
  if (flags & GRANT_HAS_FSNAME) {
    print(' fsname=');
    printBytes(text + load<u32>(grant + GRANT_B), load<i32>(grant + GRANT_B, 4));
  }
  if (flags & GRANT_HAS_PATH) {
    print(' path="/');
    printBytes(text + load<u32>(grant + GRANT_A), load<i32>(grant + GRANT_A, 4));
    print('"');
  }
  if (flags & GRANT_ROOT_SQUASH) print(' root_squash');
  if (flags & GRANT_HAS_UID) {
    print(' uid=');
    printNumber(load<u32>(grant + GRANT_F));
  }
  if ((flags & GRANT_HAS_GIDS) == 0) return;
  print(' gids=');
  const first = gids + load<u32>(grant + GRANT_C) * 4;
  const n = load<i32>(grant + GRANT_C, 4);
  for (let i = 0; i < n; i++) {
    if (i > 0) print(',');
    printNumber(load<u32>(first + i * 4));
  }
}
