/**
 * One client of many: it logs in somewhere, renews, has its ticket verified somewhere else, and
 * changes or reads an entity at a third place. What it is answered is written down.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CephxClientHandler } from '../../src/cephx/client.ts';
import type { CryptoKey, Sealer } from '../../src/cephx/cryptokey.ts';
import { CephxHttpClient } from '../../src/cephx/httpclient.ts';
import { parseEntityName } from '../../src/cephx/protocol.ts';
import { encodeBase64 } from '../../src/http/codec.ts';
import { ABSENT, type Operation, type RegisterInput } from '../linearizable.ts';
import type { Rng } from '../rng.ts';
import type { FairClock } from './fairclock.ts';
import type { Instance, World } from './world.ts';

export interface Record {
  readonly fair: FairClock;
  /** By entity. */
  readonly histories: Map<string, Operation<RegisterInput>[]>;
  /** What was said to authorizers, and how often. */
  readonly verdicts: Map<string, number>;
  /** For how long a valid ticket was refused, where it was; and why. */
  readonly refusals: { readonly ms: number; readonly why: string }[];
  readonly globalIds: Map<bigint, string>;
  logins: number;
  renewals: number;
  /** The longest time in which nobody logged in. */
  loginGapMs: number;
  lastLoginMs: number;
}

export class ChaosClient {
  readonly name: string;
  readonly #world: World;
  readonly #record: Record;
  readonly #rng: Rng;
  readonly #make: () => CephxHttpClient;
  #client: CephxHttpClient;
  /** Who issued what we have. */
  #issuedBy: Instance | undefined;
  #asked: Instance | undefined;

