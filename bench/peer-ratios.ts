/** Our verify of both key types, and what others take against it. */

import { engineSingle } from './contenders.ts';
import { type Ratio, withGoal } from './goals.ts';
import type { Item } from './items.ts';
import { type Case, type Measured, ratio } from './measure.ts';
import type { Bench } from './section.ts';
import { warmTickets } from './tables.ts';

export function ownCases(bench: Bench): Case[] {
  return bench.corpora.map(({ type, items }) => {
    const judge = engineSingle(bench.engine);
    return {
      ...{ name: `cephgate, ${type}, object`, items: 1 },
      run: (i: number) => judge(items[i % items.length] as Item),
    };
  });
}

/** The same with every ticket opened before. */
export async function warmCases(bench: Bench): Promise<Case[]> {
  const cases: Case[] = [];
  for (const corpus of bench.corpora) {
    const { items, type } = corpus;
    const judge = engineSingle(await warmTickets(corpus));
    cases.push({
      ...{ name: `cephgate, ${type}, warm ticket`, items: 1 },
      run: (i) => judge(items[i % items.length] as Item),
    });
  }
  return cases;
}

/** What keeps opened tokens against what keeps opened tickets. */
export function againstWarm(rows: readonly Measured[]): Ratio[] {
  const warm = rows.filter(({ name }) => name.endsWith(', warm ticket'));
  const caching = rows.filter(({ name }) => name.includes('cache on'));
  return warm.flatMap((own) =>
    caching.map((other) => {
      const type = own.name.split(', ')[1];
      return withGoal(`${type}: ${other.name} / warm ticket`, ratio(other, own));
    }),
  );
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
