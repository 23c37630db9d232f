/**
 * cephx as a client: the state machine of spec section 12 without any input or output (Ceph:
 * CephxClientHandler), its tickets, authorizers for services, and a client over HTTP. No Node API.
 *
 *   INIT -hello-> WAIT_CHALLENGE -authenticate-> WAIT_TICKET -> READY -> authorizers
 *                                                               READY -> WAIT_TICKETS,
 * WAIT_ROTATING
 */

import { ENTITY_TYPE_AUTH, SESSION_SECRET_LEN_MAX } from '../../assembly/abi.ts';
import { buildAuthorizer, challengeHash, randomU64 } from './authorizer.ts';
import type { CryptoKey, Random, Sealer } from './cryptokey.ts';
import { encode, equalBytes, Reader, Writer } from './denc.ts';
import {
  AUTH_MODE_MON,
  decodeResponseHeader,
  decodeServerChallenge,
  type EntityName,
  encodeAuthenticate,
  encodeLoginHello,
  encodeRequestHeader,
  encodeServiceTicketRequest,
  GET_AUTH_SESSION_KEY,
  GET_PRINCIPAL_SESSION_KEY,
  GET_ROTATING_KEY,
  type RotatingSecrets,
} from './protocol.ts';
import {
  openConnectionSecret,
  openRotatingSecrets,
  openTicketReply,
  type ServiceTicketGrant,
} from './ticket.ts';
import {
  attempt,
  type ClientFailure,
  type ClientReason,
  type ClientResult,
  CONNECTION_SECRET_LEN,
  maskServices,
  PAYLOAD_LEN_MAX,
  ServiceAuthorizer,
  TicketManager,
} from './ticketmanager.ts';

export { engineSealer } from '../sealer.ts';
export { CryptoKey, decodeBase64, encodeBase64, type Random, type Sealer } from './cryptokey.ts';
export { type DecodeCode, DecodeError, type Utime } from './denc.ts';
export {
  CephxHttpClient,
  type Decision,
  type Fetch,
  type HttpOptions,
  SidecarClient,
} from './httpclient.ts';
export {
  ENTITY_TYPES,
  type EntityName,
  formatEntityName,
  parseEntityName,
  type RotatingSecrets,
  type TicketBlob,
} from './protocol.ts';
export {
  type ClientFailure,
  type ClientReason,
  type ClientResult,
  type HeldTicket,
  ServiceAuthorizer,
  TicketManager,
} from './ticketmanager.ts';

/** What a client needs of the world. */
export interface ClientOptions {
  readonly name: EntityName;
  /** The entity's own key. The handler does not wipe it. */
  readonly key: CryptoKey;
  readonly sealer: Sealer;
  readonly random: Random;
  /** Nanoseconds since 1970. */
  readonly clock: () => bigint;
}

/** What the messenger's frame says besides the payload. */
export interface Frame {
  /** The global_id that a login was given; without it our own must be the one. */
  readonly globalId?: bigint | undefined;
  /**
   * What the connection secret of a login must be: 64 bytes, an empty one (default), or
   * (messenger version 1) nothing at all.
   */
  readonly connection?: 'secure' | 'crc' | 'none';
}

/** What comes of a payload: the next one to send, or what the exchange was for. */
export type ClientStep =
  | { readonly kind: 'send'; readonly payload: Uint8Array }
  /** Logged in. The caller wipes the connection secret. */
  | { readonly kind: 'login'; readonly connectionSecret: Uint8Array }
  | { readonly kind: 'tickets' }
  /** The caller wipes the secrets. */
  | { readonly kind: 'rotating'; readonly rotating: RotatingSecrets };

export type ClientState =
  | 'INIT'
  | 'WAIT_CHALLENGE'
  | 'WAIT_TICKET'
  | 'READY'
  | 'WAIT_TICKETS'
  | 'WAIT_ROTATING';

