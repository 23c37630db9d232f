/**
 * The tickets a client holds, when to renew them, and what it does with one at a service (Ceph:
 * CephXTicketManager, CephXTicketHandler, CephXAuthorizer; spec sections 9 and 12).
 */

import { ENTITY_TYPE_AUTH, KEY_TYPE_AES } from '../../assembly/abi.ts';
import {
  type AuthorizerTicket,
  buildAuthorizer,
  openAuthorizeChallenge,
  openAuthorizeReply,
  randomU64,
  sealAuthorizeReply,
} from './authorizer.ts';
import { CryptoKey, type Random, type Sealer } from './cryptokey.ts';
import { type DecodeCode, DecodeError, equalBytes } from './denc.ts';
import { ENTITY_TYPES, NO_TICKET_BLOB, type TicketBlob } from './protocol.ts';
import type { ServiceTicketGrant } from './ticket.ts';

/**
 * Why a client does not go on: the check that bytes from the other side failed, or one of these.
 *
 * `request.refused`: the monitor answered with an errno, in `status`. `challenge.zero`,
 * `challenge.repeated`: no challenge, or one too many. `reply.type`, `reply.service`,
 * `reply.global_id`: an answer to something else. `reply.connection_secret`: not of the length that
 * the mode needs. `reply.replayed`: the session key is one that we hold already. `reply.form`: it
 * opened, but genuine peers write it otherwise. `reply.length`: too long. `ticket.none`,
 * `ticket.expired`: log in first. `state.unexpected`: nothing was asked that this could answer.
 */
export type ClientReason =
  | DecodeCode
  | 'challenge.repeated'
  | 'challenge.zero'
  | 'request.refused'
  | 'reply.connection_secret'
  | 'reply.form'
  | 'reply.global_id'
  | 'reply.length'
  | 'reply.replayed'
  | 'reply.service'
  | 'reply.type'
  | 'state.unexpected'
  | 'ticket.expired'
  | 'ticket.none';

export interface ClientFailure {
  readonly ok: false;
  readonly reason: ClientReason;
  /** With `request.refused`: a negative errno. */
  readonly status?: number;
}

/** What a step of a client gives: bytes from the other side never make it throw. */
export type ClientResult<T> = { readonly ok: true; readonly value: T } | ClientFailure;

/** A ticket and its times, in nanoseconds since 1970 by our own clock. */
export interface HeldTicket extends ServiceTicketGrant {
  readonly expiresNs: bigint;
  /** Three quarters of the validity are over: from here on a new one is asked for. */
  readonly renewAfterNs: bigint;
}

/** The tickets of one client. */
export class TicketManager {
  /** 0n: none was given to us yet. */
  globalId = 0n;
  readonly #held = new Map<number, HeldTicket>();
  readonly #invalid = new Set<number>();

  /** Takes tickets that came at `nowNs`; each replaces the one of its service, which is wiped. */
  take(grants: readonly ServiceTicketGrant[], nowNs: bigint): void {
    for (const grant of grants) {
      const { serviceId, validity } = grant;
      const seconds = BigInt(validity.seconds);
      const expiresNs = nowNs + seconds * NS_PER_SECOND + BigInt(validity.nanoseconds);
      // Ceph: a quarter of the whole seconds.
      const renewAfterNs = expiresNs - (seconds * NS_PER_SECOND) / 4n;
      this.#held.get(serviceId)?.sessionKey.wipe();
      this.#held.set(serviceId, { ...grant, expiresNs, renewAfterNs });
      this.#invalid.delete(serviceId);
    }
  }

  /** The ticket for a service, however old: undefined if there never was one. */
  held(serviceId: number): HeldTicket | undefined {
    return this.#held.get(serviceId);
  }

