/**
 * An instance that leads and is killed at each of the moments at which it waits for the store:
 * before the store has done what it was asked for, and after. The others take over, and whatever
 * it was:
 *
 *   - no secret seals that was not `next` before (or, at first start and after a wipe, that some
 *     live instance does not have),
 *   - no id is given to two secrets,
 *   - no live instance lacks the secret of a ticket that is still good,
 *   - what was due is done, once.
 */

import { describe, expect, it } from 'vitest';
import { ROTATING_SERVICES, type RotatingService, WIPED_SERVICES } from '../src/auth/keyserver.ts';
import { ASKS, type AskRecord, READY } from '../src/auth/leader-records.ts';
import { readRecord } from '../src/auth/storecalls.ts';
import { MemoryStore, ROTATING, type Store, transaction } from '../src/store/index.ts';
import { SECOND, SimInstance, TTLS, World } from './auth-leader-sim.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(20261130);
const TTL = TTLS.authServiceTicketTtlNs;
const CALL = { timeoutMs: 1_000 };

/** A store as one process sees it, which dies at its n-th call. */
class Mortal {
  calls = 0;
  isDead = false;
  #at = Number.POSITIVE_INFINITY;
  #isAfter = false;

  /** Counts from now on. */
  arm(at: number, isAfter: boolean): void {
    this.calls = 0;
    this.#at = at;
    this.#isAfter = isAfter;
  }

  of<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (from, name) => {
        const value = Reflect.get(from, name, from);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          const done = await this.#live(() => Reflect.apply(value, from, args));
          // Renewing and releasing are calls too.
          return name === 'lease' && done !== undefined ? this.of(done as object) : done;
        };
      },
    });
  }

  async #live(work: () => unknown): Promise<unknown> {
    this.calls += 1;
    const isLast = this.calls === this.#at;
    if (isLast && !this.#isAfter) this.isDead = true;
    if (this.isDead) throw new Error('killed');
    const done = await work();
    if (isLast) this.isDead = true;
    if (this.isDead) throw new Error('killed');
    return done;
  }
}

/** What was seen of the rings and of what seals. */
class Watcher {
  readonly #world: World;
  readonly #store: Store;
  readonly #keys = new Map<string, string>();
  readonly #rings = new Map<string, readonly bigint[]>();
  /** Service and id of what was `next`, or made with a whole new ring. */
  readonly #mayCome = new Set<string>();
  /** Up to there wiped. */
  readonly #wiped = new Map<RotatingService, bigint>();
  /** The last end of what was sealed, by service and id. */
  readonly #tickets = new Map<string, { service: RotatingService; id: bigint; endNs: bigint }>();
  sealed = 0;

  constructor(world: World, store: Store) {
    this.#world = world;
    this.#store = store;
  }

