/** Our verify of both key types, and what others take against it. */

import { engineSingle } from './contenders.ts';
import { type Ratio, withGoal } from './goals.ts';
import type { Item } from './items.ts';
import { type Case, type Measured, ratio } from './measure.ts';
import type { Bench } from './section.ts';

export function ownCases(bench: Bench): Case[] {
  return bench.corpora.map(({ type, items }) => {
    const judge = engineSingle(bench.engine);
    return {
      ...{ name: `cephgate, ${type}, object`, items: 1 },
      run: (i: number) => judge(items[i % items.length] as Item),
    };
  });
}

/** A ratio for each key type and each other. */
export function againstSingle(rows: readonly Measured[]): Ratio[] {
  const own = rows.filter(({ name }) => name.endsWith(', object'));
  const others = rows.filter(({ name }) => !name.startsWith('cephgate'));
  return own.flatMap((single) =>
    others.map((other) => {
      const type = single.name.split(', ')[1];
      return withGoal(`${type}: ${other.name}`, ratio(other, single));
    }),
  );
}
