/** The tables of the SQLite file, and the marks by which we know it as ours. */

import { StoreError } from '../errors.ts';
import type { SqlDatabase } from './sqlite-driver.ts';

/**
 * Whether the file is a store (false: it is empty). Throws StoreError `store.content` for another
 * program's database, `store.version` for a newer layout.
 */
export function readSchema(database: SqlDatabase, path: string): boolean {
  const application = database.all('PRAGMA application_id')[0]?.[0];
  const version = database.all('PRAGMA user_version')[0]?.[0] as bigint;
  if (application === APPLICATION_ID) {
    if (version === SCHEMA_VERSION) return true;
    const present = `it is of layout ${version}, this program knows ${SCHEMA_VERSION}`;
    throw new StoreError('store.version', `cannot open store "${path}": ${present}`);
  }
  const tables = database.all('SELECT count(*) AS n FROM sqlite_schema')[0]?.[0];
  if (application === 0n && tables === 0n) return false;
  throw new StoreError(
    'store.content',
    `cannot open store "${path}": it is a database of another program`,
  );
}

/** All or nothing: a crash leaves an empty file. */
export function createSchema(database: SqlDatabase): void {
  database.run('BEGIN IMMEDIATE');
  for (const statement of STATEMENTS) database.run(statement);
  database.run('COMMIT');
}

/** "cphg" */
const APPLICATION_ID = 0x63706867n;
const SCHEMA_VERSION = 1n;

const STATEMENTS = [
  `CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    snapshot INTEGER NOT NULL
  ) STRICT`,
  'INSERT INTO state (id, snapshot) VALUES (0, 0)',
  `CREATE TABLE entries (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    revision INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE requests (
    snapshot INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE
  ) STRICT`,
  `PRAGMA application_id = ${APPLICATION_ID}`,
  `PRAGMA user_version = ${SCHEMA_VERSION}`,
];
