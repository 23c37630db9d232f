/**
 * The verify record: opens the authorizer, judges what was proved, and builds what the caller
 * asked for: reply or sealed challenge, session, secret block, tail.
 */

import {
  CHALLENGE_ENTRY_LEN,
  CHALLENGE_ISSUED,
  CHALLENGE_OFF,
  CHALLENGE_REQUIRED,
  CHECK_AUTHORIZE_TRAILING,
  CHECK_CHALLENGE_MISMATCH,
  CHECK_CHALLENGE_MISSING,
  CHECK_FOLD,
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_POLICY_CIPHER,
  CHECK_RANDOM,
  CHECK_TICKET_EXPIRED,
  CHECK_TICKET_NOT_YET_VALID,
  CHECK_TICKET_REVOKED,
  EXPIRY_ENFORCE,
  FLAG_KEEP,
  FLAG_REPLY,
  FLAG_SECRETS,
  FLAG_SECURE,
  FLAG_TAIL,
  FLAG_UNPROVEN,
  HOST_ALLOWED_TYPES,
  HOST_CHALLENGE,
  HOST_CHALLENGE_COUNT,
  HOST_CHALLENGE_MODE,
  HOST_EXPIRY,
  HOST_NOW,
  HOST_SKEW,
  INFO_ALLOW_ALL,
  INFO_CAPS_DECODED,
  INFO_CAPS_PRESENT,
  INFO_CHALLENGED,
  INFO_EXPIRED,
  INFO_HAVE_CHALLENGE,
  INFO_PROVEN,
  INFO_SESSION_TYPE_SHIFT,
  INFO_TICKET_TYPE_SHIFT,
  INFO_TYPE_MASK,
  REASON_AUTHORIZER_CHALLENGE_MISMATCH,
  REASON_AUTHORIZER_CHALLENGE_REQUIRED,
  REASON_AUTHORIZER_INVALID,
  REASON_LIMIT_EXCEEDED,
  REASON_OK,
  RECORD_FLAGS,
  RECORD_SERVICE,
  SOURCE_TICKET_CACHE,
  TAIL_CAPS,
  TAIL_CAPS_RAW,
  TAIL_ENTITY,
  TAIL_ENTITY_TYPE,
  TAIL_REPLY,
  VERDICT_CREATED,
  VERDICT_EXPIRES,
  VERDICT_GLOBAL_ID,
  VERDICT_HANDLE,
  VERDICT_INFO,
  VERDICT_SECRET_ID,
  VERDICT_SOURCE,
  VERIFY_AUTHORIZER,
} from './abi';
import { challenges, HOST } from './arena';
import {
  authorizerDecode,
  authorizerKeep,
  authorizerOpen,
  authorizerWipe,
  cachedTicket,
  declaredSecretId,
  HARDEN_BITS,
  secretSlot,
  TICKET_BITS,
} from './authorizer';
import { less64 } from './bytes';
import { openSession } from './opensession';
import {
  authorizeHaveChallenge,
  authorizePlusOne,
  bit,
  infoAllowAll,
  infoCaps,
  infoCapsLen,
  infoCreated,
  infoEntity,
  infoEntityLen,
  infoEntityType,
  infoExpires,
  infoGlobalId,
  infoKeyType,
  utimeNs,
} from './protocol';
import { buildReply, putSecrets, replyWipe } from './reply';
import { revoked } from './revocations';
import { SECRET_TYPE } from './secrets';
import { sessionRelease } from './sessions';
import { reasonOf, tailCopy, tailDrop, verdict, verdictSet, verdictTail } from './verdict';

/** Bits whose failure means that nobody was authenticated: ticket, global_id and part b. */
const AUTHENTICATION_BITS: u64 =
  (((<u64>1) << (CHECK_AUTHORIZE_TRAILING - CHECK_FOLD + 1)) - 1) & ~HARDEN_BITS;

/** Mode and value of the challenge of the record at hand. */
let challengeMode: u32 = 0;
let challengeValue: u64 = 0;

