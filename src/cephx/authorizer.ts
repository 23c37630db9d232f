/**
 * Authorizers as the client makes them, the service's challenge and reply, and the proof of a key
 * in a login (Ceph: CephxProtocol.cc, CephXTicketHandler::build_authorizer and CephXAuthorizer;
 * spec sections 7 and 9). Verifying an authorizer is the engine's work.
 *
 * Every function that opens throws DecodeError with the name of the check that failed.
 */

import {
  KEY_TYPE_AES,
  USAGE_AUTHORIZE,
  USAGE_AUTHORIZE_CHALLENGE,
  USAGE_AUTHORIZE_REPLY,
  USAGE_NONE,
} from '../../assembly/abi.ts';
import {
  type CryptoKey,
  openDecoded,
  type Random,
  type Sealer,
  sealEncoded,
  sealObject,
} from './cryptokey.ts';
import { DecodeError, encode, equalBytes, foldWords, plusOne, Reader, Writer } from './denc.ts';
import {
  type AuthorizeReply,
  type ChallengeBlob,
  decodeAuthorizeReply,
  decodeServerChallenge,
  encodeAuthorize,
  encodeAuthorizeReply,
  encodeAuthorizer,
  encodeChallengeBlob,
  encodeServerChallenge,
  type TicketBlob,
} from './protocol.ts';

/** What a client needs to speak to a service. */
export interface AuthorizerTicket {
  readonly globalId: bigint;
  readonly serviceId: number;
  readonly sessionKey: CryptoKey;
  readonly blob: TicketBlob;
}

/**
 * Builds a CephXAuthorizer. The first one on a connection has no `serverChallenge`; the second
 * answers the one that the service sent. `nonce` is random and comes back in the reply.
 */
export function buildAuthorizer(
  sealer: Sealer,
  ticket: AuthorizerTicket,
  nonce: bigint,
  random: Random,
  serverChallenge?: bigint,
): Uint8Array {
  const answer =
    serverChallenge === undefined
      ? { haveChallenge: false, plusOne: 0n }
      : { haveChallenge: true, plusOne: plusOne(serverChallenge) };
  const options = { prefixed: false, random };
  const authorize = { nonce, answer };
  return encode(encodeAuthorizer, {
    version: 1,
    globalId: ticket.globalId,
    serviceId: ticket.serviceId,
    ticket: ticket.blob,
    sealed: sealEncoded(
      sealer,
      ticket.sessionKey,
      USAGE_AUTHORIZE,
      authorize,
      options,
      encodeAuthorize,
    ),
  });
}

/** A random u64, for nonces and challenges. */
export function randomU64(random: Random): bigint {
  return new Reader(random(8)).u64();
}

/**
 * The server challenge in a sealed CephXAuthorizeChallenge. `sealed` is the ciphertext alone: in
 * msgr2 the payload's own length, in msgr1 the reply header gives it.
 */
export function openAuthorizeChallenge(
  sealer: Sealer,
  sessionKey: CryptoKey,
  sealed: Uint8Array,
): bigint {
  const usage = USAGE_AUTHORIZE_CHALLENGE;
  return openDecoded(sealer, sessionKey, usage, sealed, PLAIN, decodeServerChallenge);
}

/** Seals a server challenge. Service's side. */
export function sealAuthorizeChallenge(
  sealer: Sealer,
  sessionKey: CryptoKey,
  serverChallenge: bigint,
  random: Random,
): Uint8Array {
  const options = { prefixed: false, random };
  const usage = USAGE_AUTHORIZE_CHALLENGE;
  return sealEncoded(sealer, sessionKey, usage, serverChallenge, options, encodeServerChallenge);
}

/**
 * Checks the service's CephXAuthorizeReply (with its length prefix) against the nonce of the
 * authorizer that was accepted and returns the connection secret, empty in crc mode. Another
 * nonce is `reply.nonce`: the peer does not hold the session key of this exchange.
 */
export function openAuthorizeReply(
  sealer: Sealer,
  sessionKey: CryptoKey,
  nonce: bigint,
  sealed: Uint8Array,
): Uint8Array {
  const usage = USAGE_AUTHORIZE_REPLY;
  const reply = openDecoded(sealer, sessionKey, usage, sealed, PREFIXED, decodeAuthorizeReply);
  if (reply.noncePlusOne !== plusOne(nonce)) {
    reply.connectionSecret.fill(0);
    throw new DecodeError('reply.nonce', 'CephXAuthorizeReply');
  }
  return reply.connectionSecret;
}

/** Seals the reply to an authorizer with that nonce. Service's side. */
export function sealAuthorizeReply(
  sealer: Sealer,
  sessionKey: CryptoKey,
  nonce: bigint,
  connectionSecret: Uint8Array,
  random: Random,
): Uint8Array {
  const options = { prefixed: true, random };
  const reply: AuthorizeReply = { noncePlusOne: plusOne(nonce), connectionSecret };
  const usage = USAGE_AUTHORIZE_REPLY;
  return sealEncoded(sealer, sessionKey, usage, reply, options, encodeAuthorizeReply);
}

/**
 * The proof of a client's key in a login: 64 bits over both challenges. Throws RangeError if the
 * key is not usable: nothing can be proved with it.
 *
 * Ceph: cephx_calc_client_server_challenge. `aes` seals the blob and folds the ciphertext *with*
 * its length prefix, 36 bytes, of which the last 4 are left out; every other type is an HMAC.
 */
export function challengeHash(sealer: Sealer, key: CryptoKey, challenges: ChallengeBlob): bigint {
  if (!key.usable) throw new RangeError(`cannot prove ${key}: it has no secret`);
  const blob = encode(encodeChallengeBlob, challenges);
  if (key.type !== KEY_TYPE_AES) return foldWords(sealer.hmacSha256(key, blob));
  const options = { prefixed: true, random: (n: number) => new Uint8Array(n) };
  return foldWords(sealObject(sealer, key, USAGE_NONE, blob, options));
}

/** Whether `presented` is the proof of `key`; false for a key that can prove nothing. */
export function challengeHashMatches(
  sealer: Sealer,
  key: CryptoKey,
  challenges: ChallengeBlob,
  presented: bigint,
): boolean {
  if (!key.usable) return false;
  const bytes = (hash: bigint): Uint8Array => new Writer().u64(hash).finish();
  return equalBytes(bytes(challengeHash(sealer, key, challenges)), bytes(presented));
}

const PLAIN = { prefixed: false };
const PREFIXED = { prefixed: true };
