/** Imports into etcd that are larger than a transaction, and what etcd forgets. */

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { EtcdStore } from '../src/store/etcd/etcd.ts';
import { plaintextEnvelope } from '../src/store/etcd/seal.ts';
import { openStore } from '../src/store/open.ts';
import { type Entry, REQUESTS_KEPT, type Store } from '../src/store/store.ts';
import { transaction } from '../src/store/transaction.ts';
import { call, ETCD_NAME, EtcdCluster, etcdMissing } from './etcd.ts';
import { bytes, CALL, pair, take, text } from './store-contract.ts';

describe.skipIf(etcdMissing)(`${ETCD_NAME}: imports`, () => {
  let cluster: EtcdCluster;
  const opened: Store[] = [];
  let prefixes = 0;
  beforeAll(async () => {
    cluster = await EtcdCluster.start();
  });
  afterAll(() => cluster?.stop());
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });

  async function open(prefix: string): Promise<EtcdStore> {
    const store = await openStore(cluster.address, { prefix, envelope: plaintextEnvelope() });
    if (!(store instanceof EtcdStore)) throw new Error('another kind of store');
    opened.push(store);
    return store;
  }
  const fresh = (): string => `load/${prefixes++}/`;
  const puts = (n: number) =>
    Array.from({ length: n }, (_, i) => pair(`k${String(i).padStart(5, '0')}`, `v${i}`));
  async function all(store: Store): Promise<Entry[]> {
    const found: Entry[] = [];
    let page = await store.list({ ...CALL, prefix: new Uint8Array() });
    const at = page.snapshot;
    found.push(...page.entries);
    while (page.next !== undefined) {
      page = await store.list({ ...CALL, prefix: new Uint8Array(), at, after: page.next });
      found.push(...page.entries);
    }
    return found;
  }
  const count = async (store: Store): Promise<number> => (await all(store)).length;
  async function* slowly(n: number, midway: () => Promise<void>) {
    for (const [i, each] of puts(n).entries()) {
      if (i === n - 1) await midway();
      yield each;
    }
  }

  it('become visible all at once, to watches as a gap', async () => {
    const prefix = fresh();
    const store = await open(prefix);
    const other = await open(prefix);
    const before = (await other.get(bytes('a'), CALL)).snapshot;
    const told = take(other.watch(before), 2);
    let midway = -1;
    const entries = slowly(10_500, async () => {
      midway = await count(other);
    });
    const snapshot = await store.load(entries, CALL);
    expect([midway, await count(other), await count(store)]).toEqual([0, 10_500, 10_500]);
    expect((await all(other)).map((entry) => text(entry.value))).toEqual(
      puts(10_500).map(({ value }) => text(value)),
    );
    // Of so many, later pages are looked for in parts: in the middle of one too.
    const { entries: some } = await other.list({
      ...CALL,
      prefix: bytes('k'),
      after: bytes('k09'),
    });
    expect([some.length, text(some[0]!.key)]).toEqual([1_000, 'k09000']);
    const last = { ...CALL, prefix: bytes('k'), after: bytes('k10498') };
    expect(await other.list(last)).toMatchObject({ entries: [{}], next: undefined });
    expect(await told).toEqual([{ type: 'compacted', snapshot }]);
    // The past is as it was, and a watch from it says that there is a gap.
    const past = await other.list({ ...CALL, prefix: new Uint8Array(), at: before });
    expect(past.entries).toEqual([]);
    expect((await take(store.watch(before), 1))[0]?.type).toBe('compacted');
  });

  it('leave the store usable for who knew it before', async () => {
    const prefix = fresh();
    const [loader, writer, watcher] = [await open(prefix), await open(prefix), await open(prefix)];
    const snapshot = await loader.load(puts(3), CALL);
    const watch = take(watcher.watch(snapshot), 1);
    const revision = (await watcher.get(bytes('k00000'), CALL)).entry!.revision;
    const tx = transaction({
      compares: [{ key: bytes('k00000'), revision }],
      puts: [pair('k00000', 'new')],
    });
    const outcome = await writer.commit(tx, CALL);
    expect(outcome.status).toBe('committed');
    expect((await watch)[0]).toMatchObject({ type: 'transaction' });
    expect(await count(loader)).toBe(3);
  });

  it('are not made into a store with content, nor twice at once', async () => {
    const prefix = fresh();
    const [store, other] = [await open(prefix), await open(prefix)];
    const second: unknown[] = [];
    const entries = slowly(10, async () => {
      await other.load(puts(1), CALL).catch((error: unknown) => second.push(error));
    });
    await store.load(entries, CALL);
    expect(second).toEqual([expect.objectContaining({ code: 'store.busy' })]);
    await expect(store.load(puts(1), CALL)).rejects.toMatchObject({ code: 'store.content' });
    expect(await count(store)).toBe(10);
  });

  it('give way to what was written meanwhile', async () => {
    const prefix = fresh();
    const [store, other] = [await open(prefix), await open(prefix)];
    const entries = slowly(250, async () => {
      await other.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    });
    await expect(store.load(entries, CALL)).rejects.toMatchObject({ code: 'store.content' });
    expect((await all(store)).map((entry) => text(entry.key))).toEqual(['a']);
  });

  it('that break off are invisible, and cleared away by the next one', async () => {
    const prefix = fresh();
    const store = await open(prefix);
    const broken = slowly(300, async () => {
      throw new Error('the source broke off');
    });
    await expect(store.load(broken, CALL)).rejects.toThrow('the source broke off');
    expect(await count(store)).toBe(0);
    await store.load(puts(2), CALL);
    const b64 = (value: string): string => Buffer.from(value).toString('base64');
    const range = { key: b64(`${prefix}g/`), range_end: b64(`${prefix}g0`), keys_only: true };
    const { kvs } = await call(cluster.members[0]!.url, '/v3/kv/range', range);
    expect(kvs.filter((kv: { key: string }) => atob(kv.key).includes('/d/'))).toHaveLength(2);
  });

  it('forgets requests, but at least the last 4,096 not', async () => {
    const prefix = fresh();
    const store = await open(prefix);
    const { url } = cluster.members[0]!;
    const b64 = (value: string): string => Buffer.from(value).toString('base64');
    const range = { key: b64(`${prefix}r/`), range_end: b64(`${prefix}r0`) };
    const requests = async (): Promise<number> =>
      Number((await call(url, '/v3/kv/range', { ...range, count_only: true })).count);
    // As so many commits have left them.
    const old = REQUESTS_KEPT + 300;
    for (let i = 0; i < old; i += 100) {
      const success = Array.from({ length: 100 }, (_, at) => ({
        request_put: { key: b64(`${prefix}r/${String(i + at).padStart(16, '0')}`), value: 'AQ==' },
      }));
      await call(url, '/v3/kv/txn', { success });
    }
    const before = await requests();
    expect(before).toBeGreaterThanOrEqual(old);
    const key = (kv: { key: string }): string => atob(kv.key).slice(prefix.length + 2);
    // One commit out of 1,024 looks for old ones.
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.5);
    await store.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    expect(await requests()).toBe(before + 1);
    random.mockReturnValue(0);
    const tx = transaction({ puts: [pair('a', '2')] });
    await store.commit(tx, CALL);
    random.mockRestore();
    await expect.poll(requests).toBe(REQUESTS_KEPT);
    const { kvs } = await call(url, '/v3/kv/range', { ...range, keys_only: true });
    const left = new Set<string>(kvs.map(key));
    expect(left.has(String.fromCharCode(...tx.requestId))).toBe(true);
    // The oldest went.
    expect([left.has('0'.repeat(16)), left.has(String(old - 1).padStart(16, '0'))]).toEqual([
      false,
      true,
    ]);
  }, 120_000);
});
