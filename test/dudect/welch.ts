/**
 * Does the time of a computation depend on the class of its input? Welch's t-test after O. Reparaz,
 * J. Balasch and I. Verbauwhede, "Dude, is my code constant time?", 2017.
 *
 * What it cannot see: differences below the noise of the machine times the square root of the
 * samples; inputs that are in no class; caches and branch predictors shared with other programs.
 */

import type { Rng } from '../rng.ts';

/**
 * One computation and two classes of inputs for it. All inputs are put into the same place before
 * the clock runs, so that where they came from cannot be seen.
 */
export interface Classes {
  readonly name: string;
  readonly inputs: readonly [readonly Uint8Array[], readonly Uint8Array[]];
  /** Where `run` finds its input: as long as each of them. */
  readonly place: Uint8Array;
  run(): void;
}

/** Samples that give the timer something to measure: each is this many runs in a row. */
const RUNS_A_SAMPLE = 8;
/** Parts of the samples, quickest first, on which the test is made: the slow ones are noise. */
const PARTS = [0.5, 0.7, 0.8, 0.9, 0.95, 1];

/** The largest |t| over the parts, for `seconds` of samples in random order of the classes. */
export function welch(pair: Classes, seconds: number, rng: Rng): number {
  const times: [number[], number[]] = [[], []];
  warmUp(pair);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    for (let i = 0; i < 256; i++) {
      const which = rng.int(2) as 0 | 1;
      const inputs = pair.inputs[which];
      pair.place.set(inputs[rng.int(inputs.length)] as Uint8Array);
      const begin = performance.now();
      for (let n = 0; n < RUNS_A_SAMPLE; n++) pair.run();
      times[which].push(performance.now() - begin);
    }
  }
  return Math.max(...PARTS.map((part) => Math.abs(tOf(times, part))));
}

function warmUp(pair: Classes): void {
  for (let i = 0; i < 100; i++) {
    for (const input of pair.inputs.flat()) {
      pair.place.set(input);
      pair.run();
    }
  }
}

/** Welch's t of the samples below the limit under which this part of all of them lies. */
function tOf(times: readonly [readonly number[], readonly number[]], part: number): number {
  const all = Float64Array.from([...times[0], ...times[1]]).sort();
  const limit = all[Math.ceil(all.length * part) - 1] as number;
  const [a, b] = times.map((each) => moments(each.filter((time) => time <= limit)));
  if (a === undefined || b === undefined || a.n < 100 || b.n < 100) return 0;
  const spread = a.variance / a.n + b.variance / b.n;
  return spread === 0 ? 0 : (a.mean - b.mean) / Math.sqrt(spread);
}

function moments(values: readonly number[]): { n: number; mean: number; variance: number } {
  let mean = 0;
  let squares = 0;
  values.forEach((value, i) => {
    const delta = value - mean;
    mean += delta / (i + 1);
    squares += delta * (value - mean);
  });
  return { n: values.length, mean, variance: squares / Math.max(1, values.length - 1) };
}
