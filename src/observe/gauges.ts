/**
 * The metrics that are read off what is there when somebody asks: sessions, secrets, store, the
 * users of a cluster, clocks, the ticket cache.
 */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { TicketCacheStats } from '../engine/types.ts';
import type { AppDeps, SecretFact } from '../http/deps.ts';
import type { SkewEstimate } from './skew.ts';

export type MetricsSource = Pick<
  AppDeps,
  'engine' | 'ring' | 'state' | 'clock' | 'view' | 'users' | 'logDropped'
>;

export const PREFIX = 'cephgate_';

type Labels = Readonly<Record<string, string>>;
type Add = (
  name: string,
  help: string,
  labelNames: readonly string[],
  collect: (set: (value: number, labels?: Labels) => void) => void,
) => void;

type AddCounter = (name: string, help: string, value: () => number) => void;

export function addGauges(
  registry: Registry,
  source: MetricsSource,
  skew: Readonly<Record<'mac' | 'none', SkewEstimate>>,
  frames: () => number,
): void {
  const add: Add = (name, help, labelNames, collect) => {
    new Gauge({
      ...{ name: `${PREFIX}${name}`, help, labelNames, registers: [registry] },
      // Of several processes: what each has for itself is added up, what all see alike is not.
      aggregator: OWN_GAUGES.includes(name) ? 'sum' : 'max',
      collect() {
        this.reset();
        collect((value, labels = {}) => this.set(labels, value));
      },
    });
  };
  const { state, clock } = source;
  add('sessions', 'Sessions kept.', [], (set) => set(state.sessions.size));
  add('spent_challenges', 'Spent challenge states kept.', [], (set) => set(state.spent.size));
  add('frames_connections', 'Connections of the frames socket.', [], (set) => set(frames()));
  add('draining', 'The process is about to end: 1.', [], (set) => set(state.draining ? 1 : 0));
  addStore(add, source);
  addSecrets(add, source);
  addUsers(add, source);
  const counter = counterOf(registry);
  addTicketCache(counter, add, source);
  const { logDropped = () => 0 } = source;
  counter('log_dropped_total', 'Lines of the log on stderr that nobody took.', logDropped);
  add(
    'clock_skew_seconds',
    'Least age of a ticket of the last minutes: how far our clock is ahead, at most.',
    ['integrity'],
    (set) => {
      for (const integrity of ['mac', 'none'] as const) {
        const seconds = skew[integrity].seconds(clock());
        if (seconds !== undefined) set(seconds, { integrity });
      }
    },
  );
}

function addStore(add: Add, { view }: MetricsSource): void {
  if (view === undefined) return;
  add('store_view_age_seconds', 'For how long changes of others may be missing.', [], (set) =>
    set(view.ageMs() / 1000),
  );
  add('store_stale', 'The store is out of sight: 1.', [], (set) => set(view.isStale() ? 1 : 0));
  add('store_snapshot', 'All changes of the store up to here are known.', [], (set) =>
    set(Number(view.snapshot)),
  );
}

function addSecrets(add: Add, { ring, clock }: MetricsSource): void {
  add('service_secrets', 'Service secrets kept.', ['service', 'key_type'], (set) => {
    for (const [labels, kept] of grouped(ring.facts)) set(kept.length, labels);
  });
  add(
    'service_secrets_stale',
    'Cluster or store are away: newer ones may be missing.',
    ['service'],
    (set) => {
      for (const service of ring.stale?.(clock()) ?? []) set(1, { service });
    },
  );
  add(
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
}

/** Where the users of a real cluster are looked at. */
function addUsers(add: Add, { users, clock }: MetricsSource): void {
  if (users === undefined) return;
  add('cluster_users', 'Users of the cluster when they were last seen.', [], (set) =>
    set(users.facts(clock())?.entities ?? 0),
  );
  add('cluster_users_age_seconds', 'How long ago they were seen; +Inf: never.', [], (set) =>
    set(users.facts(clock())?.ageSeconds ?? Number.POSITIVE_INFINITY),
  );
  add('cluster_users_stale', 'They should have been seen again by now: 1.', [], (set) =>
    set(users.isStale(clock()) ? 1 : 0),
  );
}

/** Adds counters of what is counted elsewhere. */
function counterOf(registry: Registry): AddCounter {
  return (name, help, value) => {
    new Counter({
      ...{ name: `${PREFIX}${name}`, help, registers: [registry] },
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  };
}

function addTicketCache(counter: AddCounter, add: Add, { engine }: MetricsSource): void {
  // The core counts to 2^32 and begins anew, which Prometheus takes for a start of the process.
  const of = (name: keyof TicketCacheStats) => () => engine.ticketCache[name];
  counter('ticket_cache_hits_total', 'Tickets that were found opened.', of('hits'));
  counter('ticket_cache_misses_total', 'Tickets that were looked for in vain.', of('misses'));
  counter('ticket_cache_evicted_total', 'Tickets that gave way to others.', of('evicted'));
  counter(
    'ticket_cache_emptied_total',
    'Times that the ticket cache was emptied: other secrets, another policy.',
    of('emptied'),
  );
  add('ticket_cache_entries', 'Opened tickets kept.', [], (set) => set(engine.ticketCache.held));
  add('ticket_cache_entries_max', 'Opened tickets that there is room for.', [], (set) =>
    set(engine.ticketCache.max),
  );
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

/** Gauges of what a process has for itself. */
const OWN_GAUGES: readonly string[] = [
  'sessions',
  'spent_challenges',
  'frames_connections',
  'ticket_cache_entries',
  'ticket_cache_entries_max',
];
