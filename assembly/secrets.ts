/**
 * Service secrets by (service, secret id), with the derived keys that open tickets kept beside
 * them: a ticket costs no key schedule and no key derivation for its own seal.
 */

import {
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_RECORD_FIELD,
  CHECK_TICKET_TRUNCATED,
  ENTITY_TYPE_AUTH,
  ENTITY_TYPE_MDS,
  ENTITY_TYPE_MGR,
  ENTITY_TYPE_MON,
  ENTITY_TYPE_OSD,
  KEY_TYPE_AES,
  KEY_TYPE_AES256K,
  PUT_EXPIRES,
  PUT_SECRET_ID,
  PUT_SERVICE,
  SECRETS_PER_SERVICE_MAX,
  USAGE_TICKET_INFO,
  WORK_KEY,
  WORK_KEY_LEN,
} from './abi';
import { AES_WIDE_LEN } from './aes';
import { SECRET_LEN, secrets, WIDES_MAX, wides, work } from './arena';
import { equal, wipe } from './bytes';
import { cbcPrepareOpen, cbcPrepareWide } from './cbc';
import { cryptoKeyCheck, keyCreatedNs, keySecret, keySecretLen, keyType } from './cryptokey';
import { k256PrepareOpen, k256PrepareWide } from './rfc8009';
import { ticketsClear } from './tickets';

// One slot of SECRET_LEN bytes: header, prepared opening keys; the secret is not kept.
export const SECRET_ID: i32 = 0;
/** u64: expiration in ns, 0 for unknown. */
export const SECRET_EXPIRES: i32 = 8;
/** u64: creation of the CryptoKey in ns. */
export const SECRET_CREATED: i32 = 16;
/** u32: key type. */
export const SECRET_TYPE: i32 = 24;
/** u32: length of the secret; 0: unusable. */
export const SECRET_BYTES: i32 = 28;
/** Prepared opening key: CBC_OPEN_LEN or K256_OPEN_LEN bytes. */
export const SECRET_PREPARED: i32 = 32;
/** u32: address of the wide schedule (aes.ts), 0 for none; the last field. */
export const SECRET_WIDE: i32 = 400;

/** A secret on its way into its slot; zeros otherwise. */
const FRESH: usize = memory.data(SECRET_LEN, 16);

/** A bit for each wide schedule that is in use. */
let widesTaken: u32 = 0;

/** Slots in use, per service index; slots of a service are kept without gaps. */
const counts: usize = memory.data(32, 8);

/** Index of a service in the table, or -1 when tickets are never made for it. */
export function serviceIndex(service: u32): i32 {
  if (service == ENTITY_TYPE_OSD) return 0;
  if (service == ENTITY_TYPE_MDS) return 1;
  if (service == ENTITY_TYPE_MGR) return 2;
  if (service == ENTITY_TYPE_MON) return 3;
  if (service == ENTITY_TYPE_AUTH) return 4;
  return -1;
}

/** The slot of (service, id), or 0. Both are public bytes of an authorizer. */
export function secretFind(service: u32, id: u64): usize {
  const index = serviceIndex(service);
  if (index < 0) return 0;
  const count = load<i32>(counts + index * 4);
  let slot = first(index);
  for (let i = 0; i < count; i++, slot += SECRET_LEN) {
    if (load<u64>(slot + SECRET_ID) == id) return slot;
  }
  return 0;
}

/**
 * Puts or replaces a secret. In: the encoded CryptoKey at WORK_KEY (keyLen bytes), PUT_* fields.
 * Returns CHECK_OK, CHECK_RECORD_FIELD (service), CHECK_LIMIT (table full), or the key's fault.
 */
