/**
 * A client of a cluster's monitors: finds one that answers, stays with it, goes to another when it
 * is lost, and does what is asked for over whichever connection there is (Ceph: MonClient.cc;
 * msgr2-mon.md 12 and 13).
 */

import { CephxClientHandler, type ClientResult, type ClientStep } from '../cephx/client.ts';
import type { CryptoKey, Random, Sealer } from '../cephx/cryptokey.ts';
import { equalBytes } from '../cephx/denc.ts';
import { type EntityName, formatEntityName, type RotatingSecrets } from '../cephx/protocol.ts';
import { type EntityAddress, formatAddress, sameAddress } from './address.ts';
import { type Deferred, defer, sleep } from './deferred.ts';
import { MonError } from './errors.ts';
import type { AuthReply, CommandAck } from './message.ts';
import type { MonHost } from './monhost.ts';
import { addressesOf, decodeMonMap, formatFsid, type MonMap } from './monmap.ts';
import { unwrap } from './refusals.ts';
import { MonSession, TIMING, type Timing } from './session.ts';

export interface MonClientOptions {
  readonly sealer: Sealer;
  readonly random: Random;
  /** Now, in nanoseconds since 1970. */
  readonly clock: () => bigint;
  readonly name: EntityName;
  /** Its key. The client does not wipe it. */
  readonly key: CryptoKey;
  /**
   * Looks for the key again, where the monitors do not take ours any more: whoever rotates it puts
   * the new one where the old one was found. Undefined: there is none.
   */
  readonly findKey?: () => CryptoKey | undefined;
  /** Where to begin; from the first monitors' map on that one counts. */
  readonly hosts: readonly MonHost[];
  /** The cluster that it must be, "d0d09955-...", if that is known. */
  readonly fsid?: string | undefined;
  /** Takes a connection without encryption. Then neither secrets nor users are asked for. */
  readonly allowCrc?: boolean;
  readonly timing?: Partial<HuntTiming>;
  readonly log?: (record: Readonly<Record<string, string | number>>) => void;
}

export interface HuntTiming extends Timing {
  /** Wait after a round in which no monitor took us: first, and at most. Jitter halves it. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
}

export class MonClient {
  readonly #options: MonClientOptions;
  readonly #timing: HuntTiming;
  #key: CryptoKey;
  #handler: CephxClientHandler;
  readonly #stopped = new AbortController();
  readonly #waiting = new Set<Deferred<MonSession>>();
  readonly #listeners = new Set<(monmap: MonMap, former: MonMap | undefined) => void>();
  #running: Promise<void> = Promise.resolve();
  #session: MonSession | undefined;
  #monmap: MonMap | undefined;
  #lastError: MonError | undefined;

  constructor(options: MonClientOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, backoffMs: 500, backoffMaxMs: 15_000, ...options.timing };
    this.#key = options.key;
    this.#handler = this.#newHandler();
  }

  /** Begins to look for a monitor, and does not end before `stop`. */
  start(): void {
    this.#running = this.#hunt();
  }

  /** Closes the connection and wipes the tickets. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    this.#handler.wipe();
  }

  /** The newest map, undefined before the first. */
  get monmap(): MonMap | undefined {
    return this.#monmap;
  }
  /** The monitor that we talk to now. */
  get connectedTo(): EntityAddress | undefined {
    return this.#session?.address;
  }
  /** Our global_id, 0n before the first login. */
  get globalId(): bigint {
    return this.#handler.tickets.globalId;
  }
  /** Why the last attempt or connection failed, undefined while there is a connection. */
  get lastError(): MonError | undefined {
    return this.#lastError;
  }

  /** Told of each newer map, after it was taken. */
  onMonMap(listener: (monmap: MonMap, former: MonMap | undefined) => void): void {
    this.#listeners.add(listener);
  }

  /** Waits for a connection, as long as for an answer. Throws why there is none. */
  async connected(): Promise<{ readonly isSecure: boolean }> {
    return this.#open(this.#timing.requestMs);
  }