  constructor(
    name: string,
    key: CryptoKey,
    parts: { world: World; record: Record; rng: Rng; sealer: Sealer },
  ) {
    this.name = name;
    this.#world = parts.world;
    this.#record = parts.record;
    this.#rng = parts.rng;
    const clock = (): bigint => BigInt(Date.now()) * 1_000_000n;
    const random = (n: number): Uint8Array => crypto.getRandomValues(new Uint8Array(n));
    const options = { name: parseEntityName(name)!, key, sealer: parts.sealer, random, clock };
    // Which instance is asked is settled for each login or renewal.
    const ask = (url: string, init: RequestInit): Promise<Response> =>
      fetch(this.#asked!.url + new URL(url).pathname, init);
    this.#make = () =>
      new CephxHttpClient(new CephxClientHandler(options), {
        ...{ url: 'http://instance.invalid', fetch: ask, timeoutMs: CALL_MS },
      });
    this.#client = this.#make();
  }

  /** Has a ticket, new or renewed; false when nobody gave one. */
  async logIn(): Promise<boolean> {
    const isNew = this.#rng.chance(NEW_LOGIN);
    const client = isNew ? this.#make() : this.#client;
    const before = client.handler.tickets.globalId;
    const isNeeded = client.handler.needs(OSD) !== 0;
    for (const instance of shuffled(this.#world.running, this.#rng)) {
      this.#asked = instance;
      const done = await client.ensure(OSD).catch(() => undefined);
      if (done?.ok !== true) continue;
      this.#client = client;
      if (!isNeeded) return true;
      this.#issuedBy = instance;
      const record = this.#record;
      const nowMs = record.fair.nowMs;
      record.loginGapMs = Math.max(record.loginGapMs, nowMs - record.lastLoginMs);
      record.lastLoginMs = nowMs;
      if (before !== 0n) record.renewals += 1;
      else this.#noteGlobalId(client.handler.tickets.globalId);
      return true;
    }
    return false;
  }

  /** An authorizer of the ticket we have. */
  authorizer(): string | undefined {
    const found = this.#client.handler.authorizer(OSD);
    return found.ok ? encodeBase64(found.value.first()) : undefined;
  }

  /**
   * A valid ticket, verified where it was not issued, and there again until it is accepted: that
   * another instance would take it counts for nothing, and no answer counts as a refusal, unless
   * the instance was stopped or killed meanwhile.
   */
  async verify(): Promise<void> {
    const others = this.#world.running.filter((each) => each !== this.#issuedBy);
    if (others.length === 0) return;
    const instance = this.#rng.pick(others);
    const { outages } = instance;
    let refusedMs: number | undefined;
    let why = '';
    for (;;) {
      const authorizer = this.authorizer();
      // Expired meanwhile: no valid ticket any more.
      if (authorizer === undefined) break;
      const startMs = this.#record.fair.nowMs;
      const said = await verifyAt(instance, authorizer);
      if (instance.outages !== outages) return;
      count(this.#record.verdicts, said ?? 'no answer');
      if (said === 'ok' || said === 'ok, stale') break;
      refusedMs ??= startMs;
      why = said ?? 'no answer';
      await pause(RETRY_MS);
    }
    if (refusedMs === undefined) return;
    this.#record.refusals.push({ ms: this.#record.fair.nowMs - refusedMs, why });
  }

  /** One operation on an entity that many change. */
  async change(entities: readonly string[]): Promise<void> {
    const entity = this.#rng.pick(entities);
    const [instance] = shuffled(this.#world.running, this.#rng);
    if (instance === undefined) return;
    const kind = this.#rng.int(10);
    if (kind < 4) return await this.readAt(instance, entity);
    values += 1;
    const value = `allow r pool=v${values}`;
    const callMs = performance.now();
    const answer = await this.#command(
      instance,
      entity,
      kind < 7 ? 'caps' : kind < 9 ? 'add' : 'rm',
      value,
    );
    if (answer === 'refused') return;
    const returnMs = answer === 'none' ? Number.POSITIVE_INFINITY : performance.now();
    let input: RegisterInput;
    if (kind < 7) input = { kind: 'write', value, answer: answer as 'ok' | 'absent' | 'none' };
    else if (kind < 9)
      input = { kind: 'create', value, answer: answer as 'ok' | 'present' | 'none' };
    else input = { kind: 'remove', answer: answer as 'ok' | 'none' };
    this.#note(entity, { input, callMs, returnMs });
  }

  async readAt(instance: Instance, entity: string): Promise<void> {
    const callMs = performance.now();
    const answer = await instance.admin('GET', `/users/${entity}`).catch(() => undefined);
    const returnMs = performance.now();
    const saw = answer?.status === 200 ? answer.body.caps.osd : ABSENT;
    if (answer?.status !== 200 && answer?.status !== 404) return;
    this.#note(entity, { input: { kind: 'read', saw }, callMs, returnMs });
  }

  /** `refused`: it certainly was not carried out; `none`: nobody knows. */
  async #command(
    instance: Instance,
    entity: string,
    verb: 'caps' | 'add' | 'rm',
    value: string,
  ): Promise<'ok' | 'absent' | 'present' | 'none' | 'refused'> {
    const caps = verb === 'rm' ? {} : { caps: ['mon', 'allow r', 'osd', value] };
    try {
      const body = { prefix: `auth ${verb}`, entity, ...caps };
      const { status, body: said } = await instance.admin('POST', '/command', body);
      if (said?.code === 'store.stale') return 'refused';
      if (status !== 200) return 'none';
      if (said.retcode === 0) return 'ok';
      if (said.retcode === -2) return 'absent';
      if (said.retcode === -17 || said.retcode === -22) return 'present';
      throw new Error(`unexpected answer: ${JSON.stringify(said)}`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      return code === 'ECONNREFUSED' || code === 'ENOENT' ? 'refused' : 'none';
    }
  }

  #note(entity: string, operation: Operation<RegisterInput>): void {
    const history = this.#record.histories.get(entity) ?? [];
    history.push(operation);
    this.#record.histories.set(entity, history);
  }

  #noteGlobalId(id: bigint): void {
    this.#record.logins += 1;
    const before = this.#record.globalIds.get(id);
    if (before !== undefined) throw new Error(`global_id ${id} went to ${before} and ${this.name}`);
    this.#record.globalIds.set(id, this.name);
  }
}

/** The reason of a verdict, or what else was said; undefined where no answer came. */
export async function verifyAt(
  instance: Instance,
  authorizer: string,
): Promise<string | undefined> {
  try {
    const answer = await fetch(`${instance.url}/v1/verify`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ service: 'osd', authorizer }),
      signal: AbortSignal.timeout(CALL_MS),
    });
    const said = (await answer.json()) as { reason?: { code: string }; stale?: boolean };
    const code = said.reason?.code ?? `status ${answer.status}`;
    return code === 'ok' && said.stale === true ? 'ok, stale' : code;
  } catch {
    return undefined;
  }
}

export function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Until the time is over, or the signal says so. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return sleep(ms, undefined, { signal }).catch(() => undefined);
}

export function shuffled<T>(list: readonly T[], rng: Rng): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/** Never used twice. */
let values = 0;
const OSD = 4;
const CALL_MS = 3_000;
const RETRY_MS = 200;
/** How often a client begins anew instead of renewing. */
const NEW_LOGIN = 0.1;
