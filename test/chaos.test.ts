/**
 * Three members of etcd, three instances, fifty clients, and everything that can go wrong with them
 * but the loss of a majority: what was acknowledged stays, what is valid is accepted, what is
 * revoked is not, and all have the same. Two minutes, or CHAOS_SECONDS.
 */

import { setMaxListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { Engine } from '../src/engine/index.ts';
import { engineSealer } from '../src/sealer.ts';
import { ChaosClient, pause, type Record } from './chaos/client.ts';
import { FairClock } from './chaos/fairclock.ts';
import { chaos, FAULTS, whole } from './chaos/faults.ts';
import { type Revoked, revokeOnce } from './chaos/revoker.ts';
import { World } from './chaos/world.ts';
import { ETCD_NAME, etcdMissing, until } from './etcd.ts';
import { ABSENT, isLinearizable, register, withoutUnseen } from './linearizable.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(20261129);
const seconds = Number(process.env.CHAOS_SECONDS ?? '120');
const CLIENTS = 50;
/** The last of the clients are those that are revoked now and then. */
const REVOCABLE = 5;
const ENTITIES = Array.from({ length: 12 }, (_, i) => `client.shared${i}`);
/** Where two instances deny; the third one has the defaults. */
const STALE_AFTER_S = 5;
/** Of a revocation, whatever is the matter, and with all members up. */
const BOUND_MS = 5_000;
const CALM_BOUND_MS = 1_000;
const OPERATIONS_MIN = 2_000;

describe.skipIf(etcdMissing)(`${ETCD_NAME}: chaos, ${seconds} s, seed ${seed}`, () => {
  const fair = new FairClock();
  const record: Record = {
    ...{ fair, histories: new Map(), verdicts: new Map(), refusals: [], globalIds: new Map() },
    ...{ logins: 0, renewals: 0, loginGapMs: 0, lastLoginMs: 0 },
  };
  const revoked: Revoked[] = [];
  let world: World;
  let clients: ChaosClient[] = [];
  let faults = new Map<string, number>();
  beforeAll(async () => {
    world = await World.start({ ticketTtl: 30, loginTtl: 120, staleAfter: STALE_AFTER_S });
    const keys = await addClients();
    const sealer = engineSealer(await Engine.create({ preset: 'small' }));
    clients = keys.map(([name, key], i) => {
      return new ChaosClient(name, key, { world, record, sealer, rng: new Rng(seed + 1 + i) });
    });
    await until(async () => await clients[0]!.logIn(), 60_000);
  }, 180_000);
  afterAll(async () => {
    fair.stop();
    await world?.stop();
  });

  async function addClients(): Promise<[string, CryptoKey][]> {
    const random = (n: number): Uint8Array => crypto.getRandomValues(new Uint8Array(n));
    const created = utimeFromNs(BigInt(Date.now()) * 1_000_000n);
    const keys = Array.from(
      { length: CLIENTS },
      (_, i): [string, CryptoKey] =>
        [...[`client.c${i}`, CryptoKey.create('aes256k', created, random)]] as never,
    );
    const sections = keys.map(
      ([name, key]) =>
        `[${name}]\n\tkey = ${key.toBase64()}\n\tcaps mon = "allow r"\n\tcaps osd = "allow r"\n`,
    );
    const input = Buffer.from(sections.join('')).toString('base64');
    const body = { prefix: 'auth import', input };
    const { body: said } = await world.instances[0]!.admin('POST', '/command', body);
    expect(said.retcode).toBe(0);
    return keys;
  }

  it(
    'goes on',
    async () => {
      const rng = new Rng(seed);
      const ending = new AbortController();
      const { signal } = ending;
      setMaxListeners(CLIENTS, signal);
      record.lastLoginMs = fair.nowMs;
      const looping = clients.slice(0, -REVOCABLE).map(async (client) => {
        while (!signal.aborted) {
          if (await client.logIn()) await client.verify();
          await client.change(ENTITIES);
          await pause(STEP_MS * (0.5 + Math.random()), signal);
        }
      });
      const revoking = (async () => {
        for (let i = 0; !signal.aborted; i++) {
          const client = clients.at(-1 - (i % REVOCABLE))!;
          const done = await revokeOnce(world, client, record, rng, BOUND_MS);
          if (done !== undefined) revoked.push(done);
          await pause(500, signal);
        }
      })();
      const all = Promise.all([...looping, revoking]);
      try {
        faults = await chaos(world, new Rng(seed), seconds * 1_000);
        const enough = async () => operations() >= OPERATIONS_MIN;
        await until(enough, 300_000);
        ending.abort();
        await Promise.all(looping);
        // A revocation that is under way is watched to its end meanwhile.
        await readAll();
      } finally {
        ending.abort();
        await all;
      }
      // Where the seed left no time for it, one with all members up.
      while (calmReach().length === 0) {
        const done = await revokeOnce(world, clients.at(-1)!, record, rng, BOUND_MS);
        if (done !== undefined) revoked.push(done);
      }
      summary();
    },
    seconds * 1_000 * 3 + 600_000,
  );

  /** What everybody sees in the end belongs to the history. */
  async function readAll(): Promise<void> {
    await whole(world);
    const [reader] = clients;
    for (const instance of world.instances) {
      for (const entity of ENTITIES) await reader!.readAt(instance, entity);
    }
  }

  function operations(): number {
    return [...record.histories.values()].reduce((sum, { length }) => sum + length, 0);
  }

  function summary(): void {
    const refused = record.refusals.map(({ ms }) => ms);
    const reach = revoked.map(({ reachMs }) => reachMs);
    const calm = calmReach();
    const warned = revoked.reduce((sum, each) => sum + each.warned, 0);
    console.log(
      `${operations()} operations, ${record.logins} logins, ${record.renewals} renewals, ` +
        `verdicts ${JSON.stringify(Object.fromEntries(record.verdicts))}, longest time without ` +
        `a login ${record.loginGapMs.toFixed(0)} ms; ${refused.length} tickets refused for a ` +
        `while, at most ${Math.max(0, ...refused).toFixed(0)} ms; ${revoked.length} ` +
        `revocations, reached all after at most ${Math.max(0, ...reach).toFixed(0)} ms, the ` +
        `${calm.length} with all members up after ${calm.map((ms) => ms.toFixed(0)).join(', ')}; ` +
        `${warned} times accepted later with the warning "stale"; this process was stopped for ` +
        `${fair.lostMs.toFixed(0)} ms in all`,
    );
  }

  /** How long those took with all members up. */
  function calmReach(): number[] {
    const calm = revoked.filter(({ isCalm }) => isCalm).map(({ reachMs }) => reachMs);
    return calm.sort((a, b) => a - b);
  }

  it('had every fault, logins, renewals and revocations', () => {
    expect([...faults.keys()].sort()).toEqual(FAULTS.map(({ name }) => name).sort());
    expect(record.logins).toBeGreaterThan(CLIENTS / 2);
    expect(record.renewals).toBeGreaterThan(10);
    expect(record.verdicts.get('ok')).toBeGreaterThan(500);
    expect(revoked.length).toBeGreaterThan(2);
  });

  it('lost no acknowledged change, and did all of them in one order', () => {
    expect(operations()).toBeGreaterThanOrEqual(OPERATIONS_MIN);
    for (const [entity, history] of record.histories) {
      const found = isLinearizable(withoutUnseen(history), ABSENT, register);
      expect([entity, found]).toEqual([entity, true]);
    }
  }, 120_000);

  it('refused no valid ticket for longer than five seconds', () => {
    expect(record.refusals.filter(({ ms }) => ms > 5_000)).toEqual([]);
  });

  it('accepted nobody who was revoked, after the bound', () => {
    expect(revoked.flatMap(({ acceptedAfterBound }) => acceptedAfterBound)).toEqual([]);
    // A machine with other work may hold up one of them by itself, but not most.
    const calm = calmReach();
    expect(calm.length).toBeGreaterThan(0);
    expect(calm[calm.length >> 1]).toBeLessThan(CALM_BOUND_MS);
  });

  it('left the same database everywhere', async () => {
    const members = await Promise.all(world.cluster.members.map(({ url }) => world.digestOf(url)));
    expect(members[0]).toMatch(/^\d+ entries, SHA-256 [0-9a-f]{64}$/);
    expect(members).toEqual([members[0], members[0], members[0]]);
    // Rings may be turned while it is asked.
    let digests: string[] = [];
    await until(async () => {
      digests = await Promise.all(world.instances.map((each) => world.digestAt(each)));
      return new Set(digests).size === 1;
    }, 15_000).catch(() => undefined);
    expect(digests).toEqual([digests[0], digests[0], digests[0]]);
  }, 60_000);
});

/** Between two steps of a client: so slow that two cores have time for all of it. */
const STEP_MS = 2_000;
