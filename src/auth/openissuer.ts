/**
 * The issuing side of one process, put together and kept up with its store: what `serve` opens and
 * closes.
 */

import type { Random, Sealer } from '../cephx/cryptokey.ts';
import { CryptoKey } from '../cephx/cryptokey.ts';
import { Reader } from '../cephx/denc.ts';
import type { Engine } from '../engine/engine.ts';
import type { Policy } from '../engine/types.ts';
import { ENTITIES, REVOCATIONS, ROTATING } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { type CipherOptions, type HealthCheck, health, readCiphers } from './cipherpolicy.ts';
import { EXCHANGE_INSTANCE_LEN, type ExchangeKeys, Exchanges } from './exchange.ts';
import { GlobalIds } from './globalid.ts';
import type { Issuer } from './issuer.ts';
import { KeyServer, ROTATING_SERVICES, type TicketTtls } from './keyserver.ts';
import { KeyServerRing } from './keyserver-ring.ts';
import { KeyUses } from './keyuses.ts';
import { every, type JoinedRotation, joinRotation, REOPEN_MS } from './leader-follow.ts';
import { Revocations } from './revocations.ts';
import { CephxServiceHandler } from './servicehandler.ts';
import { LIST_TIMEOUT_MS } from './storecalls.ts';
import { type OnStale, StoreView } from './storeview.ts';

export interface IssuerOptions {
  readonly store: Store;
  readonly engine: Engine;
  /** `engineSealer(engine)`. */
  readonly sealer: Sealer;
  readonly random: Random;
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  /** Keys of the exchange tokens, shared by the instances of one server. */
  readonly exchangeKeys: ExchangeKeys;
  readonly ttls?: TicketTtls;
  readonly policy?: Partial<Policy>;
  readonly ciphers?: CipherOptions;
  readonly allowInsecureGlobalIdReclaim?: boolean;
  readonly autoCommit?: boolean;
  /** Other processes use the store too: one of them leads the rotation. */
  readonly shared?: boolean;
  /** How old the view of a shared store may get, and what holds then. */
  readonly staleAfterMs?: number;
  readonly onStale?: OnStale;
  readonly log: Issuer['log'];
}

export interface OpenIssuer {
  readonly handler: CephxServiceHandler;
  /** For the sidecar's routes. */
  readonly ring: KeyServerRing;
  /** What a shared store makes necessary; undefined on a store of our own. */
  readonly rotation: JoinedRotation | undefined;
  /** What is known here of the store, and how old that is. */
  readonly view: StoreView;
  /** The health codes that are raised now. Throws StoreError. */
  health(): Promise<HealthCheck[]>;
  /** Stops following the store and forgets all secrets. The store stays open. */
  close(): Promise<void>;
}

/** Throws StoreError. */
export async function openIssuer(options: IssuerOptions): Promise<OpenIssuer> {
  const { store, engine, random, clock, log, exchangeKeys } = options;
  const failed = (error: unknown): void => {
    log({ level: 'error', event: 'issuer', message: error instanceof Error ? error.message : '' });
  };
  const ttls = options.ttls === undefined ? {} : { ttls: options.ttls };
  const keyOptions = { store, engine, random, failed, ...ttls };
  const revocations = await Revocations.open(store, engine);
  const others = [{ prefix: REVOCATIONS.prefix, load: () => revocations.reload() }];
  const { staleAfterMs, onStale } = options;
  const staleness = {
    ...(staleAfterMs !== undefined && { staleAfterMs }),
    ...(onStale !== undefined && { onStale }),
  };
  const rotation = options.shared
    ? await joinRotation({ ...keyOptions, clock, others, ...staleness })
    : undefined;
  const keyServer = rotation?.keyServer ?? (await KeyServer.open(keyOptions, clock()));
  const issuer: Issuer = {
    ...{ engine, store, keyServer, revocations, random, clock, log },
    sealer: options.sealer,
    globalIds: new GlobalIds(store),
    uses: new KeyUses(),
    policy: options.policy ?? {},
    ciphers: options.ciphers ?? {},
    allowInsecureGlobalIdReclaim: options.allowInsecureGlobalIdReclaim ?? false,
    autoCommit: options.autoCommit ?? false,
  };
  const exchanges = new Exchanges(exchangeKeys, random(EXCHANGE_INSTANCE_LEN));
  const stop = new AbortController();
  const reloaded = { prefix: ROTATING.prefix, load: () => keyServer.reload(clock()) };
  const own = { store, staleAfterMs: undefined, onStale: 'serve' } as const;
  const view = rotation?.view ?? new StoreView({ ...own, followed: [reloaded, ...others] });
  const following = rotation
    ? undefined
    : every(REOPEN_MS, stop.signal, failed, () => view.follow(stop.signal));
  return {
    handler: new CephxServiceHandler(issuer, exchanges),
    ring: new KeyServerRing(keyServer, view),
    rotation,
    view,
    health: () => readHealth(issuer),
    async close() {
      stop.abort();
      await following;
      await rotation?.close();
      keyServer.close();
    },
  };
}

/** Looks at every entity and every rotating secret. Throws StoreError. */
export async function readHealth(
  issuer: Pick<Issuer, 'store' | 'keyServer' | 'ciphers'>,
): Promise<HealthCheck[]> {
  const { store, keyServer, ciphers: options } = issuer;
  const entities: { entity: string; keyType: string | undefined }[] = [];
  const first = { prefix: ENTITIES.prefix, timeoutMs: LIST_TIMEOUT_MS };
  let page = await store.list(first);
  for (;;) {
    for (const { key, value } of page.entries) {
      const { key: encoded } = ENTITIES.decode(value);
      entities.push({ entity: ENTITIES.id(key), keyType: typeOf(encoded) });
      encoded.fill(0);
      value.fill(0);
    }
    if (page.next === undefined) break;
    page = await store.list({ ...first, at: page.snapshot, after: page.next });
  }
  const rotating = ROTATING_SERVICES.flatMap((service) =>
    keyServer
      .held(service)
      .map(({ secretId, key }) => ({ service, secretId, keyType: key.typeName })),
  );
  return health({ ciphers: await readCiphers(store), options, entities, rotating });
}

function typeOf(encoded: Uint8Array): string | undefined {
  const key = CryptoKey.decode(new Reader(encoded));
  key.wipe();
  return key.typeName;
}
