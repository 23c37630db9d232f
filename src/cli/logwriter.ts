/**
 * The log of a server on its standard error. What a pipe does not take is kept in memory without
 * bound, and whoever reads it (the journal, a container's runtime) may stop or end: then lines are
 * dropped and counted, so that decisions go on. `--decision-log` drops no denial.
 */

import { formatLine } from '../observe/index.ts';
import type { Io } from './io.ts';

export interface LogWriter {
  /** Takes a line with its end. */
  readonly write: (line: string) => void;
  /** Lines that were dropped so far. */
  readonly dropped: () => number;
}

/** @param clock gives nanoseconds since 1970 */
export function logWriter(io: Io, clock: () => bigint): LogWriter {
  let dropped = 0;
  /** Of them, those that the log has told of. */
  let told = 0;
  const write = (line: string): void => {
    const waiting = io.errWaiting?.() ?? 0;
    // Once lines are dropped the reader has to catch up by half: else every other would go.
    if (waiting > (dropped > told ? WAITING_MAX / 2 : WAITING_MAX)) {
      dropped += 1;
      return;
    }
    if (dropped > told) {
      const count = dropped - told;
      io.err(formatLine(clock(), { level: 'warn', event: 'log.dropped', count }));
      told = dropped;
    }
    io.err(line);
  };
  return { write, dropped: () => dropped };
}

/** Characters that are written and not taken. */
const WAITING_MAX = 4_194_304;
