/**
 * A counter for the path of every request: counting is one look-up in a map; the labelled metric
 * is made of it when somebody asks.
 */

import { Counter, type Registry } from 'prom-client';

export class Tally {
  readonly #counts = new Map<string, { n: number }>();

  constructor(registry: Registry, name: string, help: string, labelNames: readonly string[]) {
    const counts = this.#counts;
    new Counter({
      ...{ name, help, labelNames, registers: [registry] },
      collect() {
        this.reset();
        for (const [key, { n }] of counts) {
          const values = key.split('\n');
          this.inc(Object.fromEntries(labelNames.map((label, at) => [label, values[at]!])), n);
        }
      },
    });
  }

  /** @param values of the labels, in their order */
  add(...values: string[]): void {
    this.addMany(1, ...values);
  }

  addMany(n: number, ...values: string[]): void {
    const key = values.join('\n');
    const count = this.#counts.get(key);
    if (count !== undefined) count.n += n;
    else this.#counts.set(key, { n });
  }
}