/** Answers a verify record whose body was checked; `index` is its place in the call. */
export function verifyRecord(record: usize, index: i32): void {
  const flags: u32 = load<u16>(record + RECORD_FLAGS);
  const service = load<u32>(record + RECORD_SERVICE);
  const authorizer = record + load<u32>(record + VERIFY_AUTHORIZER);
  const len = load<i32>(record + VERIFY_AUTHORIZER + 4);
  if (flags & (FLAG_TAIL | FLAG_REPLY)) verdictTail();
  const check = authorizerDecode(authorizer, len, service);
  if (check != CHECK_OK) return verdictSet(check, reasonOf(check));
  loadChallenge(index);
  let failed = authorizerOpen();
  const proven = (failed & AUTHENTICATION_BITS) == 0;
  if (proven) failed |= judge(service);
  verdictOf(failed, proven);
  if (proven && cachedTicket != 0) store<u8>(verdict + VERDICT_SOURCE, SOURCE_TICKET_CACHE);
  // A ticket that was shown without answering a challenge may be a replay: nothing is kept of it.
  if (failed == 0 && challengeMode == CHALLENGE_ISSUED) authorizerKeep();
  // The flag first: without it no branch may depend on what was in the ticket.
  const unproven = (flags & FLAG_UNPROVEN) != 0 && (failed & TICKET_BITS) == 0;
  if (proven || unproven) fillHead(proven);
  if ((proven && failed == 0) || unproven) {
    if (flags & FLAG_TAIL) fillTail();
  }
  if (proven) answer(record, flags, failed, index);
  else if (unproven && flags & FLAG_SECRETS) putSecrets(index, 0);
  authorizerWipe();
  replyWipe();
}

/**
 * The challenge of record `index`; a record without an entry of its own must answer a fresh one.
 */
function loadChallenge(index: i32): void {
  const count = load<i32>(HOST + HOST_CHALLENGE_COUNT);
  if (count == 0) {
    challengeMode = load<u32>(HOST + HOST_CHALLENGE_MODE);
    challengeValue = load<u64>(HOST + HOST_CHALLENGE);
  } else if (index < count) {
    challengeValue = load<u64>(challenges + index * CHALLENGE_ENTRY_LEN);
    challengeMode = load<u32>(challenges + index * CHALLENGE_ENTRY_LEN + 8);
  } else {
    challengeMode = CHALLENGE_REQUIRED;
    challengeValue = 0;
  }
}

/** Rules that are judged only when it is proved who speaks. */
function judge(service: u32): u64 {
  const now = load<u64>(HOST + HOST_NOW);
  const skew = load<u64>(HOST + HOST_SKEW);
  const created = utimeNs(infoCreated);
  const enforce = (load<u32>(HOST + HOST_EXPIRY) == EXPIRY_ENFORCE) as i32;
  const allowed = load<u32>(HOST + HOST_ALLOWED_TYPES) >> load<u32>(secretSlot + SECRET_TYPE);
  const ended = isExpired(now, skew);
  const early = less64(now, created) & less64(skew, created - now);
  const gone = revoked(
    infoEntityType,
    infoEntity,
    infoEntityLen,
    infoGlobalId,
    service,
    created,
    skew,
  );
  return (
    judgeChallenge() |
    bit(CHECK_POLICY_CIPHER, (allowed & 1) == 0 ? 1 : 0) |
    bit(CHECK_TICKET_REVOKED, gone) |
    bit(CHECK_TICKET_EXPIRED, enforce & ended) |
    bit(CHECK_TICKET_NOT_YET_VALID, enforce & early)
  );
}

/** A challenge of an unknown mode is never answered: fail closed. */
function judgeChallenge(): u64 {
  if (challengeMode == CHALLENGE_OFF) return 0;
  if (challengeMode != CHALLENGE_ISSUED || !authorizeHaveChallenge) {
    return bit(CHECK_CHALLENGE_MISSING, 1);
  }
  return bit(CHECK_CHALLENGE_MISMATCH, (authorizePlusOne != challengeValue + 1) as i32);
}

/** From `expires` + skew on, told by differences: a sum could leave 64 bits. */
function isExpired(now: u64, skew: u64): i32 {
  const expires = utimeNs(infoExpires);
  return (less64(now, expires) | less64(now - expires, skew)) ^ 1;
}

