/**
 * Reading and changing single records of the store, with the retries that its contract asks for.
 */

import { StoreError } from '../errors.ts';
import type { RecordKind } from '../store/records.ts';
import type { Compare, Outcome, Put, Store } from '../store/store.ts';
import { transaction } from '../store/transaction.ts';

/** A record as it was read, with what a later change compares. */
export interface Read<T> {
  readonly record: T | undefined;
  readonly compare: Compare;
}

/** A record that is to be written if the compare still holds; undefined deletes it. */
export interface Write<T> {
  readonly record: T | undefined;
}

/** Reads the latest version of a record. Throws StoreError. */
export async function readRecord<Id, T>(
  store: Store,
  kind: RecordKind<Id, T>,
  id: Id,
  timeoutMs: number = STORE_TIMEOUT_MS,
): Promise<Read<T>> {
  const key = kind.key(id);
  const { entry } = await store.get(key, { timeoutMs });
  if (entry === undefined) return { record: undefined, compare: { key, revision: 'absent' } };
  const record = kind.decode(entry.value);
  entry.value.fill(0);
  return { record, compare: { key, revision: entry.revision } };
}

/**
 * Changes a record whatever others do at the same moment: `change` is asked again with the newer
 * record when somebody was faster, and writes nothing when it returns undefined. Returns what is in
 * the store afterwards. Throws StoreError.
 */
export async function changeRecord<Id, T>(
  store: Store,
  kind: RecordKind<Id, T>,
  id: Id,
  change: (present: T | undefined) => Write<T> | undefined,
): Promise<T | undefined> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const { record, compare } = await readRecord(store, kind, id);
    const write = change(record);
    if (write === undefined) return record;
    const key = kind.key(id);
    const puts = write.record === undefined ? [] : [{ key, value: kind.encode(write.record) }];
    const deletes = write.record === undefined ? [key] : [];
    if (await commitIf(store, [compare], puts, deletes)) return write.record;
  }
  throw contended();
}

/** Commits; false if a compare did not hold. An outcome that is not known is asked for again. */
export async function commitIf(
  store: Store,
  compares: readonly Compare[],
  puts: readonly Put[],
  deletes: readonly Uint8Array[] = [],
): Promise<boolean> {
  const tx = transaction({ compares, puts, deletes });
  let outcome: Outcome | undefined;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    outcome = await store.commit(tx, { timeoutMs: STORE_TIMEOUT_MS });
    if (outcome.status !== 'unknown') break;
  }
  for (const put of puts) put.value.fill(0);
  if (outcome?.status !== 'unknown') return outcome?.status === 'committed';
  throw new StoreError('store.failed', `cannot tell whether a change was made: ${outcome.message}`);
}

export function contended(): StoreError {
  return new StoreError(
    'store.busy',
    `cannot change a record: others changed it ${TRIES_MAX} times`,
  );
}

export const STORE_TIMEOUT_MS = 5_000;
/** A page of a list where there are 10^6 entries. */
export const LIST_TIMEOUT_MS = 20_000;
export const TRIES_MAX = 16;
