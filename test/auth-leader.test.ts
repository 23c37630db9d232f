/** Rotation with one leader among several instances, with clocks that are wrong. */

import { describe, expect, it } from 'vitest';
import { listNotes } from '../src/auth/leader-instance.ts';
import { ASKS, READY } from '../src/auth/leader-records.ts';
import { readRecord } from '../src/auth/storecalls.ts';
import { ROTATING, type RotatingRecord, type Store, transaction } from '../src/store/index.ts';
import {
  MINUTE,
  memory,
  ring,
  round,
  run,
  SECOND,
  SERVICES,
  SimInstance,
  started,
  TTLS,
  World,
} from './auth-leader-sim.ts';
import { Rng, seedOf } from './rng.ts';

const seed = seedOf(20261127);
const TTL = TTLS.authServiceTicketTtlNs;

describe('the leader of rotation', () => {
  it('is one, and another one when it is gone', async () => {
    const { world, all } = await started(seed, 3);
    await run(world, all, 3n * SECOND);
    const first = all.filter(({ leader }) => leader.leads);
    expect(first).toHaveLength(1);
    first[0]!.pausedUntilNs = world.monoNs + MINUTE;
    await run(world, all, 15n * SECOND);
    const second = all.filter((each) => each.leader.leads && !each.paused);
    expect(second).toHaveLength(1);
    first[0]!.pausedUntilNs = 0n;
    await run(world, all, 3n * SECOND);
    expect(all.filter(({ leader }) => leader.leads)).toEqual(second);
    await second[0]!.leader.close();
    await run(world, all, 3n * SECOND);
    expect(all.filter(({ leader }) => leader.leads)).toHaveLength(1);
  });

  it('lets nothing seal that a live instance does not have: at first start and after a wipe', async () => {
    const { world, store, all } = await started(seed, 3);
    const [leader, other, slow] = all as [SimInstance, SimInstance, SimInstance];
    const seals = () =>
      all.map(({ keyServer, nowNs }) => keyServer.sealing('osd', nowNs)?.secretId);
    await leader.leader.step();
    for (const each of [leader, other, leader]) await round(each);
    await other.instance.sync(other.keyServer);
    expect(other.keyServer.held('osd').map(({ secretId }) => secretId)).toEqual([1n, 2n, 3n]);
    expect(seals()).toEqual([undefined, undefined, undefined]);
    for (const each of [slow, leader, other, leader, slow]) await round(each);
    expect(seals()).toEqual([2n, 2n, 2n]);

    const wiping = other.instance.ask('wipe', ['mon', 'mds', 'osd', 'mgr']);
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (const each of [leader, other, leader]) await round(each);
    await wiping;
    expect((await ring(store, 'osd')).secrets.map(({ secretId }) => secretId)).toEqual([
      4n,
      5n,
      6n,
    ]);
    expect((await ring(store, 'auth')).secretIdMax).toBe(3n);
    expect(seals().slice(0, 2)).toEqual([undefined, undefined]);
    // An instance whose lease is gone is not waited for.
    slow.pausedUntilNs = world.monoNs + MINUTE;
    await run(world, all, 15n * SECOND);
    expect(seals().slice(0, 2)).toEqual([5n, 5n]);
    expect((await listNotes(store)).map(({ id }) => id)).not.toContain(slow.instance.id);
    slow.pausedUntilNs = 0n;
    await round(slow);
    expect([slow.table.has('osd', 5n), await slow.live(store)]).toEqual([true, true]);
  });

  it('only adds the next secret, and only when it is due', async () => {
    const { world, store, all } = await started(seed, 3);
    await run(world, all, 20n * SECOND);
    let before = await ring(store, 'osd');
    for (let turns = 0; turns < 4; ) {
      await run(world, all, MINUTE);
      const after = await ring(store, 'osd');
      if (after.secretIdMax === before.secretIdMax) continue;
      turns += 1;
      expect(after.secretIdMax).toBe(before.secretIdMax + 1n);
      const ids = after.secrets.map(({ secretId }) => secretId);
      expect(ids).toEqual([-1n, 0n, 1n].map((at) => before.secretIdMax + at));
      // Due: what sealed until now has just ended.
      const ended = world.wallNs - before.secrets[1]!.expiresNs;
      expect(ended >= 0n && ended < 2n * MINUTE).toBe(true);
      before = after;
    }
  });

  it.each([
    ['ahead', 10n * 86_400n * SECOND],
    ['behind', -3_600n * SECOND],
  ])('changes nothing while its clock is far %s of the others', async (_, skewNs) => {
    const { world, store, all } = await started(seed, 4);
    await run(world, all, 40n * SECOND);
    const leader = all.find((each) => each.leader.leads)!;
    leader.skewNs = skewNs;
    const before = await ring(store, 'osd');
    // Its own key server asks for nothing either.
    await run(world, all, TTL * 2n);
    expect(leader.leader.leads).toBe(true);
    expect((await ring(store, 'osd')).secretIdMax).toBe(before.secretIdMax);
    leader.skewNs = 0n;
    await run(world, all, MINUTE);
    expect((await ring(store, 'osd')).secretIdMax).toBe(before.secretIdMax + 1n);
  });

  it('turns a ring at most once in half a ttl of its own time, whatever its clock does', async () => {
    const { world, store, all } = await started(seed, 1);
    const [alone] = all as [SimInstance];
    await run(world, all, 20n * SECOND);
    const start = world.monoNs;
    const before = (await ring(store, 'osd')).secretIdMax;
    // Alone, nobody says that the clock is wrong: it runs four times too fast.
    for (let i = 0; i < 200; i++) {
      alone.skewNs += TTL / 20n;
      await run(world, all, 20n * SECOND);
    }
    const turns = (await ring(store, 'osd')).secretIdMax - before;
    const halves = (world.monoNs - start) / (TTL / 2n) + 1n;
    expect(turns).toBeGreaterThan(1n);
    expect(turns).toBeLessThanOrEqual(halves);
  });

  it('does what it is asked for once, and refuses a second turn too soon', async () => {
    const { world, store, all } = await started(seed, 2);
    await run(world, all, 40n * SECOND);
    await run(world, all, TTL / 2n);
    const before = (await ring(store, 'osd')).secretIdMax;
    const asked = async (instance: SimInstance) => {
      let ended = false;
      const done = instance.instance.ask('rotate', ['osd']).then(
        () => 'done',
        (error: Error) => error.message,
      );
      void done.then(() => {
        ended = true;
      });
      while (!ended) {
        await run(world, all, SECOND);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return await done;
    };
    expect(await asked(all[1]!)).toBe('done');
    expect(await asked(all[0]!)).toMatch(/less than half a ttl ago/);
    expect((await ring(store, 'osd')).secretIdMax).toBe(before + 1n);
    const left = await store.list({ prefix: ASKS.prefix, timeoutMs: 1000 });
    expect(left.entries).toEqual([]);
  });

  /** A leader with a turn due, and what happens between its reading of the ring and its write. */
  async function inTheMiddle(happens: (store: Store, world: World) => Promise<void>) {
    const { world, store, all } = await started(seed, 2);
    // Until shortly before the first one is due.
    await run(world, all, 2n * TTL - 5n * SECOND);
    const leader = all.find((each) => each.leader.leads)!;
    world.monoNs += 10n * SECOND;
    await Promise.all(all.map((each) => each.instance.beat(each.keyServer)));
    const get = store.get.bind(store);
    let happened = false;
    store.get = async (key, options) => {
      const found = await get(key, options);
      if (happened || new TextDecoder().decode(key) !== 'rotating/osd') return found;
      happened = true;
      await happens(store, world);
      return found;
    };
    const before = await get(ROTATING.key('osd'), { timeoutMs: 1000 });
    await leader.leader.step();
    expect(happened).toBe(true);
    const after = await get(ROTATING.key('osd'), { timeoutMs: 1000 });
    return {
      before: ROTATING.decode(before.entry!.value),
      after: ROTATING.decode(after.entry!.value),
    };
  }

  it('turns the ring when nothing happens in the middle', async () => {
    const { before, after } = await inTheMiddle(async () => undefined);
    expect(after.secretIdMax).toBe(before.secretIdMax + 1n);
  });

  it('changes nothing when its lease went to another one in the middle', async () => {
    const { before, after } = await inTheMiddle(async (store, world) => {
      world.monoNs += 10n * SECOND;
      expect(await store.lease('rotation', 60_000, { timeoutMs: 1000 })).toBeDefined();
    });
    expect(after).toEqual(before);
  });

  it('changes nothing that somebody else has changed in the middle', async () => {
    const other: RotatingRecord = { secretIdMax: 77n, secrets: [] };
    const { after } = await inTheMiddle(async (store) => {
      const puts = [{ key: ROTATING.key('osd'), value: ROTATING.encode(other) }];
      await store.commit(transaction({ puts }), { timeoutMs: 1000 });
    });
    expect(after).toEqual(other);
  });
});

describe('what instances wrote', () => {
  it('goes on after all were away for long, one secret at a time', async () => {
    const { world, store, all } = await started(seed, 2);
    await run(world, all, 40n * SECOND);
    const before = (await ring(store, 'osd')).secretIdMax;
    world.monoNs += 20n * TTL;
    await run(world, all, 2n * MINUTE);
    expect((await ring(store, 'osd')).secretIdMax).toBe(before + 1n);
    const [one] = all as [SimInstance];
    expect(one.keyServer.sealing('osd', one.nowNs)?.secretId).toBe(before + 1n);
  });
});

describe('instances with skewed clocks, pauses and crashes', () => {
  it.each([1, 2, 3, 4].map((i) => seed + i))(
    'never meet a ticket whose secret they lack, seed %i',
    async (runSeed) => {
      const rng = new Rng(runSeed);
      const world = new World();
      const store = memory(world);
      let ids = 0;
      const skew = () => BigInt(rng.int(50) - 25) * SECOND;
      const start = () => SimInstance.start(store, world, rng, `i${ids++}`, skew());
      const all = [await start(), await start(), await start(), await start()];
      /** What was sealed: who knows the secret must open it until it ends. */
      const tickets: { service: (typeof SERVICES)[number]; secretId: bigint; endNs: bigint }[] = [];
      let sealed = 0;
      for (let i = 0; i < 1_500; i++) {
        world.monoNs += BigInt(rng.int(7)) * SECOND;
        for (const [at, each] of all.entries()) {
          if (rng.chance(0.001)) all[at] = await start();
          if (rng.chance(0.003)) each.pausedUntilNs = world.monoNs + BigInt(rng.int(40)) * SECOND;
          if (each.paused || all[at] !== each) continue;
          if (rng.chance(0.8)) await each.instance.sync(each.keyServer);
          if (rng.chance(0.8)) await each.instance.beat(each.keyServer);
          if (rng.chance(0.8)) await each.leader.step();
          if (!(await each.live(store))) continue;
          const service = rng.pick(SERVICES);
          const sealing = each.keyServer.sealing(service, each.nowNs);
          if (sealing === undefined) continue;
          const { secretId, lifeNs } = sealing;
          tickets.push({ service, secretId, endNs: world.monoNs + lifeNs });
          sealed += 1;
        }
        while (tickets.length > 400) tickets.shift();
        for (const one of all) {
          if (!(await one.live(store))) continue;
          // Tickets end by the sealer's clock; a reader's is up to 50 s off, and that much is lost.
          const lacking = tickets.filter(
            ({ service, secretId, endNs }) =>
              endNs > world.monoNs + 50n * SECOND && !one.table.has(service, secretId),
          );
          expect(lacking, `seed ${runSeed}, step ${i}`).toEqual([]);
        }
      }
      expect(sealed).toBeGreaterThan(500);
      const ready = await readRecord(store, READY, 'osd');
      // Some 75 minutes: turned when due, and not oftener than half a ttl allows.
      expect(ready.record!.secretId).toBeGreaterThan(6n);
      expect(ready.record!.secretId).toBeLessThanOrEqual(3n + world.monoNs / (TTL / 2n) + 1n);
    },
  );
});
