/**
 * What a command has of the world, so that tests can give it another one.
 */

import { Buffer } from 'node:buffer';
import process from 'node:process';

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where relative file names start; none: the working directory of the process. */
  readonly cwd?: string;
  /** Whether what goes out is read by a person, who can be shown a picture. Default no. */
  readonly terminal?: boolean;
  /** Whether a person sees errors as they come. Default no. */
  readonly errTerminal?: boolean;
  out(text: string): void;
  err(text: string): void;
  /** Characters of it that nobody has taken yet; Infinity: writing fails. Default none. */
  errWaiting?(): number;
  /** All bytes of standard input. */
  readInput(): Promise<Uint8Array>;
}

/** Exit codes of every command. */
export const EXIT_YES = 0;
export const EXIT_NO = 1;
export const EXIT_USAGE = 2;
export const EXIT_TROUBLE = 3;

/** Characters written to standard error that have not gone: Bun does not tell their number. */
let errWaiting = 0;
/** When it last failed: its reader is gone, or its disk is full. No reason for a server to end. */
let errFailedMs = Number.NEGATIVE_INFINITY;
process.stderr.on('error', () => {
  errFailedMs = performance.now();
});
/** A disk may have room again; until then each try would cost as much as a line. */
const RETRY_MS = 1_000;

/** The process itself. */
export const processIo: Io = {
  env: process.env,
  terminal: process.stdout.isTTY === true,
  errTerminal: process.stderr.isTTY === true,
  out(text) {
    try {
      process.stdout.write(text);
    } catch (error) {
      // Deno throws what others tell as an event.
      process.stdout.emit('error', error);
    }
  },
  err(text) {
    errWaiting += text.length;
    process.stderr.write(text, () => {
      errWaiting -= text.length;
    });
  },
  errWaiting() {
    const fails = performance.now() - errFailedMs < RETRY_MS;
    return fails ? Number.POSITIVE_INFINITY : errWaiting;
  },
  async readInput() {
    const chunks: Uint8Array[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
    return Uint8Array.from(Buffer.concat(chunks));
  },
};
