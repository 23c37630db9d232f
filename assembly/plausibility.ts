/**
 * Plausibility checks on `aes`-sealed tickets (pull request 71231; spec section 17). They bound
 * what a ciphertext bit flip (CVE-2025-30156) can do; they do not replace a MAC.
 */

import {
  CHECK_HARDEN_ALLOW_ALL,
  CHECK_HARDEN_AUID,
  CHECK_HARDEN_CAPS,
  CHECK_HARDEN_NSEC,
  CHECK_HARDEN_SESSION_KEY_CREATED,
  CHECK_HARDEN_SPAN,
  CHECK_HARDEN_TIME_ORDER,
  PLAUSIBILITY_RELEASED,
  PLAUSIBILITY_SPAN,
} from './abi';
import { less64, notZero64 } from './bytes';
import {
  bit,
  infoAllowAll,
  infoAuid,
  infoCapsInner,
  infoCapsLen,
  infoCreated,
  infoExpires,
  infoHasAuid,
  infoKeyCreated,
  utimeNs,
} from './protocol';
import { SECRET_CREATED, SECRET_EXPIRES } from './secrets';

const NSEC_MAX: u64 = 1000000000;
/** Largest distance between the ticket's creation and its session key's: 300 s. */
const SLOP_NS: u64 = 300000000000;

/** Bits of the rules that the decoded `info` breaks; `secret` is the slot that sealed it. */
export function plausibility(level: i32, secret: usize): u64 {
  if (level == PLAUSIBILITY_RELEASED) return 0;
  const span = level == PLAUSIBILITY_SPAN;
  const created = utimeNs(infoCreated);
  const expires = utimeNs(infoExpires);
  const keyCreated = utimeNs(infoKeyCreated);
  let nsec = less64(NSEC_MAX, infoCreated >> 32) | less64(NSEC_MAX, infoExpires >> 32);
  if (!span) nsec |= less64(NSEC_MAX, infoKeyCreated >> 32);
  return (
    bit(CHECK_HARDEN_AUID, infoHasAuid & notZero64(~infoAuid)) |
    bit(CHECK_HARDEN_ALLOW_ALL, infoAllowAll) |
    bit(CHECK_HARDEN_CAPS, capsOdd()) |
    bit(CHECK_HARDEN_NSEC, nsec) |
    bit(CHECK_HARDEN_TIME_ORDER, less64(expires, created)) |
    bit(CHECK_HARDEN_SPAN, span ? tooLong(created, expires, secret) : 0) |
    bit(
      CHECK_HARDEN_SESSION_KEY_CREATED,
      span ? keyOutsideTicket(created, expires, keyCreated) : keyFar(created, keyCreated),
    )
  );
}

/** The caps buffer is neither empty nor exactly one encoded string. */
function capsOdd(): i32 {
  const inner = (infoCapsInner as u64) + 4;
  return notZero64(infoCapsLen) & notZero64(inner ^ (infoCapsLen as u64));
}

/** Generation B: the ticket lives longer than the key that sealed it; skipped if unknown. */
function tooLong(created: u64, expires: u64, secret: usize): i32 {
  const until = load<u64>(secret + SECRET_EXPIRES);
  const from = load<u64>(secret + SECRET_CREATED);
  const known = (until != 0) as i32;
  return known & (less64(until, from) | less64(until - from, expires - created));
}

/** Generation B: session key made before the ticket, over 300 s after it, or after its end. */
function keyOutsideTicket(created: u64, expires: u64, keyCreated: u64): i32 {
  return (
    less64(keyCreated, created) |
    less64(created + SLOP_NS, keyCreated) |
    less64(expires, keyCreated)
  );
}

/** Generation C: over 300 s before or after the ticket. */
function keyFar(created: u64, keyCreated: u64): i32 {
  return less64(keyCreated + SLOP_NS, created) | less64(created + SLOP_NS, keyCreated);
}
