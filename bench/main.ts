/**
 * The benchmark: `--smoke` proves in seconds that all runs and agrees, `--json` prints one object,
 * `--list` is a plain list of wall times, `--only NAME,...` runs some sections, `--runtimes` adds
 * Deno and Bun, `--out FOLDER` writes numbers, the table of goals and the chart. Exit 1 if
 * contenders disagree about a verdict.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chart } from './chart.ts';
import { makeEngine } from './contenders.ts';
import { goalTable } from './goals.ts';
import { type KeyTypeOfBench, makeCorpus } from './items.ts';
import { list } from './list.ts';
import { type MeasureOptions, measure } from './measure.ts';
import { json, machineOf, type Report, type Result, report, reportTable, table } from './report.ts';
import { type Elsewhere, merge, runElsewhere } from './runtimes.ts';
import type { Bench, Section } from './section.ts';
import { SECTIONS } from './sections.ts';

const TYPES: readonly KeyTypeOfBench[] = ['aes', 'aes256k'];
const SEED = 7;
const DIFFERENCES_SHOWN = 10;
const FULL: MeasureOptions = { rounds: 60, sliceMs: 10 };
const SMOKE: MeasureOptions = { rounds: 2, sliceMs: 1 };

const NOWHERE: Elsewhere = { reports: [], missing: [], failed: [] };

interface Flags {
  readonly smoke: boolean;
  readonly json: boolean;
  readonly list: boolean;
  readonly runtimes: boolean;
  readonly sections: readonly Section[];
  /** Folder for the results. */
  readonly out: string | undefined;
}

async function main(flags: Flags): Promise<number> {
  const say = (text: string): void => {
    if (!flags.json) console.log(text);
  };
  const { smoke } = flags;
  const corpora = TYPES.map((type) => makeCorpus(type, smoke ? 64 : 1024, SEED));
  const engine = await makeEngine(corpora);
  const machine = machineOf(engine.build, smoke ? 'smoke' : 'full');
  say(Object.values(machine).join(' · '));
  let differences = 0;
  const bench: Bench = {
    ...{ smoke, options: smoke ? SMOKE : FULL, engine, corpora, say },
    differs(line) {
      if (differences++ < DIFFERENCES_SHOWN) console.error(line);
    },
    async table({ title, cases }, ratios = () => []) {
      if (flags.list) {
        await list({ title, cases }, smoke);
        return { title, rows: [], ratios: [] };
      }
      const rows = await measure(cases, bench.options);
      const result = { title, rows, ratios: ratios(rows) };
      say(`\n${table(result, machine.mode)}`);
      return result;
    },
  };
  const results: Result[] = [];
  for (const section of flags.sections) results.push(...(await section.run(bench)));
  const own = report(machine, results);
  const { reports, missing, failed } = flags.runtimes ? elsewhere(flags) : NOWHERE;
  for (const other of reports) say(`\n${reportTable(other)}`);
  for (const line of [...missing, ...failed]) console.error(line);
  const whole = merge(own, reports);
  if (flags.out !== undefined) writeResults(flags.out, whole);
  else if (!smoke) say(`\n${goalTable(whole.ratios)}`);
  if (flags.json) console.log(json(whole));
  return differences === 0 && failed.length === 0 ? 0 : 1;
}

/** Numbers, the table of goals, the chart. */
function writeResults(folder: string, whole: Report): void {
  mkdirSync(folder, { recursive: true });
  const date = new Date().toISOString().slice(0, 10);
  writeFileSync(join(folder, 'results.json'), `${json(whole)}\n`);
  writeFileSync(join(folder, 'goals.md'), `${goalTable(whole.ratios)}\n`);
  writeFileSync(join(folder, 'chart.svg'), chart(whole, date));
}

/** The sections of this run that are the same everywhere. */
function elsewhere({ smoke, sections }: Flags): Elsewhere {
  const names = sections.filter((each) => each.everywhere).map(({ name }) => name);
  if (names.length === 0) return NOWHERE;
  return runElsewhere([...(smoke ? ['--smoke'] : []), '--only', names.join(',')]);
}

/** @throws TypeError or RangeError that says which argument is wrong */
function parseFlags(args: readonly string[]): Flags {
  const { values } = parseArgs({
    args: [...args],
    options: {
      smoke: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      runtimes: { type: 'boolean', default: false },
      only: { type: 'string' },
      out: { type: 'string' },
    },
  });
  const names = values.only?.split(',');
  const known = SECTIONS.map(({ name }) => name);
  const odd = names?.find((name) => !known.includes(name));
  if (odd !== undefined) {
    throw new RangeError(`no section "${odd}": expected some of ${known.join(', ')}`);
  }
  const sections = SECTIONS.filter(({ name }) => names?.includes(name) ?? true);
  const { smoke, json: asJson, list: asList, runtimes, out } = values;
  return { smoke, json: asJson, list: asList, runtimes, sections, out };
}

let flags: Flags;
try {
  flags = parseFlags(process.argv.slice(2));
} catch (error) {
  console.error(`Cannot run the benchmark: ${(error as Error).message}`);
  process.exit(2);
}
process.exitCode = await main(flags);
