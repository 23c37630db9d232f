/**
 * Counters for the path of every request: counting is a short look through what was counted
 * lately; the labelled metric is made of it when somebody asks.
 */

import { Counter, type Registry } from 'prom-client';

interface Count {
  readonly values: readonly string[];
  n: number;
}

export class Tally {
  /** What is counted often comes to stand before what is not. */
  readonly #counts: Count[] = [];

  constructor(registry: Registry, name: string, help: string, labelNames: readonly string[]) {
    const counts = this.#counts;
    new Counter({
      ...{ name, help, labelNames, registers: [registry] },
      collect() {
        this.reset();
        for (const { values, n } of counts) {
          this.inc(Object.fromEntries(labelNames.map((label, at) => [label, values[at]!])), n);
        }
      },
    });
  }

  /** Counts one for these values of the labels, in their order; the rest are not there. */
  add(first: string, second?: string, third?: string, fourth?: string): void {
    this.addMany(1, first, second, third, fourth);
  }

  addMany(n: number, first: string, second?: string, third?: string, fourth?: string): void {
    const counts = this.#counts;
    for (let at = 0; at < counts.length; at++) {
      const count = counts[at]!;
      const { values } = count;
      if (values[0] !== first || values[1] !== second) continue;
      if (values[2] !== third || values[3] !== fourth) continue;
      count.n += n;
      if (at === 0) return;
      counts[at] = counts[at - 1]!;
      counts[at - 1] = count;
      return;
    }
    const values = [first, second, third, fourth].filter((value) => value !== undefined);
    counts.push({ values, n });
  }
}
