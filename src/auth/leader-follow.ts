/**
 * The rotation of one instance among several on one store, running: it follows the store, leads
 * when nobody else does, and knows how old its view is.
 */

import { randomBytes } from 'node:crypto';
import { ROTATING } from '../store/records.ts';
import { DEFAULT_TTLS, KeyServer, type KeyServerOptions, type RingFence } from './keyserver.ts';
import { RotationLeader } from './leader.ts';
import { CLOCK_EVERY_NS, INSTANCE_TTL_MS, RotationInstance } from './leader-instance.ts';
import { READY } from './leader-records.ts';
import { type Followed, type OnStale, STALE_AFTER_MS, StoreView } from './storeview.ts';

export interface JoinOptions extends Omit<KeyServerOptions, 'fence'> {
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  /** What else is kept up with the store by the same watch. */
  readonly others?: readonly Followed[];
  /** Nothing is issued from a view older than this, default STALE_AFTER_MS. */
  readonly staleAfterMs?: number;
  readonly onStale?: OnStale;
}

export interface JoinedRotation {
  readonly keyServer: KeyServer;
  /** Rings, what may seal, and the others. */
  readonly view: StoreView;
  readonly leads: boolean;
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
  const fence: RingFence = {
    sealable: (service, secretId) => !view.isStale() && instance.sealable(service, secretId),
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
  const { staleAfterMs = STALE_AFTER_MS, onStale = 'serve' } = options;
  const followed = [
    { prefix: ROTATING.prefix, load: sync },
    { prefix: READY.prefix, load: sync },
    ...others,
  ];
  const view: StoreView = new StoreView({ store, followed, staleAfterMs, onStale });
  const stop = new AbortController();
  const rounds = every(ROUND_MS, stop.signal, failed, async () => {
    // One that sees nothing any more shall not be waited for.
    if (view.ageMs() < INSTANCE_TTL_MS) await instance.beat(keyServer);
    await leader.step();
  });
  const following = every(REOPEN_MS, stop.signal, failed, () => view.follow(stop.signal));
  return {
    keyServer,
    view,
    get leads() {
      return leader.leads;
    },
    async close() {
      stop.abort();
      const leaving = (async () => {
        await Promise.all([rounds, following]);
        await leader.close();
        await instance.close();
      })();
      // Leases end by themselves: a store that does not answer is not waited for.
      const over = new AbortController();
      const left = leaving.catch(failed).finally(() => over.abort());
      await Promise.race([left, pause(LEAVE_MS, over.signal)]);
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

/** Does it again and again, whatever happens; the time between varies, so instances spread. */
export async function every(
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

const LEAVE_MS = 3_000;
const ROUND_MS = 1_000;
export const REOPEN_MS = 200;
