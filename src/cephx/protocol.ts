/**
 * The messages of cephx, both directions (Ceph: CephxProtocol.h, CephxKeyServer.h, Auth.h; spec
 * sections 2.2, 9, 10, 14): authorizers between client and service, the login and ticket
 * exchanges between client and monitor, rotating secrets. Names and tickets are in tickets.ts and
 * exported from here as well.
 */

import { CryptoKey } from './cryptokey.ts';
import type { Reader, Utime, Writer } from './denc.ts';
import {
  AUID_DEFAULT,
  decodeEntityName,
  decodeTicketBlob,
  type EntityName,
  encodeEntityName,
  encodeTicketBlob,
  type TicketBlob,
} from './tickets.ts';

export * from './tickets.ts';

/**
 * CephXAuthorizer (client to service), parts a and b: 30 + B + S bytes.
 *
 *   0 u8 authorizer_v 1 · 1 u64 global_id · 9 u32 service_id · 13 CephXTicketBlob ·
 *   26+B bl sealed CephXAuthorize
 *
 * The version doubles as the auth mode of the messenger: 1 to 9 is an authorizer. Part a is what
 * comes before `sealed`; it is sent again unchanged after a challenge.
 */
export interface Authorizer {
  readonly version: number;
  readonly globalId: bigint;
  readonly serviceId: number;
  readonly ticket: TicketBlob;
  readonly sealed: Uint8Array;
}

export function decodeAuthorizer(reader: Reader): Authorizer {
  return {
    version: reader.u8('CephXAuthorizer'),
    globalId: reader.u64('CephXAuthorizer'),
    serviceId: reader.u32('CephXAuthorizer'),
    ticket: decodeTicketBlob(reader),
    sealed: reader.bl('CephXAuthorizer'),
  };
}

export function encodeAuthorizer(out: Writer, authorizer: Authorizer): void {
  out.u8(authorizer.version).u64(authorizer.globalId).u32(authorizer.serviceId);
  encodeTicketBlob(out, authorizer.ticket);
  out.bl(authorizer.sealed);
}

/**
 * CephXAuthorize (client to service), part b: sealed with the session key, usage AUTHORIZE.
 *
 *   0 u8 struct_v · 1 u64 nonce · v >= 2: 9 u8 have_challenge · 10 u64 server_challenge_plus_one
 *
 * Version 1, from before CVE-2018-1128, cannot answer a challenge; we never send it.
 */
export interface Authorize {
  readonly nonce: bigint;
  /** Undefined in version 1. */
  readonly answer: { readonly haveChallenge: boolean; readonly plusOne: bigint } | undefined;
}

export function decodeAuthorize(reader: Reader): Authorize {
  const version = reader.u8('CephXAuthorize');
  const nonce = reader.u64('CephXAuthorize');
  if (version < 2) return { nonce, answer: undefined };
  const haveChallenge = reader.bool('CephXAuthorize');
  return { nonce, answer: { haveChallenge, plusOne: reader.u64('CephXAuthorize') } };
}

export function encodeAuthorize(out: Writer, authorize: Authorize): void {
  const { answer } = authorize;
  out.u8(answer === undefined ? 1 : 2).u64(authorize.nonce);
  if (answer !== undefined) out.bool(answer.haveChallenge).u64(answer.plusOne);
}

/**
 * CephXAuthorizeChallenge (service to client): sealed with the session key, usage
 * AUTHORIZE_CHALLENGE, plain form. 9 bytes; CephXServerChallenge (monitor to client, in the clear)
 * is the same.
 *
 *   0 u8 struct_v 1 · 1 u64 server_challenge
 */
export function decodeServerChallenge(reader: Reader): bigint {
  reader.u8('CephXServerChallenge');
  return reader.u64('CephXServerChallenge');
}

export function encodeServerChallenge(out: Writer, challenge: bigint): void {
  out.u8(1).u64(challenge);
}

/**
 * CephXAuthorizeReply (service to client): sealed with the session key, usage AUTHORIZE_REPLY.
 *
 *   0 u8 struct_v · 1 u64 nonce_plus_one · v >= 2: 9 string connection_secret
 *
 * Version 1 is sent when there is no connection secret (crc mode).
 */
export interface AuthorizeReply {
  readonly noncePlusOne: bigint;
  /** 64 bytes in secure mode, else empty. */
  readonly connectionSecret: Uint8Array;
}

