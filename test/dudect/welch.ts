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

/** After so many the inputs change their places. */
const SAMPLES_A_MIX = 256;
/** Samples that give the timer something to measure: each is this many runs in a row. */
const RUNS_A_SAMPLE = 8;
/** Parts of the samples, quickest first, on which the test is made: the slow ones are noise. */
const PARTS = [0.5, 0.7, 0.8, 0.9, 0.95, 1];

/**
 * The largest |t| over the parts, for `seconds` of samples in random order of the classes. Where an
 * input lies in memory has a time too, so all lie in one block, mixed anew for every few hundred
 * samples: with places of their own two equal classes differed by 0.05 ns a run, |t| 13.
 */
export function welch(pair: Classes, seconds: number, rng: Rng): number {
  const inputs = new Mixed(pair);
  for (let i = 0; i < 100 * inputs.count; i++) {
    inputs.put(i % inputs.count);
    pair.run();
  }
  const times: [number[], number[]] = [[], []];
  const samples = new Float64Array(SAMPLES_A_MIX);
  const drawn = new Uint8Array(SAMPLES_A_MIX);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    inputs.mix(rng);
    for (let i = 0; i < SAMPLES_A_MIX; i++) {
      drawn[i] = inputs.put(rng.int(inputs.count));
      const begin = performance.now();
      for (let n = 0; n < RUNS_A_SAMPLE; n++) pair.run();
      samples[i] = performance.now() - begin;
    }
    for (let i = 0; i < SAMPLES_A_MIX; i++) times[drawn[i] as 0 | 1].push(samples[i]!);
  }
  return Math.max(...PARTS.map((part) => Math.abs(tOf(times, part))));
}

/** As many inputs of either class, in one block, in an order that can be changed. */
class Mixed {
  readonly count: number;
  readonly #place: Uint8Array;
  readonly #classes: Classes['inputs'];
  readonly #slots: readonly Uint8Array[];
  readonly #order: { class: 0 | 1; bytes: Uint8Array }[] = [];

  constructor({ inputs, place }: Classes) {
    const most = Math.max(inputs[0].length, inputs[1].length);
    this.count = 2 * most;
    this.#place = place;
    this.#classes = inputs;
    const block = new Uint8Array(this.count * place.length);
    this.#slots = Array.from({ length: this.count }, (_, i) =>
      block.subarray(i * place.length, (i + 1) * place.length),
    );
    for (let i = 0; i < this.count; i++) {
      const which = (i & 1) as 0 | 1;
      const of = this.#classes[which];
      this.#order.push({ class: which, bytes: of[(i >> 1) % of.length]! });
    }
    this.#write();
  }

  mix(rng: Rng): void {
    const order = this.#order;
    for (let i = order.length - 1; i > 0; i--) {
      const other = rng.int(i + 1);
      const held = order[i]!;
      order[i] = order[other]!;
      order[other] = held;
    }
    this.#write();
  }

  /** Puts an input into its place; its class. */
  put(slot: number): 0 | 1 {
    this.#place.set(this.#slots[slot]!);
    return this.#order[slot]!.class;
  }

  #write(): void {
    for (const [slot, { bytes }] of this.#order.entries()) this.#slots[slot]!.set(bytes);
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
