/**
 * The service secrets that a real cluster gives its daemons, as a ring of the engine. While the
 * cluster is away those that are held stay good, as they do in a daemon, until a secret has been
 * expired for `graceNs`.
 */

import { SECRETS_PER_SERVICE_MAX } from '../../assembly/abi.ts';
import { secretOf } from '../auth/keyserver-ring.ts';
import { SharedRefresh } from '../auth/leader-refresh.ts';
import { equalBytes, utimeNs } from '../cephx/denc.ts';
import { ENTITY_TYPES, type RotatingSecrets } from '../cephx/protocol.ts';
import type { Engine } from '../engine/engine.ts';
import { protocolError } from '../mon/errors.ts';
import type { RingService, Taken, UpkeptRing } from '../mon/rotating.ts';
import type { SecretFact, SecretRing } from './deps.ts';
import { Held } from './ring.ts';
import type { Secret } from './secretsfile.ts';

export class ClusterRing implements SecretRing, UpkeptRing {
  readonly #held: Held;
  readonly #graceNs: bigint;
  readonly #newest = new Map<RingService, { maxVersion: bigint; authEpoch: number }>();
  readonly #freshNs = new Map<RingService, bigint>();
  readonly #refreshes = new Map<RingService, SharedRefresh>();

  /** @param graceNs how long after its expiration a secret is kept that nothing has replaced */
  constructor(engine: Engine, graceNs: bigint) {
    this.#held = new Held(engine);
    this.#graceNs = graceNs;
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

  /** Tells how the secrets of a service are fetched at once; `catchUp` does it. */
  fetchWith(service: RingService, fetch: () => Promise<void>): void {
    this.#refreshes.set(service, new SharedRefresh(fetch));
  }

  /**
   * Where an authorizer's secret is newer than all that are held, fetches, once for all who ask and
   * at most once a second; true if it may be here now.
   */
  async catchUp(authorizer: Uint8Array): Promise<boolean> {
    const sealed = secretOf(authorizer);
    const service = [...this.#refreshes.keys()].find(
      (each) => ENTITY_TYPES[each] === sealed?.serviceId,
    );
    if (sealed === undefined || service === undefined) return false;
    const newest = this.#of(service).at(-1)?.secretId ?? 0n;
    if (sealed.secretId <= newest || sealed.secretId > newest + AHEAD_MAX) return false;
    return await this.#refreshes.get(service)!.once();
  }

  /** Ends what has been expired for too long. */
  advance(nowNs: bigint): void {
    const kept = this.#held.secrets.filter(({ expiresNs }) => nowNs < expiresNs! + this.#graceNs);
    if (kept.length < this.#held.secrets.length) this.#put(kept);
  }

  /**
   * Takes the secrets of a service as they were fetched; their keys belong to the ring from here
   * on. Throws MonError `mon.protocol` for a set that no monitor makes.
   */
  take(service: RingService, rotating: RotatingSecrets, authEpoch: number, nowNs: bigint): Taken {
    const secrets = secretsOf(service, rotating);
    const newest = this.#newest.get(service);
    const { maxVersion } = rotating;
    if (newest !== undefined && maxVersion < newest.maxVersion && authEpoch <= newest.authEpoch) {
      for (const { key } of secrets) key.wipe();
      return 'older';
    }
    this.#newest.set(service, { maxVersion, authEpoch });
    this.#freshNs.set(service, nowNs);
    const former = this.#of(service);
    if (sameSecrets(former, secrets)) {
      for (const { key } of secrets) key.wipe();
      return 'same';
    }
    this.#put([...this.#held.secrets.filter((each) => each.service !== service), ...secrets]);
    return 'changed';
  }

  /** Drops the secrets of a service: the cluster has wiped them. */
  drop(service: RingService): void {
    this.#put(this.#held.secrets.filter((each) => each.service !== service));
  }

  /**
   * When the secrets of a service have to be asked for: some time after the current one expired, as
   * Ceph's daemons do. Undefined: now, as there are none.
   */
  dueNs(service: RingService): bigint | undefined {
    const current = this.#of(service).at(CURRENT)?.expiresNs;
    return current === undefined ? undefined : current + this.slackNs(service);
  }

  /** A quarter of the life of a secret, at most 30 s. */
  slackNs(service: RingService): bigint {
    const quarter = this.ttlNs(service) / 4n;
    return quarter < SLACK_MAX_NS ? quarter : SLACK_MAX_NS;
  }

  /** The life of a secret of a service, as far as those that are held show it; at least 1 s. */
  ttlNs(service: RingService): bigint {
    const [current, next] = this.#of(service).slice(-2);
    if (current === undefined || next === undefined) return SECOND_NS;
    const ttlNs = next.expiresNs! - current.expiresNs!;
    return ttlNs > SECOND_NS ? ttlNs : SECOND_NS;
  }

  /** The services whose secrets should have been replaced and were not. */
  stale(nowNs: bigint): readonly RingService[] {
    return [...this.#newest.keys()].filter((service) => {
      const due = this.dueNs(service);
      const freshNs = this.#freshNs.get(service)! + this.ttlNs(service) / 4n;
      return (due === undefined || due <= nowNs) && freshNs <= nowNs;
    });
  }

  /** The present secrets, by service and id. Their keys are the ring's own. */
  get secrets(): readonly Secret[] {
    return this.#held.secrets;
  }

  #of(service: RingService): readonly Secret[] {
    return this.#held.secrets.filter((each) => each.service === service);
  }

  #put(secrets: readonly Secret[]): void {
    const former = this.#held.secrets;
    this.#held.put(secrets);
    for (const each of former) if (!secrets.includes(each)) each.key.wipe();
  }
}

function secretsOf(service: RingService, { secrets, maxVersion }: RotatingSecrets): Secret[] {
  const wrong = (state: string): never => {
    for (const { key } of secrets.values()) key.wipe();
    throw protocolError('rotating secrets', state);
  };
  if (secrets.size === 0 || secrets.size > SECRETS_PER_SERVICE_MAX)
    wrong(`${secrets.size} secrets`);
  const list = [...secrets].sort(([a], [b]) => (a < b ? -1 : 1));
  return list.map(([secretId, { key, expiration }]) => {
    if (secretId > maxVersion) wrong(`id ${secretId} is above ${maxVersion}`);
    if (!key.usable) wrong(`secret ${secretId} is empty`);
    return { service, secretId, key, expiresNs: utimeNs(expiration) };
  });
}

function sameSecrets(a: readonly Secret[], b: readonly Secret[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((each, index) => {
    const other = b[index]!;
    if (each.secretId !== other.secretId || each.expiresNs !== other.expiresNs) return false;
    return each.key.type === other.key.type && equalBytes(each.key.secret, other.key.secret);
  });
}

/** A cluster that turned its secrets more often than this while we slept has told us by then. */
const AHEAD_MAX = 1_000n;
/** Of three secrets the current one is the last but one. */
const CURRENT = -2;
const SECOND_NS = 1_000_000_000n;
const SLACK_MAX_NS = 30n * SECOND_NS;
