/**
 * The key server: the rotating service secrets of AUTH, MON, OSD, MDS and MGR (Ceph: KeyServer;
 * spec sections 14 and 16.2). They live in the store, shared by all processes that issue; each
 * process holds a copy, and every copy is in its engine before anything is sealed with it.
 *
 *   store -> rotated (rotation.ts) -> store -> engine -> sealing
 */

import { CryptoKey, type Random } from '../cephx/cryptokey.ts';
import { Reader, utimeFromNs } from '../cephx/denc.ts';
import { ENTITY_TYPES, type RotatingSecrets } from '../cephx/protocol.ts';
import type { Engine } from '../engine/engine.ts';
import { ROTATING, type RotatingRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { type Cipher, readCiphers } from './cipherpolicy.ts';
import { dueNs, NO_SECRETS, rotated, sealingSecret, ticketLifeNs, withNext } from './rotation.ts';
import { commitIf, contended, type Read, readRecord, TRIES_MAX } from './storecalls.ts';

/** Services with rotating secrets. */
export type RotatingService = (typeof ROTATING_SERVICES)[number];
export const ROTATING_SERVICES = ['auth', 'mon', 'mds', 'osd', 'mgr'] as const;
/** What a wipe makes anew: AUTH tickets outlive it (Ceph: auth wipe-rotating-service-keys). */
export const WIPED_SERVICES: readonly RotatingService[] = ['mon', 'mds', 'osd', 'mgr'];

export interface TicketTtls {
  /** Ceph: auth_mon_ticket_ttl; nanoseconds. */
  readonly authMonTicketTtlNs: bigint;
  /** Ceph: auth_service_ticket_ttl; nanoseconds. */
  readonly authServiceTicketTtlNs: bigint;
}

/** Ceph's defaults: 72 h and 1 h. */
export const DEFAULT_TTLS: TicketTtls = {
  authMonTicketTtlNs: 259_200_000_000_000n,
  authServiceTicketTtlNs: 3_600_000_000_000n,
};

export interface KeyServerOptions {
  readonly store: Store;
  /** Gets every secret before it seals, and loses it when it is dropped. */
  readonly engine: Pick<Engine, 'putSecret' | 'removeSecret'>;
  readonly random: Random;
  readonly ttls?: TicketTtls;
  /** Told when the store failed: what is held stays in use. */
  readonly failed: (error: unknown) => void;
  /** Where several instances share the store: one of them changes the rings, all others read. */
  readonly fence?: RingFence;
}

/** What this process may do with rings that others share. */
export interface RingFence {
  /** Whether every live instance has the secret. */
  sealable(service: RotatingService, secretId: bigint): boolean;
  /** Has the leader do it. Throws StoreError `store.busy` if it does not. */
  ask(kind: 'rotate' | 'wipe', services: readonly RotatingService[]): Promise<void>;
}

/** A secret as this process holds it. */
export interface HeldSecret {
  readonly secretId: bigint;
  readonly key: CryptoKey;
  readonly expiresNs: bigint;
}

/** What seals a ticket, and how long that ticket may live. */
export interface Sealing {
  readonly secretId: bigint;
  readonly key: CryptoKey;
  readonly lifeNs: bigint;
}

export class KeyServer {
  readonly #options: KeyServerOptions;
  readonly #held = new Map<RotatingService, readonly HeldSecret[]>();
  /** Changes of the rings happen one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #retryNs = 0n;
  #snapshot = 0n;

  private constructor(options: KeyServerOptions) {
    this.#options = options;
  }

  /** Reads the rings, makes what is missing, loads the engine. Throws StoreError. */
  static async open(options: KeyServerOptions, nowNs: bigint): Promise<KeyServer> {
    const server = new KeyServer(options);
    await server.#change(nowNs, ROTATING_SERVICES, (ring) => ring);
    return server;
  }

  /** Number of the present set; rises with every change. */
  get snapshot(): bigint {
    return this.#snapshot;
  }

  /** When the first ring is due. */
  get dueNs(): bigint {
    let due: bigint | undefined;
    for (const service of ROTATING_SERVICES) {
      const at = dueNs(this.held(service));
      if (due === undefined || at < due) due = at;
    }
    return due!;
  }

  /**
   * The secrets of a service, oldest first. Keys are wiped at the next change: use them at once.
   */
  held(service: RotatingService): readonly HeldSecret[] {
    return this.#held.get(service) ?? [];
  }

  /**
   * Rotates what is due. Never throws: when the store fails, tickets are sealed with `next` until
   * that one ends too, and the store is asked again after RETRY.
   */
  async ready(nowNs: bigint): Promise<void> {
    if (this.#options.fence !== undefined) return;
    if (nowNs < this.dueNs || nowNs < this.#retryNs) return;
    try {
      await this.#change(nowNs, ROTATING_SERVICES, (ring) => ring);
    } catch (error) {
      this.#retryNs = nowNs + RETRY_NS;
      this.#options.failed(error);
    }
  }

  /** Takes over what other processes made of the rings. Throws StoreError. */
  async reload(nowNs: bigint): Promise<void> {
    await this.#change(nowNs, ROTATING_SERVICES, (ring) => ring);
  }

  /** Turns the rings of these services by one, whether due or not. Throws StoreError. */
  async rotate(services: readonly RotatingService[], nowNs: bigint): Promise<void> {
    if (this.#options.fence !== undefined) {
      await this.#options.fence.ask('rotate', services);
      return this.reload(nowNs);
    }
    await this.#change(nowNs, services, (ring, service, makeKey) =>
      withNext(ring, nowNs, this.ttlNs(service), makeKey()),
    );
  }

  /**
   * Drops and remakes the secrets of all services but AUTH. Ids go on where they were, so that a
   * ticket from before is unknown and not merely unreadable. Throws StoreError.
   */
  async wipe(nowNs: bigint): Promise<void> {
    if (this.#options.fence !== undefined) {
      await this.#options.fence.ask('wipe', WIPED_SERVICES);
      return this.reload(nowNs);
    }
    await this.#change(nowNs, WIPED_SERVICES, (ring) => ({ ...ring, secrets: [] }));
  }

  /** What seals a ticket for a service now; undefined when no secret is good any more. */
  sealing(service: RotatingService, nowNs: bigint): Sealing | undefined {
    const secrets = this.held(service);
    const secret = sealingSecret(secrets, nowNs);
    if (secret === undefined) return undefined;
    const { secretId, key } = secret;
    if (this.#options.fence?.sealable(service, secretId) === false) return undefined;
    return { secretId, key, lifeNs: ticketLifeNs(secrets, nowNs, this.ttlNs(service)) };
  }

  /** What a daemon gets that asks for its service's secrets. */
  rotatingSecrets(service: RotatingService): RotatingSecrets | undefined {
    const secrets = this.held(service);
    if (secrets.length === 0) return undefined;
    const entries = secrets.map(
      ({ secretId, key, expiresNs }) =>
        [secretId, { key, expiration: utimeFromNs(expiresNs) }] as const,
    );
    return { secrets: new Map(entries), maxVersion: secrets.at(-1)!.secretId };
  }

  ttlNs(service: RotatingService): bigint {
    const ttls = this.#options.ttls ?? DEFAULT_TTLS;
    return service === 'auth' ? ttls.authMonTicketTtlNs : ttls.authServiceTicketTtlNs;
  }

  /** Forgets all secrets of this process, in the engine too. */
  close(): void {
    for (const service of ROTATING_SERVICES) this.#adopt(service, []);
  }

  /** Reads all rings, changes those of `services`, rotates, commits, adopts: one at a time. */
  #change(nowNs: bigint, services: readonly RotatingService[], turn: Turn): Promise<void> {
    const work = this.#queue.then(() => this.#changeNow(nowNs, services, turn));
    this.#queue = work.catch(() => undefined);
    return work;
  }

  async #changeNow(nowNs: bigint, services: readonly RotatingService[], turn: Turn): Promise<void> {
    const { store, random, fence } = this.#options;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const rings = await this.#read();
      const { service: cipher } = await readCiphers(store);
      const makeKey = (): Uint8Array =>
        CryptoKey.create(cipher as Cipher, utimeFromNs(nowNs), random).encode();
      const turned = [...rings].map(([service, { record, compare }]) => {
        const before = record ?? NO_SECRETS;
        const asked = services.includes(service) ? turn(before, service, makeKey) : before;
        const ttlNs = this.ttlNs(service);
        const after = fence === undefined ? rotated(asked, nowNs, ttlNs, makeKey) : before;
        return { service, after, compare, changed: after !== before };
      });
      const changed = turned.filter((each) => each.changed);
      const puts = changed.map(({ service, after }) => ({
        key: ROTATING.key(service),
        value: ROTATING.encode(after),
      }));
      const compares = changed.map(({ compare }) => compare);
      const done = puts.length === 0 || (await commitIf(store, compares, puts));
      if (done) for (const { service, after } of turned) this.#adopt(service, heldOf(after));
      for (const { after } of turned) for (const { key } of after.secrets) key.fill(0);
      if (done) return;
    }
    throw contended();
  }

  async #read(): Promise<Map<RotatingService, Read<RotatingRecord>>> {
    const rings = new Map<RotatingService, Read<RotatingRecord>>();
    for (const service of ROTATING_SERVICES) {
      rings.set(service, await readRecord(this.#options.store, ROTATING, service));
    }
    return rings;
  }

  /** Into the engine first: from the moment a secret can seal, its tickets can be verified. */
  #adopt(service: RotatingService, secrets: readonly HeldSecret[]): void {
    const { engine } = this.#options;
    const type = ENTITY_TYPES[service]!;
    const before = this.held(service);
    for (const { secretId, key, expiresNs } of secrets) {
      const bytes = key.encode();
      engine.putSecret({ service: type, secretId, key: bytes, expiresNs });
      bytes.fill(0);
    }
    this.#held.set(service, secrets);
    const ids = secrets.map(({ secretId }) => secretId);
    const dropped = before.filter(({ secretId }) => !ids.includes(secretId));
    for (const { secretId } of dropped) engine.removeSecret(type, secretId);
    for (const { key } of before) key.wipe();
    const same = dropped.length === 0 && before.length === secrets.length;
    if (!same) this.#snapshot += 1n;
  }
}

/** What is done to a ring before it is brought up to date. */
type Turn = (
  ring: RotatingRecord,
  service: RotatingService,
  makeKey: () => Uint8Array,
) => RotatingRecord;

function heldOf(ring: RotatingRecord): HeldSecret[] {
  return ring.secrets.map(({ secretId, key, expiresNs }) => ({
    secretId,
    key: CryptoKey.decode(new Reader(key)),
    expiresNs,
  }));
}

/** How long to leave a store alone that has just failed. */
const RETRY_NS = 5_000_000_000n;
