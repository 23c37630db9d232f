/**
 * A histogram for the path of every request: two additions by the label's value; what Prometheus
 * reads is made of it when somebody asks. (prom-client's own looks its labels up each time.)
 */

import { Histogram, type Registry } from 'prom-client';

interface Observed {
  /** By bucket, not yet added up; the last one is beyond all bounds. */
  readonly counts: Float64Array;
  sum: number;
}

export class Latency {
  readonly #bounds: readonly number[];
  readonly #observed = new Map<string, Observed>();

  /** @param bounds of the buckets, in seconds, ascending */
  constructor(
    registry: Registry,
    name: string,
    help: string,
    label: string,
    bounds: readonly number[],
  ) {
    this.#bounds = bounds;
    const observed = this.#observed;
    const labelNames = [label];
    class Collected extends Histogram<string> {
      // biome-ignore lint/suspicious/noExplicitAny: prom-client names no type for what it prints
      override async get(): Promise<any> {
        const metric = { name, help, type: 'histogram', aggregator: 'sum' };
        return { ...metric, values: [...observed].flatMap((each) => valuesOf(each)) };
      }

      // What prom-client prints from; its types do not tell of it.
      getForPromString(): Promise<unknown> {
        return this.get();
      }
    }
    new Collected({ name, help, labelNames, buckets: [...bounds], registers: [registry] });

    function valuesOf([value, { counts, sum }]: [string, Observed]): object[] {
      const labels = { [label]: value };
      const values: object[] = [];
      let total = 0;
      for (const [at, count] of counts.entries()) {
        total += count;
        const le = bounds[at] ?? '+Inf';
        values.push({ labels: { le, ...labels }, value: total, metricName: `${name}_bucket` });
      }
      values.push({ labels, value: sum, metricName: `${name}_sum` });
      values.push({ labels, value: total, metricName: `${name}_count` });
      return values;
    }
  }

  observe(value: string, seconds: number): void {
    let observed = this.#observed.get(value);
    if (observed === undefined) {
      observed = { counts: new Float64Array(this.#bounds.length + 1), sum: 0 };
      this.#observed.set(value, observed);
    }
    let at = 0;
    while (at < this.#bounds.length && seconds > this.#bounds[at]!) at += 1;
    observed.counts[at]! += 1;
    observed.sum += seconds;
  }
}
