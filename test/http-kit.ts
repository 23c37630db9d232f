/** The sidecar in a test: app, engine, a clock that the test sets, and a client of each kind. */

import type { Hono } from 'hono';
import { expect } from 'vitest';
import * as abi from '../assembly/abi.ts';
import { openAuthorizeChallenge } from '../src/cephx/authorizer.ts';
import type { CryptoKey } from '../src/cephx/cryptokey.ts';
import { Engine, type Policy } from '../src/engine/index.ts';
import { createApp } from '../src/http/app.ts';
import type { Listener } from '../src/http/callers.ts';
import { decodeBase64, encodeBase64 } from '../src/http/codec.ts';
import { type AppDeps, type AppEnv, BODY_LIMITS, type LogRecord } from '../src/http/deps.ts';
import { StaticRing } from '../src/http/ring.ts';
import type { Secret } from '../src/http/secretsfile.ts';
import { State } from '../src/http/state.ts';
import type { StateKeys } from '../src/http/tokens.ts';
import {
  makeSecret,
  makeTicket,
  NOW_NS,
  type TestTicket,
  type TicketOptions,
} from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';
import { twinSealer } from './twin/sealer.ts';

export const UNIX: Listener = { kind: 'unix' };
export const HOST = '127.0.0.1:6480';
export const TCP: Listener = { kind: 'tcp', hosts: new Set([HOST, 'localhost:6480']) };
export const SECOND_NS = 1_000_000_000n;

export interface KitOptions {
  readonly policy?: Partial<Policy>;
  readonly sign?: boolean;
  readonly allowUnchallengedVerdict?: boolean;
  readonly keys?: StateKeys;
  readonly secrets?: readonly Secret[];
  readonly body?: AppDeps['body'];
  readonly entities?: AppDeps['entities'];
  readonly sessionsMax?: number;
  readonly spentMax?: number;
}

/** An answer: its status and its document. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects to be there
  readonly body: any;
}

const rng = new Rng(seedOf(23));
export const random: (n: number) => Uint8Array = rng.random;
export const aes256kSecret: CryptoKey = makeSecret('aes256k', random).key;
export const aesSecret: CryptoKey = makeSecret('aes', random).key;
/** Secret ids of the two secrets of each service. */
export const AES256K_ID = 2n;
export const AES_ID = 3n;

export const SECRETS: readonly Secret[] = (['osd', 'mds', 'mgr'] as const).flatMap((service) => [
  { service, secretId: AES256K_ID, key: aes256kSecret, expiresNs: undefined },
  { service, secretId: AES_ID, key: aesSecret, expiresNs: undefined },
]);

export class Kit {
  readonly app: Hono<AppEnv>;
  readonly deps: AppDeps;
  readonly logs: LogRecord[] = [];
  nowNs: bigint = NOW_NS;

  private constructor(engine: Engine, options: KitOptions) {
    const keys = options.keys ?? { current: random(32), previous: undefined };
    const { sessionsMax, spentMax } = options;
    this.deps = {
      engine,
      ring: new StaticRing(engine, options.secrets ?? SECRETS, NOW_NS, false),
      state: new State({
        keys,
        random,
        ...(sessionsMax && { sessionsMax }),
        ...(spentMax && { spentMax }),
      }),
      policy: options.policy ?? {},
      clock: () => this.nowNs,
      random,
      log: (record) => void this.logs.push(record),
      sign: options.sign ?? false,
      allowUnchallengedVerdict: options.allowUnchallengedVerdict ?? false,
      body: options.body ?? BODY_LIMITS,
      entities: options.entities,
    };
    this.app = createApp(this.deps);
  }

  static async create(options: KitOptions = {}): Promise<Kit> {
    return new Kit(await Engine.create({ preset: 'small', ticketCache: true }), options);
  }

  async post(path: string, body: unknown, listener: Listener = UNIX): Promise<Answer> {
    const init = { method: 'POST', headers: JSON_HEADERS, body: JSON.stringify(body) };
    return this.raw(path, init, listener);
  }

  async raw(path: string, init: RequestInit, listener: Listener = UNIX): Promise<Answer> {
    const response = await this.app.request(path, init, { listener });
    const text = await response.text();
    const { status, headers } = response;
    return { status, headers, text, body: text === '' ? undefined : JSON.parse(text) };
  }

  verify(body: unknown, listener: Listener = UNIX): Promise<Answer> {
    return this.post('/v1/verify', body, listener);
  }

  /** Both steps of a verify, as a node and its client do them. */
  async accept(
    ticket: TestTicket,
    fields: Readonly<Record<string, unknown>> = {},
    listener: Listener = UNIX,
  ): Promise<Accepted> {
    const base = { service: 'osd', peer: '192.0.2.7', connection: newConnection(), ...fields };
    const first = await this.verify({ ...base, authorizer: b64(ticket.authorizer()) }, listener);
    expect(first.body.reason.code).toBe('authorizer.challenge_required');
    const authorizer = b64(ticket.authorizer(challengeIn(ticket, first)));
    const { challenge_state } = first.body;
    const request = { ...base, authorizer };
    const final = await this.verify({ ...request, challenge_state }, listener);
    return { first, final, request, challengeState: challenge_state };
  }
}

export interface Accepted {
  readonly first: Answer;
  readonly final: Answer;
  /** The second request without its challenge_state. */
  readonly request: Readonly<Record<string, unknown>>;
  readonly challengeState: string;
}

/** The server challenge that the client finds in a first answer. */
export function challengeIn(ticket: TestTicket, first: Answer): bigint {
  const sealed = decodeBase64(first.body.challenge);
  return openAuthorizeChallenge(twinSealer, ticket.sessionKey, sealed!);
}

export function osdTicket(options: TicketOptions & { readonly aes?: boolean } = {}): TestTicket {
  const secret = options.aes ? aesSecret : aes256kSecret;
  const secretId = options.aes ? AES_ID : AES256K_ID;
  return makeTicket(secret, random, { service: abi.ENTITY_TYPE_OSD, secretId, ...options });
}

let connections = 0;
/** A connection's name that was never used. */
export function newConnection(): string {
  connections += 1;
  return `connection-${connections}`;
}

export function b64(bytes: Uint8Array): string {
  return encodeBase64(bytes);
}

export function bytesOf(text: string): Uint8Array {
  return decodeBase64(text)!;
}

/** An answer's text without what differs from one decision to the next. */
export function withoutId(answer: Answer): string {
  return answer.text.replace(/"decision_id":"[0-9a-f]+"/, '"decision_id":""');
}

export const JSON_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'application/json',
  host: HOST,
};
