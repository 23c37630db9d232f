/**
 * The parent's side of `serve --workers N`: N processes on the same sockets. This process keeps the
 * store, the secrets and the administration, hands each new connection to the next worker, and
 * starts a new worker where one has crashed.
 */

import cluster, { type Worker } from 'node:cluster';
import process from 'node:process';
import { AggregatorRegistry } from 'prom-client';
import { ConfigError, ListenError, StoreError } from '../errors.ts';
import type { AppDeps } from '../http/deps.ts';
import { removeStaleSocket } from '../http/listen.ts';
import type { StateKeys } from '../http/tokens.ts';
import type { EngineChange, EngineMirror } from './enginemirror.ts';
import { withMemory } from './memory.ts';
import type { Settings } from './options.ts';
import { type AppConfig, liveOf, type MadeApp, type Serving } from './serveapp.ts';
import type { CallName, Failure, RingNews, ToParent, ToWorker } from './workerlink.ts';

export interface WorkersOptions {
  readonly count: number;
  /** Unix sockets that a crash may have left. */
  readonly paths: readonly string[];
  /** Of this process. */
  readonly app: MadeApp;
  /** As it was at the start. */
  readonly config: AppConfig;
  readonly keys: StateKeys;
  readonly mirror: EngineMirror;
}

interface Listening {
  readonly names: readonly string[];
  readonly framesName: string | undefined;
}

/** Of `--workers`. Throws ConfigError. */
export function workersConfig(settings: Settings): number {
  const text = settings.text('workers') ?? '0';
  if (!/^[0-9]{1,3}$/.test(text) || Number(text) > WORKERS_MAX) {
    throw settings.wrong('workers', `a whole number up to ${WORKERS_MAX}`);
  }
  return Number(text);
}

/** Throws ConfigError on other runtimes than Node. */
export function requireNode(): void {
  const { bun, deno } = process.versions;
  if (bun === undefined && deno === undefined) return;
  throw new ConfigError('config.value', '"--workers" is for Node: other runtimes share no sockets');
}

