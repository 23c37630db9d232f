/** `cephgate store`: moving a store, digests, the key that seals one in etcd. */

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { READY } from '../src/auth/leader-records.ts';
import { copyStore, digestStore } from '../src/store/copy.ts';
import { MemoryStore } from '../src/store/memory.ts';
import { openStore } from '../src/store/open.ts';
import { type Store, TRANSACTION_OPERATIONS_MAX } from '../src/store/store.ts';
import { transaction } from '../src/store/transaction.ts';
import { run } from './cli-kit.ts';
import { call, ETCD_NAME, EtcdCluster, etcdMissing } from './etcd.ts';
import { Rng, seedOf } from './rng.ts';
import { bytes, CALL, pair } from './store-contract.ts';

const rng = new Rng(seedOf(20261129));
const all = { ...CALL, skip: () => false };
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cephgate-copy-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string): string => join(folder, name);

async function fill(store: Store, n: number): Promise<void> {
  for (let at = 0; at < n; at += TRANSACTION_OPERATIONS_MAX) {
    const count = Math.min(TRANSACTION_OPERATIONS_MAX, n - at);
    const puts = Array.from({ length: count }, (_, i) => ({
      key: bytes(`entity/client.${at + i}`),
      value: rng.bytes(1 + rng.int(300)),
    }));
    await store.commit(transaction({ puts }), CALL);
  }
}

async function sqlite(path: string, n: number): Promise<void> {
  const store = await openStore(`sqlite:${path}`);
  await fill(store, n);
  await store.commit(transaction({ puts: [{ key: READY.key('osd'), value: bytes('x') }] }), CALL);
  await store.close();
}

describe('copies of stores', () => {
  it('are the same, however many entries there are', async () => {
    for (const n of [0, 1, 50, 51, 2_345]) {
      const [from, to] = [new MemoryStore(), new MemoryStore()];
      await fill(from, n);
      const copied = await copyStore(from, to, all);
      expect([copied.entries, (await digestStore(to, all)).digest]).toEqual([n, copied.digest]);
    }
  });

  it('tell stores apart by any key, value, or border between them', async () => {
    const digests = new Set<string>();
    const contents = [
      [],
      [['a', 'b']],
      [['ab', '']],
      [['a', 'bc']],
      [
        ['a', ''],
        ['b', ''],
      ],
    ];
    for (const content of contents) {
      const store = new MemoryStore();
      const puts = content.map(([key, value]) => pair(key!, value!));
      if (puts.length > 0) await store.commit(transaction({ puts }), CALL);
      digests.add((await digestStore(store, all)).digest);
    }
    expect(digests.size).toBe(contents.length);
  });

  it('go into an empty store alone, and say when they are not the same', async () => {
    const [from, to] = [new MemoryStore(), new MemoryStore()];
    await fill(from, 3);
    await fill(to, 1);
    await expect(copyStore(from, to, all)).rejects.toMatchObject({ code: 'store.content' });
    const lossy = new MemoryStore();
    const commit = lossy.commit.bind(lossy);
    lossy.commit = (tx, options) => commit({ ...tx, puts: tx.puts.slice(1) }, options);
    await expect(copyStore(from, lossy, all)).rejects.toThrow(/the copy is not the same/);
  });
});

