/**
 * The rotation of one instance among several on one store, running: it follows the store, leads
 * when nobody else does, and knows how old its view is.
 */

import { randomBytes } from 'node:crypto';
import { ROTATING } from '../store/records.ts';
import type { Watch } from '../store/store.ts';
import { DEFAULT_TTLS, KeyServer, type KeyServerOptions, type RingFence } from './keyserver.ts';
import { RotationLeader } from './leader.ts';
import { CLOCK_EVERY_NS, INSTANCE_TTL_MS, RotationInstance } from './leader-instance.ts';
import { READY } from './leader-records.ts';
import { SharedRefresh } from './leader-refresh.ts';
import { STORE_TIMEOUT_MS } from './storecalls.ts';

export interface JoinOptions extends Omit<KeyServerOptions, 'fence'> {
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  /** What else is kept up with the store by the same watch. */
  readonly others?: readonly Followed[];
  /** Nothing is issued from a view older than this, default STALE_AFTER_MS. */
  readonly staleAfterMs?: number;
}

/** Records that are read again when one of them changed. */
export interface Followed {
  readonly prefix: Uint8Array;
  readonly load: () => Promise<unknown>;
}

export interface JoinedRotation {
  readonly keyServer: KeyServer;
  /** For secret ids above all that are here. */
  readonly refresh: SharedRefresh;
  readonly leads: boolean;
  /** Milliseconds for which changes of others may be missing here: below 2 s in good times. */
  ageMs(): number;
  /** The view is so old that nothing is issued from it. */
  isStale(): boolean;
  /** Leaves; another instance leads at once if this one did. */
  close(): Promise<void>;
  /** Stops without a word, as if it was killed. */
  abandon(): void;
}

/** Joins the instances on the store. Throws StoreError. */
export async function joinRotation(options: JoinOptions): Promise<JoinedRotation> {
  const { store, clock, random, failed, others = [] } = options;
  const mono = (): bigint => BigInt(Math.round(performance.now() * 1e6));
  const shared = { store, clock, mono, random };
  const id = randomBytes(16).toString('hex');
  const { authServiceTicketTtlNs: ttlNs } = options.ttls ?? DEFAULT_TTLS;
  // A new leader turns nothing before it has heard the others: well within the life of a secret.
  const clockEveryNs = ttlNs / 8n < CLOCK_EVERY_NS ? ttlNs / 8n : CLOCK_EVERY_NS;
  const instance = new RotationInstance({ ...shared, id, clockEveryNs });
  await instance.register();
  const staleAfterMs = options.staleAfterMs ?? STALE_AFTER_MS;
  const fence: RingFence = {
    sealable: (service, secretId) =>
      view.ageMs() < staleAfterMs && instance.sealable(service, secretId),
    ask: (kind, services) => instance.ask(kind, services),
  };
  const keyServer = await KeyServer.open({ ...options, fence }, clock());
  await instance.sync(keyServer);
  const leader = new RotationLeader({
    ...shared,
    instance,
    ttlNs: (each) => keyServer.ttlNs(each),
  });
  const sync = inTurn(keyServer, instance);
  const view = new View(options, [
    { prefix: ROTATING.prefix, load: sync },
    { prefix: READY.prefix, load: sync },
    ...others,
  ]);
  const stop = new AbortController();
  const rounds = every(ROUND_MS, stop.signal, failed, async () => {
    // One that sees nothing any more shall not be waited for.
    if (view.ageMs() < INSTANCE_TTL_MS) await instance.beat(keyServer);
    await leader.step();
  });
  const following = every(REOPEN_MS, stop.signal, failed, () => view.follow(stop.signal));
  return {
    keyServer,
    refresh: new SharedRefresh(sync),
    get leads() {
      return leader.leads;
    },
    ageMs: () => view.ageMs(),
    isStale: () => view.ageMs() >= staleAfterMs,
    async close() {
      stop.abort();
      await Promise.all([rounds, following]);
      await leader.close();
      await instance.close();
      keyServer.close();
    },
    abandon: () => stop.abort(),
  };
}

/** Syncs one after the other: an older reading must not undo a newer one. */
function inTurn(keyServer: KeyServer, instance: RotationInstance): () => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return () => {
    const work = last.then(() => instance.sync(keyServer));
    last = work.catch(() => undefined);
    return work;
  };
}

/** The watch on the store and what it brings. */
class View {
  readonly #options: JoinOptions;
  readonly #followed: readonly Followed[];
  #watch: Watch | undefined;
  /** Since when something told has not been taken over yet. */
  #loadingMs: number | undefined;
  /** When all was read for the last time without the watch. */
  #readMs = performance.now();

  constructor(options: JoinOptions, followed: readonly Followed[]) {
    this.#options = options;
    this.#followed = followed;
  }

  ageMs(): number {
    const nowMs = performance.now();
    const loadingMs = this.#loadingMs === undefined ? 0 : nowMs - this.#loadingMs;
    const watchMs = this.#watch?.proofAgeMs() ?? Number.POSITIVE_INFINITY;
    return Math.max(loadingMs, Math.min(watchMs, nowMs - this.#readMs));
  }

  /** Reads all, then what changes, until there is a gap. Throws StoreError. */
  async follow(signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    const startMs = performance.now();
    const { snapshot } = await store.get(READY.prefix, { timeoutMs: STORE_TIMEOUT_MS });
    for (const load of new Set(this.#followed.map((each) => each.load))) await load();
    this.#loadingMs = undefined;
    this.#readMs = startMs;
    const watch = store.watch(snapshot);
    const close = (): void => watch.close();
    signal.addEventListener('abort', close);
    if (signal.aborted) close();
    this.#watch = watch;
    try {
      for await (const event of watch) {
        if (event.type === 'compacted') return;
        const touched = this.#followed.filter(({ prefix }) =>
          event.changes.some(({ key }) => prefix.every((byte, i) => key[i] === byte)),
        );
        this.#loadingMs = performance.now();
        for (const load of new Set(touched.map((each) => each.load))) await load();
        this.#loadingMs = undefined;
      }
    } finally {
      signal.removeEventListener('abort', close);
      close();
    }
  }
}

/** Does it again and again, whatever happens; the time between varies, so instances spread. */
async function every(
  ms: number,
  signal: AbortSignal,
  failed: (error: unknown) => void,
  work: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) failed(error);
    }
    await pause(ms * (0.5 + Math.random()), signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}

/** A view of revocations and rings that is older may lack what everybody else has. */
export const STALE_AFTER_MS = 10_000;
const ROUND_MS = 1_000;
const REOPEN_MS = 200;
