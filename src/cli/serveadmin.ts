/** The store of `cephgate serve` and the admin listener on it. */

import { join, resolve } from 'node:path';
import type { OpenIssuer } from '../auth/openissuer.ts';
import { Revocations } from '../auth/revocations.ts';
import type { CephxServiceHandler } from '../auth/servicehandler.ts';
import type { Random } from '../cephx/cryptokey.ts';
import type { Engine } from '../engine/engine.ts';
import { StoreError } from '../errors.ts';
import { ADMIN_BODY_LIMITS, createAdminApp } from '../http/admin.ts';
import type { LogRecord, SecretRing } from '../http/deps.ts';
import { listen, type OpenListener, parseListen } from '../http/listen.ts';
import type { Store } from '../store/store.ts';
import { bootstrap } from './bootstrap.ts';
import type { LikeCeph } from './likeceph.ts';
import type { Settings } from './options.ts';
import { openStoreAt } from './storeplace.ts';

export interface AdminConfig extends LikeCeph {
  readonly data: string;
  /** An address of openStore. */
  readonly store: string;
  /** What else opening it takes. */
  readonly settings: Settings;
  /** The store was asked for, so that it has to open. */
  readonly required: boolean;
  readonly path: string;
}

/** Undefined where there is nothing to administer: secrets from a file, and no store. */
export function adminConfig(
  settings: Settings,
  data: string,
  like: LikeCeph,
): AdminConfig | undefined {
  const required = settings.origin('store') !== undefined;
  if (!required && settings.origin('secrets') !== undefined) return undefined;
  const text = settings.text('admin-listen') ?? `unix:${join(data, 'admin.sock')}`;
  const address = parseListen(text);
  // Elsewhere callers would have to prove who they are.
  if (address?.kind !== 'unix') throw settings.wrong('admin-listen', 'unix:PATH');
  const store = settings.text('store') ?? `sqlite:${join(data, 'cephgate.db')}`;
  return { ...like, data, store, settings, required, path: resolve(address.path) };
}

export interface Administration {
  /** `unix:PATH`. */
  readonly name: string;
  /** The keyring of a client.admin that was made at this start. */
  readonly adminKeyring: string | undefined;
  close(timeoutMs: number): Promise<void>;
}

/** What of the sidecar is administered. */
export interface Administered {
  readonly engine: Engine;
  readonly ring: SecretRing;
  /** Undefined where tickets come from elsewhere. */
  readonly issuer?: CephxServiceHandler | undefined;
  readonly health?: OpenIssuer['health'] | undefined;
  readonly clock: () => bigint;
  readonly random: Random;
  readonly log: (record: LogRecord) => void;
}

/**
 * Opens the listener on a store, which stays the caller's. Throws FileError, ListenError,
 * StoreError.
 */
export async function openAdministration(
  config: AdminConfig,
  store: Store,
  administered: Administered,
): Promise<Administration> {
  const { release, guard, data } = config;
  const { engine, ring, issuer: handler, health, clock, random, log } = administered;
  const made = await bootstrap({ store, data, release, nowNs: clock(), random });
  const { monKeyring, adminKeyring } = made;
  const issuer = handler?.issuer;
  const command = {
    ...{ store, release, guard, monKeyring, clock, random },
    engine: async () => engine,
    ...(issuer && { wipeRotating: () => issuer.keyServer.wipe(clock()) }),
  };
  const ending = new AbortController();
  const own = issuer === undefined ? await followRevocations(store, administered) : undefined;
  const revocations = issuer?.revocations ?? own?.revocations;
  const app = createAdminApp({
    ...{ command, body: ADMIN_BODY_LIMITS, log, revocations, ring, issuer, health },
    ending: ending.signal,
  });
  const address = { kind: 'unix', path: config.path, onlyOwner: true } as const;
  const opening = listen(app.fetch.bind(app), [address], { allowHosts: [] });
  const [open] = (await opening.catch(async (error: unknown) => {
    await own?.close();
    throw error;
  })) as [OpenListener];
  return {
    name: open.name,
    adminKeyring,
    async close(timeoutMs) {
      ending.abort();
      await open.close(timeoutMs);
      await own?.close();
      monKeyring.key.wipe();
    },
  };
}

/** Revocations hold beside a real cluster too, whose tickets are not ours. */
async function followRevocations(
  store: Store,
  { engine, log }: Pick<Administered, 'engine' | 'log'>,
): Promise<{ readonly revocations: Revocations; close(): Promise<void> }> {
  const revocations = await Revocations.open(store, engine);
  const stop = new AbortController();
  const following = revocations.follow(stop.signal).catch((error: unknown) => {
    const message = error instanceof StoreError ? error.message : 'failed';
    log({ level: 'error', event: 'revocations', message });
  });
  return {
    revocations,
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
    return await openStoreAt(store, settings);
  } catch (error) {
    if (required || !(error instanceof StoreError) || error.code !== 'store.driver') throw error;
    log({ level: 'warning', event: 'store', message: error.message });
    return undefined;
  }
}
