/** A thousand instances on one store: what they tell costs nobody but the store and the leader. */

import { describe, expect, it } from 'vitest';
import { listNotes } from '../src/auth/leader-instance.ts';
import type { Store } from '../src/store/index.ts';
import { memory, ring, SECOND, SimInstance, TTLS, World } from './auth-leader-sim.ts';
import { Rng, seedOf } from './rng.ts';

const N = 1_000;
const seed = seedOf(20261203);
const TTL = TTLS.authServiceTicketTtlNs;

/** A store that counts what it is asked for. */
class Counted {
  readonly calls = new Map<string, number>();
  notes = 0;

  of<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (from, name) => {
        const value = Reflect.get(from, name, from);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          const key = String(name);
          this.calls.set(key, (this.calls.get(key) ?? 0) + 1);
          if (key === 'renew' && args[1] !== undefined) this.notes += 1;
          const done = Reflect.apply(value, from, args);
          if (key !== 'lease') return done;
          return (done as Promise<object | undefined>).then((lease) => lease && this.of(lease));
        };
      },
    });
  }

  reset(): void {
    this.calls.clear();
    this.notes = 0;
  }

  of1s(name: string, seconds: number): number {
    return (this.calls.get(name) ?? 0) / seconds;
  }
}

describe(`${N} instances`, () => {
  const world = new World();
  const counted = new Counted();
  const own = memory(world);
  const store: Store = counted.of(own);
  const all: SimInstance[] = [];
  let leader: SimInstance;

  /** What each does by itself each second; reading follows only from what a watch tells. */
  async function beats(seconds: number): Promise<void> {
    for (let s = 0; s < seconds; s++) {
      world.monoNs += SECOND;
      for (const each of all) {
        await each.instance.beat(each.keyServer);
        await each.leader.step();
      }
    }
  }

  const sync = async (some: readonly SimInstance[]): Promise<void> => {
    for (const each of some) await each.instance.sync(each.keyServer);
  };
  const sealing = () => all.map((each) => each.keyServer.sealing('osd', each.nowNs)?.secretId);

  /** What a watch is told meanwhile. */
  async function told(work: () => Promise<unknown>): Promise<number> {
    const { snapshot } = await own.get(new Uint8Array(1), { timeoutMs: 1_000 });
    const watch = own.watch(snapshot);
    let count = 0;
    const following = (async () => {
      for await (const event of watch) {
        if (event.type === 'transaction' && event.changes.length > 0) count += 1;
      }
    })();
    await work();
    await new Promise((resolve) => setTimeout(resolve, 20));
    watch.close();
    await following;
    return count;
  }

  it('seal once the last one of them has the first secrets', async () => {
    const rng = new Rng(seed);
    for (let i = 0; i < N; i++) all.push(await SimInstance.start(store, world, rng, `i${i}`, 0n));
    await beats(1);
    leader = all.find((each) => each.leader.leads)!;
    const last = all.find((each) => each !== leader)!;
    await sync(all.filter((each) => each !== last));
    await beats(2);
    await sync(all.filter((each) => each !== last));
    expect(new Set(sealing())).toEqual(new Set([undefined]));
    await sync([last]);
    await beats(1);
    await sync(all);
    expect(new Set(sealing())).toEqual(new Set([2n]));
  }, 120_000);

  it('tell no watch anything, and the store little, while nothing happens', async () => {
    await beats(16);
    counted.reset();
    const SECONDS = 30;
    expect(await told(() => beats(SECONDS))).toBe(0);
    // Each renews its lease each 3 s, tells its clock with every fifth, and looks for the lead.
    expect(counted.of1s('renew', SECONDS)).toBeLessThan(N / 3 + N / 15 + 2);
    expect(counted.notes / SECONDS).toBeLessThanOrEqual(N / 15 + 1);
    expect(counted.notes / SECONDS).toBeGreaterThan(N / 20);
    expect(counted.of1s('lease', SECONDS)).toBeLessThanOrEqual(N / 2 + 1);
    expect(counted.of1s('commit', SECONDS)).toBe(0);
    expect(counted.of1s('leases', SECONDS)).toBeLessThanOrEqual(1 / 3 + 0.1);
    expect((await listNotes(own)).every(({ note }) => note !== undefined)).toBe(true);
  }, 120_000);

  it('take over a ring that turns with a handful of messages, not one of each to each', async () => {
    const due = 2n * TTL + 5n * SECOND;
    // Nobody sleeps through it; only the seconds in between are left out.
    while (world.monoNs < due - 20n * SECOND) {
      world.monoNs += 8n * SECOND;
      for (const each of all) await each.instance.beat(each.keyServer);
      await leader.leader.step();
    }
    const before = (await ring(own, 'osd')).secretIdMax;
    const messages = await told(async () => {
      while (world.monoNs < due + 20n * SECOND) {
        await beats(4);
        await sync(all);
      }
    });
    expect((await ring(own, 'osd')).secretIdMax).toBe(before + 1n);
    expect(new Set(sealing())).toEqual(new Set([before]));
    // Four rings are due (that of AUTH lives twice as long), each turned and then said ready.
    expect(messages).toBe(8);
  }, 120_000);
});
