/** The embedded store's file: who may open it, what survives, and what its errors say. */

import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ENTITIES } from '../src/store/records.ts';
import { openSqliteStore } from '../src/store/sqlite.ts';
import {
  loadDriver,
  type SqlDatabase,
  type SqlDriver,
  SqlError,
} from '../src/store/sqlite-driver.ts';
import type { Store } from '../src/store/store.ts';
import { REQUESTS_KEPT } from '../src/store/store.ts';
import { transaction } from '../src/store/transaction.ts';
import { Rng, seedOf } from './rng.ts';
import { bytes, CALL, pair, take, text } from './store-contract.ts';
import { randomTransactions, StoreTwin } from './store-twin.ts';

let folder: string;
let path: string;
const open: Store[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cephgate-sqlite-'));
  path = join(folder, 'data', 'store.db');
});
afterEach(async () => {
  for (const store of open.splice(0)) await store.close();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  fs.rmSync(folder, { recursive: true, force: true });
});

async function opened(options = {}): Promise<Store> {
  const store = await openSqliteStore(path, options);
  open.push(store);
  return store;
}

describe('sqlite: the file', () => {
  it('is the truth: everything is there after a restart, but no watch and no lease', async () => {
    const first = await opened();
    const seed = seedOf(11);
    const twin = new StoreTwin();
    await randomTransactions(first, twin, new Rng(seed), 150, `seed ${seed}`);
    const tx = transaction({ puts: [pair('last', '1')] });
    const committed = await first.commit(tx, CALL);
    const lease = await first.lease('rotation', 60_000, CALL);
    const all = await first.list({ ...CALL, prefix: new Uint8Array() });
    await first.close();

    const second = await opened();
    const again = await second.list({ ...CALL, prefix: new Uint8Array() });
    expect(again.entries, `seed ${seed}`).toEqual(all.entries);
    expect(again.snapshot).toBe(lease!.fencing);
    expect(await second.commit(tx, CALL)).toEqual(committed);
    const holds = { lease: 'rotation', fencing: lease!.fencing };
    const fenced = transaction({ compares: [holds], puts: [pair('x', 'y')] });
    expect((await second.commit(fenced, CALL)).status).toBe('failed-compare');
    const next = await second.lease('rotation', 60_000, CALL);
    expect(next!.fencing).toBeGreaterThan(lease!.fencing);
    const earlier = all.snapshot - 1n;
    expect(await take(second.watch(earlier), 2)).toEqual([
      { type: 'compacted', snapshot: again.snapshot },
    ]);
    await expect(second.get(bytes('a'), { ...CALL, at: earlier })).rejects.toMatchObject({
      code: 'store.compacted',
    });
  });

  it('keeps as many requests in the file as in memory, and no more', async () => {
    const store = await opened();
    for (let i = 0; i < 20; i++) await store.commit(transaction({ puts: [pair('a', '')] }), CALL);
    await store.close();
    const sql = (await loadDriver()).open(path);
    sql.run('BEGIN IMMEDIATE');
    sql.run(
      `WITH RECURSIVE n(i) AS (SELECT 21 UNION ALL SELECT i + 1 FROM n WHERE i < ${REQUESTS_KEPT})
       INSERT INTO requests (snapshot, id) SELECT i, randomblob(16) FROM n`,
    );
    sql.run('UPDATE state SET snapshot = ?', BigInt(REQUESTS_KEPT));
    sql.run('COMMIT');
    sql.close();
    const again = await opened();
    for (let i = 0; i < 3; i++) await again.commit(transaction({ puts: [pair('a', '')] }), CALL);
    await again.close();
    const after = (await loadDriver()).open(path);
    const row = after.all('SELECT count(*) AS n, min(snapshot) AS low FROM requests')[0];
    after.close();
    expect(row).toEqual([BigInt(REQUESTS_KEPT), 4n]);
  });

  it('holds no deleted key bytes once it is closed', async () => {
    const store = await opened();
    const key = new Rng(5).bytes(32);
    const record = ENTITIES.encode({ key, pendingKey: undefined, caps: new Map() });
    await store.commit(
      transaction({ puts: [{ key: bytes('entity/client.x'), value: record }] }),
      CALL,
    );
    expect(filesHold(key)).toBe(true);
    await store.commit(transaction({ deletes: [bytes('entity/client.x')] }), CALL);
    await store.close();
    expect(filesHold(key)).toBe(false);
  });

  it('is synced at every commit, and waits for locks before it asks for the mode', async () => {
    const spy = await spyDriver();
    const store = await opened({ driver: spy.driver });
    const main = spy.connections.find((each) => each.path.endsWith('.db'))!;
    const order = ['busy_timeout', 'journal_mode', 'synchronous'].map((name) =>
      main.statements.findIndex((sql) => sql.startsWith(`PRAGMA ${name} =`)),
    );
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order[0]).toBe(0);
    expect(main.database.all('PRAGMA journal_mode')).toEqual([['wal']]);
    expect(main.database.all('PRAGMA synchronous')).toEqual([[2n]]);
    main.statements.length = 0;
    await store.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    expect(main.statements.filter((sql) => sql === 'COMMIT')).toHaveLength(1);
  });
});

