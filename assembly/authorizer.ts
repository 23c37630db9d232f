/**
 * Verification of an authorizer (Ceph: CephxProtocol.cc, cephx_verify_authorizer; spec section 13).
 *
 * Two stages. What public bytes decide ends at once, by name. After the secret is found there is
 * no early exit: opening, padding, magic, decoding, plausibility and part b each set bits in one
 * mask, whatever failed before, so that with `aes` (a cipher without MAC) the work depends on the
 * lengths of the input alone. The lowest bit is the ordered check for the operator's log; a caller
 * sees one refusal until part b has opened.
 *
 * A blob that is in the ticket cache skips the opening of the ticket and the preparation of its
 * session key. That is decided by public bytes, and there is no ticket that fails on this way: what
 * remains depends on the lengths of the input as before. The time tells that this blob was shown
 * here by its owner not long ago, which who has the blob saw on the wire anyway.
 */

import {
  AUTHORIZER_LEN_MAX,
  CHECK_AUTHORIZE_CIPHERTEXT_LENGTH,
  CHECK_AUTHORIZE_ENVELOPE_MAGIC,
  CHECK_AUTHORIZE_ENVELOPE_SHORT,
  CHECK_AUTHORIZE_MAC,
  CHECK_AUTHORIZE_PADDING,
  CHECK_AUTHORIZER_MODE,
  CHECK_AUTHORIZER_SERVICE,
  CHECK_GLOBAL_ID,
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_OUTER_TRAILING,
  CHECK_OUTER_TRUNCATED,
  CHECK_SECRET_UNKNOWN,
  CHECK_SESSION_KEY_EMPTY,
  CHECK_TICKET_CIPHERTEXT_LENGTH,
  CHECK_TICKET_ENVELOPE_MAGIC,
  CHECK_TICKET_ENVELOPE_SHORT,
  CHECK_TICKET_KEY_EMPTY,
  CHECK_TICKET_MAC,
  CHECK_TICKET_PADDING,
  HOST_GENERAL_SECRET,
  HOST_PLAUSIBILITY,
  KEY_SECRET_LEN_MAX,
  KEY_TYPE_AES,
  KEY_TYPE_AES256K,
  PLAUSIBILITY_STRICT,
  USAGE_AUTHORIZE,
} from './abi';
import { aesWipe } from './aes';
import { HOST, plain } from './arena';
import { choose, choose64, isZero64, less32, notZero64, wipe, zeroSpare } from './bytes';
import { CBC_OPEN_LEN, cbcOpen, cbcPrepareOpen } from './cbc';
import { ENVELOPE_LEN, ENVELOPE_MAGIC } from './cryptokey';
import { plausibility } from './plausibility';
import {
  AUTHORIZE_LEN,
  bit,
  DECODE_SPARE,
  decodeAuthorize,
  decodeTicketInfo,
  INFO_SECRET,
  INFO_SECRET_LEN,
  infoGlobalId,
  infoKeyType,
  infoSecret,
  infoSecretLen,
  infoWipe,
} from './protocol';
import { K256_OPEN_LEN, k256Decrypt, k256MacOk, k256PrepareOpen, rfc8009Wipe } from './rfc8009';
import { SECRET_BYTES, SECRET_PREPARED, SECRET_TYPE, SECRET_WIDE, secretFind } from './secrets';
import { sha2Wipe } from './sha2';
import { TICKET_KEY, ticketFind, ticketKeep, ticketRestore } from './tickets';

/** CephXAuthorizer: part a up to the blob's length: u8, u64, u32, u8, u64, u32. */
const PART_A_LEN: i32 = 26;
const GENERAL_SECRET_ID: u64 = 0xffffffffffffffff;

/** What the public bytes say; valid after `authorizerDecode`. */
export let declaredGlobalId: u64 = 0;
export let declaredSecretId: u64 = 0;
export let secretSlot: usize = 0;
let declaredService: u32 = 0;
let blob: usize = 0;
let blobLen: i32 = 0;
let sealed: usize = 0;
let sealedBytes: i32 = 0;

/** The session key's secret, or zeros where none decoded, so that the work stays the same. */
const SESSION_SECRET: usize = memory.data(KEY_SECRET_LEN_MAX, 16);
/** How many bytes of it were last written; where both ciphers ran, the second has the most. */
let taken: i32 = 0;
/** The prepared session key, by the cipher that it is prepared for. */
const PREPARED_AES: usize = memory.data(CBC_OPEN_LEN, 16);
const PREPARED_256: usize = memory.data(K256_OPEN_LEN, 16);
/** Stands for a prepared session key where a cached ticket has none of the kind. */
const DUMMY_PREPARED: usize = memory.data(K256_OPEN_LEN, 16);

