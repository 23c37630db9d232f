/**
 * Keeps the rotating secrets of one daemon's service up to date (Ceph: MonClient.cc
 * _check_auth_rotating; cephx.md 14).
 */

import { type EntityName, entityTypeName, type RotatingSecrets } from '../cephx/protocol.ts';
import { defer, sleep } from './deferred.ts';
import { MonError } from './errors.ts';
import type { MonClient } from './monclient.ts';

/** The services whose daemons have rotating secrets that we verify with. */
export type RingService = 'osd' | 'mds' | 'mgr';

/** What came of a set of secrets that was fetched. */
export type Taken =
  | 'changed'
  | 'same'
  /** Its max_ver is lower than ours, and nothing says that the secrets were wiped. */
  | 'older';

/** A ring that is kept up to date from here. */
export interface UpkeptRing {
  /** How many secrets it holds. */
  readonly size: number;
  /**
   * Takes the secrets of a service as they were fetched at a time; their keys belong to the ring
   * from here on. Throws MonError `mon.protocol` for a set that no monitor makes.
   */
  take(service: RingService, rotating: RotatingSecrets, authEpoch: number, nowNs: bigint): Taken;
  /** Drops the secrets of a service: the cluster has wiped them. */
  drop(service: RingService): void;
  /** When they have to be asked for; undefined: now, as there are none. */
  dueNs(service: RingService): bigint | undefined;
  /** The life of a secret of a service. */
  ttlNs(service: RingService): bigint;
}

export interface RotatingSourceOptions {
  readonly client: MonClient;
  readonly ring: UpkeptRing;
  readonly service: RingService;
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  readonly log?: (record: Readonly<Record<string, string | number>>) => void;
}

/** The service whose secrets a daemon of this name may have, undefined for any other entity. */
export function rotatingService({ type }: EntityName): RingService | undefined {
  const name = entityTypeName(type);
  return name === 'osd' || name === 'mds' || name === 'mgr' ? name : undefined;
}

/** Fetches, and fetches again when it is time, until it is stopped. */
export class RotatingSource {
  readonly #options: RotatingSourceOptions;
  readonly #stopped = new AbortController();
  readonly #first = defer<void>();
  #kick = new AbortController();
  /** Resolved by the end of the first fetch that begins from now on. */
  #next = defer<void>();
  #running: Promise<void> = Promise.resolve();
  /** Fetches in a row that changed nothing though it was time. */
  #idle = 0;
  #failed = false;

  constructor(options: RotatingSourceOptions) {
    this.#options = options;
    const { client, ring, service } = options;
    client.onMonMap((monmap, former) => {
      if (former === undefined || monmap.auth.epoch <= former.auth.epoch) return;
      this.#log('secrets_wiped', { auth_epoch: monmap.auth.epoch });
      ring.drop(service);
      this.#kick.abort();
    });
    this.#first.promise.catch(() => undefined);
  }

  /** Begins. Resolves when there are secrets; throws MonError if the first attempt fails. */
  start(): Promise<void> {
    this.#running = this.#run();
    return this.#first.promise;
  }

  /** Ends; the client is stopped by whoever started it, before this. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#kick.abort();
    await this.#running;
  }

  /** Fetches at once. Resolves when that has ended, well or not, or after `withinMs`. */
  async refresh(withinMs: number): Promise<void> {
    const { promise } = this.#next;
    this.#kick.abort();
    const ended = new AbortController();
    await Promise.race([promise, sleep(withinMs, ended.signal)]);
    ended.abort();
  }

  async #run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      // Whatever asks for more from here on asks for the fetch after this one.
      this.#kick = new AbortController();
      const { resolve } = this.#next;
      this.#next = defer();
      await this.#fetch();
      resolve();
      const signal = AbortSignal.any([this.#stopped.signal, this.#kick.signal]);
      await sleep(this.#waitMs(), signal);
    }
  }

  async #fetch(): Promise<void> {
    const { client, ring, service, clock } = this.#options;
    try {
      const rotating = await client.fetchRotating();
      const taken = ring.take(service, rotating, client.monmap?.auth.epoch ?? 0, clock());
      this.#count(taken);
      this.#first.resolve();
    } catch (error) {
      if (!(error instanceof MonError)) throw error;
      this.#first.reject(error);
      if (this.#stopped.signal.aborted) return;
      if (!this.#failed) this.#log('secrets_failed', { code: error.code, message: error.message });
      this.#failed = true;
      this.#idle++;
    }
  }

  #count(taken: Taken): void {
    const { ring, service } = this.#options;
    const isNews = taken !== 'same' || this.#failed;
    this.#failed = false;
    this.#idle = taken === 'changed' ? 0 : this.#idle + 1;
    if (isNews) this.#log('secrets_fetched', { service, taken, secrets: ring.size });
  }

  /**
   * Until it is time by the rule of Ceph; but no longer than a quarter of a secret's life, so that
   * a clock that is late does no harm, and longer and longer where it brings nothing, so that one
   * that is early does none to the monitors.
   */
  #waitMs(): number {
    const { ring, service, clock } = this.#options;
    const due = ring.dueNs(service);
    const leastMs = Math.min(LEAST_MS * 2 ** Math.min(this.#idle, 5), LEAST_MAX_MS);
    if (due === undefined) return leastMs;
    const untilDueMs = Number((due - clock()) / NS_PER_MS);
    const quarterMs = Number(ring.ttlNs(service) / 4n / NS_PER_MS);
    return Math.max(Math.min(Math.max(untilDueMs, leastMs), quarterMs), LEAST_MS);
  }

  #log(event: string, fields: Readonly<Record<string, string | number>>): void {
    this.#options.log?.({ event, ...fields });
  }
}

const NS_PER_MS = 1_000_000n;
/** At most one fetch a second. */
const LEAST_MS = 1_000;
const LEAST_MAX_MS = 30_000;