/**
 * One client of one cluster. Payloads go out of `hello`, `requestTickets` and `requestRotating`,
 * and what comes back goes into `receive`. A login that succeeds says that the monitor's answer was
 * sealed under our key; that it is fresh shows in the first thing done with the tickets, as a
 * replayed answer holds a session key that the one who replays it does not know.
 */
export class CephxClientHandler {
  readonly tickets: TicketManager = new TicketManager();
  readonly #options: ClientOptions;
  #waiting: Exclude<ClientState, 'INIT' | 'READY'> | undefined;
  #want = 0;
  /** The mask of the request that is under way. */
  #asked = 0;
  #serverChallenge = 0n;

  /** Throws RangeError for a key that can prove nothing. */
  constructor(options: ClientOptions) {
    const { key } = options;
    if (!key.usable) throw new RangeError(`cannot log in with ${key}: it has no secret`);
    this.#options = options;
  }

  get state(): ClientState {
    return this.#waiting ?? (this.#auth().ok ? 'READY' : 'INIT');
  }

  get name(): EntityName {
    return this.#options.name;
  }

  /**
   * Begins a login, also in the middle of another: the connection is a new one. `want` is the mask
   * of services whose tickets are asked for along with it. A client that has a global_id claims it.
   * Throws RangeError for a mask with other bits.
   */
  hello(want = 0): Uint8Array {
    this.#want = checkedMask(want) | ENTITY_TYPE_AUTH;
    this.#waiting = 'WAIT_CHALLENGE';
    const { globalId } = this.tickets;
    return encode(encodeLoginHello, { mode: AUTH_MODE_MON, name: this.name, globalId });
  }

