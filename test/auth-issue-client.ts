/** A client of the issuing side, as small as it can be: says what a cephx client says. */

import type { LoginContext } from '../src/auth/login.ts';
import type { CephxServiceHandler } from '../src/auth/servicehandler.ts';
import { buildAuthorizer, challengeHash, randomU64 } from '../src/cephx/authorizer.ts';
import type { CryptoKey } from '../src/cephx/cryptokey.ts';
import { decode, encode, Reader, Writer } from '../src/cephx/denc.ts';
import {
  decodeResponseHeader,
  decodeServerChallenge,
  ENTITY_TYPES,
  encodeAuthenticate,
  encodeLoginHello,
  encodeRequestHeader,
  encodeServiceTicketRequest,
  GET_AUTH_SESSION_KEY,
  GET_PRINCIPAL_SESSION_KEY,
  type GET_ROTATING_KEY,
  NO_TICKET_BLOB,
  parseEntityName,
  type TicketBlob,
} from '../src/cephx/protocol.ts';
import {
  openConnectionSecret,
  openTicketReply,
  type ServiceTicketGrant,
} from '../src/cephx/ticket.ts';
import type { Rng } from './rng.ts';
import { twinSealer } from './twin/sealer.ts';

export const SERVICE_MASK: number = 1 | 2 | 4 | 16;
export const CONTEXT: LoginContext = { connection: 'crc', source: 'test' };

export interface LoginOptions {
  readonly globalId?: bigint;
  readonly oldTicket?: TicketBlob;
  readonly version?: number;
  readonly otherKeys?: number;
  /** Replaces the proof. */
  readonly proof?: bigint;
}

export interface LoggedIn {
  readonly status: number;
  readonly payload: Uint8Array;
  readonly globalId: bigint;
  readonly auth: ServiceTicketGrant;
  readonly services: readonly ServiceTicketGrant[];
}

/** The bytes of a login's second message. */
export function authenticateBytes(
  key: CryptoKey,
  server: bigint,
  rng: Rng,
  options: LoginOptions = {},
): Uint8Array {
  const client = rng.u64();
  const out = new Writer();
  encodeRequestHeader(out, GET_AUTH_SESSION_KEY);
  encodeAuthenticate(out, {
    version: options.version ?? 3,
    clientChallenge: client,
    key: options.proof ?? challengeHash(twinSealer, key, { server, client }),
    oldTicket: options.oldTicket ?? NO_TICKET_BLOB,
    otherKeys: options.otherKeys ?? SERVICE_MASK,
  });
  return out.finish();
}

export function helloBytes(name: string, globalId = 0n): Uint8Array {
  return encode(encodeLoginHello, { mode: 10, name: parseEntityName(name)!, globalId });
}

/** Hello and 0x0100. Tickets are undefined after a refusal. */
export async function logIn(
  handler: CephxServiceHandler,
  rng: Rng,
  name: string,
  key: CryptoKey,
  options: LoginOptions = {},
  oldSessionKey?: CryptoKey,
): Promise<LoggedIn> {
  const { payload, token } = handler.helloWithToken(helloBytes(name, options.globalId))!;
  const server = decode(decodeServerChallenge, payload, 'reject');
  const answer = await handler.request(
    authenticateBytes(key, server, rng, options),
    token,
    CONTEXT,
  );
  return readLogin(answer, key, oldSessionKey);
}

export function readLogin(
  answer: { readonly payload: Uint8Array; readonly globalId: bigint | undefined },
  key: CryptoKey,
  oldSessionKey?: CryptoKey,
): LoggedIn {
  const reader = new Reader(answer.payload);
  const { status } = decodeResponseHeader(reader);
  const globalId = answer.globalId ?? 0n;
  if (status !== 0) return { status, payload: answer.payload, globalId } as LoggedIn;
  const [auth] = openTicketReply(twinSealer, key, reader, oldSessionKey);
  const base = { status, payload: answer.payload, globalId, auth: auth! };
  if (reader.left === 0) return { ...base, services: [] };
  openConnectionSecret(twinSealer, auth!.sessionKey, reader.bl());
  const extra = reader.bl();
  reader.end();
  if (extra.length === 0) return { ...base, services: [] };
  return { ...base, services: openTicketReply(twinSealer, auth!.sessionKey, new Reader(extra)) };
}

/** An authorizer for a service from a ticket. */
export function authorizerOf(
  grant: ServiceTicketGrant,
  globalId: bigint,
  rng: Rng,
  challenge?: bigint,
): Uint8Array {
  const { serviceId, sessionKey, blob } = grant;
  const owner = { globalId, serviceId, sessionKey, blob };
  return buildAuthorizer(twinSealer, owner, randomU64(rng.random), rng.random, challenge);
}

/** The bytes of 0x0200 or 0x0400. */
export function requestBytes(
  type: typeof GET_PRINCIPAL_SESSION_KEY | typeof GET_ROTATING_KEY,
  authorizer: Uint8Array,
  keys: number = SERVICE_MASK,
): Uint8Array {
  const out = new Writer();
  encodeRequestHeader(out, type);
  out.bytes(authorizer);
  if (type === GET_PRINCIPAL_SESSION_KEY) encodeServiceTicketRequest(out, keys);
  return out.finish();
}

/** 0x0200 with an AUTH ticket. */
export async function fetchTickets(
  handler: CephxServiceHandler,
  rng: Rng,
  login: Pick<LoggedIn, 'auth' | 'globalId'>,
  keys: number = SERVICE_MASK,
): Promise<{ status: number; services: ServiceTicketGrant[] }> {
  const authorizer = authorizerOf(login.auth, login.globalId, rng);
  const bytes = requestBytes(GET_PRINCIPAL_SESSION_KEY, authorizer, keys);
  const { payload } = await handler.request(bytes, undefined, CONTEXT);
  const reader = new Reader(payload);
  const { status } = decodeResponseHeader(reader);
  if (status !== 0) return { status, services: [] };
  return { status, services: openTicketReply(twinSealer, login.auth.sessionKey, reader) };
}

export const AUTH: number = ENTITY_TYPES.auth!;
