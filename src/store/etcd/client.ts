/**
 * The members of one etcd cluster: which one to ask, how long, and what an answer that did not come
 * means. Members are those that were named; etcd is not asked for more.
 */

import { StoreError, type StoreErrorCode } from '../../errors.ts';
import { flag, type Json, object, text } from './codec.ts';
import { documents, readAll } from './documents.ts';
import { makePoster, type PostAnswer, PostError, type Poster } from './post.ts';

export interface Login {
  readonly name: string;
  readonly password: string;
}

export interface ClientOptions {
  /** `https://host:port`, at least one. */
  readonly members: readonly string[];
  /** PEM. */
  readonly ca?: string | undefined;
  readonly login?: Login | undefined;
}

/** What came of one try. */
export type Attempt =
  | { readonly kind: 'answer'; readonly answer: Json }
  /** etcd refused it: it was not carried out. */
  | { readonly kind: 'refused'; readonly error: StoreError }
  /** `sent: false`: certainly not carried out. */
  | { readonly kind: 'none'; readonly sent: boolean; readonly message: string };

/** The end of a call, by a clock that never goes back. */
export class Deadline {
  readonly #endMs: number;

  constructor(timeoutMs: number) {
    this.#endMs = performance.now() + timeoutMs;
  }

  get leftMs(): number {
    return this.#endMs - performance.now();
  }
}

export class EtcdClient {
  readonly #options: ClientOptions;
  readonly #poster: Poster;
  readonly #closing = new AbortController();
  #member: number;
  #session: Promise<string> | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#poster = makePoster(options.ca);
    // Many instances with the same settings shall not all ask the same one.
    this.#member = Math.floor(Math.random() * options.members.length);
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /**
   * One answer to a request that may be carried out more than once. Tries member after member until
   * the deadline. Throws StoreError: etcd's own, or `store.unreachable`.
   */
  async call(path: string, request: Json, deadline: Deadline): Promise<Json> {
    for (let tries = 1; ; tries++) {
      const attempt = await this.attempt(path, request, deadline, tries);
      if (attempt.kind === 'answer') return attempt.answer;
      if (attempt.kind === 'refused') throw attempt.error;
      if (await this.pause(deadline, tries)) continue;
      this.checkOpen();
      throw unreachable(attempt.message);
    }
  }

  /**
   * One try at the present member; if no answer comes, the next try is made at the next one. A
   * later try gets longer: what takes a member a second, as a range of 10^6 keys, would never be
   * answered.
   */
  async attempt(path: string, request: Json, deadline: Deadline, tries = 1): Promise<Attempt> {
    if (this.closed) return { kind: 'none', sent: false, message: 'the store was closed' };
    const member = this.#member;
    const patience = Math.min(2 ** (tries - 1), PATIENCE_MAX);
    const limitMs = Math.min(attemptMs(request) * patience, deadline.leftMs);
    const attempt = await this.#attemptAt(member, path, request, limitMs);
    if (attempt.kind === 'none') this.leave(member);
    return attempt;
  }

  /** Waits after so many tries; false when it is too late for another one. */
  async pause(deadline: Deadline, tries: number): Promise<boolean> {
    // Only when all members were asked: before that, another one may well answer.
    const rounds = tries / this.#options.members.length;
    const ms = Number.isInteger(rounds) ? Math.min(PAUSE_MIN_MS * 2 ** rounds, PAUSE_MAX_MS) : 0;
    if (deadline.leftMs <= ms || this.closed) return false;
    await new Promise((resolve) => setTimeout(resolve, ms * (0.5 + Math.random() / 2)));
    return !this.closed;
  }

  /** The answers to a request that has many, as they come, from the present member. */
  async stream(path: string, request: Json, signal: AbortSignal): Promise<Stream> {
    this.checkOpen();
    const member = this.#member;
    try {
      const { status, body } = await this.#post(member, path, request, signal);
      if (status === 200) return { member, documents: documents(body) };
      const answer = parse(await readAll(body));
      if (isTokenRefused(answer)) this.#session = undefined;
      throw new PostError(`etcd answered ${status} ${text(answer, 'error')}`, true);
    } catch (error) {
      this.leave(member);
      throw error;
    }
  }

