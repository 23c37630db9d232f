/**
 * The one line on standard error that says how far something is, for people only: on a terminal,
 * and not before two seconds. It goes away at the end.
 */

import type { Io } from './io.ts';

/** How far it is; `total` undefined: nobody knows. */
export type Tell = (done: number, total?: number) => void;

/** Runs `work`, which tells how far it is. */
export async function withProgress<T>(
  io: Pick<Io, 'err' | 'errTerminal'>,
  what: string,
  work: (tell: Tell) => Promise<T>,
): Promise<T> {
  if (io.errTerminal !== true) return await work(() => undefined);
  const began = performance.now();
  let [done, total, isShown]: [number, number | undefined, boolean] = [0, undefined, false];
  const timer = setInterval(() => {
    const ms = performance.now() - began;
    if (ms < SHOW_AFTER_MS) return;
    io.err(`${CLEAR}${line(what, done, total, ms)}`);
    isShown = true;
  }, EVERY_MS);
  try {
    return await work((newDone, newTotal) => {
      [done, total] = [newDone, newTotal];
    });
  } finally {
    clearInterval(timer);
    if (isShown) io.err(CLEAR);
  }
}

function line(what: string, done: number, total: number | undefined, ms: number): string {
  const seconds = `${Math.floor(ms / 1000)} s`;
  if (total !== undefined && total > 0) {
    return `${what}: ${Math.floor((100 * done) / total)} %, ${seconds}`;
  }
  return done > 0 ? `${what}: ${done}, ${seconds}` : `${what}: ${seconds}`;
}

/** To the beginning of the line, and nothing on it. */
const CLEAR = '\r\x1b[K';
const SHOW_AFTER_MS = 2_000;
const EVERY_MS = 500;
