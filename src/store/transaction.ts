/** Making transactions, and the one place that checks what a caller hands to a store. */

import { randomBytes } from 'node:crypto';
import { StoreError } from '../errors.ts';
import {
  type CallOptions,
  type Compare,
  KEY_LEN_MAX,
  LEASE_NAME_LEN_MAX,
  LEASE_NOTE_LEN_MAX,
  LEASE_TTL_MAX_MS,
  type ListOptions,
  PAGE_ENTRIES_MAX,
  type Put,
  REQUEST_ID_LEN,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_OPERATIONS_MAX,
  type Transaction,
} from './store.ts';
import { keyText } from './text.ts';

/** A transaction with a request id of its own. */
export function transaction(parts: {
  readonly compares?: readonly Compare[];
  readonly puts?: readonly Put[];
  readonly deletes?: readonly Uint8Array[];
}): Transaction {
  return {
    requestId: Uint8Array.from(randomBytes(REQUEST_ID_LEN)),
    compares: parts.compares ?? [],
    puts: parts.puts ?? [],
    deletes: parts.deletes ?? [],
  };
}

/**
 * Throws TypeError or RangeError for a transaction that no store takes, StoreError `store.limit`
 * for one that is too large: how large it gets may depend on data.
 */
export function checkTransaction(tx: Transaction): void {
  checkBytes(tx.requestId, 'requestId');
  if (tx.requestId.length !== REQUEST_ID_LEN) {
    throw new RangeError(`"requestId" has ${tx.requestId.length} bytes: expected 16`);
  }
  const operations = tx.compares.length + tx.puts.length + tx.deletes.length;
  if (operations > TRANSACTION_OPERATIONS_MAX) {
    throw tooLarge(`${operations} operations`, `${TRANSACTION_OPERATIONS_MAX}`);
  }
  if (tx.puts.length + tx.deletes.length === 0) {
    throw new RangeError('"transaction" has neither puts nor deletes');
  }
  let bytes = 0;
  for (const compare of tx.compares) bytes += checkCompare(compare);
  const written = new Set<string>();
  for (const key of [...tx.puts.map((put) => put.key), ...tx.deletes]) {
    checkKey(key);
    written.add(keyText(key));
    bytes += key.length;
  }
  if (written.size !== tx.puts.length + tx.deletes.length) {
    throw new RangeError('"transaction" writes a key twice');
  }
  for (const put of tx.puts) {
    checkBytes(put.value, 'value');
    bytes += put.value.length;
  }
  if (bytes > TRANSACTION_BYTES_MAX) throw tooLarge(`${bytes} bytes`, `${TRANSACTION_BYTES_MAX}`);
}

export function checkKey(key: Uint8Array): void {
  checkBytes(key, 'key');
  if (key.length === 0 || key.length > KEY_LEN_MAX) {
    throw new RangeError(`"key" has ${key.length} bytes: expected 1 to ${KEY_LEN_MAX}`);
  }
}

export function checkCall(options: CallOptions): void {
  if (!(options.timeoutMs > 0)) {
    throw new RangeError(`"timeoutMs" is ${options.timeoutMs}: expected more than 0`);
  }
}

/** Returns the limit of the page. */
export function checkList(options: ListOptions): number {
  checkCall(options);
  checkBytes(options.prefix, 'prefix');
  if (options.after !== undefined) {
    checkBytes(options.after, 'after');
    if (!keyText(options.after).startsWith(keyText(options.prefix))) {
      throw new RangeError('"after" does not begin with "prefix"');
    }
  }
  const limit = options.limit ?? PAGE_ENTRIES_MAX;
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_ENTRIES_MAX) {
    throw new RangeError(`"limit" is ${limit}: expected 1 to ${PAGE_ENTRIES_MAX}`);
  }
  return limit;
}

export function checkLease(name: string, ttlMs: number, options: CallOptions): void {
  checkCall(options);
  if (name.length === 0 || name.length > LEASE_NAME_LEN_MAX) {
    throw new RangeError(`"name" has length ${name.length}: expected 1 to ${LEASE_NAME_LEN_MAX}`);
  }
  if (!(ttlMs > 0 && ttlMs <= LEASE_TTL_MAX_MS)) {
    throw new RangeError(`"ttlMs" is ${ttlMs}: expected more than 0, at most ${LEASE_TTL_MAX_MS}`);
  }
}

export function checkNote(note: Uint8Array): void {
  checkBytes(note, 'note');
  if (note.length > LEASE_NOTE_LEN_MAX) {
    throw new RangeError(`"note" has ${note.length} bytes: expected ${LEASE_NOTE_LEN_MAX} at most`);
  }
}

export function checkSnapshot(snapshot: bigint): void {
  if (typeof snapshot !== 'bigint') throw new TypeError('"snapshot" is not a bigint');
  if (snapshot < 0n) throw new RangeError(`"snapshot" is ${snapshot}: expected 0 or more`);
}

/** Returns the bytes it counts for. */
function checkCompare(compare: Compare): number {
  if ('lease' in compare) {
    checkSnapshot(compare.fencing);
    return compare.lease.length;
  }
  checkKey(compare.key);
  if (compare.revision !== 'absent') checkSnapshot(compare.revision);
  return compare.key.length;
}

function checkBytes(bytes: Uint8Array, name: string): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`"${name}" is not a Uint8Array`);
}

function tooLarge(got: string, limit: string): StoreError {
  return new StoreError('store.limit', `cannot commit ${got}: the limit is ${limit}`);
}
