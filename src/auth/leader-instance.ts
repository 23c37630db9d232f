/**
 * One of several instances on one store, as far as rotation goes: it takes over the rings that the
 * leader makes, tells how far it has come, and seals only with what all live instances know.
 */

import type { Random } from '../cephx/cryptokey.ts';
import { StoreError } from '../errors.ts';
import type { RecordKind } from '../store/records.ts';
import { ROTATING } from '../store/records.ts';
import type { Lease, Store } from '../store/store.ts';
import type { KeyServer, RingFence, RotatingService } from './keyserver.ts';
import { ASKS, type AskRecord, INSTANCES, READY } from './leader-records.ts';
import { changeRecord, commitIf, readRecord, STORE_TIMEOUT_MS } from './storecalls.ts';

export interface InstanceOptions {
  readonly store: Store;
  /** Not used before by any instance. */
  readonly id: string;
  /** Nanoseconds since 1970. */
  readonly clock: () => bigint;
  /** Nanoseconds of a clock that never goes back. */
  readonly mono: () => bigint;
  readonly random: Random;
  /** How often it tells its clock, default 15 s. */
  readonly clockEveryNs?: bigint;
}

/** A ring as this instance saw it last. */
export interface SeenRing {
  readonly revision: bigint;
  /** When it saw it change, by its monotonic clock; undefined if it has not. */
  readonly changedNs: bigint | undefined;
}

export class RotationInstance implements RingFence {
  readonly id: string;
  readonly #options: InstanceOptions;
  readonly #ready = new Map<string, bigint>();
  readonly #rings = new Map<string, SeenRing>();
  #lease: Lease | undefined;
  /** What was told last, and when. */
  #told = { snapshot: 0n, monoNs: 0n };
  #listed = false;

  constructor(options: InstanceOptions) {
    this.#options = options;
    this.id = options.id;
  }

  sealable(service: RotatingService, secretId: bigint): boolean {
    return secretId <= (this.#ready.get(service) ?? 0n);
  }

  seenRing(service: string): SeenRing | undefined {
    return this.#rings.get(service);
  }

  /**
   * Makes this instance one that the leader waits for. Comes before the first `sync`: whoever is
   * not known yet reads rings that are at least as new as those the leader has made. Throws
   * StoreError.
   */
  async register(): Promise<void> {
    const { store } = this.#options;
    const lease = await store.lease(leaseName(this.id), INSTANCE_TTL_MS, CALL);
    if (lease === undefined) {
      throw new StoreError('store.busy', 'cannot register the instance: its id is in use');
    }
    this.#lease = lease;
    await this.#tell(0n);
  }

  /** Takes over all that the store has, then tells so. Throws StoreError. */
  async sync(keyServer: KeyServer): Promise<void> {
    const { store, clock } = this.#options;
    const rings = await listAll(store, ROTATING);
    for (const { entry } of rings.records) entry.value.fill(0);
    // These reads are later than the list, so they bring all that it shows.
    await keyServer.reload(clock());
    for (const { id, entry } of rings.records) this.#see(id, entry.revision);
    this.#listed = true;
    const newest = rings.records.reduce((max, { entry }) => bigMax(max, entry.revision), 0n);
    if (newest > this.#told.snapshot) await this.#tell(rings.snapshot);
    // After the rings: what is ready is known then.
    for (const { id, entry } of (await listAll(store, READY)).records) {
      this.#ready.set(id, READY.decode(entry.value).secretId);
    }
  }

  /** Once in a while: keeps the lease, and tells the clock. Throws StoreError. */
  async beat(keyServer: KeyServer): Promise<void> {
    if (this.#lease === undefined || !(await this.#lease.renew(CALL))) {
      // The leader may not have waited for us since: what we know counts as nothing.
      await this.register();
      await this.sync(keyServer);
    }
    const { mono, clockEveryNs = CLOCK_EVERY_NS } = this.#options;
    if (mono() - this.#told.monoNs >= clockEveryNs) {
      await this.#tell(this.#told.snapshot);
    }
  }

  async ask(kind: AskRecord['kind'], services: readonly RotatingService[]): Promise<void> {
    const { store, random } = this.#options;
    const id = [...random(16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    const record: AskRecord = { kind, services, state: 'asked' };
    await changeRecord(store, ASKS, id, () => ({ record }));
    const end = performance.now() + ASK_TIMEOUT_MS;
    for (;;) {
      const found = await readRecord(store, ASKS, id);
      const isLate = performance.now() > end;
      if (found.record?.state === 'asked' && !isLate) {
        await new Promise((resolve) => setTimeout(resolve, ASK_POLL_MS));
        continue;
      }
      if (!(await commitIf(store, [found.compare], [], [ASKS.key(id)]))) continue;
      if (found.record?.state === 'done') return;
      const present = isLate ? 'no instance leads' : 'the last turn is less than half a ttl ago';
      throw new StoreError('store.busy', `cannot ${kind} service secrets: ${present}`);
    }
  }

  /** Leaves: the leader waits for this instance no more. */
  async close(): Promise<void> {
    const { store } = this.#options;
    await commitIf(store, [], [], [INSTANCES.key(this.id)]);
    await this.#lease?.release(CALL);
    this.#lease = undefined;
  }

  #see(service: string, revision: bigint): void {
    const before = this.#rings.get(service);
    if (before?.revision === revision) return;
    const changedNs = this.#listed ? this.#options.mono() : undefined;
    this.#rings.set(service, { revision, changedNs });
  }

  async #tell(snapshot: bigint): Promise<void> {
    const { store, clock, mono } = this.#options;
    const { name, fencing } = this.#lease!;
    const value = INSTANCES.encode({ snapshot, clockNs: clock() });
    const compares = [{ lease: name, fencing }];
    const told = await commitIf(store, compares, [{ key: INSTANCES.key(this.id), value }]);
    // Without the lease nobody waits for us: `beat` registers anew.
    this.#told = { snapshot: told ? snapshot : 0n, monoNs: mono() };
  }
}

export interface Listed {
  readonly snapshot: bigint;
  readonly records: readonly { readonly id: string; readonly entry: ListedEntry }[];
}

interface ListedEntry {
  readonly value: Uint8Array;
  readonly revision: bigint;
}

/** All records of a kind, of one snapshot. Throws StoreError. */
export async function listAll<T>(store: Store, kind: RecordKind<string, T>): Promise<Listed> {
  const options = { ...CALL, prefix: kind.prefix };
  let page = await store.list(options);
  const { snapshot } = page;
  const entries = [...page.entries];
  while (page.next !== undefined) {
    page = await store.list({ ...options, at: snapshot, after: page.next });
    entries.push(...page.entries);
  }
  return { snapshot, records: entries.map((entry) => ({ id: kind.id(entry.key), entry })) };
}

export function leaseName(id: string): string {
  return `instance/${id}`;
}

function bigMax(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

const CALL = { timeoutMs: STORE_TIMEOUT_MS };
/** An instance that does not renew for so long is not waited for. */
export const INSTANCE_TTL_MS = 10_000;
export const CLOCK_EVERY_NS = 15_000_000_000n;
const ASK_TIMEOUT_MS = 10_000;
const ASK_POLL_MS = 100;
