/**
 * Revocations (interface section 5): `deny` an entity or global_id, `not_before` for an entity, a
 * service or all. They are kept in the store and applied in the engine, which judges tickets; what
 * this process changes holds in it before the change is answered.
 */

import { formatEntityName, parseEntityName } from '../cephx/protocol.ts';
import { ENTITY_TYPES } from '../cephx/tickets.ts';
import type { Engine } from '../engine/engine.ts';
import type { RevokeSubject } from '../engine/work.ts';
import {
  REVOCATIONS,
  type RevocationId,
  type RevocationRecord,
  type RevocationTarget,
} from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { changeRecord, STORE_TIMEOUT_MS } from './storecalls.ts';

export interface Revocation {
  readonly id: RevocationId;
  readonly record: RevocationRecord;
}

export class Revocations {
  readonly #store: Store;
  readonly #engine: Pick<Engine, 'revoke'>;
  readonly #rules = new Map<string, Revocation>();
  /** One after the other: a slow reading must not undo what was added meanwhile. */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(store: Store, engine: Pick<Engine, 'revoke'>) {
    this.#store = store;
    this.#engine = engine;
  }

  /** Reads the store and applies what is there. Throws StoreError. */
  static async open(store: Store, engine: Pick<Engine, 'revoke'>): Promise<Revocations> {
    const revocations = new Revocations(store, engine);
    await revocations.reload();
    return revocations;
  }

  list(): Revocation[] {
    return [...this.#rules.values()];
  }

  /** Whether an entity is denied: it gets no ticket, whatever it proves. */
  isDenied(entity: string): boolean {
    return this.#rules.has(ruleKey({ kind: 'deny', target: { kind: 'entity', entity } }));
  }

  /**
   * Makes or replaces a revocation. Throws RangeError for one that the core cannot hold (an entity
   * id over 128 bytes, a full table, `deny` of a service or all): nothing is stored then. Throws
   * StoreError.
   */
  add(id: RevocationId, record: RevocationRecord): Promise<void> {
    return this.#inTurn(() => this.#add(id, record));
  }

  /** Ends a revocation; false if there was none. Throws StoreError. */
  remove(id: RevocationId): Promise<boolean> {
    return this.#inTurn(() => this.#remove(id));
  }

  /** Takes over what is in the store. Returns its snapshot. Throws StoreError. */
  reload(): Promise<bigint> {
    return this.#inTurn(() => this.#reload());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #add(id: RevocationId, record: RevocationRecord): Promise<void> {
    // In the engine first: a ticket that is refused too early is no harm, one too late is.
    this.#applyOne({ id, record });
    try {
      await changeRecord(this.#store, REVOCATIONS, id, () => ({ record }));
    } catch (error) {
      this.#applyAll();
      throw error;
    }
    this.#rules.set(ruleKey(id), { id, record });
  }

  async #remove(id: RevocationId): Promise<boolean> {
    let found = false;
    await changeRecord(this.#store, REVOCATIONS, id, (present) => {
      found = present !== undefined;
      return found ? { record: undefined } : undefined;
    });
    this.#rules.delete(ruleKey(id));
    this.#applyAll();
    return found;
  }

  async #reload(): Promise<bigint> {
    const rules: Revocation[] = [];
    const first = { prefix: REVOCATIONS.prefix, timeoutMs: STORE_TIMEOUT_MS };
    let page = await this.#store.list(first);
    const { snapshot } = page;
    for (;;) {
      for (const { key, value } of page.entries) {
        rules.push({ id: REVOCATIONS.id(key), record: REVOCATIONS.decode(value) });
      }
      if (page.next === undefined) break;
      page = await this.#store.list({ ...first, at: snapshot, after: page.next });
    }
    this.#rules.clear();
    for (const rule of rules) this.#rules.set(ruleKey(rule.id), rule);
    this.#applyAll();
    return snapshot;
  }

  /** Nothing is verified between the two steps: the engine is asked by this thread alone. */
  #applyAll(): void {
    this.#engine.revoke('clear', 'all');
    for (const rule of this.#rules.values()) this.#applyOne(rule);
  }

  #applyOne({ id, record }: Revocation): void {
    const timeNs = id.kind === 'not_before' ? record.timeNs : 0n;
    this.#engine.revoke(id.kind, subjectOf(id.target), timeNs);
  }
}

function subjectOf(target: RevocationTarget): RevokeSubject {
  switch (target.kind) {
    case 'entity': {
      const entity = parseEntityName(target.entity);
      if (entity === undefined) throw new RangeError(`no entity name: "${target.entity}"`);
      return { entity };
    }
    case 'global_id':
      return { globalId: target.globalId };
    case 'service': {
      const service = ENTITY_TYPES[target.service];
      if (service === undefined) throw new RangeError(`no service: "${target.service}"`);
      return { service };
    }
    case 'all':
      return 'all';
  }
}

function ruleKey({ kind, target }: RevocationId): string {
  switch (target.kind) {
    case 'entity': {
      const name = parseEntityName(target.entity);
      return `${kind} entity ${name === undefined ? target.entity : formatEntityName(name)}`;
    }
    case 'global_id':
      return `${kind} global_id ${target.globalId}`;
    case 'service':
      return `${kind} service ${target.service}`;
    case 'all':
      return `${kind} all`;
  }
}