export function decodeAuthorizeReply(reader: Reader): AuthorizeReply {
  const version = reader.u8('CephXAuthorizeReply');
  return {
    noncePlusOne: reader.u64('CephXAuthorizeReply'),
    connectionSecret: version >= 2 ? reader.bl('CephXAuthorizeReply').slice() : new Uint8Array(0),
  };
}

export function encodeAuthorizeReply(out: Writer, reply: AuthorizeReply): void {
  const { connectionSecret } = reply;
  out.u8(connectionSecret.length === 0 ? 1 : 2).u64(reply.noncePlusOne);
  if (connectionSecret.length > 0) out.bl(connectionSecret);
}

/**
 * First payload of a login (client to monitor), without a name in Ceph: 13 + L + 8 bytes.
 *
 *   0 u8 mode 10 · 1 EntityName · u64 global_id (0: a new one is wanted)
 */
export interface LoginHello {
  readonly mode: number;
  readonly name: EntityName;
  readonly globalId: bigint;
}

/** Auth mode of a login to a monitor (Ceph: AUTH_MODE_MON). */
export const AUTH_MODE_MON = 10;

export function decodeLoginHello(reader: Reader): LoginHello {
  return {
    mode: reader.u8('login'),
    name: decodeEntityName(reader),
    globalId: reader.u64('login'),
  };
}

export function encodeLoginHello(out: Writer, hello: LoginHello): void {
  out.u8(hello.mode);
  encodeEntityName(out, hello.name);
  out.u64(hello.globalId);
}

/**
 * CephXChallengeBlob: what the proof of the client's key is made of. 16 bytes, no version.
 *
 *   0 u64 server_challenge · 8 u64 client_challenge
 */
export interface ChallengeBlob {
  readonly server: bigint;
  readonly client: bigint;
}

export function decodeChallengeBlob(reader: Reader): ChallengeBlob {
  return { server: reader.u64('CephXChallengeBlob'), client: reader.u64('CephXChallengeBlob') };
}

export function encodeChallengeBlob(out: Writer, blob: ChallengeBlob): void {
  out.u64(blob.server).u64(blob.client);
}

/** CephXRequestHeader (client to monitor): u16 type, one of these. */
export const GET_AUTH_SESSION_KEY = 0x0100;
export const GET_PRINCIPAL_SESSION_KEY = 0x0200;
export const GET_ROTATING_KEY = 0x0400;

export function decodeRequestHeader(reader: Reader): number {
  return reader.u16('CephXRequestHeader');
}

export function encodeRequestHeader(out: Writer, type: number): void {
  out.u16(type);
}

/**
 * CephXResponseHeader (monitor to client): 6 bytes.
 *
 *   0 u16 type of the request · 2 s32 status (0 or a negative errno)
 */
export interface ResponseHeader {
  readonly type: number;
  readonly status: number;
}

export function decodeResponseHeader(reader: Reader): ResponseHeader {
  return { type: reader.u16('CephXResponseHeader'), status: reader.s32('CephXResponseHeader') };
}

export function encodeResponseHeader(out: Writer, header: ResponseHeader): void {
  out.u16(header.type).s32(header.status);
}

/**
 * CephXAuthenticate (client to monitor), after a request header 0x0100.
 *
 *   0 u8 struct_v 3 · 1 u64 client_challenge · 9 u64 key (challenge hash) ·
 *   17 CephXTicketBlob old_ticket · v >= 2: u32 other_keys (mask of service ids)
 *
 * Version 3 promises that the old ticket is there when a global_id is reclaimed (CVE-2021-20288).
 */
export interface Authenticate {
  readonly version: number;
  readonly clientChallenge: bigint;
  readonly key: bigint;
  readonly oldTicket: TicketBlob;
  readonly otherKeys: number;
}

export function decodeAuthenticate(reader: Reader): Authenticate {
  const version = reader.u8('CephXAuthenticate');
  return {
    version,
    clientChallenge: reader.u64('CephXAuthenticate'),
    key: reader.u64('CephXAuthenticate'),
    oldTicket: decodeTicketBlob(reader),
    otherKeys: version >= 2 ? reader.u32('CephXAuthenticate') : 0,
  };
}

export function encodeAuthenticate(out: Writer, authenticate: Authenticate): void {
  out.u8(authenticate.version).u64(authenticate.clientChallenge).u64(authenticate.key);
  encodeTicketBlob(out, authenticate.oldTicket);
  if (authenticate.version >= 2) out.u32(authenticate.otherKeys);
}

