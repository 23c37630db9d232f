/**
 * The users of a real cluster as they were last seen, names and caps: for questions about an entity
 * that proves nothing. Looked at again and again, with an entity of its own.
 */

import { entityNameOf } from '../auth/entities.ts';
import type { EntityCaps, EntitySnapshot } from '../auth/entitycaps.ts';
import { formatEntityName } from '../cephx/protocol.ts';
import { MonError, StoreError } from '../errors.ts';
import { sleep } from '../mon/deferred.ts';
import type { MonClient } from '../mon/monclient.ts';
import { fetchUsers, type Users } from '../mon/users.ts';
import type { LogRecord } from './deps.ts';

export interface ClusterUsersOptions {
  readonly client: Pick<MonClient, 'command'>;
  /** How long what was seen is good before it is looked at again. */
  readonly refreshMs: number;
  /** Who is denied here, of some names; nobody, where nothing is kept of that. */
  readonly denied: (names: readonly string[]) => Promise<ReadonlySet<string>>;
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  readonly log: (record: LogRecord) => void;
}

export class ClusterUsers {
  readonly #options: ClusterUsersOptions;
  readonly #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #users: Users | undefined;
  #seenNs = 0n;
  #snapshot = 0n;
  #hasFailed = false;

  constructor(options: ClusterUsersOptions) {
    this.#options = options;
  }

  /** Looks for the first time, and then until `stop`. Throws MonError if that fails. */
  async start(): Promise<void> {
    const first = this.#fetch();
    this.#running = first.catch(() => undefined).then(() => this.#upkeep());
    await first;
  }

  /** The client is stopped by whoever started it, before this. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** How many there are, how long ago they were seen; undefined before that. */
  facts(nowNs: bigint): { readonly entities: number; readonly ageSeconds: number } | undefined {
    if (this.#users === undefined) return undefined;
    const ageMs = Number((nowNs - this.#seenNs) / NS_PER_MS);
    return { entities: this.#users.size, ageSeconds: Math.max(ageMs, 0) / 1_000 };
  }

  /** Whether they should have been seen again by now and were not. */
  isStale(nowNs: bigint): boolean {
    const { refreshMs } = this.#options;
    const facts = this.facts(nowNs);
    return facts === undefined || facts.ageSeconds * 1_000 > STALE_AFTER * refreshMs + GRACE_MS;
  }

  /** As `readEntityCaps`. Throws StoreError while nothing was seen. */
  async read(names: readonly string[]): Promise<EntitySnapshot> {
    const denied = await this.#options.denied(names);
    const [users, snapshot] = [this.#users, this.#snapshot];
    if (users === undefined) {
      const words = 'cannot tell who the users of the cluster are: they were not seen yet';
      throw new StoreError('store.unreachable', words);
    }
    const entities = new Map<string, EntityCaps>();
    for (const text of names) {
      const entityName = entityNameOf(text);
      const name = entityName === undefined ? text : formatEntityName(entityName);
      const caps = users.get(name);
      if (caps !== undefined) entities.set(text, { name, caps, denied: denied.has(text) });
    }
    return { snapshot, entities };
  }

  async #upkeep(): Promise<void> {
    const { signal } = this.#stopped;
    for (;;) {
      await sleep(this.#options.refreshMs, signal);
      if (signal.aborted) return;
      await this.#fetch().catch((error: unknown) => {
        if (!(error instanceof MonError)) throw error;
      });
    }
  }

  async #fetch(): Promise<void> {
    const { client, clock, log } = this.#options;
    try {
      const users = await fetchUsers(client);
      const isNews = this.#users === undefined || this.#hasFailed || !sameUsers(this.#users, users);
      this.#users = users;
      this.#seenNs = clock();
      this.#hasFailed = false;
      if (!isNews) return;
      this.#snapshot += 1n;
      log({ level: 'info', event: 'users_fetched', entities: users.size });
    } catch (error) {
      if (!(error instanceof MonError) || this.#stopped.signal.aborted) throw error;
      const { code, message } = error;
      if (!this.#hasFailed) log({ level: 'warn', event: 'users_failed', code, message });
      this.#hasFailed = true;
      throw error;
    }
  }
}

function sameUsers(a: Users, b: Users): boolean {
  if (a.size !== b.size) return false;
  for (const [name, caps] of a) {
    const others = b.get(name);
    if (others === undefined || others.size !== caps.size) return false;
    for (const [service, text] of caps) if (others.get(service) !== text) return false;
  }
  return true;
}

const NS_PER_MS = 1_000_000n;
/** So many times in vain, and the time that asking takes. */
const STALE_AFTER = 3;
const GRACE_MS = 10_000;
