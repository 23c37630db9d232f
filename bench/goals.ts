/** The ratios that are wanted, and the table that says which were reached. */

import { type Measured, ratio } from './measure.ts';

const TYPES = ['aes', 'aes256k'] as const;

/** One ratio: how many times as long the rival takes. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
  /** Least value that is wanted. */
  readonly goal: number | undefined;
}

/** A row of the table of goals. `ratio` names what is measured behind `TYPE: `. */
interface GoalRow {
  readonly row: string;
  /** Where not on Node. */
  readonly runtime?: 'bun' | 'deno';
  readonly ratio: string;
  readonly aes: number;
  readonly aes256k: number;
}

/** The rows as they stand in the README, with the least ratio for each key type. */
const GOAL_ROWS: readonly GoalRow[] = [
  goal('by hand on node:crypto / single', 'node:crypto, caps parsed each time', 7, 4.5),
  { ...goal('tuned by hand / single, Bun', 'node:crypto tuned', 1.5, 2), runtime: 'bun' },
  {
    ...goal('by hand / single, Deno', 'node:crypto, caps parsed each time', 9, 13),
    runtime: 'deno',
  },
  goal('noble / single', 'noble, caps parsed each time', 10, 13),
  goal("C in Ceph's call style / single", "C in Ceph's call style / single", 1.4, 1.45),
  goal("C in Ceph's call style / batch", "C in Ceph's call style / batch", 1.6, 1.6),
  goal('fast-jwt, cache off, and caps', 'fast-jwt, cache off, caps parsed each time', 6, 1.4),
  goal(
    'fast-jwt, cache on, and caps / warm ticket',
    'fast-jwt, cache on, caps parsed each time / warm ticket',
    8,
    3.5,
  ),
  goal('jose and caps / single', 'jose, caps parsed each time', 18, 4.5),
  goal('casbin / single', 'casbin, 20 grants', 40, 10),
  goal('cedar / single', 'cedar-wasm', 30, 7),
  goal('biscuit / single', 'biscuit-wasm, parse and authorize', 150, 40),
  goal('cold verify / warm check, as records', 'warm check of 3 grants, record', 8, 30),
];

function goal(row: string, ratio: string, aes: number, aes256k: number): GoalRow {
  return { row, ratio, aes, aes256k };
}

/** Batch against single: 1 less the noise. And the sidecar. */
const MORE_GOALS: Readonly<Record<string, number>> = {
  'aes: batch of objects / object': 0.97,
  'aes: batch of records / record': 0.97,
  'aes256k: batch of objects / object': 0.97,
  'aes256k: batch of records / record': 0.97,
  // The sidecar may cost 1.25 times what a route costs that does nothing; on Deno 1.6 times.
  'http, node: no-op / JSON verify': 0.8,
  'http, deno: no-op / JSON verify': 0.625,
  ...everyHttp('in process / frames of 1000', 0.75),
  ...everyHttp('JSON check / checks of 1000', 5),
  ...everyHttp('JSON verify / frames socket', 4),
};

function everyHttp(name: string, least: number): Record<string, number> {
  return { [`http, node: ${name}`]: least, [`http, deno: ${name}`]: least };
}

const GOALS: ReadonlyMap<string, number> = new Map([
  ...Object.entries(MORE_GOALS),
  ...GOAL_ROWS.flatMap((row) =>
    TYPES.map((type): [string, number] => [nameOf(row, type), row[type]]),
  ),
]);

function nameOf({ runtime, ratio }: GoalRow, type: string): string {
  return `${runtime === undefined ? '' : `${runtime}: `}${type}: ${ratio}`;
}

/** The table of goals in Markdown; what was not measured is left open. */
export function goalTable(ratios: Readonly<Record<string, number>>): string {
  const lines = GOAL_ROWS.map((row) => {
    const cells = TYPES.map((type) => {
      const value = ratios[nameOf(row, type)];
      const reached = value === undefined ? 'not measured' : value.toFixed(2);
      const below = value !== undefined && value < row[type];
      return `≥ ${row[type]} | ${below ? `**${reached}**` : reached}`;
    });
    return `| ${row.row} | ${cells.join(' | ')} |`;
  });
  const head = '| row | `aes` wanted | reached | `aes256k` wanted | reached |';
  return [head, '|---|---|---|---|---|', ...lines].join('\n');
}

/** Ratios of a table of cold verifies against the single object, and of its forms. */
export function verifyRatios(type: string, rows: readonly Measured[]): Ratio[] {
  const row = (start: string): Measured => {
    const found = rows.find((each) => each.name.startsWith(start));
    if (found === undefined) throw new RangeError(`no row starts with "${start}"`);
    return found;
  };
  const single = row('cephgate, object');
  const ratios: [string, number][] = [
    ['noise', ratio(row('cephgate, object again'), single)],
    ['caps never seen / object', ratio(row('cephgate, object, caps never seen'), single)],
    ['object / record', ratio(single, row('cephgate, record'))],
    ['batch of objects / object', ratio(single, batch('objects'))],
    ['batch of records / record', ratio(row('cephgate, record'), batch('records'))],
    ['warm ticket', ratio(single, row('cephgate, warm ticket, object'))],
    ['warm check of 3 grants', ratio(single, row('cephgate, warm check of'))],
    [
      'warm check of 3 grants, record',
      ratio(row('cephgate, record'), row('cephgate, warm check, record')),
    ],
  ];
  for (const each of rows) {
    if (!each.name.startsWith('cephgate')) ratios.push([each.name, ratio(each, single)]);
  }
  return ratios.map(([name, value]) => withGoal(`${type}: ${name}`, value));

  function batch(of: string): Measured {
    return rows.find((each) => /batch/.test(each.name) && each.name.endsWith(of)) as Measured;
  }
}

/** Ratios of a table whose rows come in pairs, ours before the rival's. */
export function pairRatios(prefix: string, rows: readonly Measured[]): Ratio[] {
  return rows.flatMap((ours, i) => {
    const theirs = rows[i + 1];
    if (i % 2 === 1 || theirs === undefined) return [];
    return [withGoal(`${prefix}: ${theirs.name}`, ratio(theirs, ours))];
  });
}

export function withGoal(name: string, value: number): Ratio {
  return { name, value, goal: GOALS.get(name) };
}
