/**
 * The monitor's part of cephx as two calls (Ceph: CephxServiceHandler): hello gives a challenge,
 * request answers 0x0100, 0x0200 and 0x0400. Payloads in, payloads out.
 */

import { randomU64 } from '../cephx/authorizer.ts';
import { DecodeError, decode, encode, Reader, Writer } from '../cephx/denc.ts';
import {
  AUTH_MODE_MON,
  decodeLoginHello,
  decodeRequestHeader,
  encodeResponseHeader,
  encodeServerChallenge,
  GET_AUTH_SESSION_KEY,
  GET_PRINCIPAL_SESSION_KEY,
  GET_ROTATING_KEY,
  type LoginHello,
} from '../cephx/protocol.ts';
import type { Exchange, Exchanges } from './exchange.ts';
import { type CephxAnswer, EINVAL, EPERM, type Issuer, refused } from './issuer.ts';
import { answerLogin, type LoginAnswer, type LoginContext } from './login.ts';
import { answerRotatingKeys, SpentAuthorizers } from './rotatingkeys.ts';
import { answerServiceTickets } from './serviceticket.ts';

export interface HelloAnswer {
  /** CephXServerChallenge. */
  readonly payload: Uint8Array;
  readonly exchange: Exchange;
}

export interface RequestAnswer {
  /** CephXResponseHeader and, if the status is 0, what belongs to it. */
  readonly payload: Uint8Array;
  readonly status: number;
  /** The global_id of a login: on the wire it is in the frame around the payload. */
  readonly globalId: bigint | undefined;
}

export class CephxServiceHandler {
  readonly issuer: Issuer;
  readonly exchanges: Exchanges;
  readonly #spent = new SpentAuthorizers();

  constructor(issuer: Issuer, exchanges: Exchanges) {
    this.issuer = issuer;
    this.exchanges = exchanges;
  }

  /** A challenge for a login, undefined for bytes that are no hello. Touches no store. */
  hello(payload: Uint8Array): HelloAnswer | undefined {
    let hello: LoginHello;
    try {
      hello = decode(decodeLoginHello, payload, 'ignore');
    } catch (error) {
      if (error instanceof DecodeError) return undefined;
      throw error;
    }
    if (hello.mode !== AUTH_MODE_MON) return undefined;
    let serverChallenge = 0n;
    // Zero stands for "none", so it is never one.
    while (serverChallenge === 0n) serverChallenge = randomU64(this.issuer.random);
    const { name, globalId } = hello;
    return {
      payload: encode(encodeServerChallenge, serverChallenge),
      exchange: { name, globalId, serverChallenge },
    };
  }

  /** The hello of a caller without a connection, with the token that stands for it. */
  helloWithToken(
    payload: Uint8Array,
  ): { readonly payload: Uint8Array; readonly token: string } | undefined {
    const answer = this.hello(payload);
    if (answer === undefined) return undefined;
    const token = this.exchanges.make(answer.exchange, this.issuer.clock());
    return { payload: answer.payload, token };
  }

  /**
   * Answers a request. `exchange` counts for 0x0100 only: it, or the token that stands for it, is
   * taken once. Throws StoreError.
   */
  async request(
    payload: Uint8Array,
    exchange: Exchange | string | undefined,
    context: LoginContext,
  ): Promise<RequestAnswer> {
    const { issuer } = this;
    const reader = new Reader(payload);
    let type = 0;
    try {
      type = decodeRequestHeader(reader);
    } catch (error) {
      if (error instanceof DecodeError) return answerOf(0, refused(EPERM));
      throw error;
    }
    await issuer.keyServer.ready(issuer.clock());
    const body = reader.rest();
    switch (type) {
      case GET_AUTH_SESSION_KEY: {
        const answer = await answerLogin(issuer, this.#taken(exchange), body, context);
        if (answer.payload !== undefined) answer.authSessionKey.wipe();
        return answerOf(type, answer);
      }
      case GET_PRINCIPAL_SESSION_KEY:
        return answerOf(type, await answerServiceTickets(issuer, body));
      case GET_ROTATING_KEY:
        return answerOf(type, await answerRotatingKeys(issuer, this.#spent, body));
      default:
        return answerOf(type, refused(EINVAL));
    }
  }

  #taken(exchange: Exchange | string | undefined): Exchange | undefined {
    if (typeof exchange !== 'string') return exchange;
    return this.exchanges.take(exchange, this.issuer.clock());
  }
}

function answerOf(type: number, answer: CephxAnswer | LoginAnswer): RequestAnswer {
  const out = new Writer();
  encodeResponseHeader(out, { type, status: answer.status });
  if (answer.payload !== undefined) out.bytes(answer.payload);
  const globalId = 'globalId' in answer ? answer.globalId : undefined;
  return { payload: out.finish(), status: answer.status, globalId };
}
