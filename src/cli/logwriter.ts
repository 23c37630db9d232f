/**
 * The log of a server on its standard error. What a pipe does not take is kept in memory without
 * bound, and whoever reads it (the journal, a container's runtime) may stop: then lines are dropped
 * and counted, so that decisions go on. `--decision-log` drops no denial.
 */

import { formatLine } from '../observe/index.ts';
import type { Io } from './io.ts';

/** Takes lines, each with its end. `clock` gives nanoseconds since 1970. */
export function logWriter(io: Io, clock: () => bigint): (line: string) => void {
  let dropped = 0;
  return (line) => {
    const waiting = io.errWaiting?.() ?? 0;
    // Once lines are dropped the reader has to catch up by half: else every other would go.
    if (waiting > (dropped > 0 ? WAITING_MAX / 2 : WAITING_MAX)) {
      dropped += 1;
      return;
    }
    if (dropped > 0) {
      io.err(formatLine(clock(), { level: 'warn', event: 'log.dropped', count: dropped }));
      dropped = 0;
    }
    io.err(line);
  };
}

/** Characters that are written and not taken. */
const WAITING_MAX = 4_194_304;
