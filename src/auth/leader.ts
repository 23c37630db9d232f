/**
 * The one instance at a time that changes the rings of service secrets. It holds a lease, but the
 * lease is not the fence: every change is one transaction that compares the ring and the lease.
 *
 *   make or turn a ring -> wait until every live instance has it -> say that it is ready to seal
 */

import { CryptoKey, type Random } from '../cephx/cryptokey.ts';
import { utimeFromNs } from '../cephx/denc.ts';
import { ROTATING, type RotatingRecord } from '../store/records.ts';
import type { Compare, Lease, Put, Store } from '../store/store.ts';
import { type Cipher, readCiphers } from './cipherpolicy.ts';
import { ROTATING_SERVICES, type RotatingService, WIPED_SERVICES } from './keyserver.ts';
import { listAll, listNotes, type RotationInstance } from './leader-instance.ts';
import { ASKS, type AskRecord, READY } from './leader-records.ts';
import { isDue, NO_SECRETS, rotated, withNext } from './rotation.ts';
import { commitIf, type Read, readRecord, STORE_TIMEOUT_MS } from './storecalls.ts';

export interface LeaderOptions {
  readonly store: Store;
  readonly instance: RotationInstance;
  readonly ttlNs: (service: RotatingService) => bigint;
  readonly random: Random;
  /** Nanoseconds since 1970. */
  readonly clock: () => bigint;
  /** Nanoseconds of a clock that never goes back. */
  readonly mono: () => bigint;
}

export class RotationLeader {
  readonly #options: LeaderOptions;
  readonly #clocks = new Map<string, HeardClock>();
  #heardNs: bigint | undefined;
  readonly #answered = new Map<string, bigint>();
  #lease: Lease | undefined;
  #lookedNs: bigint | undefined;

  constructor(options: LeaderOptions) {
    this.#options = options;
  }

  get leads(): boolean {
    return this.#lease !== undefined;
  }