export class Workers {
  readonly #options: WorkersOptions;
  readonly #live = new Set<Worker>();
  /** Those of the live ones that do not listen yet. */
  readonly #beginning = new Set<Worker>();
  readonly #collecting = new Map<number, (metrics: unknown) => void>();
  #ending = false;
  #crashes = 0;
  #requests = 0;
  #news = '';
  #timer: ReturnType<typeof setInterval> | undefined;
  /** One start after the other: the mask of new files is that of the whole process. */
  #starting: Promise<unknown> = Promise.resolve();

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Starts all and waits until they listen. Throws ListenError. */
  async open(): Promise<Serving> {
    for (const path of this.#options.paths) await removeStaleSocket(path);
    // "advanced" keeps bytes and 64-bit numbers what they are.
    cluster.setupPrimary({ serialization: 'advanced' });
    cluster.schedulingPolicy = cluster.SCHED_RR;
    let first: Listening | undefined;
    try {
      for (let n = 0; n < this.#options.count; n++) first = await this.#start();
    } catch (error) {
      await this.#close(0);
      throw error;
    }
    this.#timer = setInterval(() => this.#tellNews(), NEWS_MS);
    const { names, framesName } = first!;
    return { names, framesName, listeners: [{ close: (timeoutMs) => this.#close(timeoutMs) }] };
  }

  /** Tells all workers of a change of our engine. */
  changed(change: EngineChange): void {
    this.#tell({ kind: 'change', change });
    // At the end the ring is emptied: it must not look after itself any more.
    if (!this.#ending) this.#tellNews();
  }

  reload(): void {
    this.#tell({ kind: 'reload', live: liveOf(this.#options.app) });
  }

  /** Each drains for itself, with the same times as we; `hurried`: the time for that is over. */
  drain(hurried: Promise<void>): void {
    this.#ending = true;
    this.#dropBeginners();
    this.#tell({ kind: 'drain' });
    void hurried.then(() => this.#tell({ kind: 'hurry' }));
  }

  /** Nobody talks to them yet. */
  #dropBeginners(): void {
    for (const worker of this.#beginning) worker.process.kill('SIGKILL');
  }

  /** Waits until all have ended; those that do not are killed. */
  async #close(timeoutMs: number): Promise<void> {
    this.#ending = true;
    clearInterval(this.#timer);
    this.#dropBeginners();
    this.#tell({ kind: 'drain' });
    if (timeoutMs === 0) this.#tell({ kind: 'hurry' });
    const live = [...this.#live];
    const late = setTimeout(() => {
      for (const worker of live) worker.process.kill('SIGKILL');
    }, timeoutMs + KILL_MS);
    await Promise.all(live.map((worker) => new Promise((done) => worker.once('exit', done))));
    clearTimeout(late);
    this.#options.mirror.wipe();
  }

  /** The metrics of all, as one. */
  async metrics(): Promise<{ contentType: string; text: string }> {
    const all = await Promise.all([...this.#live].map((worker) => this.#metricsOf(worker)));
    const registry = AggregatorRegistry.aggregate(
      all.filter((each) => each !== undefined) as never,
    );
    return { contentType: registry.contentType, text: await registry.metrics() };
  }

  #start(): Promise<Listening> {
    const started = this.#starting.then(() => this.#startNext());
    this.#starting = started.catch(() => undefined);
    return started;
  }

  /** The socket is bound in this process, for the first worker that listens on it. */
  async #startNext(): Promise<Listening> {
    // It may have waited while the end began.
    if (this.#ending) throw new ListenError('listen.failed', 'the sidecar is about to end');
    const umask = process.umask(SOCKET_UMASK);
    const worker = cluster.fork(withMemory(process.env));
    this.#live.add(worker);
    this.#beginning.add(worker);
    try {
      return await new Promise<Listening>((resolve, reject) => {
        worker.on('message', (message: ToParent) => {
          if (message.kind === 'listening') resolve(message);
          else if (message.kind === 'refused') {
            reject(new ListenError('listen.failed', message.message));
          } else void this.#receive(worker, message);
        });
        worker.once('exit', (code, signal) => {
          this.#live.delete(worker);
          reject(new ListenError('listen.failed', `a worker has ended: ${signal ?? code}`));
          this.#restart(worker, signal ?? String(code));
        });
      });
    } finally {
      this.#beginning.delete(worker);
      process.umask(umask);
    }
  }

  #restart(worker: Worker, why: string): void {
    if (this.#ending || this.#timer === undefined) return;
    this.#crashes += 1;
    const { log } = this.#options.app.deps;
    log({
      level: 'error',
      event: 'worker',
      message: 'a worker has ended',
      pid: worker.process.pid,
      why,
    });
    const waitMs = Math.min(RESTART_MS * 2 ** Math.min(this.#crashes - 1, 6), RESTART_MAX_MS);
    setTimeout(() => {
      if (this.#ending) return;
      // What fails here is an end of that worker, which brings the next one.
      this.#start().then(
        () => log({ level: 'info', event: 'worker', message: 'a worker was started' }),
        ({ message }: Error) => log({ level: 'error', event: 'worker', message }),
      );
    }, waitMs);
    setTimeout(() => {
      this.#crashes = Math.max(0, this.#crashes - 1);
    }, CRASH_MEMORY_MS).unref();
  }

  async #receive(worker: Worker, message: ToParent): Promise<void> {
    if (message.kind === 'hello') {
      const { app, config, keys, mirror } = this.#options;
      const { deps } = app;
      const able = { issues: deps.issuer !== undefined, stores: deps.entities !== undefined };
      const storePlaintext = deps.storePlaintext === true;
      const news = newsOf(deps);
      const told = { changes: mirror.changes(), news, storePlaintext };
      const given = { config, live: liveOf(app), keys };
      send(worker, { kind: 'start', ...given, ...told, ...able });
    } else if (message.kind === 'metrics') {
      this.#collecting.get(message.id)?.(message.metrics);
    } else if (message.kind === 'call') {
      const { id, name, args } = message;
      try {
        send(worker, { kind: 'answer', id, value: await this.#call(name, args) });
      } catch (error) {
        send(worker, { kind: 'failure', id, failure: failureOf(error) });
      }
    }
  }

  #call(name: CallName, args: readonly unknown[]): unknown {
    const { deps } = this.#options.app;
    const [first] = args as [never];
    switch (name) {
      case 'hello':
        return deps.issuer?.helloWithToken(first);
      case 'request':
        return deps.issuer?.request(...(args as Parameters<IssuerRequest>));
      case 'entities':
        return deps.entities?.(first);
      case 'health':
        return deps.health?.() ?? [];
      case 'catchUp':
        return deps.ring.catchUp?.(first) ?? false;
      case 'reach':
        return deps.view?.reach(first) ?? false;
      case 'metrics':
        return this.metrics();
    }
  }

  #metricsOf(worker: Worker): Promise<unknown> {
    const id = ++this.#requests;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), METRICS_MS);
      this.#collecting.set(id, resolve);
      worker.once('exit', () => resolve(undefined));
      send(worker, { kind: 'metrics', id });
      void timer.unref();
    }).finally(() => this.#collecting.delete(id));
  }

  #tellNews(): void {
    const { deps } = this.#options.app;
    deps.ring.advance(deps.clock());
    const news = newsOf(deps);
    const text = JSON.stringify(news, (_, value) =>
      typeof value === 'bigint' ? `${value}` : value,
    );
    if (text === this.#news) return;
    this.#news = text;
    this.#tell({ kind: 'news', news });
  }

  #tell(message: ToWorker): void {
    for (const worker of this.#live) send(worker, message);
  }
}

type IssuerRequest = NonNullable<AppDeps['issuer']>['request'];

function newsOf({ ring, view, users, clock }: AppDeps): RingNews {
  const { snapshot, facts } = ring;
  const stale = ring.stale?.(clock()) ?? [];
  const seen = view && {
    ...{ snapshot: view.snapshot, ageMs: view.ageMs(), stale: view.isStale() },
    onStale: view.onStale,
  };
  const known = users && { facts: users.facts(clock()), stale: users.isStale(clock()) };
  return { snapshot, facts: [...facts], stale: [...stale], view: seen, users: known };
}

function failureOf(error: unknown): Failure {
  const { message, code } = error as { message?: string; code?: string };
  return { store: error instanceof StoreError, code, message: message ?? 'failed' };
}

function send(worker: Worker, message: ToWorker): void {
  // One that is ending has no channel any more.
  if (worker.isConnected()) worker.send(message, () => undefined);
}

const WORKERS_MAX = 64;
/** As bindUnix: never open to more than owner and group. */
const SOCKET_UMASK = 0o117;
/** How old what a worker knows of secrets and store may be. */
const NEWS_MS = 250;
const METRICS_MS = 5_000;
const RESTART_MS = 100;
const RESTART_MAX_MS = 5_000;
const CRASH_MEMORY_MS = 60_000;
/** Beyond the time of draining. */
const KILL_MS = 5_000;
