/** `--store`: an address to a store. */

import { StoreError } from '../errors.ts';
import { MemoryStore } from './memory.ts';
import { openSqliteStore } from './sqlite.ts';
import type { Store } from './store.ts';

/**
 * Opens `sqlite:PATH` or `memory:`. Throws StoreError `store.address` for anything else, and what
 * the store throws at opening.
 */
export async function openStore(address: string): Promise<Store> {
  if (address === 'memory:') return new MemoryStore();
  const path = /^sqlite:(.+)$/s.exec(address)?.[1];
  if (path !== undefined) return await openSqliteStore(path);
  throw new StoreError(
    'store.address',
    `cannot open store "${address}": expected sqlite:PATH or memory:`,
  );
}