export function secretPut(keyLen: i32): i32 {
  if (keyLen < 0 || keyLen > WORK_KEY_LEN) return CHECK_TICKET_TRUNCATED;
  const service = load<u32>(work + PUT_SERVICE);
  const id = load<u64>(work + PUT_SECRET_ID);
  const index = serviceIndex(service);
  if (index < 0) return CHECK_RECORD_FIELD;
  const check = cryptoKeyCheck(work + WORK_KEY, keyLen);
  if (check != CHECK_OK) return check;
  let slot = secretFind(service, id);
  if (slot == 0) {
    const count = load<i32>(counts + index * 4);
    if (count >= SECRETS_PER_SERVICE_MAX) return CHECK_LIMIT;
    slot = first(index) + count * SECRET_LEN;
    store<i32>(counts + index * 4, count + 1);
  }
  fill(FRESH, id);
  // Who reads the ring again puts secrets that are there already: nothing has changed by that.
  if (!equal(slot, FRESH, SECRET_WIDE)) {
    ticketsClear();
    wideGive(slot);
    memory.copy(slot, FRESH, SECRET_WIDE);
    wideTake(slot);
  }
  wipe(FRESH, SECRET_LEN);
  return CHECK_OK;
}

function fill(slot: usize, id: u64): void {
  store<u64>(slot + SECRET_ID, id);
  store<u64>(slot + SECRET_EXPIRES, load<u64>(work + PUT_EXPIRES));
  store<u64>(slot + SECRET_CREATED, keyCreatedNs);
  store<u32>(slot + SECRET_TYPE, keyType);
  store<u32>(slot + SECRET_BYTES, keySecretLen);
  if (keySecretLen == 0) return;
  if (keyType == KEY_TYPE_AES) cbcPrepareOpen(keySecret, slot + SECRET_PREPARED);
  else if (keyType == KEY_TYPE_AES256K) {
    k256PrepareOpen(keySecret, keySecretLen, USAGE_TICKET_INFO, slot + SECRET_PREPARED);
  } else store<u32>(slot + SECRET_BYTES, 0);
}

/** Gives a slot whose key was just checked a wide schedule, if one is free. */
function wideTake(slot: usize): void {
  const index = ctz(~widesTaken) as i32;
  if (AES_WIDE_LEN == 0 || index >= WIDES_MAX || load<u32>(slot + SECRET_BYTES) == 0) return;
  const wide = wides + index * AES_WIDE_LEN;
  widesTaken |= 1 << index;
  store<u32>(slot + SECRET_WIDE, wide as u32);
  if (keyType == KEY_TYPE_AES) cbcPrepareWide(keySecret, wide);
  else k256PrepareWide(keySecret, keySecretLen, USAGE_TICKET_INFO, wide);
}

/** Takes the wide schedule of a slot back and wipes it. */
function wideGive(slot: usize): void {
  const wide: usize = load<u32>(slot + SECRET_WIDE);
  if (AES_WIDE_LEN == 0 || wide == 0) return;
  widesTaken &= ~(1 << (((wide - wides) / AES_WIDE_LEN) as i32));
  wipe(wide, AES_WIDE_LEN);
  store<u32>(slot + SECRET_WIDE, 0);
}

/** Removes one secret. Returns 1, or 0 if it was not there. */
export function secretRemove(service: u32, id: u64): i32 {
  const slot = secretFind(service, id);
  if (slot == 0) return 0;
  ticketsClear();
  const index = serviceIndex(service);
  const last = load<i32>(counts + index * 4) - 1;
  const lastSlot = first(index) + last * SECRET_LEN;
  wideGive(slot);
  if (slot != lastSlot) memory.copy(slot, lastSlot, SECRET_LEN);
  wipe(lastSlot, SECRET_LEN);
  store<i32>(counts + index * 4, last);
  return 1;
}

/** Removes all secrets of a service; service 0 means of every service. */
export function secretClear(service: u32): void {
  ticketsClear();
  for (let index = 0; index < 5; index++) {
    if (service != 0 && serviceIndex(service) != index) continue;
    const end = first(index) + load<i32>(counts + index * 4) * SECRET_LEN;
    for (let slot = first(index); slot < end; slot += SECRET_LEN) {
      wideGive(slot);
      wipe(slot, SECRET_LEN);
    }
    store<i32>(counts + index * 4, 0);
  }
}

/** Secrets kept for a service. */
export function secretCount(service: u32): i32 {
  const index = serviceIndex(service);
  return index < 0 ? 0 : load<i32>(counts + index * 4);
}

function first(index: i32): usize {
  return secrets + index * SECRETS_PER_SERVICE_MAX * SECRET_LEN;
}