describe('cephgate store, on files', () => {
  it('copies into a new file that only its owner reads, without what instances said', async () => {
    await sqlite(file('a.db'), 120);
    const { code, out, err } = await run([
      'store',
      'copy',
      `sqlite:${file('a.db')}`,
      `sqlite:${file('b.db')}`,
      '--json',
    ]);
    expect([code, err]).toEqual([0, '']);
    const copied = JSON.parse(out);
    expect(copied.entries).toBe(120);
    expect(statSync(file('b.db')).mode & 0o777).toBe(0o600);
    const digest = await run(['store', 'digest', `sqlite:${file('b.db')}`]);
    expect(digest.out).toBe(`120 entries, SHA-256 ${copied.digest}\n`);
    expect(existsSync(file('b.db.part'))).toBe(false);
  });

  it('leaves nothing behind when it fails, and no file untouched that was there', async () => {
    await sqlite(file('a.db'), 3);
    const before = readFileSync(file('a.db'));
    const onto = await run(['store', 'copy', `sqlite:${file('a.db')}`, `sqlite:${file('a.db')}`]);
    expect([onto.code, onto.err]).toEqual([3, expect.stringContaining('it exists')]);
    expect(readFileSync(file('a.db'))).toEqual(before);
    const none = await run(['store', 'copy', `sqlite:${file('x.db')}`, `sqlite:${file('y.db')}`]);
    expect([none.code, existsSync(file('x.db')), existsSync(file('y.db'))]).toEqual([
      3,
      false,
      false,
    ]);
    const server = createServer((_, response) => {
      response.writeHead(403).end('{"error":"etcdserver: permission denied","code":7}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const etcd = `etcd:http://127.0.0.1:${port}`;
    const refused = await run([
      'store',
      'copy',
      etcd,
      `sqlite:${file('y.db')}`,
      '--store-plaintext',
    ]);
    server.close();
    expect([refused.code, refused.err]).toEqual([3, expect.stringContaining('permission denied')]);
    expect([existsSync(file('y.db')), existsSync(file('y.db.part'))]).toEqual([false, false]);
  });

  it('leaves nothing behind when nobody is there, after ten seconds of a fast clock', async () => {
    const nobody = ['store', 'copy', 'etcd:http://127.0.0.1:1', `sqlite:${file('z.db')}`];
    const now = performance.now.bind(performance);
    const startMs = now();
    const fast = vi.spyOn(performance, 'now');
    fast.mockImplementation(() => startMs + (now() - startMs) * 10);
    try {
      const unreachable = await run([...nobody, '--store-plaintext']);
      expect(unreachable.err).toContain('cannot reach etcd');
      expect([unreachable.code, existsSync(file('z.db.part'))]).toEqual([3, false]);
      // It tries until the time is over, and no shorter.
      expect(performance.now() - startMs).toBeGreaterThan(5_000);
    } finally {
      fast.mockRestore();
    }
  });

  it('wants its words, and a store key or the word for none', async () => {
    for (const argv of [[], ['copy'], ['copy', 'memory:'], ['digest'], ['other']]) {
      expect((await run(['store', ...argv])).code).toBe(2);
    }
    const bare = await run(['store', 'digest', 'etcd:https://127.0.0.1:1']);
    expect([bare.code, bare.err]).toEqual([3, expect.stringContaining('a store key is needed')]);
    const open = await run(['store', 'digest', 'etcd:http://10.0.0.1:1', '--store-plaintext']);
    expect([open.code, open.err]).toEqual([3, expect.stringContaining('is not safe')]);
  });

  it('makes store keys: a current one, then a previous one too, never three', async () => {
    expect((await run(['store', 'key', file('key')])).code).toBe(0);
    const first = readFileSync(file('key'), 'utf8').split('\n');
    expect([first.length, statSync(file('key')).mode & 0o777]).toEqual([2, 0o600]);
    await run(['store', 'key', file('key')]);
    const second = readFileSync(file('key'), 'utf8').split('\n');
    expect([second.length, second[1]]).toEqual([3, first[0]]);
    await run(['store', 'key', file('key')]);
    const third = readFileSync(file('key'), 'utf8').split('\n');
    expect([third.length, third[1]]).toEqual([3, second[0]]);
    const address = 'etcd:http://127.0.0.1:1';
    for (const content of ['', 'no key\n', `${first[0]}\n`.repeat(3)]) {
      writeFileSync(file('bad'), content, { mode: 0o600 });
      const bad = await run(['store', 'digest', address, '--store-key', file('bad')]);
      expect([bad.code, bad.err]).toEqual([3, expect.stringContaining('cannot use store key')]);
      expect(bad.err).not.toContain(first[0]);
    }
  });
});

describe.skipIf(etcdMissing)(`${ETCD_NAME}: cephgate store`, () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await EtcdCluster.start();
  });
  afterAll(() => cluster?.stop());

  it('moves a store to etcd, sealed, and back', async () => {
    await sqlite(file('a.db'), 1_500);
    await run(['store', 'key', file('key')]);
    const flags = ['--store-key', file('key'), '--store-prefix', 'moved/'];
    const there = await run([
      ...['store', 'copy', '--from', `sqlite:${file('a.db')}`, '--to', cluster.address],
      ...flags,
    ]);
    expect([there.code, there.out]).toEqual([0, expect.stringContaining('copied 1500 entries')]);
    const back = await run(['store', 'copy', cluster.address, `sqlite:${file('b.db')}`, ...flags]);
    expect(back.out).toBe(there.out);
    const twice = await run(['store', 'copy', `sqlite:${file('a.db')}`, cluster.address, ...flags]);
    expect([twice.code, twice.err]).toEqual([3, expect.stringContaining('not empty')]);
  });

  it('seals anew, so that the previous key may go', async () => {
    await sqlite(file('a.db'), 30);
    await run(['store', 'key', file('key')]);
    const flags = ['--store-key', file('key'), '--store-prefix', 'resealed/'];
    await run(['store', 'copy', `sqlite:${file('a.db')}`, cluster.address, ...flags]);
    const before = await run(['store', 'digest', cluster.address, ...flags]);
    await run(['store', 'key', file('key')]);
    const resealed = await run(['store', 'reseal', cluster.address, ...flags]);
    expect(resealed.out).toBe('sealed 30 entries anew\n');
    const [current] = readFileSync(file('key'), 'utf8').split('\n');
    writeFileSync(file('key'), `${current}\n`, { mode: 0o600 });
    expect(await run(['store', 'digest', cluster.address, ...flags])).toEqual(before);
    // The key itself is nowhere in etcd.
    const b64 = (value: string): string => Buffer.from(value).toString('base64');
    const range = { key: b64('resealed/'), range_end: b64('resealed0') };
    const { kvs } = await call(cluster.members[0]!.url, '/v3/kv/range', range);
    const secret = Buffer.from(current!, 'base64').subarray(12);
    for (const { value } of kvs) {
      expect(Buffer.from(value ?? '', 'base64').includes(secret)).toBe(false);
    }
  });
});