  /**
   * Logs in again on a connection that is open, with the challenge that it began with. As
   * `ticket.none` if there was no challenge yet.
   */
  authenticate(want = 0): ClientResult<Uint8Array> {
    this.#want = checkedMask(want) | ENTITY_TYPE_AUTH;
    if (this.#serverChallenge === 0n) return { ok: false, reason: 'ticket.none' };
    return { ok: true, value: this.#authenticate() };
  }

  /** The services of the mask whose tickets are missing or three quarters old. */
  needs(want: number): number {
    return this.tickets.needs(checkedMask(want), this.#options.clock());
  }

  /** Asks for service tickets, under the AUTH ticket. Throws RangeError for a wrong mask. */
  requestTickets(want: number): ClientResult<Uint8Array> {
    const mask = checkedMask(want) & ~ENTITY_TYPE_AUTH;
    return this.#request(GET_PRINCIPAL_SESSION_KEY, 'WAIT_TICKETS', mask, (out) => {
      encodeServiceTicketRequest(out, mask);
    });
  }

  /**
   * A daemon asks for the rotating secrets of its service. `proof`: whether an AUTH authorizer goes
   * along, as it must where no connection proves our name.
   */
  requestRotating(proof: boolean): ClientResult<Uint8Array> {
    if (proof) return this.#request(GET_ROTATING_KEY, 'WAIT_ROTATING', 0, () => undefined);
    this.#waiting = 'WAIT_ROTATING';
    return { ok: true, value: encode(encodeRequestHeader, GET_ROTATING_KEY) };
  }

  /**
   * Takes a payload of the monitor. Whatever it is, this does not throw; a failure ends the
   * exchange and leaves the tickets as they were, but a refused request for tickets invalidates the
   * AUTH ticket.
   */
  receive(payload: Uint8Array, frame: Frame = {}): ClientResult<ClientStep> {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return failure('state.unexpected');
    if (payload.length > PAYLOAD_LEN_MAX) return failure('reply.length');
    return attempt(() => {
      const reader = new Reader(payload);
      if (waiting === 'WAIT_CHALLENGE') return this.#onChallenge(reader);
      const { type, status } = decodeResponseHeader(reader);
      if (status !== 0) {
        // What was rejected is our authorizer for AUTH: a new login is needed.
        if (waiting === 'WAIT_TICKETS') this.tickets.invalidate(ENTITY_TYPE_AUTH);
        return { ok: false, reason: 'request.refused', status };
      }
      if (type !== REQUEST_TYPES[waiting]) return failure('reply.type');
      if (waiting === 'WAIT_TICKET') return this.#onLogin(reader, frame);
      return waiting === 'WAIT_TICKETS' ? this.#onTickets(reader) : this.#onRotating(reader);
    });
  }

  /** A connection to a service, ready to send its first authorizer. */
  authorizer(serviceId: number): ClientResult<ServiceAuthorizer> {
    const { sealer, random, clock } = this.#options;
    const found = this.tickets.usable(serviceId, clock());
    if (!found.ok) return found;
    const { sessionKey, blob } = found.value;
    const ticket = { globalId: this.tickets.globalId, serviceId, sessionKey, blob };
    return { ok: true, value: new ServiceAuthorizer(sealer, ticket, random) };
  }

  /** Wipes all tickets and forgets the global_id. */
  wipe(): void {
    this.tickets.wipe();
    this.#waiting = undefined;
    this.#serverChallenge = 0n;
  }

  #onChallenge(reader: Reader): ClientResult<ClientStep> {
    const challenge = decodeServerChallenge(reader);
    // Zero means "none" to Ceph: no monitor sends it.
    if (challenge === 0n) return failure('challenge.zero');
    this.#serverChallenge = challenge;
    return done({ kind: 'send', payload: this.#authenticate() });
  }

  /** CephXAuthenticate: the proof of our key, the old AUTH ticket, and what else we want. */
  #authenticate(): Uint8Array {
    const { sealer, key, random, clock } = this.#options;
    const clientChallenge = randomU64(random);
    const challenges = { server: this.#serverChallenge, client: clientChallenge };
    const { tickets } = this;
    const need = tickets.globalId === 0n ? this.#want : tickets.needs(this.#want, clock());
    this.#asked = need | ENTITY_TYPE_AUTH;
    this.#waiting = 'WAIT_TICKET';
    const out = new Writer();
    encodeRequestHeader(out, GET_AUTH_SESSION_KEY);
    encodeAuthenticate(out, {
      version: AUTHENTICATE_VERSION,
      clientChallenge,
      key: challengeHash(sealer, key, challenges),
      oldTicket: tickets.oldTicket().blob,
      otherKeys: this.#asked,
    });
    return out.finish();
  }

  #onLogin(reader: Reader, frame: Frame): ClientResult<ClientStep> {
    const { sealer, key } = this.#options;
    const own = this.tickets.globalId;
    const globalId = frame.globalId ?? own;
    if (globalId === 0n || (own !== 0n && globalId !== own)) return failure('reply.global_id');
    const oldKey = this.tickets.oldTicket().sessionKey;
    const grants = openTicketReply(sealer, key, reader, oldKey);
    const [auth] = grants;
    const wrong = this.#judge(grants, ENTITY_TYPE_AUTH);
    if (wrong !== undefined || auth === undefined) return failure(wrong ?? 'reply.service');
    const { connection = 'crc' } = frame;
    // Over messenger version 1, 16.2.15 leaves the tail out where it fails after the AUTH ticket.
    const isCut = connection === 'none' && reader.left === 0;
    const cbl = isCut ? EMPTY : reader.bl('login reply');
    const extra = isCut ? EMPTY : reader.bl('login reply');
    const secret =
      connection === 'none' ? EMPTY : openConnectionSecret(sealer, auth.sessionKey, cbl);
    const fail = (reason: ClientReason): ClientFailure => {
      secret.fill(0);
      return failure(reason);
    };
    const lenExpected = connection === 'secure' ? CONNECTION_SECRET_LEN : 0;
    if (secret.length !== lenExpected) return fail('reply.connection_secret');
    const others =
      extra.length === 0 ? [] : openTicketReply(sealer, auth.sessionKey, new Reader(extra));
    const wrongOther = this.#judge(others, this.#asked & ~ENTITY_TYPE_AUTH);
    if (wrongOther !== undefined) return fail(wrongOther);
    // Tickets of another global_id are not ours any more.
    if (own === 0n) this.tickets.wipe();
    this.tickets.globalId = globalId;
    this.tickets.take([auth, ...others], this.#options.clock());
    return done({ kind: 'login', connectionSecret: secret });
  }

  #onTickets(reader: Reader): ClientResult<ClientStep> {
    const auth = this.#auth();
    if (!auth.ok) return auth;
    const grants = openTicketReply(this.#options.sealer, auth.value.sessionKey, reader);
    const wrong = this.#judge(grants, this.#asked);
    if (wrong !== undefined) return failure(wrong);
    this.tickets.take(grants, this.#options.clock());
    return done({ kind: 'tickets' });
  }

  #onRotating(reader: Reader): ClientResult<ClientStep> {
    const { sealer, key } = this.#options;
    return done({ kind: 'rotating', rotating: openRotatingSecrets(sealer, key, reader.rest()) });
  }

  /** What is wrong with the tickets of a reply: each is one that was asked for, new, and usable. */
  #judge(grants: readonly ServiceTicketGrant[], asked: number): ClientReason | undefined {
    let open = asked;
    for (const { serviceId, sessionKey } of grants) {
      if (!maskServices(open).includes(serviceId)) return 'reply.service';
      open &= ~serviceId;
      if (!sessionKey.usable) return 'key.empty';
      if (sessionKey.secret.length > SESSION_SECRET_LEN_MAX) return 'key.length';
      const held = this.tickets.held(serviceId)?.sessionKey;
      if (held !== undefined && equalBytes(held.secret, sessionKey.secret)) return 'reply.replayed';
    }
    return undefined;
  }

  /** A request that proves our name with an AUTH authorizer, without a challenge. */
  #request(
    type: number,
    waiting: 'WAIT_TICKETS' | 'WAIT_ROTATING',
    asked: number,
    body: (out: Writer) => void,
  ): ClientResult<Uint8Array> {
    const auth = this.#auth();
    if (!auth.ok) return auth;
    const { sealer, random } = this.#options;
    const { sessionKey, blob } = auth.value;
    const { globalId } = this.tickets;
    const ticket = { globalId, serviceId: ENTITY_TYPE_AUTH, sessionKey, blob };
    const out = new Writer();
    encodeRequestHeader(out, type);
    out.bytes(buildAuthorizer(sealer, ticket, randomU64(random), random));
    body(out);
    this.#waiting = waiting;
    this.#asked = asked;
    return { ok: true, value: out.finish() };
  }

  #auth(): ReturnType<TicketManager['usable']> {
    return this.tickets.usable(ENTITY_TYPE_AUTH, this.#options.clock());
  }
}

function failure(reason: ClientReason): ClientFailure {
  return { ok: false, reason };
}

function done(step: ClientStep): ClientResult<ClientStep> {
  return { ok: true, value: step };
}

function checkedMask(want: number): number {
  const known = maskServices(want).reduce((mask, serviceId) => mask | serviceId, 0);
  if (known !== want)
    throw new RangeError(`"want" is ${want}: no mask of mon, mds, osd, mgr, auth`);
  return want;
}

const REQUEST_TYPES = {
  WAIT_TICKET: GET_AUTH_SESSION_KEY,
  WAIT_TICKETS: GET_PRINCIPAL_SESSION_KEY,
  WAIT_ROTATING: GET_ROTATING_KEY,
} as const;
/** Version 3 promises the old ticket with a reclaimed global_id (CVE-2021-20288). */
const AUTHENTICATE_VERSION = 3;
const EMPTY: Uint8Array = new Uint8Array(0);
