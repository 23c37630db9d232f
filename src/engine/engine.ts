/**
 * The engine: typed host of the core. Copies requests into the core's memory, calls it once, and
 * copies the verdicts out. No Node API: runs on Node, Deno, Bun, browsers and workers.
 */

import * as abi from '../../assembly/abi.ts';
import { HostBlock } from './host.ts';
import { withPages } from './memorysection.ts';
import { RecordWriter } from './records.ts';
import type {
  Build,
  Challenge,
  CheckRequest,
  DecideRequest,
  EngineOptions,
  HostContext,
  Preset,
  ServiceId,
  ServiceSecret,
  SignatureScheme,
  TicketCacheStats,
  VerifyRequest,
} from './types.ts';
import { readSecrets, type Verdict, type VerdictSecrets, VerdictSlab } from './verdict.ts';
import { type CoreExports, embedded, probe, start } from './wasm.ts';
import { type RevokeOp, type RevokeSubject, type SealForm, WorkBlock } from './work.ts';

const PRESETS: Readonly<Record<Preset, number>> = {
  small: abi.PRESET_SMALL,
  server: abi.PRESET_SERVER,
  large: abi.PRESET_LARGE,
};
const PAGES: Readonly<Record<Preset, number>> = {
  small: abi.PAGES_SMALL,
  server: abi.PAGES_SERVER,
  large: abi.PAGES_LARGE,
};

/** Random bytes that one reply may take: connection secret and confounder, rounded up. */
const RANDOM_PER_RECORD = 96;
const GENERAL_SECRET_ID = 0xffffffffffffffffn;
const encoder = new TextEncoder();

/** One instance of the core. Not re-entrant; use one per thread. */
export class Engine {
  /** Which build runs, `custom` when the caller brought the module. */
  readonly build: Build | 'custom';
  readonly #core: CoreExports;
  readonly #host: HostBlock;
  readonly #work: WorkBlock;
  readonly #request: Uint8Array;
  readonly #writer: RecordWriter;
  readonly #response: number;
  readonly #secretAt: number;
  readonly #slab: VerdictSlab;
  #answer = new Uint8Array(0);

  /** Finds a build (or takes the one given) and starts it. */
  static async create(options: EngineOptions = {}): Promise<Engine> {
    if (options.wasm instanceof Uint8Array) {
      const module = await WebAssembly.compile(options.wasm as Uint8Array<ArrayBuffer>);
      return new Engine(module, options, 'custom');
    }
    if (options.wasm !== undefined) return new Engine(options.wasm, options, 'custom');
    const wanted = options.build ?? 'auto';
    const found =
      wanted === 'auto' ? await probe() : { build: wanted, bytes: await embedded(wanted) };
    const bytes = withPages(found.bytes, PAGES[options.preset ?? 'server'] ?? 0);
    return new Engine(await WebAssembly.compile(bytes), options, found.build);
  }

  /**
   * Starts a compiled module; `Engine.create` is the usual way.
   *
   * @throws RangeError when the memory of the preset cannot be had
   */
  constructor(module: WebAssembly.Module, options: EngineOptions, build: Build | 'custom') {
    const core = start(module);
    if (core.abi_version() !== abi.ABI_VERSION) {
      throw new TypeError(
        `Cannot start the core: expected ABI ${abi.ABI_VERSION}, got ${core.abi_version()}`,
      );
    }
    const preset = options.preset ?? 'server';
    if (core.init(PRESETS[preset]) !== 1) {
      throw new RangeError(`Cannot start the core: no memory for preset "${preset}"`);
    }
    const { buffer } = core.memory;
    const layout = new DataView(buffer, core.layout(), abi.LAYOUT_LEN);
    const word = (field: number): number => layout.getUint32(field, true);
    this.build = build;
    this.#core = core;
    this.#host = new HostBlock(buffer, layout, options.random ?? defaultRandom);
    this.#host.setTicketCache(options.ticketCache ?? false);
    this.#work = new WorkBlock(core, word(abi.LAYOUT_WORK));
    this.#request = new Uint8Array(buffer, word(abi.LAYOUT_REQUEST), word(abi.LAYOUT_REQUEST_LEN));
    this.#writer = new RecordWriter(this.#request);
    this.#response = word(abi.LAYOUT_RESPONSE);
    this.#secretAt = word(abi.LAYOUT_SECRET);
    this.#slab = new VerdictSlab(buffer);
  }