  async look(all: readonly SimInstance[]): Promise<void> {
    const live: SimInstance[] = [];
    for (const each of all) if (await each.live(this.#store)) live.push(each);
    for (const service of ROTATING_SERVICES) {
      await this.#wipe(service);
      for (const each of live) this.#seal(service, each, live);
      // After what seals: it has to have been `next` at an earlier look.
      await this.#ring(service);
    }
    for (const { service, id, endNs } of this.#tickets.values()) {
      if (endNs > this.#world.monoNs) this.#all(live, service, id);
    }
  }

  /** A ring that is new as a whole. After a wipe older tickets are worthless: that is its use. */
  async #wipe(service: RotatingService): Promise<void> {
    const { record } = await readRecord(this.#store, ROTATING, service);
    const ids = record?.secrets.map(({ secretId }) => secretId) ?? [];
    const before = this.#rings.get(service) ?? [];
    if (before.some((id) => ids.includes(id))) return;
    for (const id of ids) this.#mayCome.add(`${service}/${id}`);
    this.#wiped.set(service, before.at(-1) ?? 0n);
    for (const [at, ticket] of this.#tickets) {
      if (ticket.service === service) this.#tickets.delete(at);
    }
  }

  #seal(service: RotatingService, each: SimInstance, live: SimInstance[]): void {
    const sealing = each.keyServer.sealing(service, each.nowNs);
    if (sealing === undefined) return;
    const { secretId, lifeNs } = sealing;
    if (secretId <= (this.#wiped.get(service) ?? 0n)) return;
    const at = `${service}/${secretId}`;
    if (!this.#mayCome.has(at)) throw new Error(`${at} seals and was never next`);
    this.#all(live, service, secretId);
    this.#tickets.set(at, { service, id: secretId, endNs: this.#world.monoNs + lifeNs });
    this.sealed += 1;
  }

  #all(live: readonly SimInstance[], service: RotatingService, id: bigint): void {
    if (live.every(({ table }) => table.has(service, id))) return;
    throw new Error(`a live instance lacks ${service}/${id}`);
  }

  async #ring(service: RotatingService): Promise<void> {
    const { record } = await readRecord(this.#store, ROTATING, service);
    if (record === undefined) return;
    const ids = record.secrets.map(({ secretId }) => secretId);
    const before = this.#rings.get(service) ?? [];
    for (const { secretId, key } of record.secrets) {
      const known = this.#keys.get(`${service}/${secretId}`);
      const text = Buffer.from(key).toString('base64');
      if (known !== undefined && known !== text) throw new Error(`two of ${service}/${secretId}`);
      this.#keys.set(`${service}/${secretId}`, text);
      if (!before.includes(secretId)) {
        if (secretId > (before.at(-1) ?? 0n)) continue;
        throw new Error(`${service}/${secretId} is used again`);
      }
    }
    this.#rings.set(service, ids);
    this.#mayCome.add(`${service}/${ids.at(-1)}`);
  }
}

interface Run {
  readonly world: World;
  readonly store: MemoryStore;
  readonly mortal: Mortal;
  readonly watcher: Watcher;
  victim: SimInstance | undefined;
  readonly others: SimInstance[];
  readonly rng: Rng;
}

async function round(each: SimInstance): Promise<void> {
  await each.instance.sync(each.keyServer);
  await each.instance.beat(each.keyServer);
  await each.leader.step();
}

async function rounds(run: Run, all: readonly SimInstance[], count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    run.world.monoNs += 2n * SECOND;
    for (const each of all) await round(each);
    await run.watcher.look(all);
  }
}

function newRun(): Run {
  const world = new World();
  const now = (): number => Number(world.monoNs / 1_000_000n);
  const store = new MemoryStore(undefined, undefined, now);
  const watcher = new Watcher(world, store);
  const more = { victim: undefined, others: [], rng: new Rng(seed) };
  return { world, store, mortal: new Mortal(), watcher, ...more };
}

const startVictim = async (run: Run): Promise<void> => {
  run.victim = await SimInstance.start(run.mortal.of(run.store), run.world, run.rng, 'a', 0n);
};
const startOther = async (run: Run, id: string): Promise<void> => {
  run.others.push(await SimInstance.start(run.store, run.world, run.rng, id, 0n));
};

/** Three that have run for a while, the mortal one leading. */
async function settledRun(): Promise<Run> {
  const run = newRun();
  await startVictim(run);
  await startOther(run, 'b');
  await startOther(run, 'c');
  await rounds(run, [run.victim!, ...run.others], 10);
  expect(run.victim!.leader.leads).toBe(true);
  return run;
}

async function maxOf(store: Store, service: RotatingService): Promise<bigint> {
  return (await readRecord(store, ROTATING, service)).record?.secretIdMax ?? 0n;
}

async function ask(store: Store, kind: 'rotate' | 'wipe'): Promise<void> {
  const value = ASKS.encode({ kind, services: [...ROTATING_SERVICES], state: 'asked' });
  await store.commit(transaction({ puts: [{ key: ASKS.key('x'), value }] }), CALL);
}

interface Scenario {
  readonly name: string;
  /** Up to the moment from which the calls are counted. */
  readonly prepare: () => Promise<Run>;
  /** What the victim does, as far as it comes. */
  readonly act: (run: Run) => Promise<void>;
  /** How many secrets each service gets from it. */
  readonly more: (service: RotatingService, answer: AskRecord['state'] | undefined) => bigint;
}

const turn = async (run: Run): Promise<void> => {
  await round(run.victim!);
  for (const each of run.others) await round(each);
  await round(run.victim!);
};

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'the first start on an empty store',
    prepare: async () => newRun(),
    act: async (run) => {
      await startVictim(run);
      await round(run.victim!);
      await startOther(run, 'b');
      await round(run.victim!);
    },
    more: () => 3n,
  },
  {
    name: 'a turn that is due',
    prepare: async () => {
      const run = await settledRun();
      // The first one is due after two ttls. AUTH has twice the ttl, so it is not.
      run.world.monoNs = 2n * TTL - 10n * SECOND;
      await rounds(run, [run.victim!, ...run.others], 2);
      run.world.monoNs = 2n * TTL + 5n * SECOND;
      for (const each of [run.victim!, ...run.others]) await each.instance.beat(each.keyServer);
      return run;
    },
    act: turn,
    more: (service) => (service === 'auth' ? 0n : 1n),
  },
  {
    name: 'a turn that is asked for',
    prepare: async () => {
      const run = await settledRun();
      // Half a ttl of AUTH.
      run.world.monoNs += TTL + SECOND;
      for (const each of [run.victim!, ...run.others]) await each.instance.beat(each.keyServer);
      await ask(run.store, 'rotate');
      return run;
    },
    act: turn,
    // A new leader refuses before it has heard the clocks of the others.
    more: (_, answer) => (answer === 'done' ? 1n : 0n),
  },
  {
    name: 'a wipe',
    prepare: async () => {
      const run = await settledRun();
      await ask(run.store, 'wipe');
      return run;
    },
    act: turn,
    more: (service) => (WIPED_SERVICES.includes(service) ? 3n : 0n),
  },
];

/** Kills at the n-th call; false when there are fewer. */
async function killedAt(scenario: Scenario, n: number, isAfter: boolean): Promise<boolean> {
  const run = await scenario.prepare();
  const before = new Map<RotatingService, bigint>();
  for (const each of ROTATING_SERVICES) before.set(each, await maxOf(run.store, each));
  run.mortal.arm(n, isAfter);
  await scenario.act(run).catch((error: Error) => {
    if (error.message !== 'killed') throw error;
  });
  const wasKilled = run.mortal.isDead;
  if (!wasKilled) run.mortal.arm(Number.POSITIVE_INFINITY, false);
  if (run.others.length === 0) await startOther(run, 'b');
  // Long enough for the leases of the dead one to end.
  const { others } = run;
  const left = wasKilled || run.victim === undefined ? others : [run.victim, ...others];
  await rounds(run, left, 14);
  const answer = (await readRecord(run.store, ASKS, 'x')).record?.state;
  expect(answer).not.toBe('asked');
  for (const service of ROTATING_SERVICES) {
    const ring = await maxOf(run.store, service);
    expect([service, ring - before.get(service)!]).toEqual([
      service,
      scenario.more(service, answer),
    ]);
    expect((await readRecord(run.store, READY, service)).record?.secretId).toBe(ring);
    for (const each of left) expect(each.keyServer.sealing(service, each.nowNs)).toBeDefined();
  }
  expect(run.watcher.sealed).toBeGreaterThan(10);
  return wasKilled;
}

describe.each(SCENARIOS)('a leader that is killed in $name', (scenario) => {
  it.each([false, true])(
    'leaves nothing half done (the call was carried out: %s)',
    async (is) => {
      const startMs = performance.now();
      let n = 1;
      while (await killedAt(scenario, n, is)) n += 1;
      // Every one of them, and there are many.
      expect(n).toBeGreaterThan(40);
      const ms = Math.round(performance.now() - startMs);
      console.log(`  ${scenario.name}: killed at each of ${n - 1} calls, ${ms} ms`);
    },
    180_000,
  );
});
