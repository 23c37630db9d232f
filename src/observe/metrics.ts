/**
 * The metrics of the sidecar, in the text format of Prometheus: prefix `cephgate_`, base units.
 * Labels come from closed sets alone: no entity, pool, object, caller or exact check name. (The
 * check names tell what a masked answer hides: as counters they would be an oracle.)
 */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { SOURCE_CAPS, SOURCE_SESSION, SOURCE_TICKET_CACHE } from '../../assembly/abi.ts';
import { utimeNs } from '../cephx/denc.ts';
import type { Verdict } from '../engine/verdict.ts';
import type { AppDeps, SecretFact } from '../http/deps.ts';
import type { DecisionFacts, RequestFacts } from './facts.ts';
import { SkewEstimate } from './skew.ts';
import { Tally } from './tally.ts';

export type MetricsSource = Pick<AppDeps, 'ring' | 'state' | 'clock' | 'view'>;

export class Metrics {
  readonly registry: Registry = new Registry();
  readonly #decisions: Tally;
  readonly #tickets: Tally;
  readonly #sources: Tally;
  readonly #requests: Tally;
  readonly #problems: Tally;
  readonly #shadow: Tally;
  readonly #dropped: Tally;
  readonly #seconds: Histogram<'route'>;
  /** Routes come from the route table, so there are few. */
  readonly #secondsBy = new Map<string, Histogram.Internal<'route'>>();
  readonly #clock: () => bigint;
  readonly #skew = { mac: new SkewEstimate(), none: new SkewEstimate() };

