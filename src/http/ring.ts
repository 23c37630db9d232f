/**
 * The service secrets that the engine holds: a fixed set (`--secrets`), or one that rotates by
 * itself. Either is brought up to date by `advance`, at each request, so a secret ends at its
 * time and not at the next tick of a timer.
 */

import { CryptoKey } from '../cephx/cryptokey.ts';
import { utimeFromNs, utimeNs } from '../cephx/denc.ts';
import { GENERAL_SECRET_ID } from '../cephx/protocol.ts';
import type { Engine } from '../engine/engine.ts';
import type { SecretFact, SecretRing } from './deps.ts';
import { type Secret, type ServiceName, serviceId } from './secretsfile.ts';

/** Puts a set of secrets into the engine and counts the sets. */
export class Held {
  readonly #engine: Engine;
  #secrets: readonly Secret[] = [];
  facts: readonly SecretFact[] = [];
  snapshot = 0n;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get secrets(): readonly Secret[] {
    return this.#secrets;
  }

  /** All or nothing: if the engine refuses one, the former set is put back. */
  put(secrets: readonly Secret[]): void {
    const former = this.#secrets;
    try {
      this.#load(secrets);
    } catch (error) {
      this.#load(former);
      throw error;
    }
    this.#secrets = secrets;
    this.facts = secrets.map(factOf);
    this.snapshot += 1n;
  }

  #load(secrets: readonly Secret[]): void {
    this.#engine.clearSecrets();
    for (const { service, secretId, key, expiresNs } of secrets) {
      const bytes = key.encode();
      try {
        this.#engine.putSecret({ service: serviceId(service), secretId, key: bytes, expiresNs });
      } finally {
        bytes.fill(0);
      }
    }
  }
}

/**
 * A fixed set. A secret leaves when the expiration of the next id of its service has passed: then
 * a daemon that stopped hearing news would have dropped it (spec section 14).
 */
export class StaticRing implements SecretRing {
  readonly #held: Held;
  readonly #generalSecret: boolean;
  #dueNs: bigint | undefined;

  /** @param generalSecret whether general (non-rotating) secrets are loaded */
  constructor(engine: Engine, secrets: readonly Secret[], nowNs: bigint, generalSecret: boolean) {
    this.#held = new Held(engine);
    this.#generalSecret = generalSecret;
    this.replace(secrets, nowNs);
  }

  get snapshot(): bigint {
    return this.#held.snapshot;
  }
  get size(): number {
    return this.#held.secrets.length;
  }
  get facts(): readonly SecretFact[] {
    return this.#held.facts;
  }

  /** Another set from now on. Throws and keeps the former one if the engine refuses it. */
  replace(secrets: readonly Secret[], nowNs: bigint): void {
    const served = secrets.filter(
      ({ service, secretId }) =>
        SERVED.includes(service) && (this.#generalSecret || secretId !== GENERAL_SECRET_ID),
    );
    this.#held.put(keptAt(served, nowNs));
    this.#dueNs = this.#nextDue();
  }

  advance(nowNs: bigint): void {
    if (this.#dueNs === undefined || nowNs < this.#dueNs) return;
    this.#held.put(keptAt(this.#held.secrets, nowNs));
    this.#dueNs = this.#nextDue();
  }

  #nextDue(): bigint | undefined {
    const { secrets } = this.#held;
    const times = secrets.map((secret) => nextOf(secret, secrets)?.expiresNs);
    return least(times.filter((time) => time !== undefined));
  }
}

/** What is left of a fixed set at a time: see StaticRing. */
export function keptAt(secrets: readonly Secret[], nowNs: bigint): Secret[] {
  return secrets.filter((secret) => isKept(secret, secrets, nowNs));
}

export interface RotatingOptions {
  /** Life of a secret in nanoseconds (Ceph: auth_service_ticket_ttl). */
  readonly ttlNs: bigint;
  readonly random: (n: number) => Uint8Array;
  /** The set as it was last saved, by this process or by another that shares it. */
  readonly load: () => readonly Secret[];
  /** Keeps a new set before it is used. */
  readonly save: (secrets: readonly Secret[]) => void;
  /** Told when loading or saving failed: the former set stays in use. */
  readonly failed: (error: unknown) => void;
}

/** Three secrets a service (previous, current, next) that rotate as a monitor's do. */
export class RotatingRing implements SecretRing {
  readonly #held: Held;
  readonly #options: RotatingOptions;
  #dueNs = 0n;