/**
 * Decodes part a and the frame of part b of `len` bytes at p and finds the service secret.
 * Decides from public bytes only. Returns CHECK_OK or the check that failed.
 */
export function authorizerDecode(p: usize, len: i32, service: u32): i32 {
  if (len > AUTHORIZER_LEN_MAX) return CHECK_LIMIT;
  if (len < 1) return CHECK_OUTER_TRUNCATED;
  const strict = load<u32>(HOST + HOST_PLAUSIBILITY) == PLAUSIBILITY_STRICT;
  const mode: u32 = load<u8>(p);
  if (mode < 1 || mode > 9 || (strict && mode != 1)) return CHECK_AUTHORIZER_MODE;
  if (len < PART_A_LEN) return CHECK_OUTER_TRUNCATED;
  declaredGlobalId = load<u64>(p + 1);
  declaredService = load<u32>(p + 9);
  declaredSecretId = load<u64>(p + 14);
  const left: u32 = len - PART_A_LEN;
  const ticketLen = load<u32>(p + 22);
  if (ticketLen > left || left - ticketLen < 4) return CHECK_OUTER_TRUNCATED;
  blob = p + PART_A_LEN;
  blobLen = ticketLen as i32;
  const rest = left - ticketLen - 4;
  const partLen = load<u32>(blob + blobLen);
  if (partLen > rest) return CHECK_OUTER_TRUNCATED;
  if (strict && partLen < rest) return CHECK_OUTER_TRAILING;
  sealed = blob + blobLen + 4;
  sealedBytes = partLen as i32;
  if (declaredService != service) return CHECK_AUTHORIZER_SERVICE;
  if (declaredSecretId == GENERAL_SECRET_ID && load<u32>(HOST + HOST_GENERAL_SECRET) == 0) {
    return CHECK_SECRET_UNKNOWN;
  }
  secretSlot = secretFind(service, declaredSecretId);
  return secretSlot == 0 ? CHECK_SECRET_UNKNOWN : CHECK_OK;
}

/** Bits that are not a matter of authentication: plausibility is judged after it. */
export const HARDEN_BITS: u64 = 0x1fc00;
/** Bits with any of which nothing in the ticket was decoded: all but padding and trailing bytes. */
export const TICKET_BITS: u64 = 0x1f7;

/** The entry of the ticket cache that stands for the ticket at hand, or 0. */
export let cachedTicket: usize = 0;
/** Where the decoded ticket ends: the session key is read up to here. */
let infoEnd: usize = 0;

/** The mask of failed rules; bit i is check CHECK_FOLD + i. Leaves `info` and `authorize` set. */
export function authorizerOpen(): u64 {
  const level = load<i32>(HOST + HOST_PLAUSIBILITY);
  const strict = (level == PLAUSIBILITY_STRICT) as i32;
  let failed: u64 = 0;
  cachedTicket = ticketFind(declaredService, declaredSecretId, blob, blobLen);
  if (cachedTicket != 0) infoEnd = ticketRestore(cachedTicket);
  else {
    failed = openTicket(strict);
    const ticket = plain + openedFrom;
    infoEnd = ticket + openedBytes;
    failed |= envelope(
      ticket,
      openedBytes,
      CHECK_TICKET_ENVELOPE_SHORT,
      CHECK_TICKET_ENVELOPE_MAGIC,
    );
    failed |= decodeTicketInfo(ticket, openedSize, openedBytes, strict);
  }
  if (load<u32>(secretSlot + SECRET_TYPE) == KEY_TYPE_AES) {
    failed |= plausibility(level, secretSlot);
  }
  failed |= bit(CHECK_GLOBAL_ID, notZero64(infoGlobalId ^ declaredGlobalId));
  return failed | openAuthorize(strict);
}

/** Keeps the ticket of an authorizer of which every rule held: the first moment that it may. */
export function authorizerKeep(): void {
  if (cachedTicket != 0) return;
  const aes = infoKeyType == KEY_TYPE_AES;
  ticketKeep(
    declaredService,
    declaredSecretId,
    blob,
    blobLen,
    plain + openedFrom,
    openedBytes,
    aes ? PREPARED_AES : PREPARED_256,
    aes ? CBC_OPEN_LEN : K256_OPEN_LEN,
  );
}

/** Where in `plain` the last opening left its plaintext, and how long it is. */
let openedFrom: usize = 0;
let openedBytes: i32 = 0;
/** The same with all padding: told by the length of the blob alone. */
let openedSize: i32 = 0;