  // --- service secrets ---------------------------------------------------------------------

  /**
   * Puts or replaces a service secret. The key bytes are copied; wipe yours when done.
   *
   * @throws RangeError when the table is full or the key is not a CryptoKey that a service can use
   */
  putSecret(secret: ServiceSecret): void {
    this.#work.putSecret(secret);
  }

  /** Removes a secret; false if it was not there. */
  removeSecret(service: ServiceId, secretId: bigint): boolean {
    const id = BigInt.asUintN(64, secretId);
    const low = Number(id & 0xffffffffn);
    return this.#core.secret_remove(service, low, Number(id >> 32n)) === 1;
  }

  /** Removes all secrets of a service, or of all. */
  clearSecrets(service: ServiceId = 0): void {
    this.#core.secret_clear(service);
  }

  /** Number of secrets kept for a service. */
  secretCount(service: ServiceId): number {
    return this.#core.secret_count(service);
  }

  hasSecrets(service: ServiceId): boolean {
    return this.secretCount(service) > 0;
  }

  // --- decisions ---------------------------------------------------------------------------

  /** Verifies one authorizer. Any bytes give a verdict. */
  verify(request: VerifyRequest, host: HostContext): Verdict {
    this.#writer.at = 0;
    this.#writer.verify(request);
    this.#host.set(host, abi.FLAGS_ALL, request.reply ? RANDOM_PER_RECORD : 0);
    this.#host.setChallenge(request.challenge);
    return this.#one();
  }

  /** Verifies many authorizers in one call of the core; verdicts in order. */
  verifyBatch(requests: readonly VerifyRequest[], host: HostContext): Verdict[] {
    this.#writer.at = 0;
    for (const [tag, request] of requests.entries()) this.#writer.verify(request, tag);
    this.#host.set(host, abi.FLAGS_ALL, requests.length * RANDOM_PER_RECORD);
    this.#host.setChallenges(requests.map((request) => request.challenge));
    return this.#many();
  }

  /** Checks one operation against a session or compiled caps. */
  check(request: CheckRequest, host: HostContext): Verdict {
    this.#writer.at = 0;
    this.#writer.check(request);
    this.#host.set(host, abi.FLAGS_ALL, 0);
    return this.#one();
  }

  checkBatch(requests: readonly CheckRequest[], host: HostContext): Verdict[] {
    this.#writer.at = 0;
    for (const [tag, request] of requests.entries()) this.#writer.check(request, tag);
    this.#host.set(host, abi.FLAGS_ALL, 0);
    return this.#many();
  }

  /**
   * Verifies an authorizer and checks an operation of its client in one call of the core. The
   * verdict is that of the verify when it refuses, else that of the check; unless `session` is
   * asked for, nothing is left behind.
   */
  decide(request: DecideRequest, host: HostContext): Verdict {
    this.#writer.at = 0;
    this.#writer.decide(request);
    this.#host.set(host, abi.FLAGS_ALL, 0);
    this.#host.setChallenge(request.challenge);
    this.#core.run(this.#writer.at);
    return this.#slab.take(this.#decided(this.#response), undefined);
  }

  /** The same for up to 512 authorizers, each with an operation; verdicts in order. */
  decideBatch(requests: readonly DecideRequest[], host: HostContext): Verdict[] {
    this.#writer.at = 0;
    for (const [tag, request] of requests.entries()) this.#writer.decide(request, tag);
    this.#host.set(host, abi.FLAGS_ALL, 0);
    this.#host.setChallenges(
      requests.map((request) => request.challenge),
      2,
    );
    const end = this.#response + this.#core.run(this.#writer.at);
    const verdicts: Verdict[] = [];
    for (let at = this.#response; at < end; ) {
      const decided = this.#decided(at);
      verdicts.push(this.#slab.take(decided, undefined));
      at = this.#slab.after(this.#slab.after(at));
    }
    return verdicts;
  }

