/** An instance that is cut off from the store: how it knows, and what it stops doing. */

import { describe, expect, it } from 'vitest';
import { KeyServerRing } from '../src/auth/keyserver-ring.ts';
import { joinRotation } from '../src/auth/leader-follow.ts';
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
});
