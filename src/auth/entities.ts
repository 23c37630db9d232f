/**
 * The entities of the store as the `auth` commands see them: read at one snapshot, changed one by
 * one with what was read compared at the commit, and imported all together or not at all.
 */

import { CryptoKey, encodeBase64 } from '../cephx/cryptokey.ts';
import { Reader } from '../cephx/denc.ts';
import { type EntityName, formatEntityName, parseEntityName } from '../cephx/protocol.ts';
import { StoreError } from '../errors.ts';
import type { KeyRingEntity } from '../keyring/keyring.ts';
import { ENTITIES, type EntityRecord, IMPORT } from '../store/records.ts';
import type { Compare, Page, Store } from '../store/store.ts';
import { turn } from '../turns.ts';
import { finishImport, importEntities } from './importing.ts';
import {
  commitIf,
  contended,
  LIST_TIMEOUT_MS,
  readRecord,
  STORE_TIMEOUT_MS,
  TRIES_MAX,
} from './storecalls.ts';

/** An entity that is in the store, and what a transaction compares to find it unchanged. */
export interface HeldEntity {
  readonly name: EntityName;
  readonly entity: KeyRingEntity;
  readonly compare: Compare;
}

/** What a list shows of an entity. */
export interface ListedEntity {
  readonly name: EntityName;
  /** As in a keyring. */
  readonly key: string;
  readonly caps: ReadonlyMap<string, string>;
}

type Show<T> = (name: EntityName, record: EntityRecord, compare: Compare) => T;

/** What is to become of an entity; `compares` are further things that must still hold. */
export interface EntityChange {
  /** Undefined removes it. */
  readonly entity: KeyRingEntity | undefined;
  readonly compares?: readonly Compare[];
}

/** Serves one command: `wipe` ends the use of every key that it gave out. */
export class AuthDb {
  readonly store: Store;
  readonly #monKeyring: KeyRingEntity | undefined;
  readonly #keys: CryptoKey[] = [];

  /** @param monKeyring what the monitor's own keyring file holds of `mon.` */
  constructor(store: Store, monKeyring: KeyRingEntity | undefined) {
    this.store = store;
    this.#monKeyring = monKeyring;
  }

  /** The entity of the store, or `mon.` of the monitor's own keyring. Throws StoreError. */
  async find(name: EntityName): Promise<KeyRingEntity | undefined> {
    await this.#settle();
    const { record } = await readRecord(this.store, ENTITIES, formatEntityName(name));
    return record === undefined ? this.own(name) : this.#decode(record);
  }

  /** What the monitor's own keyring holds of an entity: only of `mon.`. */
  own(name: EntityName): KeyRingEntity | undefined {
    return formatEntityName(name) === MON ? this.#monKeyring : undefined;
  }

  /** Whether there is no entity at all. Throws StoreError. */
  async isEmpty(): Promise<boolean> {
    // Nearly always there, and found at once among however many.
    const admin = await readRecord(this.store, ENTITIES, 'client.admin');
    admin.record?.key.fill(0);
    admin.record?.pendingKey?.fill(0);
    if (admin.record !== undefined) return false;
    const one = { prefix: ENTITIES.prefix, limit: 1, timeoutMs: LIST_TIMEOUT_MS };
    const { entries } = await this.store.list(one);
    for (const { value } of entries) value.fill(0);
    return entries.length === 0;
  }