function openTicket(strict: i32): u64 {
  const empty = load<u32>(secretSlot + SECRET_BYTES) == 0;
  const aes = load<u32>(secretSlot + SECRET_TYPE) == KEY_TYPE_AES;
  const prepared = secretSlot + SECRET_PREPARED;
  const wide: usize = load<u32>(secretSlot + SECRET_WIDE);
  openedFrom = 0;
  openedBytes = 0;
  openedSize = 0;
  // The spare bytes behind the plaintext are read by the decoder whatever it says.
  if (empty) return clear() | bit(CHECK_TICKET_KEY_EMPTY, 1);
  if (aes) {
    if (blobLen == 0 || (blobLen & 15) != 0)
      return clear() | bit(CHECK_TICKET_CIPHERTEXT_LENGTH, 1);
    cbcOpen(prepared, wide, blob, blobLen, plain);
    zeroSpare(plain + blobLen);
    openedSize = blobLen;
    openedBytes = blobLen - stripLen(plain, blobLen);
    return bit(CHECK_TICKET_PADDING, strict & paddingBad(plain, blobLen));
  }
  if (blobLen < 40) return clear() | bit(CHECK_TICKET_CIPHERTEXT_LENGTH, 1);
  const ok = k256MacOk(prepared, blob, blobLen);
  // After a MAC mismatch the decryption runs for its time only; nothing is read from it.
  k256Decrypt(prepared, wide, blob, blobLen, plain);
  zeroSpare(plain + blobLen - 24);
  openedFrom = 16;
  openedSize = blobLen - 40;
  openedBytes = openedSize;
  return bit(CHECK_TICKET_MAC, ok ^ 1);
}

function clear(): u64 {
  zeroSpare(plain);
  return 0;
}

/**
 * Opens part b. Which ciphers run is decided by its length, never by the session key's type: a
 * length that only one cipher can have runs that one, a length that both can have runs both.
 */
function openAuthorize(strict: i32): u64 {
  const usable = notZero64(infoSecretLen);
  const isAes = usable & isZero64(infoKeyType ^ KEY_TYPE_AES);
  const is256 = usable & isZero64(infoKeyType ^ KEY_TYPE_AES256K);
  const fits128 = isAes & less32(15, infoSecretLen) & inBuffer(16);
  const hasRoom = less32(infoSecretLen, KEY_SECRET_LEN_MAX + 1);
  const fits256 = is256 & less32(31, infoSecretLen) & hasRoom & inBuffer(infoSecretLen);
  const canAes = sealedBytes > 0 && (sealedBytes & 15) == 0;
  const can256 = sealedBytes >= 40;
  const out = authorizePlain();
  let failed =
    bit(CHECK_SESSION_KEY_EMPTY, (isAes | is256) ^ 1) |
    bit(CHECK_AUTHORIZE_CIPHERTEXT_LENGTH, (isAes & (!canAes as i32)) | (is256 & (!can256 as i32)));
  zeroSpare(out);
  let n = 0;
  if (canAes) {
    cbcOpen(aesKey(fits128), 0, sealed, sealedBytes, out);
    zeroSpare(out + sealedBytes);
    n = sealedBytes - stripLen(out, sealedBytes);
    failed |= bit(CHECK_AUTHORIZE_PADDING, isAes & strict & paddingBad(out, sealedBytes));
  }
  let opened = out;
  if (can256) {
    const second = canAes ? out + room(sealedBytes) : out;
    const key = aes256kKey(fits256);
    const ok = k256MacOk(key, sealed, sealedBytes);
    k256Decrypt(key, 0, sealed, sealedBytes, second);
    zeroSpare(second + sealedBytes - 24);
    failed |= bit(CHECK_AUTHORIZE_MAC, is256 & (ok ^ 1));
    if (canAes) {
      // What is decoded lies in one place, whichever cipher it is of.
      for (let i = 0; i < AUTHORIZE_LEN; i += 8) {
        store<u64>(out + i, choose64(load<u64>(second + 16 + i), load<u64>(out + i), is256));
      }
      n = choose(sealedBytes - 40, n, is256) as i32;
    } else {
      opened = second + 16;
      n = sealedBytes - 40;
    }
  }
  failed |= envelope(opened, n, CHECK_AUTHORIZE_ENVELOPE_SHORT, CHECK_AUTHORIZE_ENVELOPE_MAGIC);
  return failed | decodeAuthorize(opened, n, strict);
}

