/**
 * The metrics of the sidecar, in the text format of Prometheus: prefix `cephgate_`, base units.
 * Labels come from closed sets alone: no entity, pool, object, caller or exact check name. (The
 * check names tell what a masked answer hides: as counters they would be an oracle.)
 */

import { Counter, collectDefaultMetrics, Registry } from 'prom-client';
import { SOURCE_CAPS, SOURCE_SESSION, SOURCE_TICKET_CACHE } from '../../assembly/abi.ts';
import { utimeNs } from '../cephx/denc.ts';
import type { Verdict } from '../engine/verdict.ts';
import type { DecisionFacts, RequestFacts } from './facts.ts';
import { addGauges, type MetricsSource, PREFIX } from './gauges.ts';
import { Latency } from './latency.ts';
import { SkewEstimate } from './skew.ts';
import { Tally } from './tally.ts';

export class Metrics {
  readonly registry: Registry = new Registry();
  readonly #decisions: Tally;
  readonly #tickets: Tally;
  readonly #sources: Tally;
  readonly #requests: Tally;
  readonly #problems: Tally;
  readonly #shadow: Tally;
  readonly #dropped: Tally;
  readonly #framesEnded: Tally;
  readonly #seconds: Latency;
  readonly #clock: () => bigint;
  #frames = 0;
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
    const ended = 'Connections of the frames socket that were ended here, or not let in.';
    this.#framesEnded = tally('frames_connections_ended_total', ended, ['why']);
    const duration = `${PREFIX}http_request_duration_seconds`;
    const about = 'Time from the head of a request to the head of its answer.';
    this.#seconds = new Latency(this.registry, duration, about, 'route', BUCKETS);
    addGauges(this.registry, source, this.#skew, () => this.#frames);
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
    this.#seconds.observe(route, seconds);
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

  /** So many connections of the frames socket more. */
  frames(more: number): void {
    this.#frames += more;
  }

  framesEnded(why: string): void {
    this.#framesEnded.add(why);
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
}

function sourceName(source: number): string {
  return SOURCE_NAMES.get(source) ?? 'cold';
}

const SOURCE_NAMES: ReadonlyMap<number, string> = new Map([
  [SOURCE_TICKET_CACHE, 'ticket_cache'],
  [SOURCE_SESSION, 'session'],
  [SOURCE_CAPS, 'caps'],
]);
/** From the time of one decision to the limits of a request, in seconds. */
const BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10];
