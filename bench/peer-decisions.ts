/** Decision engines of others on the same grants, beside our warm check and our whole verify. */

import type { Engine } from '../src/engine/index.ts';
import { HOST } from './contenders.ts';
import { capsOf, MATCH_OP, SERVICE } from './items.ts';
import { type Case, type Measured, ratio } from './measure.ts';
import { type Casbin, casbinDecider } from './peer-casbin.ts';
import { CEDAR } from './peer-cedar.ts';
import { type Decider, jsonDecider } from './peer-json.ts';
import { installed, load, startPeer } from './peer-load.ts';
import { operations, PEER } from './peer-operations.ts';
import { againstSingle, ownCases } from './peer-ratios.ts';
import type { Remote } from './remote.ts';
import type { Result } from './report.ts';
import { decide, parseCaps } from './rival-caps.ts';
import type { Bench } from './section.ts';
import { warmCheck, warmCheckRecord } from './tables.ts';

export async function decisions(bench: Bench): Promise<Result> {
  const made = await makeDecisions(bench.engine);
  bench.say(`\n${made.compared} decisions compared, ${made.differences.length} differ`);
  for (const line of made.differences) bench.differs(line);
  const cases: Case[] = [
    ...ownCases(bench),
    warmCase(bench.engine, FEW),
    { name: 'cephgate, warm check, record', items: 1, run: warmCheckRecord(bench.engine, FEW) },
    warmCase(bench.engine, MANY),
  ];
  for (const [name, decider] of Object.entries(made.deciders)) {
    cases.push({ name, items: 1, run: () => decider(MATCH_OP) });
  }
  try {
    if (made.cedar !== undefined) {
      cases.push(made.cedar.case('cedar-wasm', 'preparsed'));
      cases.push(made.cedar.case('cedar-wasm, policies parsed each time', 'parsing'));
    }
    return await bench.table({ title: 'decisions of others', cases }, (rows) => [
      ...againstSingle(rows),
      ...againstCheck(rows),
    ]);
  } finally {
    made.cedar?.stop();
  }
}

function warmCase(engine: Engine, grants: number): Case {
  return { name: `cephgate, warm check of ${grants}`, items: 1, run: warmCheck(engine, grants) };
}

/** Each against a warm check of as many grants. */
function againstCheck(
  rows: readonly Measured[],
): { name: string; value: number; goal: undefined }[] {
  return rows
    .filter(({ name }) => !name.startsWith('cephgate'))
    .map((row) => {
      const grants = row.name.includes(`${MANY} grants`) ? MANY : FEW;
      const own = rows.find(({ name }) => name === `cephgate, warm check of ${grants}`) as Measured;
      return { name: `${row.name} / warm check`, value: ratio(row, own), goal: undefined };
    });
}

export interface Decisions {
  readonly deciders: Readonly<Record<string, Decider>>;
  /** A process that must be stopped. */
  readonly cedar: Remote | undefined;
  /** Decisions compared. */
  readonly compared: number;
  /** One line per disagreement. */
  readonly differences: readonly string[];
}

/** Those that are installed, each compared with our check. */
export async function makeDecisions(engine: Engine): Promise<Decisions> {
  const casbin = installed('casbin')
    ? await casbinDecider(load<Casbin>('casbin'), parseCaps(capsOf(MANY)) ?? [])
    : undefined;
  const few: Record<string, Decider> = {
    'JSON policy by hand': jsonDecider(parseCaps(capsOf(FEW)) ?? []),
  };
  const many: Record<string, Decider> = {};
  if (casbin !== undefined) many[`casbin, ${MANY} grants`] = casbin;
  const cedar = installed(CEDAR) ? startPeer('cedar') : undefined;
  const [compared, wrong] = cedar === undefined ? [0, 0] : await cedarAgreement(cedar);
  const parts = [agreement(engine, FEW, few), agreement(engine, MANY, many)];
  return {
    ...{ deciders: { ...few, ...many }, cedar },
    compared: parts.reduce((sum, part) => sum + part.compared, compared),
    differences: [
      ...(wrong > 0 ? [`cedar-wasm errs in ${wrong} decisions`] : []),
      ...parts.flatMap((part) => part.differences),
    ],
  };
}

async function cedarAgreement(cedar: Remote): Promise<[compared: number, wrong: number]> {
  try {
    const [compared, wrong] = (await cedar.ask('compare')).split(' ');
    return [Number(compared), Number(wrong)];
  } catch (error) {
    cedar.stop();
    throw error;
  }
}

/** Each, and caps by hand, against our check. */
function agreement(
  engine: Engine,
  count: number,
  deciders: Readonly<Record<string, Decider>>,
): Pick<Decisions, 'compared' | 'differences'> {
  const { handle } = engine.capsParse(SERVICE, capsOf(count), HOST, { keep: true });
  const grants = parseCaps(capsOf(count)) ?? [];
  const all: Readonly<Record<string, Decider>> = {
    ...deciders,
    'caps by hand': (op) => decide(grants, op, PEER),
  };
  const differences: string[] = [];
  let compared = 0;
  for (const op of operations(grants)) {
    const ours = engine.check({ service: SERVICE, handle, op }, HOST).decision;
    for (const [name, decider] of Object.entries(all)) {
      compared++;
      if (decider(op) !== ours) {
        differences.push(`${name} says ${!ours}, cephgate ${ours}: ${JSON.stringify(op)}`);
      }
    }
  }
  return { compared, differences };
}

const FEW = 3;
const MANY = 20;
