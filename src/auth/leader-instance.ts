/**
 * One of several instances on one store, as far as rotation goes: it takes over the rings that the
 * leader makes, tells how far it has come, and seals only with what all live instances know.
 *
 * What it tells is a note on its lease, not a record: no watch tells of it. Were each of N told of
 * the clocks of all, that would be N² messages each 15 s, and N² again for each turn of a ring; as
 * it is, one says a thing once, and only the leader asks, for all in one answer each few seconds.
 * At 1,000 instances that is 67 writes a second for etcd and 130 kB a second for one of them. It
 * need not be sooner or rarer:
 *
 * - How fresh a view is does not hang on it: that is proven each second by the watch (proof.ts),
 *   which needs one beat a second however many instances there are.
 * - Nor do revocations: they are records, and the watch brings them.
 * - Rule (3), publish and then wait for all: an instance notes a new ring at once, not with its
 *   next clock, and the leader asks each second while it waits for somebody.
 * - Rule (4), 60 s from the median: a clock told each 15 s and asked for each 3 s is known to 3 s,
 *   and a new leader knows all of them well before half a ttl. Short ttls shorten the 15 s.
 * - Lease and note end together: who is not live is not listed, and nobody has to look it up.
 */

import type { Random } from '../cephx/cryptokey.ts';
import { StoreError } from '../errors.ts';
import type { RecordKind } from '../store/records.ts';
import { ROTATING } from '../store/records.ts';
import type { Lease, Store } from '../store/store.ts';
import type { KeyServer, RingFence, RotatingService } from './keyserver.ts';
import { ASKS, type AskRecord, type InstanceNote, NOTES, READY } from './leader-records.ts';
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
  /** All rings as of this snapshot are in the engine. */
  #here = 0n;
  /** What was told last, and when; undefined before that. */
  #told: { readonly snapshot: bigint; readonly monoNs: bigint } | undefined;
  #telling: Promise<unknown> = Promise.resolve();
  #renewedNs = 0n;
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
    const { store, mono } = this.#options;
    const renewedNs = mono();
    const lease = await store.lease(INSTANCE_LEASES + this.id, INSTANCE_TTL_MS, CALL);
    if (lease === undefined) {
      throw new StoreError('store.busy', 'cannot register the instance: its id is in use');
    }
    this.#lease = lease;
    this.#renewedNs = renewedNs;
    this.#told = undefined;
    // Perhaps of another past, as after a backup was put back.
    this.#here = 0n;
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
    this.#here = bigMax(this.#here, rings.snapshot);
    if (this.#told === undefined || newest > this.#told.snapshot) await this.#tell();
    // After the rings: what is ready is known then.
    for (const { id, entry } of (await listAll(store, READY)).records) {
      this.#ready.set(id, READY.decode(entry.value).secretId);
    }
  }

  /** Once in a while: keeps the lease, and tells the clock. Throws StoreError. */
  async beat(keyServer: KeyServer): Promise<void> {
    const { mono, clockEveryNs = CLOCK_EVERY_NS } = this.#options;
    const nowNs = mono();
    if (this.#lease !== undefined) {
      const isTold = this.#told !== undefined && nowNs - this.#told.monoNs < clockEveryNs;
      if (isTold && nowNs - this.#renewedNs < RENEW_EVERY_NS) return;
      if (isTold ? await this.#renew(this.#lease) : await this.#tell()) return;
    }
    // The leader may not have waited for us since: whatever it made then is not here yet.
    await this.register();
    await this.sync(keyServer);
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
    await this.#lease?.release(CALL);
    this.#lease = undefined;
  }

  #see(service: string, revision: bigint): void {
    const before = this.#rings.get(service);
    if (before?.revision === revision) return;
    const changedNs = this.#listed ? this.#options.mono() : undefined;
    this.#rings.set(service, { revision, changedNs });
  }

  /** One at a time, so that the last one to arrive is the newest. False if the lease is lost. */
  #tell(): Promise<boolean> {
    const work = this.#telling.then(async () => {
      const { clock, mono } = this.#options;
      const snapshot = this.#here;
      // Without the lease nobody waits for us: `beat` registers anew.
      const lease = this.#lease;
      const monoNs = mono();
      const note = NOTES.encode({ snapshot, clockNs: clock() });
      if (lease === undefined || !(await this.#renew(lease, note))) return false;
      this.#told = { snapshot, monoNs };
      return true;
    });
    this.#telling = work.catch(() => undefined);
    return work;
  }

  async #renew(lease: Lease, note?: Uint8Array): Promise<boolean> {
    const renewedNs = this.#options.mono();
    const isHeld = await lease.renew(CALL, note);
    if (isHeld) this.#renewedNs = renewedNs;
    else this.#told = undefined;
    return isHeld;
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

/** The notes of all live instances. Throws StoreError. */
export async function listNotes(store: Store): Promise<HeardNote[]> {
  const leases = await store.leases(INSTANCE_LEASES, CALL);
  return leases.map(({ name, note }) => ({
    id: name.slice(INSTANCE_LEASES.length),
    note: note.length === 0 ? undefined : NOTES.decode(note),
  }));
}

export interface HeardNote {
  readonly id: string;
  /** Undefined until it has told anything: it knows no ring then. */
  readonly note: InstanceNote | undefined;
}

function bigMax(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

const CALL = { timeoutMs: STORE_TIMEOUT_MS };
const INSTANCE_LEASES = 'instance/';
/** An instance that does not renew for so long is not waited for. */
export const INSTANCE_TTL_MS = 10_000;
/** Three times in that, so that one or two may fail. */
const RENEW_EVERY_NS = 3_000_000_000n;
export const CLOCK_EVERY_NS = 15_000_000_000n;
const ASK_TIMEOUT_MS = 10_000;
const ASK_POLL_MS = 100;
