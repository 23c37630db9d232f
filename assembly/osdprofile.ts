/**
 * What the profiles of OSD caps expand to (Ceph: OSDCapProfile, expand_profile; spec section 3.4).
 */

import {
  CAP_CLASS_R,
  CAP_R,
  CAP_W,
  CAP_X,
  GRANT_A,
  GRANT_B,
  GRANT_C,
  GRANT_CHILD,
  GRANT_CLASS,
  GRANT_E,
  GRANT_F,
  GRANT_FLAGS,
  GRANT_HAS_METHOD,
  GRANT_HAS_NAMESPACE,
  GRANT_HAS_NETWORK,
  GRANT_HAS_POOL,
  GRANT_HAS_PREFIX,
  GRANT_INDEX,
  GRANT_KIND,
  GRANT_LEN,
  GRANT_LITERAL_BASE,
  GRANT_MASK,
  GRANT_NAMESPACE_GLOB,
  GRANT_NET,
  GRANT_NET_FAMILY,
  GRANT_PERMS,
  GRANT_PROFILE_INDEX,
  PROFILE_RBD,
  PROFILE_RBD_READ_ONLY,
  PROFILE_READ_ONLY,
  PROFILE_READ_WRITE,
  PROFILE_UNKNOWN,
} from './abi';

/** The literal table: strings that no caps text holds. Each constant is offset << 8 | length. */
const LITERALS: usize = memory.data<u8>([
  // rbd_info rbd_children
  0x72, 0x62, 0x64, 0x5f, 0x69, 0x6e, 0x66, 0x6f, 0x72, 0x62, 0x64, 0x5f, 0x63, 0x68, 0x69, 0x6c,
  0x64, 0x72, 0x65, 0x6e,
  // rbd_mirroring rbd_header.
  0x72, 0x62, 0x64, 0x5f, 0x6d, 0x69, 0x72, 0x72, 0x6f, 0x72, 0x69, 0x6e, 0x67, 0x72, 0x62, 0x64,
  0x5f, 0x68, 0x65, 0x61, 0x64, 0x65, 0x72, 0x2e,
  // metadata_list child_attach child_detach
  0x6d, 0x65, 0x74, 0x61, 0x64, 0x61, 0x74, 0x61, 0x5f, 0x6c, 0x69, 0x73, 0x74, 0x63, 0x68, 0x69,
  0x6c, 0x64, 0x5f, 0x61, 0x74, 0x74, 0x61, 0x63, 0x68, 0x63, 0x68, 0x69, 0x6c, 0x64, 0x5f, 0x64,
  0x65, 0x74, 0x61, 0x63, 0x68,
]);
const LITERALS_LEN: i32 = 81;
const RBD: u32 = (0 << 8) | 3;
const RBD_INFO: u32 = (0 << 8) | 8;
const RBD_CHILDREN: u32 = (8 << 8) | 12;
const RBD_MIRRORING: u32 = (20 << 8) | 13;
const RBD_HEADER: u32 = (33 << 8) | 11;
const METADATA_LIST: u32 = (44 << 8) | 13;
const CHILD_ATTACH: u32 = (57 << 8) | 12;
const CHILD_DETACH: u32 = (69 << 8) | 12;

export function osdcapLiterals(): usize {
  return LITERALS;
}

export function osdcapLiteralsLen(): i32 {
  return LITERALS_LEN;
}

let parent: usize = 0;
let child: usize = 0;

/** Writes the entries behind a profile's entry. Returns how many, or -1 when room is too small. */
export function profileExpand(text: usize, profile: usize, room: i32): i32 {
  const index = profileIndex(text + load<u32>(profile + GRANT_E), load<i32>(profile + GRANT_E, 4));
  store<u8>(profile + GRANT_PROFILE_INDEX, index as u8);
  parent = profile;
  child = profile;
  if (index == PROFILE_UNKNOWN) return 0;
  if (index == PROFILE_READ_ONLY || index == PROFILE_READ_WRITE) {
    if (room < 1) return -1;
    perms(index == PROFILE_READ_ONLY ? CAP_R : CAP_R | CAP_W, 0);
    onProfile();
    return 1;
  }
  if (index == PROFILE_RBD_READ_ONLY) {
    if (room < 4) return -1;
    metadataList();
    perms(CAP_R | CAP_CLASS_R, 0);
    onProfile();
    rbdMethod(CHILD_ATTACH, RBD_HEADER);
    onProfile();
    rbdMethod(CHILD_DETACH, RBD_HEADER);
    onProfile();
    return 4;
  }
  if (room < 5) return -1;
  perms(CAP_R, RBD_INFO);
  perms(CAP_CLASS_R, RBD_CHILDREN);
  perms(CAP_CLASS_R, RBD_MIRRORING);
  metadataList();
  perms(CAP_R | CAP_W | CAP_X, 0);
  onProfile();
  return 5;
}

