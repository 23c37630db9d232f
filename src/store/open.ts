/** `--store`: an address to a store. */

import { StoreError } from '../errors.ts';
import { type EtcdAccess, openEtcdAddress } from './etcd/open.ts';
import { MemoryStore } from './memory.ts';
import { openSqliteStore } from './sqlite.ts';
import type { Store } from './store.ts';

/**
 * Opens `sqlite:PATH`, `etcd:https://HOST:PORT,...` or `memory:`. Throws StoreError `store.address`
 * for anything else, and what the store throws at opening.
 */
export async function openStore(address: string, access: EtcdAccess = {}): Promise<Store> {
  if (address === 'memory:') return new MemoryStore();
  const path = /^sqlite:(.+)$/s.exec(address)?.[1];
  if (path !== undefined) return await openSqliteStore(path);
  const members = /^etcd:(.+)$/s.exec(address)?.[1];
  if (members !== undefined) return await openEtcdAddress(members, access);
  throw new StoreError(
    'store.address',
    `cannot open store "${address}": expected sqlite:PATH, etcd:https://HOST:PORT,... or memory:`,
  );
}
