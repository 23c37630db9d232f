/** The obvious store: a whole Map for every snapshot; random transactions for it and a real one. */

import { expect } from 'vitest';
import type { Compare, Store, Transaction, WatchEvent } from '../src/store/store.ts';
import type { Rng } from './rng.ts';

type Values = Map<string, { value: Uint8Array; revision: bigint }>;

export class StoreTwin {
  readonly snapshots: { snapshot: bigint; values: Values }[] = [];
  readonly told: WatchEvent[] = [];

  get latest(): Values {
    return this.snapshots.at(-1)?.values ?? new Map();
  }

  accepts(tx: Transaction): boolean {
    return tx.compares.every(
      (compare) =>
        'key' in compare &&
        compare.revision === (this.latest.get(hex(compare.key))?.revision ?? 'absent'),
    );
  }

  apply(tx: Transaction, snapshot: bigint): void {
    const values = new Map(this.latest);
    const changes = new Map<string, Uint8Array | undefined>();
    for (const { key, value } of tx.puts) {
      values.set(hex(key), { value, revision: snapshot });
      changes.set(hex(key), value);
    }
    for (const key of tx.deletes) {
      if (values.delete(hex(key))) changes.set(hex(key), undefined);
    }
    this.snapshots.push({ snapshot, values });
    if (changes.size === 0) return;
    const sorted = [...changes].sort(([a], [b]) => (a < b ? -1 : 1));
    this.told.push({
      type: 'transaction',
      snapshot,
      changes: sorted.map(([key, value]) => ({ key: unhex(key), value })),
    });
  }
}

const CALL = { timeoutMs: 5_000 };

/** Commits n random transactions to both; compares each outcome, and states now and then. */
export async function randomTransactions(
  store: Store,
  twin: StoreTwin,
  rng: Rng,
  n: number,
  note: string,
): Promise<void> {
  for (let i = 0; i < n; i++) {
    const tx = randomTransaction(rng, twin);
    const outcome = await store.commit(tx, CALL);
    expect(outcome.status, note).toBe(twin.accepts(tx) ? 'committed' : 'failed-compare');
    if (outcome.status === 'committed') twin.apply(tx, outcome.snapshot);
    if (rng.chance(0.1) || i === n - 1) await compareOne(store, twin, rng, note);
  }
}

async function compareOne(store: Store, twin: StoreTwin, rng: Rng, note: string): Promise<void> {
  if (twin.snapshots.length === 0) return;
  const { snapshot, values } = rng.pick(twin.snapshots.slice(-200));
  const prefix = rng.chance(0.3) ? new Uint8Array() : rng.bytes(1).map((byte) => byte & 3);
  const limit = 1 + rng.int(20);
  const found: unknown[] = [];
  let after: Uint8Array | undefined;
  do {
    const page = await store.list({ ...CALL, prefix, at: snapshot, limit, after });
    found.push(...page.entries);
    after = page.next;
  } while (after !== undefined);
  const expected = [...values]
    .filter(([key]) => key.startsWith(hex(prefix)))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, stored]) => ({ key: unhex(key), ...stored }));
  expect(found, note).toEqual(expected);
}

function randomTransaction(rng: Rng, twin: StoreTwin): Transaction {
  const keys = new Map<string, Uint8Array>();
  for (let i = 1 + rng.int(6); i > 0; i--) {
    const key = randomKey(rng);
    keys.set(hex(key), key);
  }
  const written = [...keys.values()];
  const puts = written
    .filter(() => rng.chance(0.65))
    .map((key) => ({ key, value: rng.bytes(rng.int(40)) }));
  const deletes = written.filter((key) => !puts.some((put) => put.key === key));
  const compares = written
    .filter(() => rng.chance(0.5))
    .map((key): Compare => {
      const revision = twin.latest.get(hex(key))?.revision ?? 'absent';
      return { key, revision: rng.chance(0.9) ? revision : 1n };
    });
  return { requestId: rng.bytes(16), compares, puts, deletes };
}

/** Few enough keys that they meet again, with bytes at both ends of the range. */
function randomKey(rng: Rng): Uint8Array {
  const key = rng.bytes(1 + rng.int(3));
  return key.map((byte) => (rng.chance(0.9) ? byte & 3 : byte | 0xfc));
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