function profileIndex(name: usize, len: i32): i32 {
  if (named(name, len, 'read-only')) return PROFILE_READ_ONLY;
  if (named(name, len, 'read-write')) return PROFILE_READ_WRITE;
  if (named(name, len, 'rbd')) return PROFILE_RBD;
  return named(name, len, 'rbd-read-only') ? PROFILE_RBD_READ_ONLY : PROFILE_UNKNOWN;
}

function named(name: usize, len: i32, wanted: string): bool {
  if (len != wanted.length) return false;
  for (let i = 0; i < len; i++) {
    if ((load<u8>(name + i) as u32) != (wanted.charCodeAt(i) as u32)) return false;
  }
  return true;
}

/** class rbd metadata_list on the profile's pool, default namespace, prefix rbd_info. */
function metadataList(): void {
  rbdMethod(METADATA_LIST, RBD_INFO);
  const flags: u32 = load<u16>(parent + GRANT_FLAGS);
  if (flags & GRANT_HAS_POOL) copyReference(GRANT_A, GRANT_HAS_POOL);
  has(GRANT_HAS_NAMESPACE);
  store<u32>(child + GRANT_B, GRANT_LITERAL_BASE);
}

function rbdMethod(method: u32, prefix: u32): void {
  begin(GRANT_CLASS, prefix);
  literal(GRANT_E, RBD);
  literal(GRANT_F, method);
  has(GRANT_HAS_METHOD);
}

function perms(mask: i32, prefix: u32): void {
  begin(GRANT_PERMS, prefix);
  store<u32>(child + GRANT_MASK, mask);
}

/** The next entry: on any pool and namespace, within the profile's network. */
function begin(kind: i32, prefix: u32): void {
  child += GRANT_LEN;
  memory.fill(child, 0, GRANT_LEN);
  store<u8>(child + GRANT_KIND, kind as u8);
  store<u8>(child + GRANT_PROFILE_INDEX, load<u8>(parent + GRANT_PROFILE_INDEX));
  store<u32>(child + GRANT_INDEX, load<u32>(parent + GRANT_INDEX));
  store<u16>(child + GRANT_NET_FAMILY, load<u16>(parent + GRANT_NET_FAMILY));
  memory.copy(child + GRANT_NET, parent + GRANT_NET, 16);
  const network: u32 = load<u16>(parent + GRANT_FLAGS) & GRANT_HAS_NETWORK;
  has(GRANT_CHILD | network);
  if (prefix == 0) return;
  literal(GRANT_C, prefix);
  has(GRANT_HAS_PREFIX);
}

/** The entry gets the pool and namespace that the profile names. */
function onProfile(): void {
  const flags: u32 = load<u16>(parent + GRANT_FLAGS);
  if (flags & GRANT_HAS_POOL) copyReference(GRANT_A, GRANT_HAS_POOL);
  if (flags & GRANT_HAS_NAMESPACE) {
    copyReference(GRANT_B, GRANT_HAS_NAMESPACE | (flags & GRANT_NAMESPACE_GLOB));
  }
}

function copyReference(field: i32, flags: u32): void {
  store<u64>(child + field, load<u64>(parent + field));
  has(flags);
}

function literal(field: i32, which: u32): void {
  store<u32>(child + field, GRANT_LITERAL_BASE + (which >> 8));
  store<u32>(child + field, which & 255, 4);
}

function has(flags: u32): void {
  store<u16>(child + GRANT_FLAGS, (load<u16>(child + GRANT_FLAGS) | flags) as u16);
}
