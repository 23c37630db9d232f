/**
 * A section is what one file adds to the benchmark; `bench/sections.ts` lists them. It makes
 * tables of cases and hands them to `bench.table`, which measures, prints and collects.
 */

import type { Engine } from '../src/engine/index.ts';
import type { Ratio } from './goals.ts';
import type { Corpus } from './items.ts';
import type { Case, Measured, MeasureOptions } from './measure.ts';
import type { Result } from './report.ts';

export interface Section {
  /** For `--only NAME`. */
  readonly name: string;
  readonly about: string;
  /** Whether `--runtimes` runs it on Deno and Bun too. */
  readonly everywhere: boolean;
  run(bench: Bench): Promise<readonly Result[]>;
}

/** Cases that are measured together, in turns. */
export interface Table {
  readonly title: string;
  readonly cases: readonly Case[];
}

/** What a section is given. */
export interface Bench {
  /** Only whether all agrees and runs: the times mean nothing. */
  readonly smoke: boolean;
  readonly options: MeasureOptions;
  readonly engine: Engine;
  /** Work items of both key types; the engine has their secrets. */
  readonly corpora: readonly Corpus[];
  /** Measures a table, prints it with its ratios, and gives the result. */
  table(table: Table, ratios?: (rows: readonly Measured[]) => Ratio[]): Promise<Result>;
  /** For people: nothing is printed under `--json`. */
  say(text: string): void;
  /** Two that should agree do not: printed, and the benchmark ends with 1. */
  differs(line: string): void;
}
