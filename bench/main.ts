/**
 * The benchmark: `--smoke` proves in seconds that all runs and agrees, `--json` prints one object,
 * `--list` is a plain list of wall times, `--peers` measures the decision engines of others instead
 * (bench/peers). Exit 1 if contenders disagree about a verdict.
 */

import { Bench } from 'tinybench';
import type { Engine } from '../src/engine/index.ts';
import { agree } from './agree.ts';
import { makeEngine } from './contenders.ts';
import { pairRatios, verifyRatios } from './goals.ts';
import { type Corpus, type KeyTypeOfBench, makeCorpus } from './items.ts';
import { type MeasureOptions, measure } from './measure.ts';
import { makePeers, PEERS_MISSING, peerRatios } from './peers.ts';
import { json, machineOf, type Result, table } from './report.ts';
import { capsTable, handshakeTable, type Table, verifyTable } from './tables.ts';

async function main(): Promise<number> {
  const smoke = flags.has('--smoke');
  if (flags.has('--peers')) return peers(smoke);
  const types: readonly KeyTypeOfBench[] = ['aes', 'aes256k'];
  const corpora = types.map((type) => makeCorpus(type, smoke ? 64 : 1024, SEED));
  const engine = await makeEngine(corpora);
  const agreed = agreement(corpora, engine);
  const tables: Table[] = [
    ...corpora.map((corpus) => verifyTable(corpus, engine)),
    capsTable(engine),
    ...corpora.map((corpus) => handshakeTable(corpus, engine)),
  ];
  if (flags.has('--list')) await list(tables, smoke);
  else compare(corpora, tables, engine, smoke);
  return agreed ? 0 : 1;
}

/** Others beside our warm check. */
async function peers(smoke: boolean): Promise<number> {
  const engine = await makeEngine([]);
  const made = makePeers(engine);
  if (made === undefined) {
    console.error(PEERS_MISSING);
    return 0;
  }
  const { table: peersTable, compared, differences } = made;
  say(`${compared} decisions compared, ${differences.length} differ`);
  for (const line of differences.slice(0, DIFFERENCES_SHOWN)) console.error(line);
  const machine = machineOf(engine.build, smoke ? 'smoke' : 'full');
  say(Object.values(machine).join(' · '));
  const rows = measure(peersTable.cases, smoke ? SMOKE : FULL);
  const result = { title: peersTable.title, rows, ratios: peerRatios(rows) };
  say(`\n${table(result, machine.mode)}`);
  if (flags.has('--json')) console.log(json(machine, [result]));
  return differences.length === 0 ? 0 : 1;
}

/** Says what was compared; false if there was any difference. */
function agreement(corpora: readonly Corpus[], engine: Engine): boolean {
  let agreed = true;
  for (const corpus of corpora) {
    const { compared, differences, reasons } = agree(corpus, engine);
    say(`${corpus.type}: ${compared} verdicts compared, ${differences.length} differ`);
    for (const [reason, count] of Object.entries(reasons)) say(`  ${count} x ${reason}`);
    for (const line of differences.slice(0, DIFFERENCES_SHOWN)) console.error(line);
    if (differences.length > 0) agreed = false;
  }
  return agreed;
}

/** Interleaved CPU time and the ratios. */
function compare(
  corpora: readonly Corpus[],
  tables: readonly Table[],
  engine: Engine,
  smoke: boolean,
): void {
  const options = smoke ? SMOKE : FULL;
  const machine = machineOf(engine.build, smoke ? 'smoke' : 'full');
  say(Object.values(machine).join(' · '));
  const results: Result[] = [];
  for (const [i, { title, cases }] of tables.entries()) {
    const rows = measure(cases, options);
    const type = corpora[i]?.type;
    const ratios = type === undefined ? pairRatios(title, rows) : verifyRatios(type, rows);
    const result = { title, rows, ratios };
    results.push(result);
    say(`\n${table(result, machine.mode)}`);
  }
  if (flags.has('--json')) console.log(json(machine, results));
}

/** Each case on its own, by the wall clock. */
async function list(tables: readonly Table[], smoke: boolean): Promise<void> {
  for (const { title, cases } of tables) {
    const bench = new Bench({ name: title, time: smoke ? 10 : 250, warmupTime: smoke ? 5 : 100 });
    for (const { name, items, run } of cases) {
      let i = 0;
      bench.add(items === 1 ? name : `${name} (whole batch)`, () => void run(i++));
    }
    await bench.run();
    console.log(title);
    console.table(bench.table());
  }
}

/** For people; a program that asks for JSON gets nothing else. */
function say(text: string): void {
  if (!flags.has('--json')) console.log(text);
}

const SEED = 7;
const DIFFERENCES_SHOWN = 10;
const FULL: MeasureOptions = { rounds: 100, sliceMs: 10 };
const SMOKE: MeasureOptions = { rounds: 2, sliceMs: 1 };

const flags = new Set(process.argv.slice(2));
const unknown = [...flags].filter(
  (flag) => !['--smoke', '--json', '--list', '--peers'].includes(flag),
);
if (unknown.length > 0) {
  console.error(`Cannot run the benchmark: unknown option ${unknown.join(', ')}`);
  process.exit(2);
}
process.exitCode = await main();
