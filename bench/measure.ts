/**
 * CPU time in interleaved slices: every case gets about 10 ms in each round, so what else the
 * machine does falls on all of them alike. Ratios are taken within a round.
 */

export interface Case {
  readonly name: string;
  /** Items that one call works on. */
  readonly items: number;
  /** Does call number `i`; what it returns is kept, so that it is not optimised away. */
  readonly run: (i: number) => unknown;
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
export function measure(cases: readonly Case[], options: MeasureOptions): Measured[] {
  const running = cases.map((each) => {
    const calls = calibrate(each, options.sliceMs);
    return { each, calls, at: 0, slices: [] as number[] };
  });
  for (let round = 0; round < options.rounds; round++) {
    for (let k = 0; k < running.length; k++) {
      // Another neighbour goes first each round.
      const one = running[(k + round) % running.length]!;
      one.slices.push((cpuOf(one.each, one.at, one.calls) / one.calls / one.each.items) * 1000);
      one.at += one.calls;
    }
  }
  return running.map(({ each, slices }) => ({ name: each.name, slices, ...summary(slices) }));
}

/** How many times as long `slow` took as `fast`: median over the rounds. */
export function ratio(slow: Measured, fast: Measured): number {
  return quantile(
    slow.slices.map((value, round) => value / fast.slices[round]!),
    0.5,
  );
}

/** Calls that fill a slice, found while warming up. */
function calibrate(each: Case, sliceMs: number): number {
  let calls = 1;
  for (let at = 0; ; at += calls, calls *= 2) {
    const micros = cpuOf(each, at, calls);
    if (micros >= sliceMs * 1000) return Math.max(1, Math.round((calls * sliceMs * 1000) / micros));
  }
}

/** CPU microseconds of the process, all threads, for some calls. */
function cpuOf(each: Case, from: number, calls: number): number {
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

/** Where results go. */
export let sink: unknown;
