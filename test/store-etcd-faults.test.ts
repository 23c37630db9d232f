/** etcd behind a bad network, with members that die or stand still, and a history that is cut. */

import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { plaintextEnvelope } from '../src/store/etcd/seal.ts';
import { openStore } from '../src/store/open.ts';
import type { Store, WatchEvent } from '../src/store/store.ts';
import { transaction } from '../src/store/transaction.ts';
import { beside } from './beside.ts';
import { FairClock } from './chaos/fairclock.ts';
import { ETCD_NAME, EtcdCluster, etcdMissing, until } from './etcd.ts';
import { EtcdProxy, type Fault } from './etcd-proxy.ts';
import { Rng, seedOf } from './rng.ts';
import { bytes, CALL, pair, take, text } from './store-contract.ts';
import { randomTransactions, StoreTwin } from './store-twin.ts';

let prefixes = 0;
const freshPrefix = (): string => `faults/${prefixes++}/`;

/** How a suite opens stores, which are closed after each of its tests. */
function opener(): (address: string, prefix?: string) => Promise<Store> {
  const opened: Store[] = [];
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });
  return async (address, prefix = freshPrefix()) => {
    const store = await openStore(address, { prefix, envelope: plaintextEnvelope() });
    opened.push(store);
    return store;
  };
}

async function read(store: Store, key: string): Promise<string | undefined> {
  const { entry } = await store.get(bytes(key), CALL);
  return entry && text(entry.value);
}