  /** Asks another member from now on, if this one is still the present one. */
  leave(member: number): void {
    if (member === this.#member) this.#member = (member + 1) % this.#options.members.length;
  }

  checkOpen(): void {
    if (this.closed) throw new StoreError('store.closed', 'cannot use the store: it was closed');
  }

  close(): void {
    this.#closing.abort();
    this.#poster.close();
  }

  async #attemptAt(member: number, path: string, request: Json, limitMs: number): Promise<Attempt> {
    const session = this.#session;
    const attempt = await this.#exchange(member, path, request, limitMs);
    if (attempt.kind !== 'answer' || !isTokenRefused(attempt.answer)) return judged(attempt);
    // A member that was started anew knows no sessions. The request was refused, so it can go
    // again.
    if (session === this.#session) this.#session = undefined;
    return judged(await this.#exchange(member, path, request, limitMs));
  }

  async #exchange(member: number, path: string, request: Json, limitMs: number): Promise<Attempt> {
    const limit = new AbortController();
    const ms = Math.max(1, limitMs);
    const timer = setTimeout(() => limit.abort(), ms);
    try {
      const { body } = await this.#post(member, path, request, limit.signal);
      return { kind: 'answer', answer: parse(await readAll(body)) };
    } catch (error) {
      if (error instanceof StoreError) return { kind: 'refused', error };
      if (!(error instanceof PostError)) throw error;
      const why = limit.signal.aborted ? `no answer in ${Math.round(ms)} ms` : error.message;
      const message = `${this.#options.members[member]}: ${why}`;
      return { kind: 'none', sent: error.sent, message };
    } finally {
      clearTimeout(timer);
    }
  }

  async #post(
    member: number,
    path: string,
    request: Json,
    signal: AbortSignal,
  ): Promise<PostAnswer> {
    const both = AbortSignal.any([signal, this.#closing.signal]);
    const headers: Record<string, string> = {};
    if (this.#options.login !== undefined) {
      this.#session ??= this.#logIn(member, both);
      headers.authorization = await this.#session;
    }
    const url = this.#options.members[member]! + path;
    const answer = await this.#poster.post({
      url,
      headers,
      body: JSON.stringify(request),
      signal: both,
    });
    if (answer.status >= 300 && answer.status < 400) {
      throw new PostError(`it answered ${answer.status}, which is not followed`, true);
    }
    return answer;
  }

  async #logIn(member: number, signal: AbortSignal): Promise<string> {
    const url = `${this.#options.members[member]}/v3/auth/authenticate`;
    const body = JSON.stringify(this.#options.login);
    try {
      const answer = await this.#poster.post({ url, headers: {}, body, signal });
      const attempt = judged({ kind: 'answer', answer: parse(await readAll(answer.body)) });
      if (attempt.kind === 'refused') throw attempt.error;
      if (attempt.kind === 'none') throw new PostError(attempt.message, false);
      return text(attempt.answer, 'token');
    } catch (error) {
      this.#session = undefined;
      // The request itself has not been sent.
      throw error instanceof PostError ? new PostError(error.message, false) : error;
    }
  }
}

export interface Stream {
  readonly member: number;
  readonly documents: AsyncIterable<Json>;
}

export function unreachable(message: string): StoreError {
  return new StoreError('store.unreachable', `cannot reach etcd: ${message}`);
}

/** Sorts errors in an answer into refusals and no answer at all. */
function judged(attempt: Attempt): Attempt {
  if (attempt.kind !== 'answer' || attempt.answer.code === undefined) return attempt;
  const message = text(attempt.answer, 'error');
  const known = REFUSALS.find(([pattern]) => pattern.test(message))?.[1];
  const code = known ?? CODES.get(Number(attempt.answer.code));
  if (code === undefined) return { kind: 'none', sent: true, message };
  return { kind: 'refused', error: new StoreError(code, `etcd refuses: ${message}`) };
}

function isTokenRefused(answer: Json): boolean {
  return TOKEN_REFUSED.test(text(answer, 'error'));
}

function parse(body: string): Json {
  try {
    const answer: unknown = JSON.parse(body);
    if (typeof answer === 'object' && answer !== null) {
      // Answers of streams, such as a lease's, come wrapped.
      const wrapped = answer as Json;
      return wrapped.result === undefined || flag(wrapped, 'canceled')
        ? wrapped
        : object(wrapped, 'result');
    }
  } catch {
    // Said below; the text itself may hold values.
  }
  throw new PostError('the answer is not JSON', true);
}

/** Room for large bodies on slow lines; short enough that another member is asked in time. */
function attemptMs(request: Json): number {
  const values = request.success;
  return Array.isArray(values) && values.length > 10 ? ATTEMPT_LARGE_MS : ATTEMPT_MS;
}

const ATTEMPT_MS = 1_000;
const ATTEMPT_LARGE_MS = 3_000;
/** A late try may take so many times as long. */
const PATIENCE_MAX = 8;
const PAUSE_MIN_MS = 20;
const PAUSE_MAX_MS = 400;

const TOKEN_REFUSED = /invalid auth token|revision in header is old|user name is empty/;

/** etcd's texts where its gRPC codes are ambiguous. */
const REFUSALS: readonly (readonly [RegExp, StoreErrorCode])[] = [
  [/has been compacted/, 'store.compacted'],
  [/is a future revision/, 'store.future'],
  [/database space exceeded/, 'store.full'],
  [/request is too large|too many operations/, 'store.limit'],
  [
    /authentication failed|authentication is not enabled|permission denied|user name is empty/,
    'store.refused',
  ],
  [/too many requests/, 'store.busy'],
];

/** gRPC codes that say "not carried out". All others, such as Unavailable, leave it open. */
const CODES: ReadonlyMap<number, StoreErrorCode> = new Map([
  [3, 'store.failed'],
  [5, 'store.failed'],
  [7, 'store.refused'],
  [9, 'store.failed'],
  [11, 'store.failed'],
  [12, 'store.failed'],
  [16, 'store.refused'],
]);
