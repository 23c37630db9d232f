/**
 * A file of lines that never grows without bound and never holds the caller up:
 *
 *   write -> queue (bounded) -> one append of many lines at a time, off the event loop
 *   FILE full -> FILE.1, FILE.1 -> FILE.2, ... ; the oldest of `keep` goes
 *
 * Lines in the queue are lost when the process is killed, not when it ends. The queue is bytes, in
 * one of two blocks that take turns: strings that wait would be garbage that has grown old.
 */

import { Buffer } from 'node:buffer';
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { FileError } from '../errors.ts';
import { codeOf } from '../http/files.ts';

export interface RotatingFileOptions {
  readonly path: string;
  /** The file is turned over before it grows longer, in bytes. */
  readonly lenMax: number;
  /** How many turned over files are kept. */
  readonly keep: number;
  /** Told of a write that failed, with the error's code; its lines stay in the queue. */
  readonly failed: (code: string) => void;
  /** Longest queue, in bytes; what is being appended is not in it. */
  readonly queueLenMax?: number;
}

const EMPTY = Buffer.alloc(0);

export class RotatingFile {
  readonly #options: RotatingFileOptions;
  readonly #queueLenMax: number;
  #fd: number;
  #length: number;
  /** How many old files there are, at most. */
  #old = 0;
  #queue: Buffer = Buffer.allocUnsafeSlow(BLOCK_LEN);
  #queueLen = 0;
  /** The other block, while it is not being appended. */
  #spare: Buffer | undefined;
  /** What was queued and could not be written. */
  #rest: Buffer = EMPTY;
  #closing = false;
  /** The last write went wrong. */
  #fails = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> | undefined;

  /** Opens the file to append, mode 0600 if it is new. Throws FileError. */
  constructor(options: RotatingFileOptions) {
    this.#options = options;
    this.#queueLenMax = options.queueLenMax ?? QUEUE_LEN_MAX;
    try {
      this.#fd = fs.openSync(options.path, 'a', 0o600);
      this.#length = fs.fstatSync(this.#fd).size;
      while (this.#old < options.keep && fs.existsSync(`${options.path}.${this.#old + 1}`)) {
        this.#old += 1;
      }
    } catch (error) {
      throw new FileError('file.write', `cannot open "${options.path}": ${codeOf(error)}`);
    }
  }

  /** Half of the queue is taken; false where the file takes nothing: waiting helps nobody then. */
  get behind(): boolean {
    return !this.#fails && this.#waiting > this.#queueLenMax / 2;
  }

