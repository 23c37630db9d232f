/** The same sections on Deno and Bun, unbuilt, each in a process of its own. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Report } from './report.ts';

const FOLDER = 'test/runtimes/node_modules/.bin';
const COMMANDS = { deno: ['run', '-A', 'bench/main.ts'], bun: ['bench/main.ts'] };
const MISSING = 'is not installed: npm ci --prefix test/runtimes';
/** No run takes half of this. */
const TIMEOUT_MS = 1_200_000;

export interface Elsewhere {
  readonly reports: readonly Report[];
  /** Runtimes that are not there, or whose contenders disagree. */
  readonly missing: readonly string[];
  readonly failed: readonly string[];
}

/** @param args what the benchmark is to be told there */
export function runElsewhere(args: readonly string[]): Elsewhere {
  const reports: Report[] = [];
  const missing: string[] = [];
  const failed: string[] = [];
  for (const [name, command] of Object.entries(COMMANDS)) {
    const program = resolve(FOLDER, name);
    if (!existsSync(program)) {
      missing.push(`${name} ${MISSING}`);
      continue;
    }
    const options = { timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 } as const;
    const done = spawnSync(program, [...command, '--json', ...args], {
      ...options,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (done.status !== 0) failed.push(`the benchmark on ${name} ended with ${done.status}`);
    else reports.push(JSON.parse(done.stdout.toString()) as Report);
  }
  return { reports, missing, failed };
}

/** One report of all: names of ratios measured elsewhere begin with their runtime. */
export function merge(own: Report, others: readonly Report[]): Report {
  const ratios = { ...own.ratios };
  for (const other of others) {
    const runtime = other.machine.runtime.split(' ')[0];
    for (const [name, value] of Object.entries(other.ratios)) ratios[`${runtime}: ${name}`] = value;
  }
  return { ...own, rows: [...own.rows, ...others.flatMap(({ rows }) => rows)], ratios };
}
