/**
 * Reading keyrings and replacing them as a whole: a reader, or a crash, finds the old file or the
 * new one, never a part.
 */

import * as fs from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';

/** What the system said, in the words that Ceph prints: `(2) No such file or directory`. */
export function errorWords(error: unknown): string {
  const { code = '', errno } = error as NodeJS.ErrnoException;
  return `(${Math.abs(errno ?? 5)}) ${ERRORS[code] ?? code}`;
}

/** All bytes of a file. Throws the system's error, EISDIR for a directory. */
export function readFileBytes(path: string): Uint8Array {
  // A Buffer's `slice` is no copy, so it must not leave this place.
  const buffer = fs.readFileSync(path);
  const bytes = Uint8Array.from(buffer);
  buffer.fill(0);
  return bytes;
}

/**
 * Replaces or makes a file. A new one gets `mode` less the umask; an existing one keeps its mode
 * and owner, and a symbolic link remains one. What is no file (a pipe, a device) is written to.
 * Throws the system's error; the old file is then untouched.
 */
export function replaceFile(path: string, bytes: Uint8Array, mode: number): void {
  // Before links are resolved: what /dev/stdout leads to need not have a name.
  if (!isFileOrNothing(path)) {
    fs.writeFileSync(path, bytes);
    return;
  }
  // Only a directory may be called so: opening it says that.
  if (path.endsWith('/')) fs.closeSync(fs.openSync(path, 'a'));
  const target = targetOf(path);
  const old = fs.statSync(target, { throwIfNoEntry: false });
  const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.new`);
  fs.rmSync(temporary, { force: true });
  const fd = fs.openSync(temporary, 'wx', old === undefined ? mode & 0o7777 : 0o600);
  try {
    try {
      fs.writeFileSync(fd, bytes);
      if (old !== undefined) keepOwnerAndMode(fd, old);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, target);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(dirname(target));
}

function isFileOrNothing(path: string): boolean {
  try {
    return fs.statSync(path, { throwIfNoEntry: false })?.isFile() ?? true;
  } catch {
    // Opening it will say what is wrong.
    return true;
  }
}

/** What a name stands for in the end, also if that does not exist yet. */
function targetOf(path: string): string {
  let target = resolve(path);
  for (let links = 0; links < LINKS_MAX; links++) {
    if (!fs.lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink()) return target;
    target = resolve(dirname(target), fs.readlinkSync(target));
  }
  throw Object.assign(new Error('ELOOP'), { code: 'ELOOP', errno: -40 });
}

function keepOwnerAndMode(fd: number, old: fs.Stats): void {
  const now = fs.fstatSync(fd);
  // Only root may give a file away; who may write to another's file must keep it in place.
  if (now.uid !== old.uid || now.gid !== old.gid) fs.fchownSync(fd, old.uid, old.gid);
  fs.fchmodSync(fd, old.mode & 0o7777);
}

function syncDirectory(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** As Linux: the kernel follows 40 links. */
const LINKS_MAX = 40;

/** strerror of what files can answer. */
const ERRORS: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EFBIG: 'File too large',
  EINVAL: 'Invalid argument',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  EMFILE: 'Too many open files',
  ENAMETOOLONG: 'File name too long',
  ENOENT: 'No such file or directory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  ENXIO: 'No such device or address',
  EPERM: 'Operation not permitted',
  EROFS: 'Read-only file system',
};