  /** The rotating secrets of our service. The caller wipes them. Throws MonError. */
  async fetchRotating(): Promise<RotatingSecrets> {
    const ask = () => this.#auth(SECRETS, () => this.#handler.requestRotating(false));
    const step = await ask().catch((error: unknown) => {
      // They are sealed under the key that the cluster has now, whatever we logged in with.
      const isUnopened = error instanceof MonError && error.code === 'mon.protocol';
      if (!isUnopened || !this.#takeNewKey()) throw error;
      this.#session?.close(new MonError('mon.closed', 'cannot stay logged in: the key changed'));
      return ask();
    });
    if (step.kind === 'rotating') return step.rotating;
    throw new TypeError(`the answer is of another kind: ${step.kind}`);
  }

  /** A handler that holds tickets for these services (mask), as `handler.authorizer` needs. */
  async tickets(services: number): Promise<CephxClientHandler> {
    await this.#auth('service tickets', () => this.#handler.requestTickets(services));
    return this.#handler;
  }

  /** Runs a command, again on another monitor if the connection is lost before the answer. */
  async command(
    command: Readonly<Record<string, unknown>>,
    input?: Uint8Array,
  ): Promise<CommandAck> {
    const json = JSON.stringify(command);
    return this.#retried('run a command', (session) =>
      session.command(this.#monmap!.fsid, json, input),
    );
  }

  #auth(what: string, request: () => ClientResult<Uint8Array>): Promise<ClientStep> {
    const open = ({ result, payload }: AuthReply): ClientStep => {
      if (result === 0) return unwrap(this.#handler.receive(payload), what);
      const name = formatEntityName(this.#options.name);
      const words = `${name} may not have them (${result})`;
      throw new MonError('mon.refused', `cannot get ${what}: ${words}`, result);
    };
    return this.#retried(`get ${what}`, (session) =>
      session.auth(() => unwrap(request(), what), open),
    );
  }

  /** Lost connections are no reason to give up before the deadline of a request is over. */
  async #retried<T>(what: string, use: (session: MonSession) => Promise<T>): Promise<T> {
    const endMs = Date.now() + this.#timing.requestMs;
    for (;;) {
      const session = await this.#open(endMs - Date.now());
      if (!session.isSecure) {
        throw new MonError('mon.refused', `cannot ${what}: the connection is not encrypted`);
      }
      try {
        return await use(session);
      } catch (error) {
        if (!(error instanceof MonError) || error.code !== 'mon.closed') throw error;
        if (Date.now() >= endMs) throw error;
      }
    }
  }

