/**
 * Several instances on one store, each with its own clock, turned by hand: no time passes alone.
 */

import { KeyServer, type RotatingService, type TicketTtls } from '../src/auth/keyserver.ts';
import { RotationLeader } from '../src/auth/leader.ts';
import { RotationInstance } from '../src/auth/leader-instance.ts';
import { readRecord } from '../src/auth/storecalls.ts';
import { ENTITY_TYPES } from '../src/cephx/protocol.ts';
import type { ServiceSecret } from '../src/engine/index.ts';
import { MemoryStore, ROTATING, type RotatingRecord, type Store } from '../src/store/index.ts';
import { NOW_NS } from './authorizers.ts';
import { Rng } from './rng.ts';

export const SECOND = 1_000_000_000n;
export const MINUTE: bigint = 60n * SECOND;
export const SERVICES = ['auth', 'mon', 'mds', 'osd', 'mgr'] as const;
/** Shorter than real ones, so that a run sees many turns. */
export const TTLS: TicketTtls = {
  authMonTicketTtlNs: 1200n * SECOND,
  authServiceTicketTtlNs: 600n * SECOND,
};

/** True time of the simulation. */
export class World {
  monoNs = 0n;
  get wallNs(): bigint {
    return NOW_NS + this.monoNs;
  }
}

/** What an engine holds. */
class Table {
  readonly #secrets = new Set<string>();
  putSecret({ service, secretId }: ServiceSecret): void {
    this.#secrets.add(`${service}/${secretId}`);
  }
  removeSecret(service: number, secretId: bigint): boolean {
    return this.#secrets.delete(`${service}/${secretId}`);
  }
  has(service: RotatingService, secretId: bigint): boolean {
    return this.#secrets.has(`${ENTITY_TYPES[service]}/${secretId}`);
  }
}

export class SimInstance {
  readonly instance: RotationInstance;
  readonly leader: RotationLeader;
  readonly table: Table;
  readonly keyServer: KeyServer;
  readonly #world: World;
  readonly #skew: { ns: bigint };
  /** Does nothing until then. */
  pausedUntilNs = 0n;

  private constructor(
    world: World,
    skew: { ns: bigint },
    parts: { instance: RotationInstance; leader: RotationLeader; keyServer: KeyServer },
    table: Table,
  ) {
    this.#world = world;
    this.#skew = skew;
    this.instance = parts.instance;
    this.leader = parts.leader;
    this.keyServer = parts.keyServer;
    this.table = table;
  }

  static async start(
    store: Store,
    world: World,
    rng: Rng,
    id: string,
    skewNs: bigint,
  ): Promise<SimInstance> {
    const skew = { ns: skewNs };
    const clock = () => world.wallNs + skew.ns;
    const mono = () => world.monoNs;
    const shared = { store, clock, mono, random: rng.random };
    const instance = new RotationInstance({ ...shared, id });
    await instance.register();
    const table = new Table();
    const failed = (error: unknown) => {
      throw error;
    };
    const options = { store, engine: table, random: rng.random, ttls: TTLS, failed };
    const keyServer = await KeyServer.open({ ...options, fence: instance }, clock());
    await instance.sync(keyServer);
    const ttlNs = (service: RotatingService) => keyServer.ttlNs(service);
    const leader = new RotationLeader({ ...shared, instance, ttlNs });
    return new SimInstance(world, skew, { instance, leader, keyServer }, table);
  }

  /** How far its clock is off. */
  get skewNs(): bigint {
    return this.#skew.ns;
  }
  set skewNs(ns: bigint) {
    this.#skew.ns = ns;
  }

  get nowNs(): bigint {
    return this.#world.wallNs + this.skewNs;
  }

  get paused(): boolean {
    return this.#world.monoNs < this.pausedUntilNs;
  }

  /** Whether the leader still waits for it. */
  async live(store: Store): Promise<boolean> {
    const lease = await store.lease(`instance/${this.instance.id}`, 1, { timeoutMs: 1000 });
    await lease?.release({ timeoutMs: 1000 });
    return lease === undefined;
  }
}

export function memory(world: World): MemoryStore {
  return new MemoryStore(undefined, undefined, () => Number(world.monoNs / 1_000_000n));
}

export async function ring(store: Store, service: string): Promise<RotatingRecord> {
  return (await readRecord(store, ROTATING, service)).record!;
}

/** All do what they do each second, for that long. */
export async function run(world: World, all: readonly SimInstance[], ns: bigint): Promise<void> {
  for (const end = world.monoNs + ns; world.monoNs < end; world.monoNs += SECOND) {
    for (const each of all.filter(({ paused }) => !paused)) await round(each);
  }
}

export async function round(each: SimInstance): Promise<void> {
  await each.instance.sync(each.keyServer);
  await each.instance.beat(each.keyServer);
  await each.leader.step();
}

export interface Started {
  readonly world: World;
  readonly store: MemoryStore;
  readonly all: SimInstance[];
  readonly rng: Rng;
}

export async function started(seed: number, n: number): Promise<Started> {
  const world = new World();
  const store = memory(world);
  const rng = new Rng(seed);
  const all: SimInstance[] = [];
  for (let i = 0; i < n; i++) all.push(await SimInstance.start(store, world, rng, `i${i}`, 0n));
  return { world, store, all, rng };
}
