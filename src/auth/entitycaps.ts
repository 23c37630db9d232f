/**
 * The caps of entities as the store has them, for questions about an entity that proves nothing:
 * all of them at one snapshot, with what the operator has denied.
 */

import { formatEntityName } from '../cephx/protocol.ts';
import { StoreError } from '../errors.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import { ENTITIES, IMPORT, REVOCATIONS } from '../store/records.ts';
import type { ReadOptions, Store } from '../store/store.ts';
import { entityNameOf } from './entities.ts';
import { finishImport } from './importing.ts';
import { contended, STORE_TIMEOUT_MS, TRIES_MAX } from './storecalls.ts';

export interface EntityCaps {
  /** As Ceph prints it. */
  readonly name: string;
  /** Caps text by service. */
  readonly caps: ReadonlyMap<string, string>;
  /** Revoked with `deny`: no ticket of it is good for anything. */
  readonly denied: boolean;
}

export interface EntitySnapshot {
  readonly snapshot: bigint;
  /** By the name that was asked for; one that is missing does not exist. */
  readonly entities: ReadonlyMap<string, EntityCaps>;
}

/**
 * Reads entities at one snapshot, whatever is written meanwhile. A name that is no entity name
 * does not exist.
 *
 * @param monKeyring what the monitor's own keyring holds of `mon.`
 * @throws StoreError
 */
export async function readEntityCaps(
  store: Store,
  monKeyring: KeyRingEntity | undefined,
  names: Iterable<string>,
): Promise<EntitySnapshot> {
  const asked = [...new Set(names)];
  const key = IMPORT.key(undefined);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const { entry, snapshot } = await store.get(key, { timeoutMs: STORE_TIMEOUT_MS });
    if (entry !== undefined) {
      // An import that was committed is carried out first, as before every command.
      const compare = { key, revision: entry.revision };
      await finishImport(store, IMPORT.decode(entry.value), compare);
      continue;
    }
    try {
      return { snapshot, entities: await readAll(store, monKeyring, asked, snapshot) };
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'store.compacted') throw error;
    }
  }
  throw contended();
}

/** Which of these names are denied, of entities that are not in the store. Throws StoreError. */
export async function readDenied(
  store: Store,
  names: readonly string[],
): Promise<ReadonlySet<string>> {
  const options = { timeoutMs: STORE_TIMEOUT_MS };
  const denied = new Set<string>();
  const asked = [...new Set(names)];
  for (let at = 0; at < asked.length; at += AT_ONCE) {
    const some = asked.slice(at, at + AT_ONCE);
    const found = await Promise.all(some.map((text) => isDenied(store, text, options)));
    some.forEach((text, i) => {
      if (found[i]) denied.add(text);
    });
  }
  return denied;
}

async function isDenied(store: Store, text: string, options: ReadOptions): Promise<boolean> {
  const entityName = entityNameOf(text);
  if (entityName === undefined) return false;
  const entity = formatEntityName(entityName);
  const deny = { kind: 'deny', target: { kind: 'entity', entity } } as const;
  return (await store.get(REVOCATIONS.key(deny), options)).entry !== undefined;
}

async function readAll(
  store: Store,
  monKeyring: KeyRingEntity | undefined,
  names: readonly string[],
  snapshot: bigint,
): Promise<Map<string, EntityCaps>> {
  const options = { timeoutMs: STORE_TIMEOUT_MS, at: snapshot };
  const held = new Map<string, EntityCaps>();
  for (let at = 0; at < names.length; at += AT_ONCE) {
    const some = names.slice(at, at + AT_ONCE);
    const read = await Promise.all(some.map((name) => readOne(store, monKeyring, name, options)));
    some.forEach((name, i) => {
      if (read[i] !== undefined) held.set(name, read[i]);
    });
  }
  return held;
}

async function readOne(
  store: Store,
  monKeyring: KeyRingEntity | undefined,
  text: string,
  options: ReadOptions,
): Promise<EntityCaps | undefined> {
  const entityName = entityNameOf(text);
  if (entityName === undefined) return undefined;
  const name = formatEntityName(entityName);
  const [{ entry }, denied] = await Promise.all([
    store.get(ENTITIES.key(name), options),
    isDenied(store, name, options),
  ]);
  if (entry === undefined) {
    return name === MON && monKeyring ? { name, caps: monKeyring.caps, denied } : undefined;
  }
  const { key, pendingKey, caps } = ENTITIES.decode(entry.value);
  for (const secret of [entry.value, key, pendingKey]) secret?.fill(0);
  return { name, caps, denied };
}

const MON = 'mon.';
/** Reads under way together. */
const AT_ONCE = 16;