  /** Of a verify verdict and the check verdict behind it, the one that decides. */
  #decided(at: number): number {
    if (!this.#slab.allowed(at)) return at;
    const checked = this.#slab.after(at);
    // Where the ticket came from, not that the check is of the session it has just opened.
    this.#slab.copySource(at, checked);
    return checked;
  }

  /** Parses an OSD or MDS caps text; with `keep` the verdict carries a handle for `check`. */
  capsParse(
    service: ServiceId,
    text: string | Uint8Array,
    host: HostContext,
    options: { readonly keep?: boolean } = {},
  ): Verdict {
    this.#writer.at = 0;
    const bytes = typeof text === 'string' ? encoder.encode(text) : text;
    this.#writer.capsParse(service, bytes, options.keep ?? false);
    this.#host.set(host, abi.FLAGS_ALL, 0);
    return this.#one();
  }

  /** Signs a message block with the session's key: the signature is the verdict's `reply`. */
  sign(
    service: ServiceId,
    handle: bigint,
    scheme: SignatureScheme,
    block: Uint8Array,
    host: HostContext,
  ): Verdict {
    this.#writer.at = 0;
    this.#writer.sign(service, handle, scheme, block, undefined);
    this.#host.set(host, abi.FLAGS_ALL, 0);
    return this.#one();
  }

  /** Checks a message signature. */
  signVerify(
    service: ServiceId,
    handle: bigint,
    scheme: SignatureScheme,
    block: Uint8Array,
    signature: Uint8Array,
    host: HostContext,
  ): Verdict {
    this.#writer.at = 0;
    this.#writer.sign(service, handle, scheme, block, signature);
    this.#host.set(host, abi.FLAGS_ALL, 0);
    return this.#one();
  }

  /**
   * Raw records in, raw verdicts out: a view of the core's memory, good until the next call of any
   * method. `granted` is the mask of record flags that may be used; challenge i belongs to record
   * i, records beyond the list must answer a fresh one.
   *
   * @throws RangeError when the records exceed the request region
   */
  run(
    records: Uint8Array,
    host: HostContext,
    challenges: readonly Challenge[] = [],
    granted: number = abi.FLAG_TAIL,
  ): Uint8Array {
    if (records.length > this.#request.length) {
      throw new RangeError(
        `Cannot run "records": expected at most ${this.#request.length} bytes, ` +
          `got ${records.length}`,
      );
    }
    this.#request.set(records);
    // As many replies as records of this length could ask for.
    const most = Math.min(abi.BATCH_RECORDS_MAX, Math.ceil(records.length / abi.VERIFY_LEN));
    const replies = (granted & abi.FLAG_REPLY) !== 0 ? most : 0;
    this.#host.set(host, granted, replies * RANDOM_PER_RECORD);
    this.#host.setChallenges(challenges);
    const bytes = this.#core.run(records.length);
    // Making a view costs as much as a check: answers of one length share theirs.
    if (this.#answer.length !== bytes) {
      this.#answer = new Uint8Array(this.#core.memory.buffer, this.#response, bytes);
    }
    return this.#answer;
  }