describe('sqlite: who may read and write it', () => {
  it('makes file and folder for their owner alone, under any umask', async () => {
    const before = process.umask(0);
    try {
      const store = await opened();
      await store.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    } finally {
      process.umask(before);
    }
    expect(modeOf(dirname(path))).toBe('700');
    const files = fs.readdirSync(dirname(path)).sort();
    expect(files).toContain('store.db.lock');
    for (const file of files)
      expect([file, modeOf(join(dirname(path), file))]).toEqual([file, '600']);
  });

  it.each([
    ['data', 0o750],
    ['data', 0o701],
    ['data/store.db', 0o640],
    ['data/store.db', 0o602],
    ['data/store.db.lock', 0o644],
  ])('refuses %s of mode %o', async (name, mode) => {
    await (await opened()).close();
    fs.chmodSync(join(folder, name), mode);
    const error = await opened().catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'store.mode' });
    expect(error.message).toContain(`its mode is 0${mode.toString(8)}, which is open to others`);
  });

  it('says that a file without the write bit is read-only', async () => {
    await (await opened()).close();
    fs.chmodSync(path, 0o400);
    const error = await opened().catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'store.readonly' });
    expect(error.message).toContain('its mode is 0400, expected 0600');
  });

  it('makes missing folders, each for their owner alone', async () => {
    path = join(folder, 'a', 'b', 'c', 'store.db');
    await opened();
    for (const name of ['a', 'a/b', 'a/b/c']) expect(modeOf(join(folder, name))).toBe('700');
  });

  it.runIf(fs.existsSync('/proc/self'))('says where no folder can be made', async () => {
    path = '/proc/none/store.db';
    const error = await opened().catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'store.readonly' });
    expect(error.message).toMatch(/^cannot make "\/proc\/none\/store.db": E[A-Z]+$/);
  });

  it('looks at the file that a link means', async () => {
    await (await opened()).close();
    const link = join(folder, 'data', 'link.db');
    const outside = join(folder, 'outside.db');
    fs.renameSync(path, outside);
    fs.symlinkSync(outside, link);
    fs.chmodSync(folder, 0o755);
    await expect(openSqliteStore(link)).rejects.toMatchObject({ code: 'store.mode' });
  });
});

describe('sqlite: the writer lock', () => {
  it('names the process that holds it, and is free when that is killed', async () => {
    const child = startChild('hold');
    const first = await child.next();
    expect(first).toMatch(/^open \d+$/);
    const error = await opened().catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'store.locked' });
    expect(error.message).toMatch(
      new RegExp(
        `^cannot write store ".*": process ${first?.split(' ')[1]} holds its lock since 2`,
      ),
    );
    await child.kill();
    await (await opened()).get(bytes('a'), CALL);
  });

  it('refuses a second opening in the same process, and opens after a close', async () => {
    const first = await opened();
    const error = await opened().catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'store.locked' });
    expect(error.message).toContain(`process ${process.pid} `);
    await first.close();
    await opened();
  });

  it('lets one of many that start at once have it, and all say whose it is', async () => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => opened()));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      expect(result.reason).toMatchObject({ code: 'store.locked' });
      expect(result.reason.message).toContain(`process ${process.pid} `);
    }
  });
});

