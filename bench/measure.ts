/**
 * CPU time in interleaved slices: every case gets about 10 ms in each round, so what else the
 * machine does falls on all of them alike. Ratios are taken within a round.
 */

import { Rng } from '../test/rng.ts';
import { collect } from './collect.ts';

export type Case = CalledCase | SlicedCase;

interface Named {
  readonly name: string;
  /** Items that one call works on. */
  readonly items: number;
}

export interface CalledCase extends Named {
  /** Does call number `i`; what it returns is kept, so that it is not optimised away. */
  readonly run: (i: number) => unknown;
}

/** One that takes its own time: in another process, or because it must be waited for. */
export interface SlicedCase extends Named {
  /** Does `calls` calls from number `from` on; CPU microseconds. */
  readonly slice: (from: number, calls: number) => Promise<number>;
}

/** A case whose calls give promises; one is waited for before the next is made. */
export function awaited(name: string, run: (i: number) => Promise<unknown>): SlicedCase {
  return {
    name,
    items: 1,
    async slice(from, calls) {
      const start = process.cpuUsage();
      for (let i = from; i < from + calls; i++) sink = await run(i);
      const { user, system } = process.cpuUsage(start);
      return user + system;
    },
  };
}

export interface Measured {
  readonly name: string;
  /** CPU nanoseconds per item, one per round. */
  readonly slices: readonly number[];
  readonly median: number;
  readonly p10: number;
  /** (p90 - p10) / median */
  readonly spread: number;
}

export interface MeasureOptions {
  readonly rounds: number;
  readonly sliceMs: number;
}

/** Measures the cases of one table together. */
export async function measure(
  cases: readonly Case[],
  options: MeasureOptions,
): Promise<Measured[]> {
  const running: { each: Case; calls: number; at: number; slices: number[] }[] = [];
  for (const each of cases) {
    running.push({ each, calls: await calibrate(each, options.sliceMs), at: 0, slices: [] });
  }
  const rng = new Rng(SEED);
  for (let round = -WARM_ROUNDS; round < options.rounds; round++) {
    // Another order each round: nobody pays for the garbage of the same neighbour every time.
    for (const one of shuffled(running, rng)) {
      collect();
      await cpuOf(one.each, one.at, Math.ceil(one.calls / LEAD_IN));
      const micros = await cpuOf(one.each, one.at, one.calls);
      if (round >= 0) one.slices.push((micros * 1000) / (one.calls * one.each.items));
      one.at += one.calls;
    }
  }
  return running.map(({ each, slices }) => ({ name: each.name, slices, ...summary(slices) }));
}

function shuffled<T>(values: readonly T[], rng: Rng): T[] {
  const order = values.map((value) => ({ value, key: rng.u32() }));
  return order.sort((a, b) => a.key - b.key).map(({ value }) => value);
}

/** How many times as long `slow` took as `fast`: median over the rounds. */
export function ratio(slow: Measured, fast: Measured): number {
  return quantile(
    slow.slices.map((value, round) => value / fast.slices[round]!),
    0.5,
  );
}

/** Calls that fill a slice, found while warming up: the first ones are slower than all others. */
async function calibrate(each: Case, sliceMs: number): Promise<number> {
  let calls = 1;
  let full = 0;
  for (let at = 0, tries = 0; full < CALIBRATED && tries < TRIES_MAX; at += calls, tries++) {
    const micros = await cpuOf(each, at, calls);
    if (micros >= sliceMs * 1000) full++;
    const wanted = Math.ceil((calls * sliceMs * 1000) / Math.max(micros, 1));
    calls = Math.max(1, Math.min(2 * calls, wanted));
  }
  return calls;
}

/** CPU microseconds of the process, all threads, for some calls. */
function cpuOf(each: Case, from: number, calls: number): number | Promise<number> {
  if ('slice' in each) return each.slice(from, calls);
  const start = process.cpuUsage();
  for (let i = from; i < from + calls; i++) sink = each.run(i);
  const { user, system } = process.cpuUsage(start);
  return user + system;
}

function summary(slices: readonly number[]): Pick<Measured, 'median' | 'p10' | 'spread'> {
  const median = quantile(slices, 0.5);
  const p10 = quantile(slices, 0.1);
  return { median, p10, spread: (quantile(slices, 0.9) - p10) / median };
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

/** Full slices that a case has run before its calls are counted. */
const CALIBRATED = 3;
const TRIES_MAX = 64;
/** Rounds whose times are thrown away. */
const WARM_ROUNDS = 4;
/** Part of a slice that runs before its clock does. */
const LEAD_IN = 8;
const SEED = 1;
/** Where results go. */
export let sink: unknown;
