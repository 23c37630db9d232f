/**
 * What the routes are given. Nothing here is a module's own state: two apps in one process share
 * only what their makers share.
 */

import type { IncomingMessage } from 'node:http';
import type { EntitySnapshot } from '../auth/entitycaps.ts';
import type { CephxServiceHandler } from '../auth/servicehandler.ts';
import type { StoreView } from '../auth/storeview.ts';
import type { Engine } from '../engine/engine.ts';
import type { Policy } from '../engine/types.ts';
import type { Observer } from '../observe/facts.ts';
import type { BodyLimits } from './bodybytes.ts';
import type { Caller, Listener } from './callers.ts';
import type { ClusterUsers } from './clusterusers.ts';
import type { HeaderLookup } from './headers.ts';
import type { State } from './state.ts';

/** The service secrets in the engine, kept to the clock. */
export interface SecretRing {
  /** Puts the engine's secrets to what they are at this time; cheap when nothing is due. */
  advance(nowNs: bigint): void;
  /** Looks for a secret newer than all that are held; true if an authorizer's may be here now. */
  catchUp?(authorizer: Uint8Array): Promise<boolean>;
  /** Number of the present set; it rises with every change. */
  readonly snapshot: bigint;
  /** How many secrets are kept now. */
  readonly size: number;
  /** What may be told of the secrets kept now. */
  readonly facts: readonly SecretFact[];
  /** The services whose secrets should have been replaced by now, where another gives them. */
  stale?(nowNs: bigint): readonly string[];
}

/** A service secret without its key. */
export interface SecretFact {
  readonly service: string;
  /** Entity type of the service. */
  readonly serviceId: number;
  readonly secretId: bigint;
  readonly keyType: string;
  readonly createdNs: bigint;
  readonly expiresNs: bigint | undefined;
}

/** One line of the log: a flat object without secrets and without raw bytes. */
export type LogRecord = Readonly<Record<string, string | number | boolean | undefined>>;

/** The monitor's part of cephx: a CephxServiceHandler, or the way to one. */
export interface Exchanging {
  helloWithToken(
    payload: Uint8Array,
  ): Eventually<ReturnType<CephxServiceHandler['helloWithToken']>>;
  request: CephxServiceHandler['request'];
}
type Eventually<T> = T | Promise<T>;

export interface AppDeps {
  readonly engine: Engine;
  readonly ring: SecretRing;
  readonly state: State;
  readonly policy: Partial<Policy>;
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  /** Gives n random bytes. */
  readonly random: (n: number) => Uint8Array;
  readonly log: (record: LogRecord) => void;
  /** Lines of the log that were dropped so far, since nobody took them. */
  readonly logDropped?: (() => number) | undefined;
  /** The routes /v1/sign and /v1/sign/verify exist. */
  readonly sign: boolean;
  /** Callers with `accept` may ask for a verdict without a challenge. */
  readonly allowUnchallengedVerdict: boolean;
  readonly body: BodyLimits;
  /** The monitor's part of cephx, where tickets are issued. */
  readonly issuer?: Exchanging | undefined;
  /** The caps of entities in the store, all at one snapshot. Throws StoreError. */
  readonly entities?: ((names: readonly string[]) => Promise<EntitySnapshot>) | undefined;
  /** Beside a real cluster, where its users are looked at: what `entities` reads. */
  readonly users?: Pick<ClusterUsers, 'facts' | 'isStale'> | undefined;
  /** What is known of the store, and how old that is. */
  readonly view?:
    | Pick<StoreView, 'ageMs' | 'isStale' | 'onStale' | 'reach' | 'snapshot'>
    | undefined;
  /** Keys lie in a shared store as they are. */
  readonly storePlaintext?: boolean;
  /** The health codes that were raised lately. */
  readonly health?: (() => Promise<readonly string[]>) | undefined;
  /** Metrics and decision log. */
  readonly observe?: Observer | undefined;
  /** Callers on TCP without a bearer token may read /metrics. */
  readonly openMetrics?: boolean;
}

/** What the server gives with each request. */
export interface Bindings {
  readonly listener: Listener;
  /** The request as Node has it: its body is read past the streams of the web. */
  readonly incoming?: IncomingMessage | undefined;
}

export interface AppEnv {
  Bindings: Bindings;
  /** `headers`: of the request. */
  Variables: { caller: Caller; headers: HeaderLookup };
}

/** Limits of a body unless something else is asked for: 1 MiB, 10 s. */
export const BODY_LIMITS: BodyLimits = { lenMax: 1_048_576, timeoutMs: 10_000 };
