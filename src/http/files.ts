/**
 * Files that hold keys: only their owner may read them, and they are replaced as a whole.
 */

import * as fs from 'node:fs';
import { dirname, resolve } from 'node:path';
import process from 'node:process';
import { FileError } from '../errors.ts';
import { makeFolder } from '../store/private.ts';

/** Makes a directory that only its owner may enter, if it is missing. */
export function makePrivateDirectory(path: string): void {
  try {
    makeFolder(resolve(path));
  } catch (error) {
    throw new FileError('file.write', `cannot make directory "${path}": ${codeOf(error)}`);
  }
}

/**
 * The text of a file that nobody else may read. Throws FileError `file.missing`, `file.mode`,
 * `file.content`; the message names the mode.
 */
export function readPrivateFile(path: string): string {
  return readChecked(path, 0o177, 'expected 0600');
}

/** As readPrivateFile, of a file that others may read but not write. */
export function readOwnFile(path: string): string {
  return readChecked(path, 0o022, 'which others may write');
}

function readChecked(path: string, refused: number, remark: string): string {
  let fd: number;
  try {
    fd = fs.openSync(path, 'r');
  } catch (error) {
    throw new FileError('file.missing', `cannot open "${path}": ${codeOf(error)}`);
  }
  try {
    // The open file is asked, not its name: the name may mean another file by now.
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw new FileError('file.content', `cannot read "${path}": not a file`);
    if ((stat.mode & refused) !== 0) {
      const mode = (stat.mode & 0o7777).toString(8).padStart(4, '0');
      throw new FileError('file.mode', `cannot use "${path}": its mode is ${mode}, ${remark}`);
    }
    if (stat.size > FILE_LEN_MAX) {
      throw new FileError(
        'file.content',
        `cannot read "${path}": longer than ${FILE_LEN_MAX} bytes`,
      );
    }
    return fs.readFileSync(fd, 'utf8');
  } finally {
    fs.closeSync(fd);
  }
}

/** Whether there is something of that name. */
export function exists(path: string): boolean {
  return fs.existsSync(path);
}

/** Writes a file of mode 0600 so that a reader, or a crash, finds the old or the new one whole. */
export function writePrivateFile(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.new`;
  try {
    fs.rmSync(temporary, { force: true });
    const fd = fs.openSync(temporary, 'wx', 0o600);
    try {
      fs.writeFileSync(fd, text);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, path);
    syncDirectory(dirname(path));
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw new FileError('file.write', `cannot write "${path}": ${codeOf(error)}`);
  }
}

/** The error's code (`EACCES`), never its message: that may quote what was read. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code ?? 'failed';
}

function syncDirectory(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

const FILE_LEN_MAX = 1_048_576;
