/** Each case on its own, by the wall clock: tinybench's list. */

import { Bench } from 'tinybench';
import type { Table } from './section.ts';

export async function list({ title, cases }: Table, smoke: boolean): Promise<void> {
  const bench = new Bench({ name: title, time: smoke ? 10 : 250, warmupTime: smoke ? 5 : 100 });
  for (const each of cases) {
    // What takes its own time runs elsewhere, or takes a whole slice.
    if (!('run' in each)) continue;
    const { name, items, run } = each;
    let i = 0;
    bench.add(items === 1 ? name : `${name} (whole batch)`, () => void run(i++));
  }
  await bench.run();
  console.log(title);
  console.table(bench.table());
}