describe('sqlite: trouble', () => {
  it('says that the disk is full, applies nothing, and goes on when there is room', async () => {
    const store = await opened({ pagesMax: 40 });
    const large = (key: string, n: number) =>
      transaction({ puts: [{ key: bytes(key), value: new Uint8Array(n) }, pair('a', key)] });
    expect((await store.commit(large('x', 50_000), CALL)).status).toBe('committed');
    const before = await store.list({ ...CALL, prefix: new Uint8Array() });
    const tx = large('y', 500_000);
    const error = await store.commit(tx, CALL).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'store.full' });
    expect(error.message).toMatch(/^cannot commit to store ".*": database or disk is full$/);
    expect(await store.list({ ...CALL, prefix: new Uint8Array() })).toEqual(before);
    expect((await store.commit(large('z', 100), CALL)).status).toBe('committed');
    await store.close();
    const again = await opened();
    const keys = (await again.list({ ...CALL, prefix: new Uint8Array() })).entries;
    expect(keys.map((entry) => text(entry.key))).toEqual(['a', 'x', 'z']);
    expect((await again.commit(tx, CALL)).status).toBe('committed');
  });

  it.each(['COMMIT', 'UPDATE'])('does not guess after an I/O error at %s', async (at) => {
    const spy = await spyDriver();
    const store = await opened({ driver: spy.driver });
    await store.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    const watched = take(store.watch(0n), 9);
    spy.failAt = at;
    const tx = transaction({ puts: [pair('a', '2')] });
    const outcome = await store.commit(tx, CALL);
    expect(outcome).toMatchObject({ status: 'unknown' });
    spy.failAt = undefined;
    await expect(store.commit(tx, CALL)).rejects.toMatchObject({ code: 'store.failed' });
    await expect(store.lease('l', 9, CALL)).rejects.toMatchObject({ code: 'store.failed' });
    await expect(watched).rejects.toMatchObject({ code: 'store.failed' });
    await store.close();
    // Reopened, the same request settles it.
    const again = await opened();
    expect((await again.commit(tx, CALL)).status).toBe('committed');
    expect(text((await again.get(bytes('a'), CALL)).entry!.value)).toBe('2');
  });

  it('stops when another program has written the file', async () => {
    const store = await opened();
    await store.commit(transaction({ puts: [pair('a', '1')] }), CALL);
    const watched = take(store.watch(0n), 9);
    const sql = (await loadDriver()).open(path);
    sql.run('UPDATE state SET snapshot = snapshot + 1');
    sql.close();
    const outcome = await store.commit(transaction({ puts: [pair('a', '2')] }), CALL);
    expect(outcome.status).toBe('unknown');
    await expect(store.get(bytes('a'), CALL)).rejects.toMatchObject({ code: 'store.failed' });
    await expect(watched).rejects.toMatchObject({ code: 'store.failed' });
  });

  it('waits a moment for another writer, then says that it is busy', async () => {
    const store = await opened();
    const sql = (await loadDriver()).open(path);
    sql.run('BEGIN IMMEDIATE');
    const tx = transaction({ puts: [pair('a', '1')] });
    await expect(store.commit(tx, CALL)).rejects.toMatchObject({ code: 'store.busy' });
    sql.run('ROLLBACK');
    sql.close();
    expect((await store.commit(tx, CALL)).status).toBe('committed');
  });

  it.each([
    ['text', 'store.content', () => fs.writeFileSync(path, 'not a database'.repeat(500))],
    ['a folder', 'store.content', () => fs.mkdirSync(path)],
    ['damage', 'store.content', damage],
    ['a newer layout', 'store.version', () => sqlOn('PRAGMA user_version = 2')],
    ['another program', 'store.content', () => sqlOn('PRAGMA application_id = 1')],
  ])('refuses %s', async (_, code, harm) => {
    const store = await opened();
    const puts = Array.from({ length: 90 }, (__, i) => ({
      key: bytes(`key ${i}`),
      value: new Uint8Array(1000),
    }));
    await store.commit(transaction({ puts }), CALL);
    await store.close();
    if (code === 'store.content' && harm !== damage) {
      if (!String(harm).includes('sqlOn')) fs.rmSync(path);
    }
    await harm();
    if (fs.statSync(path).isFile()) fs.chmodSync(path, 0o600);
    const error = await opened().catch((thrown) => thrown);
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(path);
    // The lock is free again.
    await expect(opened()).rejects.toMatchObject({ code });
  });
});

