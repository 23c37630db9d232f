/**
 * The observer of `cephgate serve`: metrics, the shadow judgement, and the decision log where
 * there is one.
 */

import { ENTITY_TYPES } from '../cephx/protocol.ts';
import { FileError } from '../errors.ts';
import { decodeHex, encodeHex } from '../http/codec.ts';
import type { AppDeps } from '../http/deps.ts';
import { exists, readPrivateFile, writePrivateFile } from '../http/files.ts';
import { DecisionLog } from './decisionlog.ts';
import type { DecisionFacts, Observer, RequestFacts } from './facts.ts';
import { Metrics } from './metrics.ts';
import { RotatingFile } from './rotatingfile.ts';
import { Shadow, type ShadowOptions } from './shadow.ts';

export type ObserverSource = Pick<
  AppDeps,
  'engine' | 'ring' | 'state' | 'policy' | 'clock' | 'log' | 'logDropped' | 'view' | 'users'
>;

export interface DecisionLogSettings {
  readonly path: string;
  /** One of so many allowed decisions is written. */
  readonly sample: number;
  /** File size in bytes at which it is turned over, and how many of the old ones are kept. */
  readonly lenMax: number;
  readonly keep: number;
  readonly hashKey?: Uint8Array | undefined;
}

export interface ObserverOptions {
  readonly decisionLog?: DecisionLogSettings | undefined;
  readonly shadow?: Pick<ShadowOptions, 'perSecondMax' | 'later'>;
}

export class SidecarObserver implements Observer {
  /** Set where this process is one of several: gives the metrics of all. */
  aggregated: Observer['metrics'] | undefined;
  readonly #metrics: Metrics;
  readonly #shadow: Shadow;
  readonly #source: ObserverSource;
  readonly #file: RotatingFile | undefined;
  readonly #log: DecisionLog | undefined;
  #fileFails = false;
  #refusals = { second: -1n, logged: 0, dropped: 0 };

  /** Throws FileError if the decision log cannot be opened. */
  constructor(source: ObserverSource, options: ObserverOptions = {}) {
    const { engine, ring, policy, clock } = source;
    this.#source = source;
    this.#metrics = new Metrics(source);
    this.#shadow = new Shadow({
      ...{ engine, policy, clock, secrets: () => ring.facts },
      judged: (name, outcome) => this.#metrics.judged(name, outcome),
      ...options.shadow,
    });
    const { decisionLog } = options;
    if (decisionLog === undefined) return;
    const { sample, hashKey, ...file } = decisionLog;
    this.#file = new RotatingFile({ ...file, failed: (code) => this.#failed(code) });
    const dropped = (decision: 'allowed' | 'denied'): void => this.#metrics.dropped(decision);
    this.#log = new DecisionLog({ file: this.#file, clock, sample, hashKey, dropped });
  }

  request(facts: RequestFacts): void {
    this.#metrics.request(facts);
    if (facts.problem !== undefined) this.#refused(facts);
  }

  decision(facts: DecisionFacts): boolean {
    this.#metrics.decision(facts);
    const { authorizer, service } = facts;
    if (authorizer !== undefined) this.#shadow.offer(ENTITY_TYPES[service] ?? 0, authorizer);
    this.#log?.add(facts);
    return this.#log !== undefined;
  }

  allowed(call: string, service: string, count: number): void {
    this.#metrics.allowed(call, service, count);
  }

  framesOpened(): void {
    this.#metrics.frames(1);
  }

  framesClosed(): void {
    this.#metrics.frames(-1);
  }

  framesEnded(why: string): void {
    this.#metrics.framesEnded(why);
  }

  behind(): boolean {
    return this.#file?.behind === true;
  }

  /** What is counted here, for the process that adds up those of several. */
  values(): Promise<unknown> {
    return this.#metrics.registry.getMetricsAsJSON();
  }

  async metrics(): Promise<{ contentType: string; text: string }> {
    if (this.aggregated !== undefined) return await this.aggregated();
    const { registry } = this.#metrics;
    return { contentType: registry.contentType, text: await registry.metrics() };
  }

  /** Writes what is left of the decision log. */
  async close(): Promise<void> {
    await this.#file?.close();
  }

  /** Strangers cause these lines, so there are only so many in a second. */
  #refused({ requestId, route, method, status, problem }: RequestFacts): void {
    const second = this.#source.clock() / 1_000_000_000n;
    if (second !== this.#refusals.second) {
      const { dropped } = this.#refusals;
      this.#refusals = { second, logged: 0, dropped: 0 };
      if (dropped > 0) this.#source.log({ level: 'warn', event: 'refused.more', count: dropped });
    }
    this.#refusals.logged += 1;
    if (this.#refusals.logged > REFUSALS_MAX) {
      this.#refusals.dropped += 1;
      return;
    }
    const fields = { request_id: requestId, route, method: shownMethod(method), status };
    this.#source.log({ level: 'warn', event: 'refused', ...fields, code: problem });
  }

  /** Said once, until a write has gone well for a while. */
  #failed(code: string): void {
    this.#metrics.logFailed();
    if (this.#fileFails) return;
    this.#fileFails = true;
    setTimeout(() => {
      this.#fileFails = false;
    }, FAILURE_QUIET_MS).unref?.();
    this.#source.log({ level: 'error', event: 'decision_log', code });
  }
}

/** The key under which object names are hashed: made if the file is missing. Throws FileError. */
export function loadHashKey(path: string, random: (n: number) => Uint8Array): Uint8Array {
  if (!exists(path)) writePrivateFile(path, `${encodeHex(random(HASH_KEY_LEN))}\n`);
  const key = decodeHex(readPrivateFile(path).trim());
  if (key?.length === HASH_KEY_LEN) return key;
  const expected = `${2 * HASH_KEY_LEN} hexadecimal digits`;
  throw new FileError('file.content', `cannot read "${path}": expected ${expected}`);
}

function shownMethod(method: string): string {
  return METHODS.has(method) ? method : 'other';
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH']);
const HASH_KEY_LEN = 32;
const REFUSALS_MAX = 20;
const FAILURE_QUIET_MS = 60_000;