  /** The connection, when there is one. Throws why there is none after that time. */
  async #open(withinMs: number): Promise<MonSession> {
    if (this.#session !== undefined) return this.#session;
    const waiting = defer<MonSession>();
    this.#waiting.add(waiting);
    const timer = setTimeout(() => waiting.reject(this.#noMonitor()), Math.max(withinMs, 0));
    try {
      return await waiting.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    }
  }

  #noMonitor(): MonError {
    return (
      this.#lastError ?? new MonError('mon.timeout', 'cannot reach a monitor: no answer in time')
    );
  }

  async #hunt(): Promise<void> {
    const { signal } = this.#stopped;
    for (let failures = 0; !signal.aborted; ) {
      const startMs = Date.now();
      const session = await this.#round();
      if (session !== undefined) {
        const error = await this.#serve(session);
        if (signal.aborted) break;
        this.#failed(session.address, error);
        // One that is lost at once was none: a broken monitor must not keep us busy.
        if (Date.now() - startMs > this.#timing.keepaliveMs) failures = 0;
      }
      if (session === undefined || failures > 0) await sleep(this.#backoff(failures), signal);
      failures++;
    }
    const error = new MonError('mon.closed', 'cannot reach a monitor: the client was stopped');
    for (const waiting of this.#waiting) waiting.reject(error);
  }

  /** Tries every monitor once; the first that takes us. */
  async #round(): Promise<MonSession | undefined> {
    let refusals = 0;
    const candidates = this.#candidates();
    for (const address of candidates) {
      if (this.#stopped.signal.aborted) return undefined;
      try {
        return await this.#login(address);
      } catch (error) {
        if (!(error instanceof MonError)) throw error;
        this.#failed(address, error);
        if (error.code === 'mon.refused') refusals++;
      }
    }
    // Whoever waits need not wait for more: all of them said no.
    if (refusals === candidates.length) {
      for (const waiting of this.#waiting) waiting.reject(this.#noMonitor());
    }
    return undefined;
  }

  async #login(address: EntityAddress): Promise<MonSession> {
    const wasKnown = this.globalId !== 0n;
    try {
      return await this.#dial(address);
    } catch (error) {
      if ((error as MonError).errno !== EACCES) throw error;
      // Our old ticket may be too old by now: begin as a client that nobody knows.
      if (wasKnown) this.#handler.wipe();
      if (!this.#takeNewKey() && !wasKnown) throw error;
      return this.#dial(address);
    }
  }

  /** Whether there is another key; then nothing is left of the old one's tickets. */
  #takeNewKey(): boolean {
    const key = this.#options.findKey?.();
    if (key === undefined) return false;
    if (!key.usable || (key.type === this.#key.type && equalBytes(key.secret, this.#key.secret))) {
      key.wipe();
      return false;
    }
    this.#log('key_changed', {});
    this.#key = key;
    this.#handler.wipe();
    this.#handler = this.#newHandler();
    return true;
  }

  #newHandler(): CephxClientHandler {
    const { sealer, random, clock, name } = this.#options;
    return new CephxClientHandler({ sealer, random, clock, name, key: this.#key });
  }

  async #dial(address: EntityAddress): Promise<MonSession> {
    const { sealer, random, allowCrc = false } = this.#options;
    const mapped = defer<void>();
    const session = await MonSession.open(address, {
      sealer,
      random,
      handler: this.#handler,
      timing: this.#timing,
      allowCrc,
      signal: this.#stopped.signal,
      onMonMap: (monmap) => {
        this.#onMonMap(decodeMonMap(monmap));
        mapped.resolve();
      },
    });
    // From 0 on: the answer comes at once, and says whose monitor this is.
    session.subscribeMonMap(0);
    const timer = setTimeout(() => session.closeLate('its map'), this.#timing.loginMs);
    const error = await Promise.race([mapped.promise, session.closed]);
    clearTimeout(timer);
    if (error !== undefined) throw error;
    return session;
  }

  async #serve(session: MonSession): Promise<MonError> {
    this.#session = session;
    this.#lastError = undefined;
    const { isSecure } = session;
    this.#log('mon_connected', { address: formatAddress(session.address), secure: `${isSecure}` });
    for (const waiting of this.#waiting) waiting.resolve(session);
    const error = await session.closed;
    this.#session = undefined;
    return error;
  }

  /** Shuffled within the lowest priorities first. */
  #candidates(): readonly EntityAddress[] {
    const { hosts } = this.#options;
    const known = this.#monmap?.monitors;
    const groups = known ?? hosts.map(({ addresses, priority = 0 }) => ({ addresses, priority }));
    return groups
      .map((each) => ({ ...each, place: this.#fraction() }))
      .sort((a, b) => a.priority - b.priority || a.place - b.place)
      .flatMap((each) => addressesOf(each, 'v2'));
  }

  #onMonMap(monmap: MonMap): void {
    const former = this.#monmap;
    const fsid = formatFsid(monmap.fsid);
    const { fsid: expected = former && formatFsid(former.fsid) } = this.#options;
    if (expected !== undefined && fsid !== expected) {
      throw new MonError('mon.cluster', `cannot use cluster ${fsid}: ours is ${expected}`);
    }
    if (former !== undefined && equalBytes(former.fsid, monmap.fsid)) {
      if (monmap.epoch <= former.epoch) return;
    }
    if (monmap.monitors.every((each) => addressesOf(each, 'v2').length === 0)) {
      throw new MonError('mon.address', 'cannot use the monitors: none has a msgr v2 address');
    }
    this.#monmap = monmap;
    this.#log('monmap', { fsid, epoch: monmap.epoch, monitors: monmap.monitors.length });
    for (const listener of this.#listeners) listener(monmap, former);
    const at = this.#session?.address;
    const addresses = monmap.monitors.flatMap((each) => each.addresses);
    if (at !== undefined && !addresses.some((each) => sameAddress(each, at))) {
      throw new MonError('mon.closed', `cannot stay at ${formatAddress(at)}: it left the cluster`);
    }
  }

  #failed(address: EntityAddress, error: MonError): void {
    this.#lastError = error;
    const { code, message } = error;
    this.#log('mon_failed', { address: formatAddress(address), code, message });
  }

  #log(event: string, fields: Readonly<Record<string, string | number>>): void {
    this.#options.log?.({ event, entity: formatEntityName(this.#options.name), ...fields });
  }

  /** Grows by half with each failure; a random part of up to a half is taken off. */
  #backoff(failures: number): number {
    const { backoffMs, backoffMaxMs } = this.#timing;
    const full = Math.min(backoffMs * 1.5 ** failures, backoffMaxMs);
    return full * (1 - this.#fraction() / 2);
  }

  /** 0 <= result < 1 */
  #fraction(): number {
    const bytes = this.#options.random(4);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
  }
}

const EACCES = -13;
const SECRETS = 'rotating secrets';
