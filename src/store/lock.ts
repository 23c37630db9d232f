/**
 * One process writes to a store. The lock is an open write transaction on a small database beside
 * the store, so the kernel drops it with the process, however that ends; its last committed row
 * stays readable for others and says who holds it. (POSIX locks: a process that opens and closes
 * the lock's file by other means than SQLite loses the lock.)
 */

import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError } from '../errors.ts';
import { SQLITE_BUSY, type SqlDatabase, type SqlDriver, SqlError } from './sqlite-driver.ts';

export interface WriterLock {
  release(): void;
}

/**
 * Takes the lock of the store at `path`. Throws StoreError `store.locked`, with the process id of
 * the holder in its text.
 */
export async function takeWriterLock(driver: SqlDriver, path: string): Promise<WriterLock> {
  const database = driver.open(`${path}.lock`);
  try {
    database.all('PRAGMA busy_timeout = 0');
    await take(database, path);
  } catch (error) {
    database.close();
    throw error;
  }
  held.add(database);
  return {
    release: () => {
      held.delete(database);
      database.run('ROLLBACK');
      database.close();
    },
  };
}

interface Holder {
  readonly owner: string;
  readonly pid: bigint;
  readonly since: string;
}

async function take(database: SqlDatabase, path: string): Promise<void> {
  const owner = randomBytes(16).toString('hex');
  let holder: Holder | undefined;
  for (let i = 0; i < TRIES_MAX; i++) {
    if (i > 0) await sleep(TRY_AGAIN_MS);
    try {
      if (begin(database)) {
        holder = holderOf(database);
        if (holder?.owner === owner) return;
        sign(database, owner);
        // The name is readable by others only once committed; then the lock is taken again.
        if (begin(database)) {
          if (holderOf(database)?.owner === owner) return;
          database.run('ROLLBACK');
        }
        continue;
      }
      holder = holderOf(database);
    } catch (error) {
      // Another process is making or signing the lock at this moment.
      if (!(error instanceof SqlError) || error.resultCode !== SQLITE_BUSY) throw error;
      rollback(database);
      continue;
    }
    // Our own name: somebody holds the lock who has not signed it yet.
    if (holder !== undefined && holder.owner !== owner) break;
  }
  throw new StoreError('store.locked', `cannot write store "${path}": ${present(holder)}`);
}

/** Whether the write lock is ours now. */
function begin(database: SqlDatabase): boolean {
  try {
    database.run('BEGIN IMMEDIATE');
    return true;
  } catch (error) {
    if (error instanceof SqlError && error.resultCode === SQLITE_BUSY) return false;
    throw error;
  }
}

function sign(database: SqlDatabase, owner: string): void {
  database.run(
    `CREATE TABLE IF NOT EXISTS holder (
      id INTEGER PRIMARY KEY CHECK (id = 0),
      owner TEXT NOT NULL,
      pid INTEGER NOT NULL,
      since TEXT NOT NULL
    ) STRICT`,
  );
  database.run(
    'INSERT OR REPLACE INTO holder (id, owner, pid, since) VALUES (0, ?, ?, ?)',
    owner,
    BigInt(process.pid),
    new Date().toISOString(),
  );
  database.run('COMMIT');
}

function holderOf(database: SqlDatabase): Holder | undefined {
  const made = database.all("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'holder'");
  if (made[0]?.[0] !== 1n) return undefined;
  const row = database.all('SELECT owner, pid, since FROM holder')[0];
  return row && { owner: row[0] as string, pid: row[1] as bigint, since: row[2] as string };
}

function rollback(database: SqlDatabase): void {
  try {
    database.run('ROLLBACK');
  } catch {
    // There was no transaction: that is what was wanted.
  }
}

function present(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process holds its lock';
  return `process ${holder.pid} holds its lock since ${holder.since}`;
}

/** A collected connection would be closed, and the lock lost while its store still answers. */
const held = new Set<SqlDatabase>();
const TRIES_MAX = 40;
const TRY_AGAIN_MS = 10;