  constructor(source: MetricsSource) {
    this.#clock = source.clock;
    const tally = (name: string, help: string, labelNames: readonly string[]): Tally =>
      new Tally(this.registry, `${PREFIX}${name}`, help, labelNames);
    this.#decisions = tally('decisions_total', 'Decisions.', [
      ...['call', 'service', 'decision', 'reason'],
    ]);
    this.#tickets = tally('tickets_total', 'Proven tickets by the key types in them.', [
      ...['ticket_key_type', 'session_key_type'],
    ]);
    this.#sources = tally('verdicts_total', 'Verdicts of the core by what they came from.', [
      'source',
    ]);
    this.#requests = tally('http_requests_total', 'HTTP requests answered.', ['route', 'status']);
    this.#problems = tally('http_problems_total', 'HTTP requests refused.', ['code']);
    this.#shadow = tally(
      'plausibility_judgements_total',
      'What each plausibility policy would have said of a sample of aes-sealed tickets.',
      ['policy', 'outcome'],
    );
    this.#dropped = tally(
      'decision_log_dropped_total',
      'Decisions that are missing in the decision log.',
      ['decision'],
    );
    this.#seconds = new Histogram({
      name: `${PREFIX}http_request_duration_seconds`,
      help: 'Time from the head of a request to the head of its answer.',
      labelNames: ['route'],
      buckets: BUCKETS,
      registers: [this.registry],
    });
    this.#gauges(source);
    new Counter({
      name: `${PREFIX}decision_log_errors_total`,
      help: 'Writes of the decision log that failed.',
      registers: [this.registry],
    });
    collectDefaultMetrics({ register: this.registry, prefix: PREFIX });
  }

  request({ route, status, seconds, problem }: RequestFacts): void {
    this.#requests.add(route, String(status));
    if (problem !== undefined) this.#problems.add(problem);
    this.#secondsOf(route).observe(seconds);
  }

  /** Looked up once: prom-client hashes the labels of every call. */
  #secondsOf(route: string): Histogram.Internal<'route'> {
    let seconds = this.#secondsBy.get(route);
    if (seconds === undefined) {
      seconds = this.#seconds.labels(route);
      this.#secondsBy.set(route, seconds);
    }
    return seconds;
  }

  decision({ call, service, decision, reason, verdict }: DecisionFacts): void {
    this.#decisions.add(call, service, decision ? 'allowed' : 'denied', reason);
    if (verdict === undefined) return;
    this.#sources.add(sourceName(verdict.source));
    // The same ticket comes again with the answer to the challenge.
    const first = reason === 'authorizer.challenge_required';
    if (verdict.proven && verdict.source <= SOURCE_TICKET_CACHE && !first) this.#ticket(verdict);
  }

  allowed(call: string, service: string, count: number): void {
    this.#decisions.addMany(count, call, service, 'allowed', 'ok');
  }

  judged(policy: string, outcome: string): void {
    this.#shadow.add(policy, outcome);
  }

  dropped(decision: 'allowed' | 'denied'): void {
    this.#dropped.add(decision);
  }

  logFailed(): void {
    (this.registry.getSingleMetric(`${PREFIX}decision_log_errors_total`) as Counter).inc();
  }

  #ticket(verdict: Verdict): void {
    const { ticketKeyType = 'unknown', sessionKeyType = 'unknown', created } = verdict;
    this.#tickets.add(ticketKeyType, sessionKeyType);
    // The created time of an aes-sealed ticket may have been altered, so it is kept apart.
    this.#skew[verdict.integrity].add(utimeNs(created), this.#clock());
  }

  #gauges({ ring, state, clock, view }: MetricsSource): void {
    const gauge = (
      name: string,
      help: string,
      labelNames: readonly string[],
      collect: (set: (value: number, labels: Record<string, string>) => void) => void,
    ): void => {
      new Gauge({
        ...{ name: `${PREFIX}${name}`, help, labelNames, registers: [this.registry] },
        // Of several processes: what each has for itself is added up, what all see alike is not.
        aggregator: OWN_GAUGES.includes(name) ? 'sum' : 'max',
        collect() {
          this.reset();
          collect((value, labels) => this.set(labels, value));
        },
      });
    };
    gauge('sessions', 'Sessions kept.', [], (set) => set(state.sessions.size, {}));
    gauge('spent_challenges', 'Spent challenge states kept.', [], (set) =>
      set(state.spent.size, {}),
    );
    gauge('draining', 'The process is about to end: 1.', [], (set) =>
      set(state.draining ? 1 : 0, {}),
    );
    if (view !== undefined) {
      gauge('store_view_age_seconds', 'For how long changes of others may be missing.', [], (set) =>
        set(view.ageMs() / 1000, {}),
      );
      gauge('store_stale', 'The store is out of sight: 1.', [], (set) =>
        set(view.isStale() ? 1 : 0, {}),
      );
      gauge('store_snapshot', 'All changes of the store up to here are known.', [], (set) =>
        set(Number(view.snapshot), {}),
      );
    }
    gauge('service_secrets', 'Service secrets kept.', ['service', 'key_type'], (set) => {
      for (const [labels, kept] of grouped(ring.facts)) set(kept.length, labels);
    });
    gauge(
      'service_secrets_stale',
      'Cluster or store are away: newer ones may be missing.',
      ['service'],
      (set) => {
        for (const service of ring.stale?.(clock()) ?? []) set(1, { service });
      },
    );
    gauge(
      'service_secret_age_seconds',
      'Age of the oldest and the newest secret of a service.',
      ['service', 'key_type', 'which'],
      (set) => {
        for (const [labels, kept] of grouped(ring.facts)) {
          const ages = kept.map(({ createdNs }) => Number(clock() - createdNs) / 1e9);
          set(Math.max(...ages), { ...labels, which: 'oldest' });
          set(Math.min(...ages), { ...labels, which: 'newest' });
        }
      },
    );
    gauge(
      'clock_skew_seconds',
      'Least age of a ticket of the last minutes: how far our clock is ahead, at most.',
      ['integrity'],
      (set) => {
        for (const integrity of ['mac', 'none'] as const) {
          const seconds = this.#skew[integrity].seconds(clock());
          if (seconds !== undefined) set(seconds, { integrity });
        }
      },
    );
  }
}

function grouped(
  facts: readonly SecretFact[],
): [{ service: string; key_type: string }, SecretFact[]][] {
  const groups = new Map<string, [{ service: string; key_type: string }, SecretFact[]]>();
  for (const fact of facts) {
    const { service, keyType } = fact;
    const name = `${service} ${keyType}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [{ service, key_type: keyType }, [fact]]);
    else group[1].push(fact);
  }
  return [...groups.values()];
}

function sourceName(source: number): string {
  return SOURCE_NAMES.get(source) ?? 'cold';
}

const SOURCE_NAMES: ReadonlyMap<number, string> = new Map([
  [SOURCE_TICKET_CACHE, 'ticket_cache'],
  [SOURCE_SESSION, 'session'],
  [SOURCE_CAPS, 'caps'],
]);
const PREFIX = 'cephgate_';
/** Gauges of what a process has for itself. */
const OWN_GAUGES: readonly string[] = ['sessions', 'spent_challenges'];
/** From the time of one decision to the limits of a request, in seconds. */
const BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10];
