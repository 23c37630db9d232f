/**
 * A worker of `serve --workers`: engine, sessions and listeners of its own, on sockets that it
 * shares with the others. Secrets and revocations come from the parent; what needs the store
 * (tickets, entities, health) is asked there.
 */

import cluster from 'node:cluster';
import process from 'node:process';
import { Engine } from '../engine/engine.ts';
import { CephgateError, StoreError, type StoreErrorCode } from '../errors.ts';
import type { AppDeps, SecretRing } from '../http/deps.ts';
import { drain } from './drain.ts';
import { applyChange } from './enginemirror.ts';
import { EXIT_TROUBLE } from './io.ts';
import { type AppConfig, type AppSides, makeApp, serveApp, useLive } from './serveapp.ts';
import type { CallName, Failure, RingNews, ToParent, ToWorker } from './workerlink.ts';

type Start = Extract<ToWorker, { kind: 'start' }>;

/** Whether this process is one. */
export const isWorker: boolean = cluster.isWorker;

/** Runs until the parent says that it is over, or is gone itself. */
export async function runWorker(logging: Pick<AppDeps, 'log' | 'logDropped'>): Promise<void> {
  // Signals of a terminal or of systemd come to all processes: the parent says what they mean.
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => undefined);
  const link = new ParentLink();
  const start = await link.started();
  const engine = await Engine.create({ ticketCache: start.config.ticketCache });
  const news = { current: start.news };
  for (const change of start.changes) applyChange(engine, change);
  link.on('change', ({ change }) => applyChange(engine, change));
  link.on('news', (message) => {
    news.current = message.news;
  });
  const hurried = link.once('hurry');
  const asked = link.once('drain');
  try {
    const config = ownLog(start.config);
    const sides = { ...depsOf(engine, start, news, link), ...logging };
    const app = makeApp(config, start.live, start.keys, sides);
    const { observe, state } = app;
    observe.aggregated = () => link.call('metrics');
    const { listeners, names, framesName } = await serveApp(config, app);
    link.on('metrics', ({ id }) => {
      void observe.values().then((metrics) => link.send({ kind: 'metrics', id, metrics }));
    });
    link.on('reload', ({ live }) => useLive(app, live));
    link.send({ kind: 'listening', names, framesName });
    await asked;
    state.draining = true;
    await drain(listeners, config.listening, hurried);
    await observe.close();
  } catch (error) {
    if (!(error instanceof CephgateError)) throw error;
    // The parent says why, and tries again with another.
    await link.send({ kind: 'refused', message: error.message });
    process.exit(EXIT_TROUBLE);
  }
  engine.wipe();
  // The channel to the parent would keep the process.
  process.exit(0);
}

/** Files that each worker turns over for itself. */
function ownLog(config: AppConfig): AppConfig {
  const { logPath } = config.observe;
  if (logPath === undefined) return config;
  const own = `${logPath}-worker${cluster.worker?.id}`;
  return { ...config, observe: { ...config.observe, logPath: own } };
}

function depsOf(
  engine: Engine,
  { issues, stores, storePlaintext }: Start,
  news: { readonly current: RingNews },
  link: ParentLink,
): Omit<AppSides, 'log'> {
  const ring: SecretRing = {
    advance: () => undefined,
    catchUp: (authorizer) => link.call('catchUp', authorizer),
    get snapshot() {
      return news.current.snapshot;
    },
    get size() {
      return news.current.facts.length;
    },
    get facts() {
      return news.current.facts;
    },
    stale: () => news.current.stale,
  };
  const view: AppDeps['view'] = news.current.view && {
    onStale: news.current.view.onStale,
    get snapshot() {
      return news.current.view?.snapshot ?? 0n;
    },
    ageMs: () => news.current.view?.ageMs ?? Number.POSITIVE_INFINITY,
    isStale: () => news.current.view?.stale ?? true,
    reach: (snapshot) => link.call('reach', snapshot),
  };
  const users: AppDeps['users'] = news.current.users && {
    facts: () => news.current.users?.facts,
    isStale: () => news.current.users?.stale ?? true,
  };
  return {
    ...{ engine, ring, view, users, storePlaintext },
    ...(issues && {
      issuer: {
        helloWithToken: (payload: Uint8Array) => link.call('hello', payload),
        request: (...args: unknown[]) => link.call('request', ...args),
      } as NonNullable<AppDeps['issuer']>,
      health: () => link.call<readonly string[]>('health'),
    }),
    ...(stores && { entities: (names: readonly string[]) => link.call('entities', names) }),
  };
}

type Kind = ToWorker['kind'];
type Handler<K extends Kind> = (message: Extract<ToWorker, { kind: K }>) => void;

/** The channel to the parent. */
export class ParentLink {
  readonly #handlers = new Map<Kind, (message: never) => void>();
  readonly #waiting = new Map<
    number,
    (message: ToWorker & { kind: 'answer' | 'failure' }) => void
  >();
  /** What came before somebody listened, as changes can between the start and the listeners. */
  readonly #early: ToWorker[] = [];
  #calls = 0;

  constructor() {
    process.on('message', (message: ToWorker) => this.#receive(message));
    // Whoever waits for an answer waits in vain.
    process.once('disconnect', () => {
      const failure = { store: true, code: 'store.closed', message: 'the parent has ended' };
      for (const [id, settle] of this.#waiting) settle({ kind: 'failure', id, failure });
    });
  }

  /** Says that we are here, and waits for what we need. */
  started(): Promise<Start> {
    return new Promise((resolve) => {
      this.on('start', resolve);
      this.send({ kind: 'hello' });
    });
  }

  on<K extends Kind>(kind: K, handler: Handler<K>): void {
    this.#handlers.set(kind, handler as (message: never) => void);
    for (const message of this.#early.splice(0)) this.#receive(message);
  }

  /** A message of the kind has come, or none can come any more. */
  once(kind: 'drain' | 'hurry'): Promise<void> {
    return new Promise((resolve) => {
      this.on(kind, () => resolve());
      process.once('disconnect', () => resolve());
    });
  }

  /** Done when it is on its way. */
  send(message: ToParent): Promise<void> {
    return new Promise((resolve) => {
      if (process.connected) process.send?.(message, undefined, undefined, () => resolve());
      else resolve();
    });
  }

  call<T>(name: CallName, ...args: unknown[]): Promise<T> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (message) => {
        this.#waiting.delete(id);
        if (message.kind === 'answer') resolve(message.value as T);
        else reject(errorOf(message.failure));
      });
      this.send({ kind: 'call', id, name, args });
    });
  }

  #receive(message: ToWorker): void {
    if (message.kind === 'answer' || message.kind === 'failure') {
      this.#waiting.get(message.id)?.(message);
      return;
    }
    const handler = this.#handlers.get(message.kind);
    if (handler === undefined) this.#early.push(message);
    else handler(message as never);
  }
}

function errorOf({ store, code, message }: Failure): Error {
  return store ? new StoreError(code as StoreErrorCode, message) : new Error(message);
}