/** CephXServiceTicketRequest (client to monitor): u8 struct_v 1, u32 keys (mask of services). */
export function decodeServiceTicketRequest(reader: Reader): number {
  reader.u8('CephXServiceTicketRequest');
  return reader.u32('CephXServiceTicketRequest');
}

export function encodeServiceTicketRequest(out: Writer, keys: number): void {
  out.u8(1).u32(keys);
}

/**
 * ExpiringCryptoKey: one rotating secret.
 *
 *   0 u8 struct_v 1 · 1 CryptoKey key · utime expiration
 */
export interface ExpiringCryptoKey {
  readonly key: CryptoKey;
  readonly expiration: Utime;
}

export function decodeExpiringCryptoKey(reader: Reader): ExpiringCryptoKey {
  reader.u8('ExpiringCryptoKey');
  return { key: CryptoKey.decode(reader), expiration: reader.utime('ExpiringCryptoKey') };
}

export function encodeExpiringCryptoKey(out: Writer, expiring: ExpiringCryptoKey): void {
  out.u8(1);
  CryptoKey.encode(out, expiring.key);
  out.utime(expiring.expiration);
}

/**
 * RotatingSecrets (monitor to daemon: sealed with the daemon's key, usage ROTATING_SECRET).
 *
 *   0 u8 struct_v 1 · 1 u32 count · count x { u64 secret_id · ExpiringCryptoKey } · u64 max_ver
 *
 * Encoded in the order of ids, as a map of Ceph is.
 */
export interface RotatingSecrets {
  readonly secrets: ReadonlyMap<bigint, ExpiringCryptoKey>;
  readonly maxVersion: bigint;
}

export function decodeRotatingSecrets(reader: Reader): RotatingSecrets {
  reader.u8('RotatingSecrets');
  const secrets = new Map<bigint, ExpiringCryptoKey>();
  for (let left = reader.count(ROTATING_ENTRY_LEN_MIN, 'RotatingSecrets'); left > 0; left--) {
    secrets.set(reader.u64('RotatingSecrets'), decodeExpiringCryptoKey(reader));
  }
  return { secrets, maxVersion: reader.u64('RotatingSecrets') };
}

export function encodeRotatingSecrets(out: Writer, rotating: RotatingSecrets): void {
  out.u8(1).u32(rotating.secrets.size);
  const byId = [...rotating.secrets].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  for (const [id, expiring] of byId) {
    out.u64(id);
    encodeExpiringCryptoKey(out, expiring);
  }
  out.u64(rotating.maxVersion);
}

/**
 * EntityAuth (in the monitor's store): an entity's key and caps.
 *
 *   0 u8 struct_v · 1 u64 auid · 9 CryptoKey key · map<string, bl> caps ·
 *   v >= 3: CryptoKey pending_key
 *
 * Version 2 up to Pacific, 3 from Quincy on. Each caps buffer is an encoded string.
 */
export interface EntityAuth {
  readonly version: 2 | 3;
  readonly key: CryptoKey;
  /** Service name to caps buffer. */
  readonly caps: ReadonlyMap<string, Uint8Array>;
  /** The key that is to replace `key`; type none and empty when there is none. */
  readonly pendingKey: CryptoKey;
}

export function decodeEntityAuth(reader: Reader): EntityAuth {
  const version = reader.u8('EntityAuth') >= 3 ? 3 : 2;
  reader.u64('EntityAuth');
  const key = CryptoKey.decode(reader);
  const caps = new Map<string, Uint8Array>();
  for (let left = reader.count(CAPS_ENTRY_LEN_MIN, 'EntityAuth'); left > 0; left--) {
    caps.set(reader.string('EntityAuth'), reader.bl('EntityAuth'));
  }
  const pendingKey = version === 3 ? CryptoKey.decode(reader) : CryptoKey.none();
  return { version, key, caps, pendingKey };
}

export function encodeEntityAuth(out: Writer, auth: EntityAuth): void {
  out.u8(auth.version).u64(AUID_DEFAULT);
  CryptoKey.encode(out, auth.key);
  out.u32(auth.caps.size);
  const byService = [...auth.caps].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  for (const [service, caps] of byService) out.string(service).bl(caps);
  if (auth.version === 3) CryptoKey.encode(out, auth.pendingKey);
}

/** u64; u8, 12 bytes of a CryptoKey, utime. */
const ROTATING_ENTRY_LEN_MIN = 29;
/** Two u32 lengths. */
const CAPS_ENTRY_LEN_MIN = 8;