  /** Queues a line (with its end); false if the queue has no room for it. */
  write(line: string): boolean {
    if (this.#waiting + line.length > this.#queueLenMax) return false;
    // A UTF-16 unit takes at most three bytes of UTF-8: mostly nothing has to be counted.
    if (this.#queueLen + line.length * 3 > this.#queue.length) this.#makeRoom(line);
    this.#queueLen += this.#queue.write(line, this.#queueLen);
    if (this.#timer === undefined && this.#writing === undefined) this.#later(FLUSH_MS);
    return true;
  }

  /**
   * Writes the queue and then a line (with its end) before it returns; false if that fails. Lines
   * of an append that is under way may come to stand after it.
   */
  writeNow(line: string): boolean {
    const queued = this.#queue.subarray(0, this.#queueLen);
    const bytes = Buffer.concat([this.#rest, queued, Buffer.from(line)]);
    this.#queueLen = 0;
    let written = 0;
    try {
      // Not while an append is under way: it means the file that is open now.
      if (this.#writing === undefined && this.#isFull(bytes.length)) this.#turnOver();
      while (written < bytes.length) written += fs.writeSync(this.#fd, bytes.subarray(written));
      this.#fails = false;
    } catch (error) {
      this.#failed(error);
    }
    this.#length += written;
    const ok = written === bytes.length;
    // What failed is tried again, less the line itself: the caller was told.
    this.#rest = bytes.subarray(written, ok ? written : bytes.length - Buffer.byteLength(line));
    return ok;
  }

  /** Writes what is queued and closes the file. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closing = true;
    await this.#writing;
    this.writeNow('');
    fs.closeSync(this.#fd);
  }

  get #waiting(): number {
    return this.#queueLen + this.#rest.length;
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#flush().then((nextMs) => {
        this.#writing = undefined;
        if (this.#waiting > 0 && !this.#closing) this.#later(nextMs);
      });
    }, ms);
  }

  /** Appends what is queued. Milliseconds until the next try. */
  async #flush(): Promise<number> {
    const block = this.#queue;
    const queued = block.subarray(0, this.#queueLen);
    const bytes = this.#rest.length === 0 ? queued : Buffer.concat([this.#rest, queued]);
    // What is appended here is no rest for a writeNow that comes between.
    this.#rest = EMPTY;
    this.#queue = this.#spare ?? Buffer.allocUnsafeSlow(BLOCK_LEN);
    this.#queueLen = 0;
    this.#spare = undefined;
    let written = 0;
    try {
      if (this.#isFull(bytes.length)) await this.#turnOverAside();
      while (written < bytes.length) {
        written += await appendAsync(this.#fd, bytes.subarray(written));
      }
      this.#fails = false;
    } catch (error) {
      this.#rest = Buffer.concat([bytes.subarray(written), this.#rest]);
      this.#failed(error);
    }
    this.#spare = block;
    this.#length += written;
    return written === bytes.length ? FLUSH_MS : RETRY_MS;
  }

  /** A longer block for the queue, if a line does not fit. */
  #makeRoom(line: string): void {
    const needed = this.#queueLen + Buffer.byteLength(line);
    if (needed <= this.#queue.length) return;
    const block = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#queue.length));
    this.#queue.copy(block, 0, 0, this.#queueLen);
    this.#queue = block;
  }

  #failed(error: unknown): void {
    this.#fails = true;
    this.#options.failed(codeOf(error));
  }

  /** Whether the file would grow too long. */
  #isFull(nextLen: number): boolean {
    return this.#length > 0 && this.#length + nextLen > this.#options.lenMax;
  }

  /** Starts a new file. */
  #turnOver(): void {
    for (const [from, to] of this.#moves()) {
      if (fs.existsSync(from)) fs.renameSync(from, to);
    }
    this.#renew(fs.openSync(this.#options.path, this.#flags, 0o600), fs.closeSync);
  }

  /** The same off the event loop: a busy disk takes its time for each of these. */
  async #turnOverAside(): Promise<void> {
    for (const [from, to] of this.#moves()) {
      await rename(from, to).catch((error: unknown) => {
        if (codeOf(error) !== 'ENOENT') throw error;
      });
    }
    const fd = await open(this.#options.path, this.#flags, 0o600);
    this.#renew(fd, (old) => fs.close(old, () => undefined));
  }

  /** What is renamed to what, in order; what is not there any more is passed over. */
  #moves(): [string, string][] {
    const { path, keep } = this.#options;
    const name = (n: number): string => (n === 0 ? path : `${path}.${n}`);
    this.#old = Math.min(this.#old + 1, keep);
    return Array.from({ length: this.#old }, (_, at) => [
      name(this.#old - at - 1),
      name(this.#old - at),
    ]);
  }

  get #flags(): string {
    return this.#options.keep === 0 ? 'w' : 'a';
  }

  #renew(fd: number, close: (old: number) => void): void {
    close(this.#fd);
    this.#fd = fd;
    this.#length = 0;
  }
}

const rename = promisify(fs.rename);
const open = promisify(fs.open);

function appendAsync(fd: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, 0, bytes.length, null, (error, written) =>
      error ? reject(error) : resolve(written),
    );
  });
}

const FLUSH_MS = 20;
const RETRY_MS = 1_000;
const QUEUE_LEN_MAX = 4_194_304;
const BLOCK_LEN = 65_536;
