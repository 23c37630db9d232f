/** The stores against their contract. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { plaintextEnvelope } from '../src/store/etcd/seal.ts';
import { MemoryStore } from '../src/store/memory.ts';
import { openStore } from '../src/store/open.ts';
import { transaction } from '../src/store/transaction.ts';
import { bytes, CALL, leaseContract, pair, storeContract, take } from './store-contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'cephgate-store-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const memory = async () => new MemoryStore();
describe('memory', () => storeContract('memory', memory, 1_500));
describe('memory: leases', () => leaseContract('memory', memory, 250));

let files = 0;
const sqlite = () => openStore(`sqlite:${join(folder, `${files++}`, 'store.db')}`);
describe('sqlite', () => storeContract('sqlite', sqlite, 400));
describe('sqlite: leases', () => leaseContract('sqlite', sqlite, 250));

describe('what the embedded stores forget', () => {
  const commits = async (store: MemoryStore, n: number, size = 1) => {
    for (let i = 0; i < n; i++) {
      const value = new Uint8Array(size).fill(i);
      await store.commit(transaction({ puts: [{ key: bytes('a'), value }] }), CALL);
    }
  };

  it.each([
    ['more than 1,024 snapshots', 1_100, 1],
    ['more than 32 MiB of changes', 40, 1_000_000],
  ])('says compacted after %s', async (_, n, size) => {
    const store = new MemoryStore();
    await commits(store, n, size);
    await expect(store.get(bytes('a'), { ...CALL, at: 1n })).rejects.toMatchObject({
      code: 'store.compacted',
    });
    const [event, ...more] = await take(store.watch(1n), 2);
    expect([event?.type, more]).toEqual(['compacted', []]);
    const oldest = event!.snapshot;
    expect(oldest).toBe(BigInt(n) - (size === 1 ? 1_023n : 33n));
    await expect(store.get(bytes('a'), { ...CALL, at: oldest })).resolves.toBeDefined();
    const [next] = await take(store.watch(oldest), 1);
    expect([next?.type, next?.snapshot]).toEqual(['transaction', oldest + 1n]);
  });

  it('says compacted to a watch that is too slow, instead of leaving something out', async () => {
    const store = new MemoryStore();
    await commits(store, 1);
    const types: string[] = [];
    for await (const event of store.watch(0n)) {
      types.push(event.type);
      if (types.length === 1) await commits(store, 1_100);
    }
    expect(types).toEqual(['transaction', 'compacted']);
  });

  it('says compacted to a watch from a snapshot that is not reached', async () => {
    const store = new MemoryStore();
    expect(await take(store.watch(7n), 2)).toEqual([{ type: 'compacted', snapshot: 0n }]);
  });

  it('wants an address that it knows', async () => {
    for (const address of ['sqlite:', 'memory', 'file.db', 'etcd:https://a:2379']) {
      await expect(openStore(address)).rejects.toMatchObject({ code: 'store.address' });
    }
    const envelope = plaintextEnvelope();
    const elsewhere = openStore('etcd:https://a:2379,http://192.0.2.1:2379', { envelope });
    await expect(elsewhere).rejects.toThrow(/http to "192\.0\.2\.1" is not safe, expected https/);
    const store = await openStore('memory:');
    const outcome = await store.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    expect(outcome).toEqual({ status: 'committed', snapshot: 1n });
  });
});
