/**
 * The client's part of a cephx login, payloads alone (Ceph: CephxClientHandler.cc; spec sections
 * 10 and 12): name, proof of the key, the AUTH ticket that comes back.
 */

import {
  ENTITY_TYPE_AUTH,
  ENTITY_TYPE_MDS,
  ENTITY_TYPE_MGR,
  ENTITY_TYPE_MON,
  ENTITY_TYPE_OSD,
} from '../../assembly/abi.ts';
import { buildAuthorizer, challengeHash, randomU64 } from '../cephx/authorizer.ts';
import type { CryptoKey, Random, Sealer } from '../cephx/cryptokey.ts';
import { decode, encode, Reader, Writer } from '../cephx/denc.ts';
import {
  AUTH_MODE_MON,
  decodeResponseHeader,
  decodeServerChallenge,
  type EntityName,
  encodeAuthenticate,
  encodeLoginHello,
  encodeServiceTicketRequest,
  GET_AUTH_SESSION_KEY,
  GET_PRINCIPAL_SESSION_KEY,
  GET_ROTATING_KEY,
  NO_TICKET_BLOB,
  type RotatingSecrets,
} from '../cephx/protocol.ts';
import {
  openConnectionSecret,
  openRotatingSecrets,
  openTicketReply,
  type ServiceTicketGrant,
} from '../cephx/ticket.ts';
import { MonError, protocolError } from './errors.ts';

/** Who logs in, and with what. */
export interface LoginOptions {
  readonly sealer: Sealer;
  readonly random: Random;
  readonly name: EntityName;
  readonly key: CryptoKey;
  /** Of the former login: its global_id is kept. */
  readonly former?: AuthSession | undefined;
}

/** What a login gives: the AUTH ticket and the global_id it bears. */
export interface AuthSession {
  readonly globalId: bigint;
  readonly grant: ServiceTicketGrant;
}

export interface LoginResult {
  readonly session: AuthSession;
  /** 64 bytes in secure mode, else empty. The caller wipes it. */
  readonly connectionSecret: Uint8Array;
}

/** One login, in three steps that follow each other. */
export class CephxLogin {
  readonly #options: LoginOptions;

  constructor(options: LoginOptions) {
    if (!options.key.usable) throw new RangeError(`cannot log in with ${options.key}: no secret`);
    this.#options = options;
  }

  /** Payload of AUTH_REQUEST. */
  request(): Uint8Array {
    const { name, former } = this.#options;
    return encode(encodeLoginHello, {
      mode: AUTH_MODE_MON,
      name,
      globalId: former?.globalId ?? 0n,
    });
  }

  /** Payload of AUTH_REQUEST_MORE for the payload of AUTH_REPLY_MORE. */
  prove(payload: Uint8Array): Uint8Array {
    const { sealer, random, key, former } = this.#options;
    const server = decode(decodeServerChallenge, payload, 'ignore');
    if (server === 0n) throw protocolError('server challenge', 'it is 0');
    const client = randomU64(random);
    const out = new Writer().u16(GET_AUTH_SESSION_KEY);
    encodeAuthenticate(out, {
      version: 3,
      clientChallenge: client,
      key: challengeHash(sealer, key, { server, client }),
      oldTicket: former?.grant.blob ?? NO_TICKET_BLOB,
      // Never 0: asked for secure mode as well, monitors of 16.2.15 abort.
      otherKeys: ENTITY_TYPE_AUTH,
    });
    return out.finish();
  }

  /** Opens the payload of AUTH_DONE. Throws MonError and DecodeError. */
  finish(globalId: bigint, payload: Uint8Array): LoginResult {
    const { sealer, key, former } = this.#options;
    const reader = new Reader(payload);
    readHeader(reader, GET_AUTH_SESSION_KEY, 'log in');
    const [grant, ...others] = openTicketReply(sealer, key, reader, former?.grant.sessionKey);
    if (grant === undefined || others.length > 0 || grant.serviceId !== ENTITY_TYPE_AUTH) {
      throw protocolError('login reply', 'it is not one AUTH ticket');
    }
    if (!grant.sessionKey.usable) throw protocolError('login reply', 'its session key is empty');
    const connectionSecret = openConnectionSecret(sealer, grant.sessionKey, reader.bl());
    return { session: { globalId, grant }, connectionSecret };
  }
}

/** Payload of the MAuth that asks for the rotating secrets of a daemon's own service. */
export function rotatingRequest(): Uint8Array {
  return new Writer().u16(GET_ROTATING_KEY).finish();
}

/** Opens the reply with the daemon's key. Throws MonError and DecodeError. */
export function openRotatingReply(
  sealer: Sealer,
  key: CryptoKey,
  payload: Uint8Array,
): RotatingSecrets {
  const reader = new Reader(payload);
  readHeader(reader, GET_ROTATING_KEY, 'fetch rotating secrets');
  return openRotatingSecrets(sealer, key, reader.rest());
}

/** Payload of the MAuth that asks for service tickets: authorizer for AUTH, mask of services. */
export function ticketRequest(
  sealer: Sealer,
  session: AuthSession,
  services: number,
  random: Random,
): Uint8Array {
  if ((services & ~TICKET_SERVICES) !== 0) throw new RangeError(`no such services: ${services}`);
  const { globalId, grant } = session;
  const { serviceId, sessionKey, blob } = grant;
  const ticket = { globalId, serviceId, sessionKey, blob };
  const out = new Writer().u16(GET_PRINCIPAL_SESSION_KEY);
  out.bytes(buildAuthorizer(sealer, ticket, randomU64(random), random));
  encodeServiceTicketRequest(out, services);
  return out.finish();
}

/** Opens the reply with the AUTH session key. Throws MonError and DecodeError. */
export function openTickets(
  sealer: Sealer,
  session: AuthSession,
  payload: Uint8Array,
): ServiceTicketGrant[] {
  const reader = new Reader(payload);
  readHeader(reader, GET_PRINCIPAL_SESSION_KEY, 'get service tickets');
  return openTicketReply(sealer, session.grant.sessionKey, reader);
}

function readHeader(reader: Reader, type: number, what: string): void {
  const header = decodeResponseHeader(reader);
  if (header.status !== 0) {
    const { status } = header;
    throw new MonError('mon.refused', `cannot ${what}: the monitor said ${status}`, status);
  }
  if (header.type !== type) throw protocolError('cephx reply', `it is of type ${header.type}`);
}

/** A bit of another type cuts the reply of 16.2.15 in the middle. */
const TICKET_SERVICES = ENTITY_TYPE_MON | ENTITY_TYPE_MDS | ENTITY_TYPE_OSD | ENTITY_TYPE_MGR;
