/**
 * Writing of verdict records, and the table from checks to the reasons that a caller may see.
 */

import {
  CHECK_AUTHORIZER_MODE,
  CHECK_AUTHORIZER_SERVICE,
  CHECK_HARDEN_AUID,
  CHECK_HARDEN_SESSION_KEY_CREATED,
  CHECK_LIMIT,
  CHECK_OK,
  CHECK_OUTER_TRAILING,
  CHECK_OUTER_TRUNCATED,
  CHECK_POLICY_CIPHER,
  CHECK_RANDOM,
  CHECK_SECRET_UNKNOWN,
  CHECK_TICKET_EXPIRED,
  CHECK_TICKET_NOT_YET_VALID,
  CHECK_TICKET_REVOKED,
  REASON_AUTHORIZER_INVALID,
  REASON_AUTHORIZER_MALFORMED,
  REASON_AUTHORIZER_MODE,
  REASON_AUTHORIZER_SECRET_UNKNOWN,
  REASON_AUTHORIZER_SERVICE,
  REASON_LIMIT_EXCEEDED,
  REASON_OK,
  REASON_RECORD_MALFORMED,
  REASON_TICKET_CIPHER_NOT_ALLOWED,
  REASON_TICKET_EXPIRED,
  REASON_TICKET_IMPLAUSIBLE,
  REASON_TICKET_NOT_YET_VALID,
  REASON_TICKET_REVOKED,
  RECORD_TAG,
  TAIL_END,
  VERDICT_BYTES,
  VERDICT_CHECK,
  VERDICT_DECISION,
  VERDICT_GRANT,
  VERDICT_LEN,
  VERDICT_REASON,
  VERDICT_TAG,
} from './abi';
import { zeroSpare } from './bytes';

/** The record that is being written, and its end so far. */
export let verdict: usize = 0;
let end: i32 = 0;
let room: i32 = 0;

/** Starts an empty denial for `record` at `at` with `bytes` of room (at least TAIL_END). */
export function verdictBegin(at: usize, bytes: i32, record: usize): void {
  verdict = at;
  room = bytes;
  end = VERDICT_LEN;
  zeroSpare(at);
  store<u32>(at + VERDICT_TAG, load<u32>(record + RECORD_TAG));
  store<u32>(at + VERDICT_GRANT, -1);
}

/** Sets check and reason; the decision is yes for reason ok alone. */
export function verdictSet(check: i32, reason: i32): void {
  store<u16>(verdict + VERDICT_CHECK, check as u16);
  store<u16>(verdict + VERDICT_REASON, reason as u16);
  store<u8>(verdict + VERDICT_DECISION, (reason == REASON_OK) as u8);
}

/** Adds an empty tail. */
export function verdictTail(): void {
  memory.fill(verdict + VERDICT_LEN, 0, TAIL_END - VERDICT_LEN);
  end = TAIL_END;
}

/** Where the next variable part goes, and how much fits. */
export function tailAt(): usize {
  return verdict + end;
}

export function tailRoom(): i32 {
  return room - end;
}

/** Names the n bytes that were written at tailAt() as the part `field` of the tail. */
export function tailPart(field: i32, n: i32): void {
  store<u32>(verdict + field, end);
  store<u32>(verdict + field + 4, n);
  end += n;
  // Padding is zeroed: the region still holds bytes of earlier verdicts.
  while (end & 7) store<u8>(verdict + end++, 0);
}

/** Copies n bytes into the tail as the part `field`. */
export function tailCopy(field: i32, from: usize, n: i32): void {
  memory.copy(tailAt(), from, n);
  tailPart(field, n);
}

/** Takes the last written part back: its bytes are wiped. */
export function tailDrop(field: i32): void {
  if (end < TAIL_END || load<u32>(verdict + field + 4) == 0) return;
  const from = load<i32>(verdict + field);
  memory.fill(verdict + from, 0, end - from);
  store<u64>(verdict + field, 0);
  end = from;
}

/** Closes the record and returns its length, a multiple of 8. */
export function verdictEnd(): i32 {
  store<u32>(verdict + VERDICT_BYTES, end);
  return end;
}

/** The reason for a check, before anything was proved (public stage) or after (the rest). */
export function reasonOf(check: i32): i32 {
  if (check == CHECK_OK) return REASON_OK;
  if (check == CHECK_LIMIT || check == CHECK_RANDOM) return REASON_LIMIT_EXCEEDED;
  if (check < CHECK_LIMIT) return REASON_RECORD_MALFORMED;
  if (check == CHECK_OUTER_TRUNCATED) return REASON_AUTHORIZER_MALFORMED;
  if (check == CHECK_OUTER_TRAILING) return REASON_AUTHORIZER_MALFORMED;
  if (check == CHECK_AUTHORIZER_MODE) return REASON_AUTHORIZER_MODE;
  if (check == CHECK_AUTHORIZER_SERVICE) return REASON_AUTHORIZER_SERVICE;
  if (check == CHECK_SECRET_UNKNOWN) return REASON_AUTHORIZER_SECRET_UNKNOWN;
  if (check >= CHECK_HARDEN_AUID && check <= CHECK_HARDEN_SESSION_KEY_CREATED) {
    return REASON_TICKET_IMPLAUSIBLE;
  }
  if (check == CHECK_POLICY_CIPHER) return REASON_TICKET_CIPHER_NOT_ALLOWED;
  if (check == CHECK_TICKET_REVOKED) return REASON_TICKET_REVOKED;
  if (check == CHECK_TICKET_EXPIRED) return REASON_TICKET_EXPIRED;
  if (check == CHECK_TICKET_NOT_YET_VALID) return REASON_TICKET_NOT_YET_VALID;
  return REASON_AUTHORIZER_INVALID;
}
