/** Output: tables for people, one object for programs. */

import { cpus, loadavg } from 'node:os';
import { type Ratio, withGoal } from './goals.ts';
import type { Measured } from './measure.ts';

export interface Result {
  readonly title: string;
  readonly rows: readonly (Measured | ReportRow)[];
  readonly ratios: readonly Ratio[];
}

/** What the numbers were measured on. */
export interface Machine {
  readonly runtime: string;
  readonly engine: string;
  readonly cpu: string;
  readonly cores: number;
  readonly load: number;
  readonly clock: string;
  /** `smoke`: the times are too short to mean anything. */
  readonly mode: 'full' | 'smoke';
}

/** @param engine name of the build of the core that ran */
export function machineOf(engine: string, mode: Machine['mode']): Machine {
  const all = cpus();
  return {
    runtime: runtimeOf(),
    engine,
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    load: loadavg()[0] ?? 0,
    clock: 'CPU time of the process, all threads',
    mode,
  };
}

/** What `--json` prints. */
export interface Report {
  readonly machine: Machine;
  readonly rows: readonly ReportRow[];
  /** How many times as long the rival takes. */
  readonly ratios: Readonly<Record<string, number>>;
}

export interface ReportRow {
  readonly name: string;
  readonly runtime: string;
  /** CPU nanoseconds per item. */
  readonly median: number;
  readonly p10: number;
  /** (p90 - p10) / median */
  readonly spread: number;
}

export function report(machine: Machine, results: readonly Result[]): Report {
  const rows = results.flatMap(({ title, rows }) =>
    rows.map(({ name, median, p10, spread }) => ({
      ...{ name: `${title}: ${name}`, runtime: machine.runtime },
      ...{ median: round(median, 1), p10: round(p10, 1), spread: round(spread, 3) },
    })),
  );
  const ratios = results.flatMap((result) => result.ratios);
  const named = Object.fromEntries(ratios.map(({ name, value }) => [name, round(value, 3)]));
  return { machine, rows, ratios: named };
}

export function json(done: Report): string {
  return JSON.stringify(done);
}

/** A report of another process. */
export function reportTable({ machine, rows, ratios }: Report): string {
  const runtime = machine.runtime.split(' ')[0];
  const all = Object.entries(ratios).map(([name, value]) => withGoal(`${runtime}: ${name}`, value));
  return table({ title: machine.runtime, rows, ratios: all }, machine.mode);
}

export function table(result: Result, mode: Machine['mode']): string {
  const width = Math.max(...result.rows.map(({ name }) => name.length));
  const head = `${result.title}\n${' '.repeat(width)}  median ns   p10 ns  spread`;
  const rows = result.rows.map(({ name, median, p10, spread }) => {
    const numbers = [median.toFixed(0).padStart(10), p10.toFixed(0).padStart(8)];
    return `${name.padEnd(width)} ${numbers.join(' ')}  ${(spread * 100).toFixed(1).padStart(5)}%`;
  });
  const ratios = mode === 'smoke' ? [] : ratioLines(result.ratios);
  return [head, ...rows, ...ratios].join('\n');
}

function ratioLines(ratios: readonly Ratio[]): string[] {
  return ratios.map(({ name, value, goal }) => {
    const line = `  ${value.toFixed(2).padStart(6)}x  ${name}`;
    if (goal === undefined) return line;
    return `${line} (goal ${goal}${value < goal ? ': below goal' : ''})`;
  });
}

function runtimeOf(): string {
  const { bun, deno, node } = process.versions;
  if (bun !== undefined) return `bun ${bun}`;
  return deno === undefined ? `node ${node}` : `deno ${deno}`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