function verdictOf(failed: u64, proven: bool): void {
  if (failed == 0) return verdictSet(CHECK_OK, REASON_OK);
  const check = CHECK_FOLD + (ctz(failed) as i32);
  if (!proven) return verdictSet(check, REASON_AUTHORIZER_INVALID);
  if (check == CHECK_CHALLENGE_MISSING) {
    return verdictSet(
      check,
      challengeMode == CHALLENGE_ISSUED
        ? REASON_AUTHORIZER_CHALLENGE_MISMATCH
        : REASON_AUTHORIZER_CHALLENGE_REQUIRED,
    );
  }
  if (check == CHECK_CHALLENGE_MISMATCH) {
    return verdictSet(check, REASON_AUTHORIZER_CHALLENGE_MISMATCH);
  }
  verdictSet(check, reasonOf(check));
}

function fillHead(proven: bool): void {
  const now = load<u64>(HOST + HOST_NOW);
  const skew = load<u64>(HOST + HOST_SKEW);
  let info: u32 =
    (load<u32>(secretSlot + SECRET_TYPE) << INFO_TICKET_TYPE_SHIFT) |
    ((infoKeyType & INFO_TYPE_MASK) << INFO_SESSION_TYPE_SHIFT);
  if (infoAllowAll) info |= INFO_ALLOW_ALL;
  if (isExpired(now, skew)) info |= INFO_EXPIRED;
  if (infoCapsLen > 0) info |= INFO_CAPS_PRESENT;
  if (capsTextLen() >= 0) info |= INFO_CAPS_DECODED;
  if (proven) {
    info |= INFO_PROVEN;
    if (authorizeHaveChallenge) info |= INFO_HAVE_CHALLENGE;
    if (challengeMode == CHALLENGE_ISSUED && judgeChallenge() == 0) info |= INFO_CHALLENGED;
  }
  store<u32>(verdict + VERDICT_INFO, info);
  store<u64>(verdict + VERDICT_SECRET_ID, declaredSecretId);
  store<u64>(verdict + VERDICT_GLOBAL_ID, infoGlobalId);
  store<u64>(verdict + VERDICT_CREATED, infoCreated);
  store<u64>(verdict + VERDICT_EXPIRES, infoExpires);
}

function fillTail(): void {
  store<u32>(verdict + TAIL_ENTITY_TYPE, infoEntityType);
  tailCopy(TAIL_ENTITY, infoEntity, infoEntityLen);
  tailCopy(TAIL_CAPS_RAW, infoCaps, infoCapsLen);
  const textLen = capsTextLen();
  if (textLen < 0) return;
  // The text lies inside the raw buffer: name it there instead of copying it again.
  store<u32>(verdict + TAIL_CAPS, load<u32>(verdict + TAIL_CAPS_RAW) + 4);
  store<i32>(verdict + TAIL_CAPS + 4, textLen);
}

/** Length of the text in the caps buffer, -1 if it is not an encoded string. */
export function capsTextLen(): i32 {
  if (infoCapsLen < 4) return -1;
  const len = load<u32>(infoCaps);
  return len <= ((infoCapsLen - 4) as u32) ? (len as i32) : -1;
}

/** Everything that is handed out, only after who speaks was proved. */
function answer(record: usize, flags: u32, failed: u64, index: i32): void {
  if (failed != 0) {
    const missing = ctz(failed) == CHECK_CHALLENGE_MISSING - CHECK_FOLD;
    if (missing && challengeMode == CHALLENGE_REQUIRED && flags & FLAG_REPLY) {
      if (!buildReply(challengeValue, 1, 0)) refuse(CHECK_RANDOM);
    }
    return;
  }
  if (flags & FLAG_KEEP) {
    const handle = openSession(record, verdict);
    if (handle == 0) return refuse(CHECK_LIMIT);
    store<u64>(verdict + VERDICT_HANDLE, handle);
  }
  const secure = flags & FLAG_SECURE && flags & FLAG_REPLY ? 1 : 0;
  if (flags & FLAG_REPLY && !buildReply(0, 0, secure)) return refuse(CHECK_RANDOM);
  if (flags & FLAG_SECRETS && !putSecrets(index, secure)) refuse(CHECK_LIMIT);
}

/**
 * Turns the verdict into a denial when what was asked for cannot be given; nothing is left open.
 */
function refuse(check: i32): void {
  const handle = load<u64>(verdict + VERDICT_HANDLE);
  if (handle != 0) sessionRelease(handle);
  store<u64>(verdict + VERDICT_HANDLE, 0);
  tailDrop(TAIL_REPLY);
  verdictSet(check, REASON_LIMIT_EXCEEDED);
}
