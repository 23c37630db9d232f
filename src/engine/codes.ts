/**
 * Names of the numbers in a verdict: the reason that a caller may see and the exact check that
 * goes to the operator's log. Both lists are closed; their order is that of assembly/abi.ts.
 */

/** Reason codes (interface section 3.6); the index is REASON_*. */
export const REASON_CODES = [
  'ok',
  'authorizer.malformed',
  'authorizer.mode',
  'authorizer.service',
  'authorizer.secret_unknown',
  'authorizer.invalid',
  'authorizer.challenge_required',
  'authorizer.challenge_mismatch',
  'authorizer.challenge_expired',
  'ticket.implausible',
  'ticket.cipher_not_allowed',
  'ticket.revoked',
  'ticket.expired',
  'ticket.not_yet_valid',
  'session.unknown',
  'session.expired',
  'session.peer_mismatch',
  'entity.unknown',
  'signature.mismatch',
  'signature.unsupported',
  'caps.none',
  'caps.unparsable',
  'caps.no_matching_grant',
  'caps.network_mismatch',
  'caps.class_not_allowed',
  'limit.exceeded',
  'record.malformed',
  'store.stale',
] as const;

export type ReasonCode = (typeof REASON_CODES)[number];

/**
 * Check names (spec section 13 and 17); the index is CHECK_*. One name may stand for several
 * numbers: the number also says in which of the sealed objects the rule was broken.
 */
export const CHECK_NAMES = [
  'ok',
  'record.length',
  'record.kind',
  'record.flags',
  'record.field',
  'limit',
  'random',
  'unassigned',
  // From public bytes: part a and the frame of part b.
  'decode.truncated',
  'authorizer.mode',
  'decode.trailing',
  'authorizer.service',
  'authorizer.secret_unknown',
  'unassigned',
  'unassigned',
  'unassigned',
  // The ticket.
  'key.empty',
  'ciphertext.length',
  'ciphertext.mac',
  'ciphertext.padding',
  'envelope.short',
  'envelope.magic',
  'decode.truncated',
  'key.type',
  'key.length',
  'decode.trailing',
  'harden.auid',
  'harden.allow_all',
  'harden.caps',
  'harden.nsec',
  'harden.time_order',
  'harden.span',
  'harden.session_key_created',
  'authorizer.global_id',
  // Part b, under the ticket's session key.
  'key.empty',
  'ciphertext.length',
  'ciphertext.mac',
  'ciphertext.padding',
  'envelope.short',
  'envelope.magic',
  'decode.truncated',
  'decode.trailing',
  // Judged after part b has opened.
  'authorizer.challenge_missing',
  'authorizer.challenge_mismatch',
  'policy.cipher',
  'ticket.revoked',
  'ticket.expired',
  'ticket.not_yet_valid',
] as const;

export type CheckName = (typeof CHECK_NAMES)[number];