  /** One round: leads if nobody does, and does what is due. Throws StoreError. */
  async step(): Promise<void> {
    if (this.#lease !== undefined && !(await this.#lease.renew(CALL))) this.#lease = undefined;
    this.#lease ??= await this.#takeLease();
    if (this.#lease === undefined) return;
    await this.#hear();
    for (const service of ROTATING_SERVICES) await this.#keepRing(service);
    await this.#answerAsks();
    await this.#makeReady();
  }

  /** Lets another one lead. */
  async close(): Promise<void> {
    await this.#lease?.release(CALL);
    this.#lease = undefined;
  }

  /** Of many that do not lead, not each asks in each round. */
  async #takeLease(): Promise<Lease | undefined> {
    const { store, mono } = this.#options;
    const nowNs = mono();
    if (this.#lookedNs !== undefined && nowNs - this.#lookedNs < LOOK_EVERY_NS) return undefined;
    this.#lookedNs = nowNs;
    return await store.lease(LEASE, LEADER_TTL_MS, CALL);
  }

  /** Makes a ring that is missing, turns one that is due. */
  async #keepRing(service: RotatingService): Promise<void> {
    const { store, clock } = this.#options;
    const nowNs = clock();
    const ring = await readRecord(store, ROTATING, service);
    const before = ring.record ?? NO_SECRETS;
    const isNew = before.secrets.length === 0;
    const mayTurn = isNew ? !this.#clockIsOff() : await this.#mayTurn(service, before);
    if (!isDue(before, nowNs) || !mayTurn) return wipeKeys(before);
    const makeKey = await this.#keyMaker(nowNs);
    const ttlNs = this.#options.ttlNs(service);
    // One at a time: even where all have expired, the new one is `next` before it seals.
    const after = isNew
      ? rotated(before, nowNs, ttlNs, makeKey)
      : withNext(before, nowNs, ttlNs, makeKey());
    await this.#commit([ring.compare], [ringPut(service, after)]);
    wipeKeys(before, after);
  }

  /**
   * At most one turn of a service in half a ttl of our own time: one that we made or saw made. None
   * before the last one is ready, while too few clocks are known, or while ours is far from them.
   */
  async #mayTurn(service: RotatingService, ring: RotatingRecord): Promise<boolean> {
    const { store, instance, mono, ttlNs } = this.#options;
    const ready = await readRecord(store, READY, service);
    if ((ready.record?.secretId ?? 0n) < ring.secretIdMax) return false;
    const changedNs = instance.seenRing(service)?.changedNs;
    const isEarly = changedNs !== undefined && mono() - changedNs < ttlNs(service) / 2n;
    const others = [...this.#clocks].filter(([id]) => id !== instance.id);
    const known = others.filter(([, { startNs }]) => startNs !== undefined);
    return !isEarly && known.length * 2 >= others.length && !this.#clockIsOff();
  }

  /** Whether our clock is far from the middle of all that are known, ours among them. */
  #clockIsOff(): boolean {
    const { instance, mono, clock } = this.#options;
    const ownNs = clock() - mono();
    const offsets = [...this.#clocks]
      .filter(([id]) => id !== instance.id)
      .flatMap(([, { startNs }]) => (startNs === undefined ? [] : [startNs - ownNs]));
    offsets.push(0n);
    offsets.sort((a, b) => (a < b ? -1 : 1));
    const low = offsets[(offsets.length - 1) >> 1]!;
    const high = offsets[offsets.length >> 1]!;
    const middle = (low + high) / 2n;
    return middle > CLOCK_OFF_NS || middle < -CLOCK_OFF_NS;
  }

  /** Notes clocks of which we saw the time come: an old note says nothing about its clock. */
  async #hear(): Promise<void> {
    const { store, mono } = this.#options;
    const sinceNs = this.#heardNs === undefined ? undefined : mono() - this.#heardNs;
    if (sinceNs !== undefined && sinceNs < HEAR_EVERY_NS) return;
    const notes = await listNotes(store);
    const nowNs = mono();
    const isLate = this.#heardNs === undefined || nowNs - this.#heardNs > HEARING_NS;
    this.#heardNs = nowNs;
    for (const { id, note } of notes) {
      const before = this.#clocks.get(id);
      const clockNs = note?.clockNs;
      if (before !== undefined && before.clockNs === clockNs) continue;
      const isHeard = !isLate && clockNs !== undefined;
      this.#clocks.set(id, { clockNs, startNs: isHeard ? clockNs - nowNs : before?.startNs });
    }
    const ids = new Set(notes.map(({ id }) => id));
    for (const id of this.#clocks.keys()) if (!ids.has(id)) this.#clocks.delete(id);
  }

  /** Lets rings seal with their new secrets once every live instance has them. */
  async #makeReady(): Promise<void> {
    const { store } = this.#options;
    const waiting: Waiting[] = [];
    for (const service of ROTATING_SERVICES) {
      const ring = await readRecord(store, ROTATING, service);
      const ready = await readRecord(store, READY, service);
      if (ring.record === undefined || !('key' in ring.compare)) continue;
      wipeKeys(ring.record);
      const { secretIdMax: secretId } = ring.record;
      const { revision } = ring.compare;
      if (revision === 'absent' || (ready.record?.secretId ?? 0n) >= secretId) continue;
      waiting.push({ service, secretId, revision, compares: [ring.compare, ready.compare] });
    }
    if (waiting.length === 0) return;
    // After the rings were read: whoever registers later reads these rings or newer ones.
    const known = (await listNotes(store)).map(({ note }) => note?.snapshot ?? 0n);
    for (const { service, secretId, revision, compares } of waiting) {
      if (known.some((snapshot) => snapshot < revision)) continue;
      const value = READY.encode({ secretId });
      await this.#commit(compares, [{ key: READY.key(service), value }]);
    }
  }

