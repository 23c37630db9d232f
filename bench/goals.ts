/** Ratios of the results and the goals that some of them have. */

import { type Measured, ratio } from './measure.ts';

/** One ratio: how many times as long the rival takes. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
  /** Least value that is wanted. */
  readonly goal: number | undefined;
}

/** Least ratios per table title and rival; batch against single is 1 less the noise. */
const GOALS: Readonly<Record<string, number>> = {
  'aes: node:crypto, caps parsed each time': 6,
  'aes: noble, caps parsed each time': 8,
  'aes: warm check of 3 grants, record': 8,
  'aes256k: node:crypto, caps parsed each time': 4,
  'aes256k: noble, caps parsed each time': 10,
  'aes: batch of objects / object': 0.97,
  'aes: batch of records / record': 0.97,
  'aes256k: batch of objects / object': 0.97,
  'aes256k: batch of records / record': 0.97,
};

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
    ['record / object', ratio(single, row('cephgate, record'))],
    ['batch of objects / object', ratio(single, batch('objects'))],
    ['batch of records / record', ratio(row('cephgate, record'), batch('records'))],
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
  return { name, value, goal: GOALS[name] };
}
