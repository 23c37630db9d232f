/** `-i` and `-o` of the `ceph` program, and what it prints of an answer (Ceph: ceph.in). */

import * as fs from 'node:fs';
import { dirname } from 'node:path';
import type { CommandReply } from '../auth/commands.ts';
import { CephExit } from '../keyring/cephargs.ts';
import { errorWords, readFileBytes, replaceFile } from '../keyring/files.ts';
import type { CephLine } from './cephline.ts';
import { GuardRefusal } from './guard.ts';
import type { Io } from './io.ts';

type PathOf = (name: string) => string;

/** The bytes of `-i`. Throws CephExit. */
export async function readInput(
  name: string | undefined,
  pathOf: PathOf,
  io: Io,
): Promise<Uint8Array> {
  if (name === undefined) return new Uint8Array(0);
  if (name === '-') return await io.readInput();
  try {
    return readFileBytes(pathOf(name));
  } catch (error) {
    throw cannotOpen('input', name, error);
  }
}

/**
 * Where an answer goes. The real program empties the file of `-o` before the command runs and gives
 * it mode 0666 less the umask; with guard rails it is replaced after success, and nobody else may
 * read it.
 */
export class CommandOutput {
  readonly #line: CephLine;
  readonly #io: Io;
  readonly #path: string | undefined;
  readonly #careful: boolean;
  #fd: number | undefined;

  /** Throws CephExit if the file cannot be written. */
  constructor(line: CephLine, pathOf: PathOf, io: Io, careful: boolean) {
    const { outFile } = line;
    this.#line = line;
    this.#io = io;
    this.#careful = careful;
    this.#path = outFile === undefined || outFile === '-' ? undefined : pathOf(outFile);
    if (this.#path === undefined) return;
    try {
      if (careful) this.#tryOut(this.#path);
      else this.#fd = fs.openSync(this.#path, 'w', 0o666);
    } catch (error) {
      if (error instanceof CephExit) throw error;
      throw cannotOpen('output', outFile!, error);
    }
  }

  /** Prints the answer, and returns the exit code. */
  finish({ retcode, status, output }: CommandReply): number {
    const { format, outFile } = this.#line;
    if (retcode !== 0) {
      this.#io.err(`Error ${ERRNO_NAMES[-retcode] ?? 'Unknown'}: ${status}\n`);
    } else if (status !== '') this.#io.err(`${status}\n`);
    if (outFile === undefined) {
      // Ceph: a line for those who skip what was once the line of the status.
      if (format?.startsWith('json')) this.#io.out('\n');
      this.#io.out(output);
    } else if (outFile === '-') this.#io.out(output);
    else if (retcode === 0 || !this.#careful) this.#write(output);
    return Math.abs(retcode);
  }

  close(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }

  #write(output: string): void {
    const bytes = new TextEncoder().encode(output);
    try {
      if (this.#fd !== undefined) fs.writeFileSync(this.#fd, bytes);
      else replaceFile(this.#path!, bytes, 0o600);
    } catch (error) {
      const words = `cannot write ${this.#line.outFile}: ${errorWords(error)}; the command was run`;
      throw new CephExit(1, `${words}\n`);
    } finally {
      bytes.fill(0);
    }
  }

  /** What opening would find, without emptying the file. */
  #tryOut(path: string): void {
    const old = fs.statSync(path, { throwIfNoEntry: false });
    if (old?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR', errno: -21 });
    fs.accessSync(old === undefined ? dirname(path) : path, fs.constants.W_OK);
    if (old?.isFile() && (old.mode & 0o007) !== 0) {
      throw new GuardRefusal(
        1,
        `refusing to write ${this.#line.outFile}: everyone on this machine could reach the keys ` +
          '(--yes-i-really-mean-it or CEPHGATE_GUARD=off does it)\n',
      );
    }
  }
}

/** As Python words it. */
function cannotOpen(what: 'input' | 'output', name: string, error: unknown): CephExit {
  const words = errorWords(error).replace(/^\((\d+)\)/, '[Errno $1]');
  return new CephExit(1, `Can't open ${what} file ${name}: ${words}: '${name}'\n`);
}

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  13: 'EACCES',
  17: 'EEXIST',
  22: 'EINVAL',
};