  async #answerAsks(): Promise<void> {
    const { store, mono } = this.#options;
    const { records } = await listAll(store, ASKS);
    for (const { id, entry } of records) {
      const ask = ASKS.decode(entry.value);
      const compare = { key: ASKS.key(id), revision: entry.revision };
      if (ask.state === 'asked') {
        await this.#answer(id, ask, compare);
        continue;
      }
      // Its asker is gone if it stays for long.
      const since = this.#answered.get(id) ?? mono();
      this.#answered.set(id, since);
      if (mono() - since > ANSWER_KEPT_NS) await commitIf(store, [compare], [], [compare.key]);
    }
    const ids = new Set(records.map(({ id }) => id));
    for (const id of this.#answered.keys()) if (!ids.has(id)) this.#answered.delete(id);
  }

  async #answer(id: string, ask: AskRecord, compare: Compare): Promise<void> {
    const { store, clock, ttlNs } = this.#options;
    const nowNs = clock();
    const services = ROTATING_SERVICES.filter((service) => ask.services.includes(service)).filter(
      (service) => ask.kind === 'rotate' || WIPED_SERVICES.includes(service),
    );
    const makeKey = await this.#keyMaker(nowNs);
    const compares: Compare[] = [compare];
    const puts: Put[] = [];
    let state: AskRecord['state'] = 'done';
    for (const service of services) {
      const ring: Read<RotatingRecord> = await readRecord(store, ROTATING, service);
      const before = ring.record ?? NO_SECRETS;
      if (ask.kind === 'rotate' && !(await this.#mayTurn(service, before))) state = 'refused';
      const after =
        ask.kind === 'rotate'
          ? withNext(before, nowNs, ttlNs(service), makeKey())
          : rotated({ ...before, secrets: [] }, nowNs, ttlNs(service), makeKey);
      compares.push(ring.compare);
      puts.push(ringPut(service, after));
      wipeKeys(before, after);
    }
    if (state === 'refused') {
      for (const { value } of puts) value.fill(0);
      puts.length = 0;
    }
    puts.push({ key: ASKS.key(id), value: ASKS.encode({ ...ask, state }) });
    await this.#commit(compares, puts);
  }

  /** Only while we lead. What fails because others were faster is looked at again next time. */
  async #commit(compares: readonly Compare[], puts: readonly Put[]): Promise<void> {
    const lease = this.#lease;
    if (lease === undefined) return;
    const fence = { lease: lease.name, fencing: lease.fencing };
    await commitIf(this.#options.store, [fence, ...compares], puts);
  }

  async #keyMaker(nowNs: bigint): Promise<() => Uint8Array> {
    const { store, random } = this.#options;
    const { service: cipher } = await readCiphers(store);
    return () => CryptoKey.create(cipher as Cipher, utimeFromNs(nowNs), random).encode();
  }
}

/** A ring whose newest secret may not seal yet. */
interface Waiting {
  readonly service: RotatingService;
  readonly secretId: bigint;
  readonly revision: bigint;
  readonly compares: readonly Compare[];
}

interface HeardClock {
  /** What it told last; undefined if it has told nothing. */
  readonly clockNs: bigint | undefined;
  /** What it showed when our monotonic clock was 0; undefined until it is heard again. */
  readonly startNs: bigint | undefined;
}

function ringPut(service: RotatingService, ring: RotatingRecord): Put {
  return { key: ROTATING.key(service), value: ROTATING.encode(ring) };
}

function wipeKeys(...rings: readonly RotatingRecord[]): void {
  for (const { secrets } of rings) for (const { key } of secrets) key.fill(0);
}

const CALL = { timeoutMs: STORE_TIMEOUT_MS };
const LEASE = 'rotation';
export const LEADER_TTL_MS = 6_000;
/** How soon a leader that is gone is missed, beside its lease. */
const LOOK_EVERY_NS = 2_000_000_000n;
const CLOCK_OFF_NS = 60_000_000_000n;
export const HEAR_EVERY_NS = 3_000_000_000n;
/** A note that came within so long says its clock well enough. */
const HEARING_NS = 20_000_000_000n;
const ANSWER_KEPT_NS = 60_000_000_000n;
