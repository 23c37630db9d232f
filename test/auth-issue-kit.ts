/** The issuing side in a test: memory store, real engine, a clock and randomness that tests set. */

import { type ExchangeKeys, Exchanges } from '../src/auth/exchange.ts';
import { GlobalIds } from '../src/auth/globalid.ts';
import type { Issuer } from '../src/auth/issuer.ts';
import { DEFAULT_TTLS, KeyServer, type TicketTtls } from '../src/auth/keyserver.ts';
import { KeyUses } from '../src/auth/keyuses.ts';
import { Revocations } from '../src/auth/revocations.ts';
import { CephxServiceHandler } from '../src/auth/servicehandler.ts';
import { CryptoKey, type Sealer } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { Engine } from '../src/engine/index.ts';
import { engineSealer } from '../src/sealer.ts';
import {
  CIPHERS,
  type CipherRecord,
  ENTITIES,
  type EntityRecord,
  GLOBAL_ID,
  MemoryStore,
  ROTATING,
  type RotatingRecord,
  type Store,
  transaction,
} from '../src/store/index.ts';
import { NOW_NS } from './authorizers.ts';
import { Rng, seedOf } from './rng.ts';

export const BOTH_CIPHERS: CipherRecord = {
  allowed: ['aes', 'aes256k'],
  preferred: 'aes256k',
  service: 'aes256k',
};

export interface RigOptions {
  readonly store?: Store;
  readonly ciphers?: CipherRecord;
  readonly entities?: Readonly<Record<string, EntityRecord>>;
  readonly rings?: Readonly<Record<string, RotatingRecord>>;
  readonly globalIdMax?: bigint;
  readonly globalIdBlock?: bigint;
  readonly ttls?: TicketTtls;
  readonly nowNs?: bigint;
  readonly issuer?: Partial<Issuer>;
  readonly engine?: Engine;
  readonly keys?: ExchangeKeys;
  readonly seed?: number;
}

/** One instance of the issuing side. */
export class Rig {
  readonly store: Store;
  readonly engine: Engine;
  readonly keyServer: KeyServer;
  readonly handler: CephxServiceHandler;
  readonly rng: Rng;
  readonly logs: Record<string, unknown>[] = [];
  /** Sealer operations since it was set to zero. */
  operations = 0;
  nowNs: bigint;
  /** Readings of the clock and of the random source that come before everything else. */
  times: bigint[] = [];
  randoms: (Uint8Array | undefined)[] = [];

  private constructor(
    store: Store,
    engine: Engine,
    keyServer: KeyServer,
    revocations: Revocations,
    rng: Rng,
    options: RigOptions,
  ) {
    this.store = store;
    this.engine = engine;
    this.keyServer = keyServer;
    this.rng = rng;
    this.nowNs = options.nowNs ?? NOW_NS;
    const issuer: Issuer = {
      sealer: this.#counting(engineSealer(engine)),
      engine,
      store,
      keyServer,
      globalIds: new GlobalIds(store, options.globalIdBlock),
      revocations,
      uses: new KeyUses(),
      random: (n) => {
        const given = this.randoms.length > 0 ? this.randoms.shift() : undefined;
        if (given !== undefined && given.length !== n) throw new Error(`${given.length} for ${n}`);
        return given?.slice() ?? rng.bytes(n);
      },
      clock: () => this.times.shift() ?? this.nowNs,
      policy: {},
      ciphers: {},
      allowInsecureGlobalIdReclaim: false,
      autoCommit: false,
      log: (record) => void this.logs.push(record),
      ...options.issuer,
    };
    const keys = options.keys ?? { current: rng.bytes(32), previous: undefined };
    this.handler = new CephxServiceHandler(issuer, new Exchanges(keys, rng.bytes(16)));
  }

  static async create(options: RigOptions = {}): Promise<Rig> {
    const rng = new Rng(seedOf(options.seed ?? 31));
    const store = options.store ?? new MemoryStore();
    await seedStore(store, options);
    const engine = options.engine ?? (await Engine.create({ preset: 'small' }));
    const keyServer = await KeyServer.open(
      {
        store,
        engine,
        random: rng.random,
        ttls: options.ttls ?? DEFAULT_TTLS,
        failed: (error) => {
          throw error;
        },
      },
      options.nowNs ?? NOW_NS,
    );
    const revocations = await Revocations.open(store, engine);
    return new Rig(store, engine, keyServer, revocations, rng, options);
  }

  get issuer(): Issuer {
    return this.handler.issuer;
  }

  async putEntity(name: string, record: EntityRecord): Promise<void> {
    await put(this.store, ENTITIES.key(name), ENTITIES.encode(record));
  }

  #counting(sealer: Sealer): Sealer {
    const counted = <A extends unknown[], R>(call: (...args: A) => R): ((...args: A) => R) => {
      return (...args) => {
        this.operations += 1;
        return call(...args);
      };
    };
    return {
      seal: counted(sealer.seal),
      open: counted(sealer.open),
      hmacSha256: counted(sealer.hmacSha256),
    };
  }
}

export function entity(
  key: CryptoKey,
  caps: Readonly<Record<string, string>>,
  pendingKey?: CryptoKey,
): EntityRecord {
  return {
    key: key.encode(),
    pendingKey: pendingKey?.encode(),
    caps: new Map(Object.entries(caps)),
  };
}

export function freshKey(type: 'aes' | 'aes256k', rng: Rng): CryptoKey {
  return CryptoKey.create(type, utimeFromNs(NOW_NS), rng.random);
}

export async function put(store: Store, key: Uint8Array, value: Uint8Array): Promise<void> {
  await store.commit(transaction({ puts: [{ key, value }] }), { timeoutMs: 1000 });
}

async function seedStore(store: Store, options: RigOptions): Promise<void> {
  const { ciphers, entities, rings, globalIdMax } = options;
  if (ciphers) await put(store, CIPHERS.key(undefined), CIPHERS.encode(ciphers));
  for (const [name, record] of Object.entries(entities ?? {})) {
    await put(store, ENTITIES.key(name), ENTITIES.encode(record));
  }
  for (const [service, ring] of Object.entries(rings ?? {})) {
    await put(store, ROTATING.key(service), ROTATING.encode(ring));
  }
  if (globalIdMax !== undefined) {
    await put(store, GLOBAL_ID.key(undefined), GLOBAL_ID.encode({ globalIdMax }));
  }
}
