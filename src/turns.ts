/**
 * Long work in pieces: a generator that yields wherever it may be interrupted. Whoever can wait
 * lets others have their turn between two pieces; whoever cannot runs all of it at once.
 */

// What is waiting for input has its turn before it comes back.
import { setImmediate as turn } from 'node:timers/promises';

export { turn };

/** Work that can stop after each yield. */
export type Steps<T> = Generator<void, T, void>;

/** All of it at once. */
export function atOnce<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/** In pieces of about PIECE_MS, between which everything else that waits has its turn. */
export async function inTurns<T>(
  steps: Steps<T>,
  now: () => number = () => performance.now(),
): Promise<T> {
  let began = now();
  for (let count = 1; ; count++) {
    const step = steps.next();
    if (step.done) return step.value;
    if (count % LOOKS !== 0 || now() - began < PIECE_MS) continue;
    await turn();
    began = now();
  }
}

/** Goes through a list with a place to stop after each item. */
export function* each<T>(items: Iterable<T>, work: (item: T) => void): Steps<void> {
  for (const item of items) {
    work(item);
    yield;
  }
}

const PIECE_MS = 10;
/** Steps between two looks at the clock. */
const LOOKS = 64;