beside(`${ETCD_NAME}: one member behind a proxy`, etcdMissing, () => {
  let cluster: EtcdCluster;
  let proxy: EtcdProxy;
  const open = opener();
  beforeAll(async () => {
    cluster = await EtcdCluster.start();
  });
  afterAll(() => cluster?.stop());
  beforeEach(async () => {
    proxy = await EtcdProxy.start(cluster.members[0]!.url);
  });
  afterEach(() => proxy.stop());

  const FAULTS: readonly Fault[] = [
    { kind: 'cut' },
    { kind: 'twice' },
    { kind: 'delay', ms: 30 },
    { kind: 'pass' },
    { kind: 'pass' },
  ];

  it('applies each transaction once, with answers that are cut, late, or come of two', async ({
    expect,
  }) => {
    const seed = seedOf(20261125);
    const rng = new Rng(seed);
    const store = await open(`etcd:${proxy.url}`);
    const twin = new StoreTwin();
    const events: WatchEvent[] = [];
    const watch = store.watch((await store.get(bytes('a'), CALL)).snapshot);
    const told = take(watch, Number.POSITIVE_INFINITY, events);
    proxy.fault = () => rng.pick(FAULTS);
    await randomTransactions(store, twin, new Rng(seed + 1), 100, `seed ${seed}`);
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(twin.told.length);
    watch.close();
    expect(await told, `seed ${seed}`).toEqual(twin.told);
  });

  it('says unknown while no answer comes, and what happened when asked again', async () => {
    const store = await open(`etcd:${proxy.url}`);
    const tx = transaction({
      compares: [{ key: bytes('a'), revision: 'absent' }],
      puts: [pair('a', '1')],
    });
    proxy.fault = () => ({ kind: 'cut' });
    const first = await store.commit(tx, { timeoutMs: 300 });
    expect(first.status).toBe('unknown');
    proxy.fault = () => ({ kind: 'pass' });
    const { entry } = await store.get(bytes('a'), CALL);
    expect(await store.commit(tx, CALL)).toEqual({
      status: 'committed',
      snapshot: entry!.revision,
    });
  });

  it('throws for what was never sent', async () => {
    const store = await open(`etcd:${proxy.url}`);
    await proxy.stop();
    const options = { timeoutMs: 300 };
    const unreachable = { code: 'store.unreachable' };
    await expect(store.get(bytes('a'), options)).rejects.toMatchObject(unreachable);
    const tx = transaction({ puts: [pair('a', '1')] });
    await expect(store.commit(tx, options)).rejects.toMatchObject(unreachable);
    proxy = await EtcdProxy.start(cluster.members[0]!.url);
  });

  it('keeps a failed compare failed when a try arrives late', async () => {
    const direct = await open(cluster.address, 'late/');
    const store = await open(`etcd:${proxy.url}`, 'late/');
    const tx = transaction({
      compares: [{ key: bytes('a'), revision: 'absent' }],
      puts: [pair('b', 'late')],
    });
    let sent = 0;
    // The first try is held up; the second one goes through when the compare does not hold.
    proxy.fault = () => ({ kind: sent++ === 0 ? 'hold' : 'pass' });
    const outcome = store.commit(tx, CALL);
    await until(async () => proxy.held > 0);
    await direct.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    expect((await outcome).status).toBe('failed-compare');
    await direct.commit(transaction({ deletes: [bytes('a')] }), CALL);
    proxy.release();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await read(direct, 'b')).toBeUndefined();
    // Asked for once more, it is a new try.
    expect((await store.commit(tx, CALL)).status).toBe('committed');
    expect(await read(direct, 'b')).toBe('late');
  });

  it('proves nothing while no answer comes, and goes on when it does', async ({ expect }) => {
    const store = await open(`etcd:${proxy.url}`);
    const watch = store.watch((await store.get(bytes('a'), CALL)).snapshot);
    const told = take(watch, Number.POSITIVE_INFINITY);
    await expect.poll(() => watch.proofAgeMs(), { timeout: 5_000 }).toBeLessThan(1_500);
    proxy.fault = () => ({ kind: 'stall' });
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(watch.proofAgeMs()).toBeGreaterThan(2_000);
    proxy.fault = () => ({ kind: 'pass' });
    await expect.poll(() => watch.proofAgeMs(), { timeout: 10_000 }).toBeLessThan(1_500);
    watch.close();
    await told;
  });

  it('proves a watch only as far as it has come, however steadily it trickles', async () => {
    const SLOW_MS = 1_000;
    const isWatch = (chunk: Uint8Array): boolean => text(chunk).includes('POST /v3/watch');
    proxy.fault = (chunk) => (isWatch(chunk) ? { kind: 'slow', ms: SLOW_MS } : { kind: 'pass' });
    const direct = await open(cluster.address, 'trickle/');
    const store = await open(`etcd:${proxy.url}`, 'trickle/');
    const watch = store.watch((await store.get(bytes('a'), CALL)).snapshot);
    const told = take(watch, Number.POSITIVE_INFINITY);
    let agesLow = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 45; i++) {
      await direct.commit(transaction({ puts: [pair('a', `${i}`)] }), CALL);
      await new Promise((resolve) => setTimeout(resolve, 80));
      // At the start there was nothing to miss.
      if (i > 20) agesLow = Math.min(agesLow, watch.proofAgeMs());
    }
    expect(agesLow).toBeGreaterThan(SLOW_MS - 100);
    expect(agesLow).toBeLessThan(10_000);
    watch.close();
    await told;
  });

  it('tells each transaction once, however often the connection breaks', async ({ expect }) => {
    const store = await open(`etcd:${proxy.url}`);
    const told: string[] = [];
    const watch = store.watch((await store.get(bytes('a'), CALL)).snapshot);
    const follow = (async () => {
      for await (const event of watch) {
        if (event.type === 'transaction') told.push(text(event.changes[0]!.value!));
      }
    })();
    const written: string[] = [];
    for (let i = 0; i < 60; i++) {
      const tx = transaction({ puts: [pair('a', `${i}`)] });
      expect((await store.commit(tx, CALL)).status).toBe('committed');
      written.push(`${i}`);
      if (i % 6 === 5) {
        await expect.poll(() => told.length, { timeout: 5_000 }).toBeGreaterThan(i - 3);
        proxy.cut();
      }
    }
    await expect.poll(() => told.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(60);
    expect(told).toEqual(written);
    watch.close();
    await follow;
  });

  it('says unknown when it is closed in the middle of a commit', async () => {
    const store = await open(`etcd:${proxy.url}`);
    proxy.fault = () => ({ kind: 'hold' });
    const outcome = store.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    await until(async () => proxy.held > 0);
    await store.close();
    expect((await outcome).status).toBe('unknown');
    await expect(store.get(bytes('a'), CALL)).rejects.toMatchObject({ code: 'store.closed' });
  });

  it('follows no redirect', async () => {
    const { createServer } = await import('node:http');
    let asked = 0;
    const server = createServer((request, response) => {
      asked += request.url === '/elsewhere' ? 1 : 0;
      response.writeHead(307, { location: '/elsewhere' }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const access = { envelope: plaintextEnvelope() };
    const { openEtcdStore } = await import('../src/store/etcd/etcd.ts');
    const members = [`http://127.0.0.1:${port}`];
    const opening = openEtcdStore({ ...access, members, prefix: 'x/', timeoutMs: 500 });
    await expect(opening).rejects.toMatchObject({ code: 'store.unreachable' });
    expect(asked).toBe(0);
    await new Promise((resolve) => server.close(resolve));
  });

  it('says compacted for reads and watches that are too old, and lists again', async ({
    expect,
  }) => {
    const store = await open(cluster.address);
    const commit = async (value: string): Promise<bigint> => {
      const outcome = await store.commit(transaction({ puts: [pair('a', value)] }), CALL);
      return outcome.status === 'committed' ? outcome.snapshot : 0n;
    };
    const first = await commit('1');
    const live: WatchEvent[] = [];
    const watch = store.watch(first);
    const told = take(watch, Number.POSITIVE_INFINITY, live);
    for (let i = 0; i < 5; i++) await commit(`${i}`);
    const last = await commit('6');
    await expect.poll(() => live.length, { timeout: 5_000 }).toBe(6);
    await cluster.compact(last);
    const old = store.get(bytes('a'), { ...CALL, at: first });
    await expect(old).rejects.toMatchObject({ code: 'store.compacted' });
    expect((await take(store.watch(first), 2)).map((event) => event.type)).toEqual(['compacted']);
    // One that is up to date goes on.
    await commit('7');
    await expect.poll(() => live.length, { timeout: 5_000 }).toBe(7);
    expect(live.every((event) => event.type === 'transaction')).toBe(true);
    watch.close();
    await told;
  });

  it('says compacted to a watch that is ahead of etcd', async () => {
    const store = await open(cluster.address);
    const { snapshot } = await store.get(bytes('a'), CALL);
    const [event, ...more] = await take(store.watch(snapshot + 1_000_000n), 2);
    expect([event?.type, more]).toEqual(['compacted', []]);
  });
});

beside(`${ETCD_NAME}: three members`, etcdMissing, () => {
  let cluster: EtcdCluster;
  const open = opener();
  beforeAll(async () => {
    cluster = await EtcdCluster.start({ members: 3 });
  });
  afterAll(() => cluster?.stop());
  afterEach(async () => {
    for (const member of cluster.members) {
      member.signal('SIGCONT');
      if (!member.running) await member.start();
    }
    await until(async () => (await cluster.leader()) !== undefined);
  });

  /**
   * Writes one after the other until `stop`; returns what was acknowledged, and the longest gap.
   */
  function writer(
    store: Store,
    fair: FairClock,
  ): { readonly count: number; stop(): Promise<{ values: string[]; gapMs: number }> } {
    const values: string[] = [];
    let gapMs = 0;
    let stopped = false;
    const done = (async () => {
      let lastMs = fair.nowMs;
      for (let i = 0; !stopped; i++) {
        const tx = transaction({ puts: [pair(`k${i}`, `${i}`)] });
        let outcome = await store.commit(tx, { timeoutMs: 3_000 }).catch(() => undefined);
        while (outcome?.status === 'unknown') outcome = await store.commit(tx, CALL);
        if (outcome?.status === 'committed') values.push(`k${i}`);
        gapMs = Math.max(gapMs, fair.nowMs - lastMs);
        lastMs = fair.nowMs;
      }
    })();
    return {
      get count() {
        return values.length;
      },
      stop: async () => {
        stopped = true;
        await done;
        return { values, gapMs };
      },
    };
  }

  it.for(['SIGKILL', 'SIGSTOP'] as const)(
    'loses nothing and goes on within 5 s when the leader gets %s',
    async (signal, { expect }) => {
      const prefix = freshPrefix();
      const store = await open(cluster.address, prefix);
      const other = await open(cluster.address, prefix);
      const seen = new Set<string>();
      const watch = other.watch((await other.get(bytes('a'), CALL)).snapshot);
      const follow = (async () => {
        for await (const event of watch) {
          if (event.type !== 'transaction') throw new Error('a gap');
          for (const { key } of event.changes) seen.add(text(key));
        }
      })();
      const fair = new FairClock();
      const writes = writer(store, fair);
      await new Promise((resolve) => setTimeout(resolve, 500));
      const leader = (await cluster.leader())!;
      if (signal === 'SIGKILL') await leader.kill();
      else leader.signal(signal);
      // Until it goes on, and a while longer: the gap is what is judged.
      const before = writes.count;
      await until(async () => writes.count > before + 20, 60_000);
      await new Promise((resolve) => setTimeout(resolve, 500));
      leader.signal('SIGCONT');
      const { values, gapMs } = await writes.stop();
      fair.stop();
      expect(gapMs).toBeLessThan(5_000);
      expect(values.length).toBeGreaterThan(20);
      await expect.poll(() => values.every((key) => seen.has(key)), { timeout: 10_000 }).toBe(true);
      for (const key of values) expect(await read(store, key)).toBe(key.slice(1));
      watch.close();
      await follow;
    },
  );

  it('goes on with the watch elsewhere when its member stands still', async ({ expect }) => {
    const prefix = freshPrefix();
    const store = await open(cluster.address, prefix);
    for (const member of cluster.members) {
      const others = cluster.members.filter((each) => each !== member);
      // The watching store asks the member first that is going to stand still.
      const watching = await open(`etcd:${[member, ...others].map(({ url }) => url)}`, prefix);
      const watch = watching.watch((await store.get(bytes('a'), CALL)).snapshot);
      const event = take(watch, 1);
      await expect.poll(() => watch.proofAgeMs(), { timeout: 5_000 }).toBeLessThan(1_500);
      member.signal('SIGSTOP');
      const startMs = performance.now();
      const tx = transaction({ puts: [pair('a', member.url)] });
      let outcome = await store.commit(tx, CALL);
      while (outcome.status === 'unknown') outcome = await store.commit(tx, CALL);
      expect((await event)[0]).toMatchObject({ type: 'transaction' });
      expect(performance.now() - startMs).toBeLessThan(8_000);
      member.signal('SIGCONT');
      watch.close();
      await until(async () => (await cluster.leader()) !== undefined);
    }
  });

  it('answers nothing without a majority, and all again with one', async () => {
    const store = await open(cluster.address);
    const tx = transaction({ puts: [pair('a', '1')] });
    for (const member of cluster.members.slice(1)) await member.kill();
    const outcome = await store.commit(tx, { timeoutMs: 800 });
    expect(outcome.status).toBe('unknown');
    await expect(store.get(bytes('a'), { timeoutMs: 800 })).rejects.toMatchObject({
      code: 'store.unreachable',
    });
    await Promise.all(cluster.members.slice(1).map((member) => member.start()));
    let again = await store.commit(tx, CALL);
    while (again.status === 'unknown') again = await store.commit(tx, CALL);
    expect(again.status).toBe('committed');
    expect(await read(store, 'a')).toBe('1');
  });

  it('makes one database when many open it at once', async () => {
    const prefix = freshPrefix();
    const stores = await Promise.all(
      Array.from({ length: 8 }, () => open(cluster.address, prefix)),
    );
    for (const [i, store] of stores.entries()) {
      await store.commit(transaction({ puts: [pair(`k${i}`, '')] }), CALL);
    }
    const pages = await Promise.all(
      stores.map((store) => store.list({ ...CALL, prefix: new Uint8Array() })),
    );
    expect(pages.map((page) => page.entries.length)).toEqual(stores.map(() => 8));
  });
});
