/**
 * Reason codes in words. The codes themselves are the engine's closed list (engine/codes.ts);
 * a caller acts on the code, a person reads the message.
 */

import type { ReasonCode } from '../engine/codes.ts';

/** Raised by one whenever a reason is added or changes its meaning. */
export const REASONS_VERSION = 2;

export const REASON_MESSAGES: Readonly<Record<ReasonCode, string>> = {
  ok: 'allowed',
  'authorizer.malformed': 'the authorizer cannot be decoded',
  'authorizer.mode': 'the first byte of the authorizer is no authorizer mode',
  'authorizer.service': 'the authorizer is for another service',
  'authorizer.secret_unknown': 'no service secret with the secret id of the ticket is kept',
  'authorizer.invalid': 'the authorizer is not valid',
  'authorizer.challenge_required': 'the client must answer a server challenge',
  'authorizer.challenge_mismatch': 'the server challenge was not answered or answered wrongly',
  'authorizer.challenge_expired': 'the challenge state or receipt is bad, foreign or too old',
  'ticket.implausible': 'the ticket holds values that no monitor writes',
  'ticket.cipher_not_allowed': 'the key type that sealed the ticket is not allowed',
  'ticket.revoked': 'the ticket is revoked',
  'ticket.expired': 'the ticket has expired',
  'ticket.not_yet_valid': 'the ticket is not valid yet',
  'session.unknown': 'no such session: verify again, with the receipt if there is one',
  'session.expired': 'the session has expired',
  'session.peer_mismatch': 'the session belongs to another peer',
  'entity.unknown': 'no such entity',
  'signature.mismatch': 'the signature is wrong',
  'signature.unsupported': 'this kind of signature cannot be made with the session key',
  'caps.none': 'the entity has no caps for this service',
  'caps.unparsable': 'the caps cannot be parsed and grant nothing',
  'caps.no_matching_grant': 'no grant of the caps covers the operation',
  'caps.network_mismatch': 'a grant covers the operation, but not from this peer',
  'caps.class_not_allowed': 'a grant covers the operation, but not its class calls',
  'limit.exceeded': 'a limit is exceeded',
  'record.malformed': 'the request record is malformed',
  'store.stale': 'what is known here of the store is older than it may be',
};

/** Ceph: -EACCES. What a node answers its client for every refused authorizer. */
export const ERRNO_VERIFY = -13;
/** Ceph: -EPERM. What a node answers its client for every refused operation. */
export const ERRNO_CHECK = -1;