describe('sqlite: kill -9', () => {
  it('loses no acknowledged commit and shows no half transaction', async () => {
    let acknowledged = 0;
    for (let round = 0; round < 4; round++) {
      const child = startChild('write');
      expect(await child.next()).toMatch(/^open/);
      const until = Date.now() + 250 + round * 130;
      for (let n = 0; n < 8 || Date.now() < until; n++) acknowledged = Number(await child.next());
      acknowledged = Math.max(acknowledged, await child.kill());
      const store = await opened();
      const last = await numbers(store);
      expect(new Set(last).size, String(last)).toBe(1);
      const number = Number(last[0]);
      expect(number).toBeGreaterThanOrEqual(acknowledged);
      // At most the one commit that was in flight is there without an answer.
      expect(number).toBeLessThanOrEqual(acknowledged + 1);
      expect(await logged(store)).toBe(number);
      await store.close();
    }
    expect(acknowledged).toBeGreaterThan(20);
  });
});

async function numbers(store: Store): Promise<string[]> {
  const page = await store.list({ ...CALL, prefix: bytes('number/') });
  expect(page.entries).toHaveLength(3);
  return page.entries.map((entry) => text(entry.value));
}

/** How many commits left their line: all of 1 to n, or it fails. */
async function logged(store: Store): Promise<number> {
  const found = new Set<string>();
  let after: Uint8Array | undefined;
  do {
    const page = await store.list({ ...CALL, prefix: bytes('log/'), after });
    for (const entry of page.entries) found.add(text(entry.value));
    after = page.next;
  } while (after !== undefined);
  for (let i = 1; i <= found.size; i++) expect(found.has(String(i)), `log ${i}`).toBe(true);
  return found.size;
}

interface Child {
  /** The next line of its output. */
  next(): Promise<string | undefined>;
  /** Kills it at once; the last number it printed, or 0. */
  kill(): Promise<number>;
}

function startChild(mode: 'hold' | 'write'): Child {
  const script = fileURLToPath(new URL('store-child.mjs', import.meta.url));
  const runtime = 'Deno' in globalThis ? ['run', '-A', script] : [script];
  const child = spawn(process.execPath, [...runtime, storeModule(), path, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string | undefined;
  return {
    next,
    kill: async () => {
      child.kill('SIGKILL');
      let last = '0';
      for (let line = await next(); line !== undefined; line = await next()) last = line;
      return Number(last) || 0;
    },
  };
}

/** Node 20 runs no TypeScript: there the child takes what the build made. */
function storeModule(): string {
  const source = new URL('../src/store/index.ts', import.meta.url);
  if ('Deno' in globalThis || 'Bun' in globalThis) return source.href;
  const built =
    process.env.CEPHGATE_TEST_DIST ?? fileURLToPath(new URL('../dist', import.meta.url));
  return pathToFileURL(join(built, 'src', 'store', 'index.js')).href;
}

function modeOf(name: string): string {
  return (fs.statSync(name).mode & 0o777).toString(8);
}

function filesHold(key: Uint8Array): boolean {
  return fs
    .readdirSync(dirname(path))
    .some((file) => fs.readFileSync(join(dirname(path), file)).includes(Buffer.from(key)));
}

interface Spy {
  readonly driver: SqlDriver;
  readonly connections: { path: string; database: SqlDatabase; statements: string[] }[];
  /** Statements that begin so fail as a disk does. */
  failAt: string | undefined;
}

async function spyDriver(): Promise<Spy> {
  const real = await loadDriver();
  const spy: Spy = {
    connections: [],
    failAt: undefined,
    driver: {
      name: real.name,
      open: (name) => {
        const database = real.open(name);
        const statements: string[] = [];
        spy.connections.push({ path: name, database, statements });
        const seen = (sql: string) => {
          statements.push(sql);
          if (spy.failAt !== undefined && sql.startsWith(spy.failAt)) {
            throw new SqlError(SQLITE_IOERR, 'disk I/O error');
          }
        };
        return {
          run: (sql, ...values) => {
            seen(sql);
            database.run(sql, ...values);
          },
          all: (sql, ...values) => {
            seen(sql);
            return database.all(sql, ...values);
          },
          close: () => database.close(),
        };
      },
    },
  };
  return spy;
}

const SQLITE_IOERR = 10;

async function sqlOn(statement: string): Promise<void> {
  const sql = (await loadDriver()).open(path);
  sql.run(statement);
  sql.close();
}

/** Overwrites the pages behind the first two. */
function damage(): void {
  const file = fs.readFileSync(path);
  file.fill(0x5a, 8192);
  fs.writeFileSync(path, file);
}