  /** All tickets, by service id. */
  list(): readonly HeldTicket[] {
    return [...this.#held.values()].sort((a, b) => a.serviceId - b.serviceId);
  }

  /** The ticket for a service while it may be used: until it expires or was rejected. */
  usable(serviceId: number, nowNs: bigint): ClientResult<HeldTicket> {
    const ticket = this.#held.get(serviceId);
    if (ticket === undefined || this.#invalid.has(serviceId)) {
      return { ok: false, reason: 'ticket.none' };
    }
    if (nowNs >= ticket.expiresNs) return { ok: false, reason: 'ticket.expired' };
    return { ok: true, value: ticket };
  }

  /** Which services of the mask `want` need a new ticket: none is usable, or it is time. */
  needs(want: number, nowNs: bigint): number {
    let need = 0;
    for (const serviceId of maskServices(want)) {
      const found = this.usable(serviceId, nowNs);
      if (!found.ok || nowNs >= found.value.renewAfterNs) need |= serviceId;
    }
    return need;
  }

  /**
   * A service rejected our authorizer: neither its ticket nor the AUTH ticket is used any more. The
   * AUTH ticket still goes along as the old one when the global_id is reclaimed.
   */
  invalidate(serviceId: number): void {
    this.#invalid.add(serviceId).add(ENTITY_TYPE_AUTH);
  }

  /** The AUTH ticket with which our global_id is reclaimed, and its session key. */
  oldTicket(): { readonly blob: TicketBlob; readonly sessionKey: CryptoKey } {
    const auth = this.globalId === 0n ? undefined : this.#held.get(ENTITY_TYPE_AUTH);
    return auth ?? { blob: NO_TICKET_BLOB, sessionKey: CryptoKey.none() };
  }

  /** Drops and wipes everything: the next login gets a new global_id. */
  wipe(): void {
    for (const { sessionKey } of this.#held.values()) sessionKey.wipe();
    this.#held.clear();
    this.#invalid.clear();
    this.globalId = 0n;
  }
}

/**
 * One connection to a service: our authorizer, at most one challenge, and the proof that the
 * service
 * could read it. Only after `verifyReply` said yes has anybody been authenticated to us.
 */
export class ServiceAuthorizer {
  readonly #sealer: Sealer;
  readonly #random: Random;
  readonly #ticket: AuthorizerTicket;
  #nonce: bigint | undefined;
  #isChallenged = false;
  #isProved = false;

  /** @param ticket its session key is copied: a renewal does not disturb an open connection */
  constructor(sealer: Sealer, ticket: AuthorizerTicket, random: Random) {
    const { type, created, secret } = ticket.sessionKey;
    this.#sealer = sealer;
    this.#random = random;
    this.#ticket = { ...ticket, sessionKey: new CryptoKey(type, created, secret) };
  }

  get serviceId(): number {
    return this.#ticket.serviceId;
  }

  /** The key of this connection's signatures. */
  get sessionKey(): CryptoKey {
    return this.#ticket.sessionKey;
  }

  /** Whether the service proved that it holds the session key. */
  get isProved(): boolean {
    return this.#isProved;
  }

  /** CephXAuthorizer, the first thing that is sent. Starts anew if it is called again. */
  first(): Uint8Array {
    this.#isChallenged = false;
    return this.#build(undefined);
  }

  /**
   * The authorizer that answers a sealed CephXAuthorizeChallenge, given without the messenger's
   * length. A second challenge on a connection is `challenge.repeated`.
   */
  answer(sealedChallenge: Uint8Array): ClientResult<Uint8Array> {
    if (this.#nonce === undefined) return { ok: false, reason: 'state.unexpected' };
    if (this.#isChallenged) return { ok: false, reason: 'challenge.repeated' };
    if (sealedChallenge.length > PAYLOAD_LEN_MAX) return { ok: false, reason: 'reply.length' };
    return attempt(() => {
      const { sessionKey } = this.#ticket;
      const challenge = openAuthorizeChallenge(this.#sealer, sessionKey, sealedChallenge);
      this.#isChallenged = true;
      return { ok: true, value: this.#build(challenge) };
    });
  }

  /**
   * Checks the sealed CephXAuthorizeReply and gives the connection secret: 64 bytes with `secure`,
   * else none. One reply is looked at for each authorizer that was sent.
   *
   * Under `aes` nothing protects the connection secret from being altered on the way: then it is
   * not the one that the service has, and no frame under it will open.
   */
  verifyReply(sealedReply: Uint8Array, options: { secure: boolean }): ClientResult<Uint8Array> {
    const nonce = this.#nonce;
    if (nonce === undefined) return { ok: false, reason: 'state.unexpected' };
    this.#nonce = undefined;
    if (sealedReply.length > PAYLOAD_LEN_MAX) return { ok: false, reason: 'reply.length' };
    return attempt(() => {
      const { sessionKey } = this.#ticket;
      const secret = openAuthorizeReply(this.#sealer, sessionKey, nonce, sealedReply);
      const fail = (reason: ClientReason): ClientFailure => {
        secret.fill(0);
        return { ok: false, reason };
      };
      if (secret.length !== (options.secure ? CONNECTION_SECRET_LEN : 0)) {
        return fail('reply.connection_secret');
      }
      // `aes` has no MAC, and Ceph looks neither at the padding nor at what stands before it: an
      // altered last block passes once in 65,536 tries. It has one genuine form, so we ask for
      // that.
      if (sessionKey.type === KEY_TYPE_AES) {
        const genuine = sealAuthorizeReply(this.#sealer, sessionKey, nonce, secret, ZEROS);
        if (!equalBytes(genuine, sealedReply)) return fail('reply.form');
      }
      this.#isProved = true;
      return { ok: true, value: secret };
    });
  }

  /** Ends the use of the session key (best effort). */
  wipe(): void {
    this.#ticket.sessionKey.wipe();
    this.#nonce = undefined;
  }

  #build(challenge: bigint | undefined): Uint8Array {
    const nonce = randomU64(this.#random);
    this.#nonce = nonce;
    this.#isProved = false;
    return buildAuthorizer(this.#sealer, this.#ticket, nonce, this.#random, challenge);
  }
}

/** Runs a step: what the bytes of the other side fail at is a value. */
export function attempt<T>(step: () => ClientResult<T>): ClientResult<T> {
  try {
    return step();
  } catch (error) {
    if (error instanceof DecodeError) return { ok: false, reason: error.code };
    throw error;
  }
}

/** The service ids in a mask, ascending. */
export function maskServices(mask: number): readonly number[] {
  return SERVICE_IDS.filter((serviceId) => (mask & serviceId) !== 0);
}

/** Longest payload that a client reads, in bytes. */
export const PAYLOAD_LEN_MAX = 65_536;
/** Bytes of a connection secret in secure mode. */
export const CONNECTION_SECRET_LEN = 64;
/** What tickets are handed out for; a client must never ask for others (spec section 10). */
const SERVICE_IDS: readonly number[] = ['mon', 'mds', 'osd', 'mgr', 'auth'].map(
  (name) => ENTITY_TYPES[name]!,
);
const NS_PER_SECOND = 1_000_000_000n;
const ZEROS = (n: number): Uint8Array => new Uint8Array(n);
