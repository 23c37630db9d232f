/** The store of `cephgate serve` and the admin listener on it. */

import { join, resolve } from 'node:path';
import { every, REOPEN_MS } from '../auth/leader-follow.ts';
import type { OpenIssuer } from '../auth/openissuer.ts';
import { Revocations } from '../auth/revocations.ts';
import type { CephxServiceHandler } from '../auth/servicehandler.ts';
import { STALE_AFTER_MS, StoreView } from '../auth/storeview.ts';
import { StoreError } from '../errors.ts';
import { ADMIN_BODY_LIMITS, type AdminDeps } from '../http/admin.ts';
import type { AppDeps, LogRecord } from '../http/deps.ts';
import { type ListenAddress, parseListen } from '../http/listen.ts';
import { NotedStore } from '../store/noted.ts';
import { REVOCATIONS } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { type Bootstrapped, bootstrap } from './bootstrap.ts';
import type { LikeCeph } from './likeceph.ts';
import type { Settings } from './options.ts';
import { type AdminEntrance, openEntrances, remoteAdmin } from './serveremote.ts';
import { openStoreAt, staleness } from './storeplace.ts';

export interface AdminConfig extends LikeCeph {
  readonly data: string;
  /** An address of openStore. */
  readonly store: string;
  /** What else opening it takes. */
  readonly settings: Settings;
  /** The store was asked for, so that it has to open. */
  readonly required: boolean;
  readonly addresses: readonly ListenAddress[];
}

/** Undefined where there is nothing to administer: secrets from a file, and no store. */
export function adminConfig(
  settings: Settings,
  data: string,
  like: LikeCeph,
): AdminConfig | undefined {
  const required = settings.origin('store') !== undefined;
  if (!required && settings.origin('secrets') !== undefined) return undefined;
  const texts = settings.list('admin-listen') ?? [`unix:${join(data, 'admin.sock')}`];
  const addresses = texts.map((text): ListenAddress => {
    const address = parseListen(text);
    if (address === undefined) throw settings.wrong('admin-listen', 'unix:PATH or tcp:HOST:PORT');
    if (address.kind === 'tcp') return address;
    return { ...address, path: resolve(address.path), onlyOwner: true };
  });
  const store = settings.text('store') ?? `sqlite:${join(data, 'cephgate.db')}`;
  return { ...like, data, store, settings, required, addresses };
}

export interface Administration {
  /** `unix:PATH`, `https://HOST:PORT`. */
  readonly names: readonly string[];
  /** The keyring of a client.admin that was made at this start. */
  readonly adminKeyring: string | undefined;
  close(timeoutMs: number): Promise<void>;
}

/** What of the sidecar is administered, and how callers on TCP come in. */
export interface Administered extends AdminEntrance {
  /** Of the other listeners; its policy is replaced when the configuration is read again. */
  readonly deps: AppDeps;
  readonly issuer?: CephxServiceHandler | undefined;
  readonly health?: OpenIssuer['health'] | undefined;
  readonly revocations?: Revocations | undefined;
}

/** A store with the entities that every store has. */
export interface BootstrappedStore extends Bootstrapped {
  readonly config: AdminConfig;
  readonly store: Store;
}

/** Makes what is missing in a store. Throws FileError, KeyRingError, StoreError. */
export async function bootstrapStore(
  config: AdminConfig,
  store: Store,
  { clock, random }: Pick<AppDeps, 'clock' | 'random'>,
): Promise<BootstrappedStore> {
  const { data, release } = config;
  const made = await bootstrap({ store, data, release, nowNs: clock(), random });
  return { config, store, ...made };
}

/**
 * Opens the listeners on a store, which stays the caller's. Throws FileError, ListenError,
 * StoreError, ConfigError.
 */
export async function openAdministration(
  { config, store, monKeyring, adminKeyring }: BootstrappedStore,
  administered: Administered,
): Promise<Administration> {
  const { release, guard } = config;
  const { deps, issuer: handler, health, revocations } = administered;
  const { engine, ring, clock, random, log } = deps;
  const issuer = handler?.issuer;
  const command = {
    ...{ store, release, guard, monKeyring, clock, random },
    engine: async () => engine,
    ...(issuer && { wipeRotating: () => issuer.keyServer.wipe(clock()) }),
  };
  const ending = new AbortController();
  const admin: AdminDeps = {
    ...{ command, body: ADMIN_BODY_LIMITS, log, revocations, ring, issuer, health },
    ...{ view: deps.view, ending: ending.signal },
  };
  const remote = remoteAdmin(deps, administered);
  const open = await openEntrances(config.addresses, admin, remote, administered);
  return {
    names: open.map(({ name }) => name),
    adminKeyring,
    async close(timeoutMs) {
      ending.abort();
      await Promise.all(open.map((each) => each.close(timeoutMs)));
      remote.sessions.close();
      monKeyring.key.wipe();
    },
  };
}

/** Whether keys lie in a shared store as they are. */
export function liesPlain({ store, settings }: AdminConfig): boolean {
  return store.startsWith('etcd:') && settings.flag('store-plaintext');
}

/** Revocations hold beside a real cluster too, whose tickets are not ours. */
export async function followRevocations(
  config: AdminConfig,
  store: Store,
  { engine, log }: Pick<AppDeps, 'engine' | 'log'>,
): Promise<{ revocations: Revocations; view: StoreView; close(): Promise<void> }> {
  const revocations = await Revocations.open(store, engine);
  const followed = [{ prefix: REVOCATIONS.prefix, load: () => revocations.reload() }];
  const { staleAfterMs, onStale } = staleness(config.settings);
  const isShared = config.store.startsWith('etcd:');
  const age = isShared ? (staleAfterMs ?? STALE_AFTER_MS) : undefined;
  const view = new StoreView({ store, followed, staleAfterMs: age, onStale: onStale ?? 'serve' });
  const stop = new AbortController();
  const failed = (error: unknown): void => {
    const message = error instanceof StoreError ? error.message : 'failed';
    log({ level: 'error', event: 'revocations', message });
  };
  const following = every(REOPEN_MS, stop.signal, failed, () => view.follow(stop.signal));
  return {
    revocations,
    view,
    async close() {
      stop.abort();
      await following;
    },
  };
}

/** A runtime without SQLite can serve all the same, as long as nobody asked for the store. */
export async function openServedStore(
  { store, settings, required }: AdminConfig,
  log: (record: LogRecord) => void,
): Promise<Store | undefined> {
  try {
    return new NotedStore(await openStoreAt(store, settings));
  } catch (error) {
    if (required || !(error instanceof StoreError) || error.code !== 'store.driver') throw error;
    log({ level: 'warning', event: 'store', message: error.message });
    return undefined;
  }
}