  /** All entities of the store at one snapshot, in Ceph's order. Throws StoreError. */
  list(): Promise<HeldEntity[]> {
    return this.#list((name, record, compare) => {
      return { name, entity: this.#decode(record), compare };
    });
  }

  /**
   * What `show` makes of each, with keys as texts and without pending keys. Of a hundred thousand
   * only that is kept.
   */
  async listShown<T>(show: (entity: ListedEntity) => T): Promise<T[]> {
    const all = await this.#list((name, { key: bytes, pendingKey, caps }) => {
      const key = encodeBase64(bytes);
      bytes.fill(0);
      pendingKey?.fill(0);
      return { name, shown: show({ name, key, caps }) };
    });
    return all.map(({ shown }) => shown);
  }

  async #list<T extends { readonly name: EntityName }>(show: Show<T>): Promise<T[]> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      try {
        const held = await this.#listOnce(show);
        if (held !== undefined) return held;
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'store.compacted') throw error;
      }
    }
    throw contended();
  }

  /** Number of the state that the next reading sees at least. Throws StoreError. */
  async snapshot(): Promise<bigint> {
    return (await this.store.get(IMPORT.key(undefined), { timeoutMs: STORE_TIMEOUT_MS })).snapshot;
  }

  /**
   * Changes an entity: `decide` sees it as it is now and is asked again when somebody was faster;
   * undefined changes nothing. Throws StoreError, and what `decide` throws.
   */
  async change(
    name: EntityName,
    decide: (
      present: KeyRingEntity | undefined,
    ) => EntityChange | undefined | Promise<EntityChange | undefined>,
  ): Promise<void> {
    const id = formatEntityName(name);
    const key = ENTITIES.key(id);
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      await this.#settle();
      const { record, compare } = await readRecord(this.store, ENTITIES, id);
      const change = await decide(record && this.#decode(record));
      if (change === undefined) return;
      const { entity } = change;
      const puts = entity === undefined ? [] : [{ key, value: encodeEntity(entity) }];
      const compares = [compare, NO_IMPORT, ...(change.compares ?? [])];
      if (await commitIf(this.store, compares, puts, entity === undefined ? [key] : [])) return;
    }
    throw contended();
  }

  /**
   * Adds or replaces all these entities: whoever reads sees none of it or everything, also after a
   * crash at any moment. `progress` is told how much of the work is done. Throws StoreError.
   */
  async import(
    entities: readonly (readonly [EntityName, KeyRingEntity])[],
    compares: readonly Compare[] = [],
    progress: (done: number, total: number) => void = () => undefined,
  ): Promise<void> {
    await this.#settle();
    const byName = entities.map(([name, entity]) => [formatEntityName(name), entity] as const);
    const how = { encode: encodeEntity, compares, progress };
    await importEntities(this.store, { entities: byName, ...how });
  }

  /** Takes over a key that the command made, to be wiped with the others. */
  keep(key: CryptoKey): CryptoKey {
    this.#keys.push(key);
    return key;
  }

  wipe(): void {
    for (const key of this.#keys) key.wipe();
    this.#keys.length = 0;
  }

  /** An import that was committed is carried out before anything else. */
  async #settle(): Promise<void> {
    const { record, compare } = await readRecord(this.store, IMPORT, undefined);
    if (record !== undefined) await finishImport(this.store, record, compare);
  }

  async #listOnce<T extends { readonly name: EntityName }>(
    show: Show<T>,
  ): Promise<T[] | undefined> {
    await this.#settle();
    const held: T[] = [];
    let page: Page | undefined;
    do {
      page = await this.store.list({
        prefix: ENTITIES.prefix,
        timeoutMs: LIST_TIMEOUT_MS,
        at: page?.snapshot,
        after: page?.next,
      });
      for (const { key, value, revision } of page.entries) {
        const name = parseEntityName(ENTITIES.id(key));
        if (name === undefined)
          throw new StoreError('store.content', 'cannot read entity: no name');
        held.push(show(name, ENTITIES.decode(value), { key, revision }));
        value.fill(0);
      }
      if (page.next !== undefined) await turn();
    } while (page.next !== undefined);
    const { entry } = await this.store.get(IMPORT.key(undefined), {
      timeoutMs: STORE_TIMEOUT_MS,
      at: page.snapshot,
    });
    // Keys come in bytewise order, so only the types are left to sort.
    return entry === undefined ? held.sort((a, b) => a.name.type - b.name.type) : undefined;
  }

  #decode(record: EntityRecord): KeyRingEntity {
    const read = (bytes: Uint8Array): CryptoKey => {
      const key = this.keep(CryptoKey.decode(new Reader(bytes)));
      bytes.fill(0);
      return key;
    };
    const { pendingKey, caps } = record;
    const key = read(record.key);
    return pendingKey === undefined ? { key, caps } : { key, caps, pendingKey: read(pendingKey) };
  }
}

/** The name of an entity, if it can be kept in a store. */
export function entityNameOf(text: string): EntityName | undefined {
  const short = new TextEncoder().encode(text).length <= ENTITY_NAME_LEN_MAX;
  return short && WELL_FORMED.test(text) ? parseEntityName(text) : undefined;
}

function encodeEntity({ key, pendingKey, caps }: KeyRingEntity): Uint8Array {
  const record = {
    key: key.encode(),
    pendingKey: pendingKey?.encode(),
    caps: new Map([...caps].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  const value = ENTITIES.encode(record);
  record.key.fill(0);
  record.pendingKey?.fill(0);
  return value;
}

const MON = 'mon.';
/** No import is committed and not yet carried out. */
const NO_IMPORT: Compare = { key: IMPORT.key(undefined), revision: 'absent' };
/** With the prefix of its kind it has to fit a key of the store, 1,024 bytes. */
const ENTITY_NAME_LEN_MAX = 900;
/** Half a surrogate pair has no UTF-8 form. */
const WELL_FORMED = /^\P{Surrogate}*$/su;
