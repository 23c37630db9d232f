/** An instance that is cut off from the store: how it knows, and what it stops doing. */

import { describe, expect, it } from 'vitest';
import { KeyServerRing } from '../src/auth/keyserver-ring.ts';
import { every, joinRotation } from '../src/auth/leader-follow.ts';
import { StoreView } from '../src/auth/storeview.ts';
import {
  MemoryStore,
  REVOCATIONS,
  transaction,
  type Watch,
  type WatchEvent,
} from '../src/store/index.ts';
import { until } from './etcd.ts';
import { Rng, seedOf } from './rng.ts';
import { spoiled } from './spoiled-store.ts';

const rng = new Rng(seedOf(20261201));
const clock = (): bigint => BigInt(Date.now()) * 1_000_000n;
const engine = { putSecret: () => undefined, removeSecret: () => true };

describe('an instance whose view of the store is old', () => {
  it('issues nothing until it is fresh again', async () => {
    const { store, spoil } = spoiled();
    const failed = () => undefined;
    const options = { store, engine, random: rng.random, failed, clock, staleAfterMs: 500 };
    const rotation = await joinRotation(options);
    const seals = async () => rotation.keyServer.sealing('osd', clock()) !== undefined;
    await until(seals);
    const ring = new KeyServerRing(rotation.keyServer, rotation.view);
    expect(ring.stale()).toEqual([]);
    spoil.ageMs = 60_000;
    // What was read without the watch counts as long as it is young.
    await until(async () => !(await seals()));
    expect(rotation.view.ageMs()).toBeGreaterThan(500);
    expect(ring.stale()).toContain('osd');
    // Verifying goes on with what is held.
    expect(rotation.keyServer.held('osd')).toHaveLength(3);
    spoil.ageMs = 10;
    await until(seals);
    expect(ring.stale()).toEqual([]);
    spoil.away = true;
    spoil.ageMs = 60_000;
    await until(async () => !(await seals()));
    spoil.away = false;
    spoil.ageMs = 0;
    await until(seals);
    await rotation.close();
    expect(await store.lease('rotation', 1000, { timeoutMs: 1000 })).toBeDefined();
  });

  it('reads all again where its watch has a gap', async () => {
    const inner = new MemoryStore();
    let cut: () => void = () => undefined;
    const gap = new Promise<void>((resolve) => {
      cut = resolve;
    });
    let watches = 0;
    /** The first watch hears nothing, and then that it is too late for it. */
    async function* deaf(): AsyncGenerator<WatchEvent, void> {
      await gap;
      yield { type: 'compacted', snapshot: 99n };
    }
    const watch = (from: bigint): Watch => {
      watches += 1;
      if (watches > 1) return inner.watch(from);
      return Object.assign(deaf(), { proofAgeMs: () => 0, close: () => undefined });
    };
    const methods = new Proxy(inner, {
      get(target, name) {
        if (name === 'watch') return watch;
        const value = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    let loads = 0;
    const { prefix } = REVOCATIONS;
    const load = async () => {
      loads += 1;
    };
    const options = { staleAfterMs: undefined, onStale: 'serve' } as const;
    const view = new StoreView({ store: methods, followed: [{ prefix, load }], ...options });
    const stop = new AbortController();
    const failed = (error: unknown) => expect.unreachable(String(error));
    const following = every(10, stop.signal, failed, () => view.follow(stop.signal));
    await until(async () => loads === 1 && watches === 1);
    const puts = [{ key: Uint8Array.from([...prefix, 1]), value: new Uint8Array(1) }];
    const done = await inner.commit(transaction({ puts }), { timeoutMs: 1_000 });
    const { snapshot } = done as { snapshot: bigint };
    expect([loads, view.snapshot < snapshot]).toEqual([1, true]);
    cut();
    await until(async () => loads === 2 && view.snapshot >= snapshot);
    stop.abort();
    await following;
  });
});
