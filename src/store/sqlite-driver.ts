/**
 * SQLite of this runtime behind three calls: `node:sqlite` where there is one (Deno, Bun, newer
 * Node), else the package `libsql` (Node 20). What the two do differently ends here.
 */

import { StoreError } from '../errors.ts';

export type SqlValue = bigint | string | Uint8Array;

/** One connection. Errors are SqlError. */
export interface SqlDatabase {
  /**
   * Runs one statement that gives no rows: libsql leaves one that does open, and no commit works
   * then. With values it is prepared once and kept.
   */
  run(sql: string, ...values: SqlValue[]): void;
  /** Rows as arrays in the order of the columns; integers are bigint, blobs fresh Uint8Array. */
  all(sql: string, ...values: SqlValue[]): SqlValue[][];
  close(): void;
}

export interface SqlDriver {
  readonly name: 'node:sqlite' | 'libsql';
  /** Makes the file if it is missing. */
  open(path: string): SqlDatabase;
}

/** A primary result code of SQLite (`SQLITE_FULL` is 13); 1 if the driver does not tell. */
export class SqlError extends Error {
  override readonly name: string = 'SqlError';
  readonly resultCode: number;

  constructor(resultCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.resultCode = resultCode;
  }
}

/** Throws StoreError `store.driver` when neither is there. */
export async function loadDriver(): Promise<SqlDriver> {
  // Names in variables: bundlers and Node 20 must not look for them before they are asked for.
  const builtIn = 'node:sqlite';
  const libsql = 'libsql';
  const node = await importOf<{ DatabaseSync: NativeConstructor }>(builtIn);
  if (node !== undefined) return driver('node:sqlite', node.DatabaseSync, (values) => values);
  const other = await importOf<{ default: NativeConstructor }>(libsql);
  if (other !== undefined) {
    // libsql takes a lone Uint8Array for an object of named values, and aborts the process.
    return driver('libsql', other.default, (values) => [values]);
  }
  throw new StoreError(
    'store.driver',
    'cannot open a SQLite store: this runtime has no node:sqlite, and the package libsql does ' +
      'not load ("npm install libsql" adds it)',
  );
}

/** What the two have in common. */
interface NativeDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): NativeStatement;
  close(): void;
}
interface NativeStatement {
  run(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
}
type NativeConstructor = new (path: string) => NativeDatabase;

function driver(
  name: SqlDriver['name'],
  Database: NativeConstructor,
  argumentsOf: (values: SqlValue[]) => unknown[],
): SqlDriver {
  return {
    name,
    open: (path) => {
      const native = wrapped(() => new Database(path));
      const prepared = new Map<string, NativeStatement>();
      const statement = (sql: string): NativeStatement => {
        let found = prepared.get(sql);
        if (found === undefined) {
          found = native.prepare(sql);
          prepared.set(sql, found);
        }
        return found;
      };
      return {
        run: (sql, ...values) =>
          wrapped(() => {
            // Not prepared: libsql does not reset a BEGIN that was refused, which keeps its lock.
            if (values.length === 0) native.exec(sql);
            else statement(sql).run(...argumentsOf(values));
          }),
        all: (sql, ...values) =>
          wrapped(() =>
            statement(sql)
              .all(...argumentsOf(values))
              .map((row) => rowOf(row as object)),
          ),
        close: () => {
          prepared.clear();
          wrapped(() => native.close());
        },
      };
    },
  };
}

async function importOf<T>(specifier: string): Promise<T | undefined> {
  try {
    return (await import(/* @vite-ignore */ specifier)) as T;
  } catch {
    return undefined;
  }
}

function wrapped<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new SqlError(resultCodeOf(error), error.message, { cause: error });
  }
}

function rowOf(row: object): SqlValue[] {
  // libsql adds a property `_metadata` to some rows.
  return Object.entries(row)
    .filter(([name]) => name !== '_metadata')
    .map(([, value]) => sqlValue(value));
}

/** libsql gives blobs as ArrayBuffer or as Buffer, which shares memory with others. */
function sqlValue(value: unknown): SqlValue {
  if (typeof value === 'number' || typeof value === 'bigint') return BigInt(value);
  if (typeof value === 'string') return value;
  if (value instanceof ArrayBuffer || value instanceof Uint8Array) return new Uint8Array(value);
  throw new SqlError(SQLITE_ERROR, 'a column has a type that the store does not use');
}

function resultCodeOf(error: Error): number {
  const { rawCode, errcode } = error as { rawCode?: unknown; errcode?: unknown };
  const code = rawCode ?? errcode;
  // The low byte of an extended code is the primary one.
  if (typeof code === 'number') return code & 0xff;
  // Deno gives no number for errors of opening and preparing: SQLite's own fixed texts remain.
  const known = RESULT_TEXTS.find(([text]) => error.message.includes(text));
  return known?.[1] ?? SQLITE_ERROR;
}

export const SQLITE_ERROR = 1;
export const SQLITE_BUSY = 5;
export const SQLITE_READONLY = 8;
export const SQLITE_CORRUPT = 11;
export const SQLITE_FULL = 13;
export const SQLITE_NOTADB = 26;

const RESULT_TEXTS: readonly (readonly [string, number])[] = [
  ['database is locked', SQLITE_BUSY],
  ['readonly database', SQLITE_READONLY],
  ['disk image is malformed', SQLITE_CORRUPT],
  ['database or disk is full', SQLITE_FULL],
  ['file is not a database', SQLITE_NOTADB],
];
