/**
 * Many entities in one step, although a transaction holds at most a hundred: they are staged where
 * nobody looks, one transaction commits the import, and from then on whoever comes first carries it
 * out, as often as it takes. Writers wait for that: each compares that no import is under way.
 */

import { randomBytes } from 'node:crypto';
import { StoreError } from '../errors.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import { ENTITIES, IMPORT, type ImportRecord, STAGED } from '../store/records.ts';
import type { Compare, Lease, Put, Store } from '../store/store.ts';
// The embedded store never waits for anything: without a turn now and then nobody else is served.
import { turn } from '../turns.ts';
import { commitIf, contended, readRecord, STORE_TIMEOUT_MS } from './storecalls.ts';

/** What is imported. */
export interface Import {
  /** By name. */
  readonly entities: readonly (readonly [string, KeyRingEntity])[];
  readonly encode: (entity: KeyRingEntity) => Uint8Array;
  /** What must hold when it is committed. */
  readonly compares: readonly Compare[];
  /** Told how much of the work is done. */
  readonly progress: (done: number, total: number) => void;
}

/** All of the entities or none. Throws StoreError. */
export async function importEntities(store: Store, what: Import): Promise<void> {
  const { entities, encode, compares } = what;
  if (entities.length === 0) return;
  const first = entities.slice(0, OPERATIONS_MAX).map(([name, entity]) => ({
    key: ENTITIES.key(name),
    value: encode(entity),
  }));
  if (first.length === entities.length && [...batches(first)].length === 1) {
    if (await commitIf(store, [NO_IMPORT, ...compares], first)) return;
    throw contended();
  }
  for (const { value } of first) value.fill(0);
  const lease = await store.lease(LEASE, LEASE_MS, { timeoutMs: STORE_TIMEOUT_MS });
  if (lease === undefined) {
    throw new StoreError('store.busy', 'cannot import a keyring: another import runs');
  }
  try {
    await importStaged(store, lease, what);
  } finally {
    await lease.release({ timeoutMs: STORE_TIMEOUT_MS });
  }
}

/**
 * Carries out an import that is committed. All callers of this process wait for the first one's
 * work. Throws StoreError.
 */
export async function finishImport(
  store: Store,
  { importId }: ImportRecord,
  compare: Compare,
  told: (carriedOut: number) => void = () => undefined,
): Promise<void> {
  const running = finishing.get(store);
  if (running?.importId === importId) {
    await running.done;
    return;
  }
  const done = carryOut(store, importId, compare, told);
  finishing.set(store, { importId, done });
  try {
    await remove(store, await done);
  } finally {
    if (finishing.get(store)?.importId === importId) finishing.delete(store);
  }
}

/** Returns the keys that are not needed any more; none if others have carried it out. */
async function carryOut(
  store: Store,
  importId: string,
  compare: Compare,
  told: (carriedOut: number) => void,
): Promise<Uint8Array[]> {
  const prefix = STAGED.key({ importId, entity: '' });
  const staged: Uint8Array[] = [];
  const entities: Put[] = [];
  for await (const { key, value } of entriesOf(store, prefix)) {
    staged.push(key);
    entities.push({ key: ENTITIES.key(STAGED.id(key).entity), value });
  }
  let carriedOut = 0;
  for (const puts of batches(entities)) {
    if (!(await commitIf(store, [compare], puts))) return [];
    carriedOut += puts.length;
    told(carriedOut);
    await turn();
  }
  await commitIf(store, [compare], [], [IMPORT.key(undefined)]);
  return staged;
}

async function importStaged(store: Store, lease: Lease, what: Import): Promise<void> {
  const { entities, compares, progress } = what;
  const held: Compare = { lease: LEASE, fencing: lease.fencing };
  const importId = randomBytes(16).toString('hex');
  await removeLeftovers(store);
  // Each is written twice: where nobody looks, and in its place.
  const all = entities.length * 2;
  let staged = 0;
  for (const batch of batches(stagedPuts(importId, what))) {
    const renewed = await lease.renew({ timeoutMs: STORE_TIMEOUT_MS });
    if (!renewed || !(await commitIf(store, [held], batch))) throw contended();
    staged += batch.length;
    progress(staged, all);
    await turn();
  }
  const put = { key: IMPORT.key(undefined), value: IMPORT.encode({ importId }) };
  if (!(await commitIf(store, [held, NO_IMPORT, ...compares], [put]))) throw contended();
  // Whose import this is by now does not matter: ours is done or is this one.
  const { record, compare } = await readRecord(store, IMPORT, undefined);
  const told = (carriedOut: number): void => progress(staged + carriedOut, all);
  if (record !== undefined) await finishImport(store, record, compare, told);
}

/** Encoded as they are needed: all of them would be as much memory again. */
function* stagedPuts(importId: string, { entities, encode }: Import): Generator<Put> {
  for (const [entity, value] of entities) {
    yield { key: STAGED.key({ importId, entity }), value: encode(value) };
  }
}

/** What an import left that never came to its commit. */
async function removeLeftovers(store: Store): Promise<void> {
  const keys: Uint8Array[] = [];
  for await (const { key } of entriesOf(store, STAGED.prefix)) keys.push(key);
  await remove(store, keys);
}

async function remove(store: Store, keys: readonly Uint8Array[]): Promise<void> {
  for (let at = 0; at < keys.length; at += OPERATIONS_MAX) {
    await commitIf(store, [], [], keys.slice(at, at + OPERATIONS_MAX));
    await turn();
  }
}

async function* entriesOf(store: Store, prefix: Uint8Array): AsyncGenerator<Put> {
  let after: Uint8Array | undefined;
  do {
    const page = await store.list({ prefix, after, timeoutMs: STORE_TIMEOUT_MS });
    yield* page.entries;
    after = page.next;
    await turn();
  } while (after !== undefined);
}

/** In pieces that fit a transaction beside a few compares. */
function* batches(puts: Iterable<Put>): Generator<Put[]> {
  let batch: Put[] = [];
  let bytes = 0;
  for (const put of puts) {
    const length = put.key.length + put.value.length;
    if (batch.length > 0 && (bytes + length > BYTES_MAX || batch.length === OPERATIONS_MAX)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(put);
    bytes += length;
  }
  if (batch.length > 0) yield batch;
}

/** What is being carried out by this process. */
const finishing = new WeakMap<Store, { importId: string; done: Promise<unknown> }>();

const NO_IMPORT: Compare = { key: IMPORT.key(undefined), revision: 'absent' };
const LEASE = 'auth-import';
const LEASE_MS = 60_000;
/** A transaction takes 100 operations and 1 MiB. */
const OPERATIONS_MAX = 90;
const BYTES_MAX = 900_000;
