/**
 * Message signatures (spec section 15; Ceph: CephxSessionHandler.cc, ProtocolV2.cc).
 *
 * msgr1-legacy: aes seal of u8 1 · u64 magic · u32 16 · header, front, middle, data crc -> first
 * u64.
 * msgr1:        aes-cbc of the 32-byte block -> xor of the first four u64.
 * msgr2-auth:   HMAC-SHA256(session secret, bytes), 32 bytes.
 */

import {
  CHECK_OK,
  CHECK_RECORD_FIELD,
  HOST_MSGR1_AES256K,
  KEY_TYPE_AES,
  KIND_SIGN_VERIFY,
  REASON_OK,
  REASON_SIGNATURE_MISMATCH,
  REASON_SIGNATURE_UNSUPPORTED,
  RECORD_HANDLE,
  RECORD_KIND,
  RECORD_SERVICE,
  SCHEME_MSGR1,
  SCHEME_MSGR1_LEGACY,
  SCHEME_MSGR2_AUTH,
  SIGN_BLOCK,
  SIGN_SCHEME,
  SIGN_SIGNATURE,
  SOURCE_SESSION,
  TAIL_REPLY,
  VERDICT_SOURCE,
} from './abi';
import { aesWipe } from './aes';
import { HOST } from './arena';
import { equal, wipe } from './bytes';
import { cbcSeal } from './cbc';
import { ENVELOPE_MAGIC } from './cryptokey';
import {
  SESSION_KEY,
  SESSION_KEY_LEN,
  SESSION_KEY_TYPE,
  sessionFind,
  sessionJudge,
} from './sessions';
import { hmac256, sha2Wipe } from './sha2';
import { reasonOf, tailCopy, verdict, verdictSet, verdictTail } from './verdict';

const MSGR1_BLOCK_LEN: i32 = 32;
const SEALED: usize = memory.data(48, 16);
const LEGACY: usize = memory.data(32, 16);
const SIGNATURE: usize = memory.data(32, 16);

/** Answers a sign or sign-verify record whose variable parts were checked. */
export function signRecord(record: usize): void {
  const verify = load<u16>(record + RECORD_KIND) == KIND_SIGN_VERIFY;
  const block = record + load<u32>(record + SIGN_BLOCK);
  const blockLen = load<i32>(record + SIGN_BLOCK + 4);
  const scheme = load<i32>(record + SIGN_SCHEME);
  if (!verify) verdictTail();
  store<u8>(verdict + VERDICT_SOURCE, SOURCE_SESSION);
  const session = sessionFind(load<u64>(record + RECORD_HANDLE));
  const refusal = sessionJudge(session, load<u32>(record + RECORD_SERVICE), 0, 0);
  if (refusal != REASON_OK) return verdictSet(CHECK_OK, refusal);
  if (
    scheme < SCHEME_MSGR1_LEGACY ||
    scheme > SCHEME_MSGR2_AUTH ||
    (scheme != SCHEME_MSGR2_AUTH && blockLen != MSGR1_BLOCK_LEN)
  ) {
    return verdictSet(CHECK_RECORD_FIELD, reasonOf(CHECK_RECORD_FIELD));
  }
  const n = sign(session, scheme, block, blockLen);
  if (n == 0) return verdictSet(CHECK_OK, REASON_SIGNATURE_UNSUPPORTED);
  if (verify) {
    const given = record + load<u32>(record + SIGN_SIGNATURE);
    const same = load<i32>(record + SIGN_SIGNATURE + 4) == n && equal(given, SIGNATURE, n);
    verdictSet(CHECK_OK, same ? REASON_OK : REASON_SIGNATURE_MISMATCH);
  } else {
    verdictSet(CHECK_OK, REASON_OK);
    tailCopy(TAIL_REPLY, SIGNATURE, n);
  }
  wipe(SEALED, 48);
  wipe(SIGNATURE, 32);
  aesWipe();
  sha2Wipe();
}

/** Leaves the signature in SIGNATURE and returns its length, 0 where the scheme has none. */
function sign(session: usize, scheme: i32, block: usize, blockLen: i32): i32 {
  const secret = session + SESSION_KEY;
  const secretLen = load<i32>(session + SESSION_KEY_LEN);
  const aes = load<u32>(session + SESSION_KEY_TYPE) == KEY_TYPE_AES;
  if (scheme == SCHEME_MSGR2_AUTH) {
    hmac256(secret, secretLen, block, blockLen, SIGNATURE);
    return 32;
  }
  if (aes && scheme == SCHEME_MSGR1) {
    cbcSeal(secret, block, MSGR1_BLOCK_LEN, SEALED);
    return fold(SEALED);
  }
  if (aes) {
    legacyBlock(block);
    cbcSeal(secret, LEGACY, 29, SEALED);
    store<u64>(SIGNATURE, load<u64>(SEALED));
    return 8;
  }
  if (scheme == SCHEME_MSGR1_LEGACY || load<u32>(HOST + HOST_MSGR1_AES256K) == 0) return 0;
  hmac256(secret, secretLen, block, MSGR1_BLOCK_LEN, SEALED);
  return fold(SEALED);
}

/** The 29 bytes signed before CEPHX_V2, from the numbers of the 32-byte block. */
function legacyBlock(block: usize): void {
  store<u8>(LEGACY, 1);
  store<u64>(LEGACY + 1, ENVELOPE_MAGIC);
  store<u32>(LEGACY + 9, 16);
  store<u32>(LEGACY + 13, load<u32>(block));
  store<u32>(LEGACY + 17, load<u32>(block + 4));
  store<u32>(LEGACY + 21, load<u32>(block + 12));
  store<u32>(LEGACY + 25, load<u32>(block + 20));
}

/** Xor of four u64 at p into SIGNATURE. */
function fold(p: usize): i32 {
  store<u64>(SIGNATURE, load<u64>(p) ^ load<u64>(p, 8) ^ load<u64>(p, 16) ^ load<u64>(p, 24));
  return 8;
}
