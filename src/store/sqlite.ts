/**
 * The embedded default: one SQLite file that this process alone writes. The database is in memory,
 * a map per snapshot; the file is the truth, synced at each commit.
 */

import { StoreError, type StoreErrorCode } from '../errors.ts';
import type { Stored } from './history.ts';
import { takeWriterLock, type WriterLock } from './lock.ts';
import { type Journal, type JournalRecord, type JournalState, MemoryStore } from './memory.ts';
import { PMap } from './pmap.ts';
import { preparePrivateFile } from './private.ts';
import {
  loadDriver,
  SQLITE_BUSY,
  SQLITE_CORRUPT,
  SQLITE_FULL,
  SQLITE_NOTADB,
  SQLITE_READONLY,
  type SqlDatabase,
  type SqlDriver,
  SqlError,
} from './sqlite-driver.ts';
import { createSchema, readSchema } from './sqlite-schema.ts';
import type { Store } from './store.ts';
import { keyText } from './text.ts';

export interface SqliteOptions {
  /** Pages of 4,096 bytes that the file may have; then commits fail with `store.full`. */
  readonly pagesMax?: number | undefined;
  /** Instead of the SQLite of this runtime. */
  readonly driver?: SqlDriver | undefined;
}

/**
 * Opens or makes the store. The file must be 0600 and its folder 0700, both ours. Throws StoreError
 * `store.locked` (its text names the process), `store.mode`, `store.content`, `store.version`,
 * `store.readonly`, `store.full`, `store.driver`.
 */
export async function openSqliteStore(path: string, options: SqliteOptions = {}): Promise<Store> {
  const driver = options.driver ?? (await loadDriver());
  const real = preparePrivateFile(path);
  const lock = await takeLock(driver, real);
  let database: SqlDatabase | undefined;
  try {
    database = driver.open(real);
    const state = openDatabase(database, real, options);
    return new MemoryStore(new SqliteJournal(database, lock, real, state.snapshot), state);
  } catch (error) {
    database?.close();
    lock.release();
    throw clear(error, 'open', real);
  }
}

async function takeLock(driver: SqlDriver, path: string): Promise<WriterLock> {
  try {
    return await takeWriterLock(driver, path);
  } catch (error) {
    throw clear(error, 'lock', path);
  }
}

function openDatabase(database: SqlDatabase, path: string, options: SqliteOptions): JournalState {
  // The order matters: without the timeout, two processes that start together fail at the mode.
  for (const pragma of PRAGMAS) database.all(`PRAGMA ${pragma}`);
  if (!readSchema(database, path)) createSchema(database);
  if (options.pagesMax !== undefined) {
    database.all(`PRAGMA max_page_count = ${Math.trunc(options.pagesMax)}`);
  }
  const damage = database.all('PRAGMA quick_check(1)')[0]?.[0];
  if (damage !== 'ok') throw new SqlError(SQLITE_CORRUPT, `quick_check says ${damage}`);
  return load(database);
}

function load(database: SqlDatabase): JournalState {
  const pairs = database
    .all('SELECT key, value, revision FROM entries ORDER BY key')
    .map(([key, value, revision]): [string, Stored] => [
      keyText(key as Uint8Array),
      { value: value as Uint8Array, revision: revision as bigint },
    ]);
  const requests = database
    .all('SELECT id, snapshot FROM requests ORDER BY snapshot')
    .map(([id, snapshot]): [string, bigint] => [keyText(id as Uint8Array), snapshot as bigint]);
  return {
    snapshot: snapshotIn(database),
    map: PMap.fromSorted(pairs),
    requests: new Map(requests),
  };
}

class SqliteJournal implements Journal {
  readonly #database: SqlDatabase;
  readonly #lock: WriterLock;
  readonly #path: string;
  #snapshot: bigint;

  constructor(database: SqlDatabase, lock: WriterLock, path: string, snapshot: bigint) {
    this.#database = database;
    this.#lock = lock;
    this.#path = path;
    this.#snapshot = snapshot;
  }

  write(record: JournalRecord): void {
    try {
      this.#apply(record);
    } catch (error) {
      throw this.#isUnchanged() ? clear(error, 'commit to', this.#path) : error;
    }
    this.#snapshot = record.snapshot;
  }

  close(): void {
    try {
      // Deleted keys shall not stay behind in the write-ahead log.
      this.#database.all('PRAGMA wal_checkpoint(TRUNCATE)');
    } finally {
      this.#database.close();
      this.#lock.release();
    }
  }

  #apply(record: JournalRecord): void {
    const database = this.#database;
    database.run('BEGIN IMMEDIATE');
    const found = snapshotIn(database);
    if (found !== this.#snapshot) {
      const present = `it is at snapshot ${found}, expected ${this.#snapshot}`;
      throw new StoreError('store.failed', `another program wrote "${this.#path}": ${present}`);
    }
    for (const put of record.transaction?.puts ?? []) {
      database.run(PUT, new Uint8Array(put.key), new Uint8Array(put.value), record.snapshot);
    }
    for (const key of record.transaction?.deletes ?? []) {
      database.run('DELETE FROM entries WHERE key = ?', new Uint8Array(key));
    }
    if (record.transaction !== undefined) {
      const id = new Uint8Array(record.transaction.requestId);
      database.run('INSERT INTO requests (id, snapshot) VALUES (?, ?)', id, record.snapshot);
      database.run('DELETE FROM requests WHERE snapshot <= ?', record.forgotten);
    }
    database.run('UPDATE state SET snapshot = ?', record.snapshot);
    database.run('COMMIT');
  }

  /** Whether the failed commit certainly left nothing behind. */
  #isUnchanged(): boolean {
    try {
      this.#database.run('ROLLBACK');
    } catch {
      // SQLite has already rolled back: what the file holds now is asked next.
    }
    try {
      return snapshotIn(this.#database) === this.#snapshot;
    } catch {
      return false;
    }
  }
}

function snapshotIn(database: SqlDatabase): bigint {
  const row = database.all('SELECT snapshot FROM state')[0];
  if (row === undefined) throw new SqlError(SQLITE_CORRUPT, 'the table "state" is empty');
  return row[0] as bigint;
}

/** An SqlError as the StoreError it means; any other error as it is. */
function clear(error: unknown, action: string, path: string): unknown {
  if (!(error instanceof SqlError)) return error;
  const code = STORE_CODES.get(error.resultCode) ?? 'store.failed';
  return new StoreError(code, `cannot ${action} store "${path}": ${error.message}`, {
    cause: error,
  });
}

const STORE_CODES: ReadonlyMap<number, StoreErrorCode> = new Map([
  [SQLITE_BUSY, 'store.busy'],
  [SQLITE_READONLY, 'store.readonly'],
  [SQLITE_CORRUPT, 'store.content'],
  [SQLITE_FULL, 'store.full'],
  [SQLITE_NOTADB, 'store.content'],
]);

const PRAGMAS = [
  'busy_timeout = 1000',
  'journal_mode = WAL',
  'synchronous = FULL',
  'fullfsync = ON',
  'checkpoint_fullfsync = ON',
  'secure_delete = ON',
  'trusted_schema = OFF',
];
const PUT = 'INSERT OR REPLACE INTO entries (key, value, revision) VALUES (?, ?, ?)';