/** The session key prepared for part b, or something like it where it does not fit. */
function aesKey(fits: i32): usize {
  if (cachedTicket != 0) return choose(cachedTicket + TICKET_KEY, DUMMY_PREPARED, fits);
  takeSecret(16, fits);
  cbcPrepareOpen(SESSION_SECRET, PREPARED_AES);
  return PREPARED_AES;
}

function aes256kKey(fits: i32): usize {
  if (cachedTicket != 0) return choose(cachedTicket + TICKET_KEY, DUMMY_PREPARED, fits);
  const secretLen = choose(infoSecretLen, 32, fits) as i32;
  takeSecret(secretLen, fits);
  k256PrepareOpen(SESSION_SECRET, secretLen, USAGE_AUTHORIZE, PREPARED_256);
  return PREPARED_256;
}

/** SESSION_SECRET = n bytes of the session key, or zeros where it does not fit. */
function takeSecret(n: i32, fits: i32): void {
  const mask = (0 - fits) as i64;
  let i = 0;
  for (; i < min(n, INFO_SECRET_LEN); i += 16) {
    const from = INFO_SECRET + i;
    const to = SESSION_SECRET + i;
    if (ASC_FEATURE_SIMD) v128.store(to, v128.and(v128.load(from), i64x2.splat(mask)));
    else {
      store<u64>(to, load<u64>(from) & mask);
      store<u64>(to, load<u64>(from, 8) & mask, 8);
    }
  }
  // Longer than any that Ceph makes, and none that does not fit.
  if (i < n) memory.copy(SESSION_SECRET + i, infoSecret + i, n - i);
  taken = n;
}

/** Where the plaintext of part b goes: behind that of the ticket, if it was opened. */
function authorizePlain(): usize {
  return cachedTicket != 0 ? plain : plain + room(blobLen);
}

/** Bytes that n bytes of plaintext and the spare behind them take in `plain`, aligned. */
function room(n: i32): usize {
  return (n + DECODE_SPARE + 31) & ~15;
}

/** Wipes what `authorizerOpen` left: both plaintexts, the session key and what derives from it. */
export function authorizerWipe(): void {
  // A second plaintext of part b exists only for lengths that both ciphers can have.
  const seconds: usize = (sealedBytes & 15) == 0 ? 2 : 1;
  wipe(plain, authorizePlain() - plain + seconds * room(sealedBytes));
  const hashed =
    sealedBytes >= 40 ||
    (cachedTicket == 0 && load<u32>(secretSlot + SECRET_TYPE) == KEY_TYPE_AES256K);
  if (hashed) {
    sha2Wipe();
    rfc8009Wipe();
  }
  if (cachedTicket == 0) {
    infoWipe();
    wipe(SESSION_SECRET, (taken + 15) & ~15);
    wipe(PREPARED_AES, CBC_OPEN_LEN);
    if (sealedBytes >= 40) wipe(PREPARED_256, K256_OPEN_LEN);
  }
  aesWipe();
}

function inBuffer(n: i32): i32 {
  return less32(infoEnd as u32, (infoSecret + n) as u32) ^ 1;
}

/** Ceph's rule (Crypto.cc): strip min(last byte, 16), look at nothing else. */
function stripLen(p: usize, n: i32): i32 {
  const last: u32 = load<u8>(p + n - 1);
  return choose(last, 16, less32(last, 16)) as i32;
}

/**
 * 1 unless the padding is exactly PKCS#7. All 16 last bytes are read, whatever they say, and there
 * is one truth at the end: of two that are joined the optimiser makes a branch.
 */
function paddingBad(p: usize, n: i32): i32 {
  const last: i32 = load<u8>(p + n - 1);
  let wrong = (last - 1) >>> 4;
  if (ASC_FEATURE_SIMD) {
    const value = i8x16.splat(last as i8);
    // The distance of each byte from the end: those up to the value are padding.
    const from = i8x16(16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
    const inside = i8x16.ge_u(value, from);
    wrong |= i8x16.bitmask(v128.and(inside, i8x16.ne(v128.load(p + n - 16), value)));
  } else {
    for (let i = 1; i <= 16; i++) {
      const inside = less32(last, i) - 1;
      wrong |= inside & (load<u8>(p + n - i) ^ last);
    }
  }
  return notZero64(wrong as u32 as u64);
}

function envelope(p: usize, n: i32, short: i32, magic: i32): u64 {
  return (
    bit(short, less32(n, ENVELOPE_LEN)) | bit(magic, notZero64(load<u64>(p + 1) ^ ENVELOPE_MAGIC))
  );
}