  /** Throws what `load` and `save` throw. */
  constructor(engine: Engine, nowNs: bigint, options: RotatingOptions) {
    this.#held = new Held(engine);
    this.#options = options;
    this.#rotate(nowNs);
  }

  get snapshot(): bigint {
    return this.#held.snapshot;
  }
  get size(): number {
    return this.#held.secrets.length;
  }
  get facts(): readonly SecretFact[] {
    return this.#held.facts;
  }

  advance(nowNs: bigint): void {
    if (nowNs < this.#dueNs) return;
    try {
      this.#rotate(nowNs);
    } catch (error) {
      this.#dueNs = nowNs + RETRY_NS;
      this.#options.failed(error);
    }
  }

  #rotate(nowNs: bigint): void {
    const saved = this.#options.load();
    const secrets = this.#rotated(saved, nowNs);
    if (secrets !== saved) this.#options.save(secrets);
    this.#held.put(secrets);
    const currents = SERVED.map((service) => ringOf(secrets, service).at(CURRENT)!.expiresNs!);
    this.#dueNs = least(currents)!;
  }

  /** The same list if nothing is due. */
  #rotated(secrets: readonly Secret[], nowNs: bigint): readonly Secret[] {
    const rings = SERVED.flatMap((service) => {
      const ring = ringOf(secrets, service);
      while (ring.length < KEPT || ring.at(CURRENT)!.expiresNs! <= nowNs) {
        ring.push(this.#fresh(service, ring.at(-1), nowNs));
        if (ring.length > KEPT) ring.shift();
      }
      return ring;
    });
    const same = rings.length === secrets.length && rings.every((each) => secrets.includes(each));
    return same ? secrets : rings;
  }

  /** The secret after `next`: it lives one ttl longer than that one, and at least two from now. */
  #fresh(service: ServiceName, next: Secret | undefined, nowNs: bigint): Secret {
    const { ttlNs, random } = this.#options;
    const least = nowNs + ttlNs;
    const after = next?.expiresNs ?? 0n;
    const expiresNs = next === undefined ? least : (after > least ? after : least) + ttlNs;
    const key = CryptoKey.create('aes256k', utimeFromNs(nowNs), random);
    return { service, secretId: (next?.secretId ?? 0n) + 1n, key, expiresNs };
  }
}

function factOf({ service, secretId, key, expiresNs }: Secret): SecretFact {
  const createdNs = utimeNs(key.created);
  const keyType = key.typeName ?? 'unknown';
  return { service, serviceId: serviceId(service), secretId, keyType, createdNs, expiresNs };
}

function ringOf(secrets: readonly Secret[], service: ServiceName): Secret[] {
  const ring = secrets.filter(
    (each) => each.service === service && each.expiresNs !== undefined && isRotating(each),
  );
  return ring.sort((a, b) => (a.secretId < b.secretId ? -1 : 1)).slice(-KEPT);
}

function isKept(secret: Secret, among: readonly Secret[], nowNs: bigint): boolean {
  const ends = nextOf(secret, among)?.expiresNs;
  return ends === undefined || nowNs < ends;
}

/** The secret with the next higher id of the same service. */
function nextOf(secret: Secret, among: readonly Secret[]): Secret | undefined {
  if (!isRotating(secret)) return undefined;
  let next: Secret | undefined;
  for (const each of among) {
    if (each.service !== secret.service || !isRotating(each)) continue;
    if (each.secretId <= secret.secretId) continue;
    if (next === undefined || each.secretId < next.secretId) next = each;
  }
  return next;
}

function isRotating(secret: Secret): boolean {
  return secret.secretId !== GENERAL_SECRET_ID;
}

function least(times: readonly bigint[]): bigint | undefined {
  let found: bigint | undefined;
  for (const time of times) if (found === undefined || time < found) found = time;
  return found;
}

/** The services whose authorizers are verified here. */
const SERVED: readonly ServiceName[] = ['osd', 'mds', 'mgr'];
/** Ceph: KEY_ROTATE_NUM. */
const KEPT = 3;
/** Place of the current secret among the three. */
const CURRENT = 1;
const RETRY_NS = 30_000_000_000n;
