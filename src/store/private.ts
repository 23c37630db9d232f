/** The files of a store hold keys: only their owner may read or write them or their folder. */

import * as fs from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { StoreError } from '../errors.ts';

/**
 * The real path of the store's file, made (with its folder) if it is missing. Throws StoreError
 * `store.mode` if others can read or write it, its companions or its folder, `store.readonly` if it
 * cannot be written or made.
 */
export function preparePrivateFile(path: string): string {
  const real = attempt(`make "${path}"`, () => {
    makeFolder(resolve(dirname(path)));
    return fs.existsSync(path)
      ? fs.realpathSync(path)
      : join(fs.realpathSync(dirname(path)), basename(path));
  });
  const folder = dirname(real);
  checkPrivate(folder, 'folder', 0o700);
  // The lock's file too: SQLite would make it as open as the umask allows.
  for (const file of [real, `${real}.lock`])
    attempt(`make "${file}"`, () => makeFile(file, folder));
  for (const suffix of ['', ...COMPANIONS]) {
    if (suffix === '' || fs.existsSync(real + suffix)) checkPrivate(real + suffix, 'file', 0o600);
  }
  return real;
}

/**
 * Makes a folder of mode 0700, and those above it, where they are missing. Not `recursive`: Node 20
 * never returns from that where a folder exists and takes no children. Throws what node:fs throws.
 */
export function makeFolder(path: string): void {
  if (fs.existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  syncFolder(parent);
}

function makeFile(path: string, folder: string): void {
  let fd: number;
  try {
    fd = fs.openSync(path, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw error;
  }
  fs.closeSync(fd);
  syncFolder(folder);
}

/** A new name is durable only with the folder that holds it. */
function syncFolder(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function checkPrivate(path: string, kind: 'file' | 'folder', expected: number): void {
  const stat = attempt(`look at "${path}"`, () => fs.statSync(path));
  const isKind = kind === 'file' ? stat.isFile() : stat.isDirectory();
  if (!isKind) throw new StoreError('store.content', `cannot use "${path}": it is not a ${kind}`);
  // Windows has no modes and no user ids.
  const uid = process.getuid?.();
  if (uid === undefined) return;
  const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
  const wanted = `expected ${expected.toString(8).padStart(4, '0')}`;
  if ((stat.mode & 0o077) !== 0) {
    const present = `its mode is ${mode}, which is open to others, ${wanted}`;
    throw new StoreError('store.mode', `cannot use ${kind} "${path}": ${present}`);
  }
  if (stat.uid !== uid) {
    const present = `it belongs to user id ${stat.uid}, expected ${uid}`;
    throw new StoreError('store.mode', `cannot use ${kind} "${path}": ${present}`);
  }
  if ((stat.mode & expected) !== expected) {
    const present = `its mode is ${mode}, ${wanted}`;
    throw new StoreError('store.readonly', `cannot write ${kind} "${path}": ${present}`);
  }
}

function attempt<T>(action: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'failed';
    const kind = code === 'ENOSPC' || code === 'EDQUOT' ? 'store.full' : 'store.readonly';
    throw new StoreError(kind, `cannot ${action}: ${code}`, { cause: error });
  }
}

/** What SQLite and the writer lock put beside the file. */
const COMPANIONS = ['-wal', '-shm', '-journal', '.lock', '.lock-journal'];