  #one(): Verdict {
    this.#core.run(this.#writer.at);
    return this.#slab.take(this.#response, this.#secrets(this.#response, 0));
  }

  #many(): Verdict[] {
    const end = this.#response + this.#core.run(this.#writer.at);
    const verdicts: Verdict[] = [];
    for (let at = this.#response; at < end; at = this.#slab.after(at)) {
      verdicts.push(this.#slab.take(at, this.#secrets(at, verdicts.length)));
    }
    return verdicts;
  }

  /** The secrets of the verdict at an address, record `index` of the call. */
  #secrets(at: number, index: number): VerdictSecrets | undefined {
    if (!this.#slab.hasSecrets(at)) return undefined;
    return readSecrets(this.#core.memory.buffer, this.#secretAt, index);
  }

  // --- sessions and revocation -------------------------------------------------------------

  /** Ends a session; false for a stale handle. */
  sessionRelease(handle: bigint): boolean {
    const low = Number(handle & 0xffffffffn);
    return this.#core.session_release(low, Number(handle >> 32n)) === 1;
  }

  /** Ends every session, drops all compiled caps and empties the ticket cache. */
  cacheClear(): void {
    this.#core.cache_clear();
  }

  /** How the ticket cache fares. */
  get ticketCache(): TicketCacheStats {
    const at = this.layout.getUint32(abi.LAYOUT_TICKETS, true);
    const view = new DataView(this.#core.memory.buffer, at, abi.TICKETS_LEN);
    return {
      hits: view.getUint32(abi.TICKETS_HITS, true),
      misses: view.getUint32(abi.TICKETS_MISSES, true),
      emptied: view.getUint32(abi.TICKETS_EMPTIED, true),
      evicted: view.getUint32(abi.TICKETS_EVICTED, true),
      held: view.getUint32(abi.TICKETS_HELD, true),
      max: view.getUint32(abi.TICKETS_MAX, true),
    };
  }

  /**
   * Denies a subject, lifts a denial, sets a time before which tickets are not taken, or clears
   * all.
   *
   * @throws RangeError when the table is full or the subject does not go with the operation
   */
  revoke(op: RevokeOp, subject: RevokeSubject, timeNs = 0n): void {
    this.#work.revoke(op, subject, timeNs);
  }

  // --- sealing, for issuers and clients ----------------------------------------------------

  /**
   * Seals `plaintext` under an encoded CryptoKey.
   *
   * @throws RangeError for an unusable key or more than 80 KiB
   */
  seal(key: Uint8Array, usage: number, plaintext: Uint8Array, form: SealForm = {}): Uint8Array {
    return this.#work.seal(key, usage, plaintext, form, this.#host.random);
  }

  /** Opens what `seal` made; undefined when it does not open. */
  open(
    key: Uint8Array,
    usage: number,
    sealed: Uint8Array,
    form: SealForm = {},
  ): Uint8Array | undefined {
    return this.#work.open(key, usage, sealed, form);
  }

  /** Ke (32 bytes), Ki or Kc (24 bytes) of RFC 8009 for an aes256k key. */
  derive(key: Uint8Array, usage: number, which: 'ke' | 'ki' | 'kc'): Uint8Array {
    return this.#work.derive(key, usage, which);
  }

  /** A client's proof of its key (CephXAuthenticate.key). */
  challengeHash(key: Uint8Array, server: bigint, client: bigint): bigint {
    return this.#work.challengeHash(key, server, client);
  }

  /**
   * A bare primitive (PRIMITIVE_* of assembly/abi.ts).
   *
   * @param into where the result goes, of which the part with the result is returned; without it
   *   into a new array, which costs a runtime more than a hash
   */
  primitive(
    op: number,
    key: Uint8Array,
    data: Uint8Array,
    iv?: Uint8Array,
    into?: Uint8Array,
  ): Uint8Array {
    return this.#work.primitive(op, key, data, iv, into);
  }

  /** Ends all sessions, drops caps, tickets and secrets, and zeroes the transient regions. */
  wipe(): void {
    this.#core.cache_clear();
    this.#core.secret_clear(0);
    this.#core.run(0);
    this.#core.work_wipe();
    this.#request.fill(0);
  }

  /** The layout table of the core (LAYOUT_* of assembly/abi.ts). */
  get layout(): DataView {
    return new DataView(this.#core.memory.buffer, this.#core.layout(), abi.LAYOUT_LEN);
  }

  /** The core's whole memory, for hosts that inspect it and tests that scan it. */
  get memory(): ArrayBuffer {
    return this.#core.memory.buffer as ArrayBuffer;
  }
}

function defaultRandom(into: Uint8Array): void {
  // getRandomValues refuses more than 65536 bytes at once.
  for (let at = 0; at < into.length; at += 65536) {
    const part = new Uint8Array(Math.min(65536, into.length - at));
    crypto.getRandomValues(part);
    into.set(part, at);
  }
}

export { GENERAL_SECRET_ID };
