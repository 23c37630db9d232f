/**
 * Administration over TCP, from the other end: logs in with a ticket for service `mon`, has the
 * server prove itself, signs each request, and believes only signed answers.
 */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import type { CephxHttpClient, Fetch } from '../cephx/httpclient.ts';
import { ENTITY_TYPES } from '../cephx/protocol.ts';
import { RequestError } from '../errors.ts';
import { decodeBase64, encodeBase64 } from './codec.ts';
import {
  contentDigest,
  digestMatches,
  keyLabel,
  readRequestSignature,
  responseMatches,
  signRequest,
} from './signature.ts';

export interface AdminClientOptions {
  /** Logs in and gets tickets, wherever they are issued. */
  readonly tickets: CephxHttpClient;
  /** The admin listener: scheme, host and port. */
  readonly url: string;
  /** Default: the global one. */
  readonly fetch?: Fetch;
  /** Nanoseconds since 1970. */
  readonly clock: () => bigint;
}

/** The answer to a request, proved to be that. */
export interface AdminReply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

export class AdminClient {
  readonly #options: AdminClientOptions;
  #session: { handle: string; request: Uint8Array; response: Uint8Array } | undefined;
  #seq = 0n;

  constructor(options: AdminClientOptions) {
    this.#options = options;
  }

  /** Opens a session; the reason if that is refused. Throws RequestError. */
  async logIn(): Promise<{ readonly ok: true } | { readonly ok: false; readonly reason: string }> {
    this.close();
    const found = await this.#options.tickets.authorizer(ENTITY_TYPES.mon!);
    if (!found.ok) return found;
    const authorizer = found.value;
    try {
      const asked = await this.#open({ authorizer: encodeBase64(authorizer.first()) });
      const challenge = bytesOf(asked.challenge);
      if (challenge === undefined) return { ok: false, reason: codeOf(asked) };
      const answer = authorizer.answer(challenge);
      if (!answer.ok) return answer;
      const { challenge_state } = asked;
      const opened = await this.#open({ authorizer: encodeBase64(answer.value), challenge_state });
      const reply = bytesOf(opened.reply);
      const { session } = opened;
      if (reply === undefined || typeof session !== 'string') {
        return { ok: false, reason: codeOf(opened) };
      }
      const proved = authorizer.verifyReply(reply, { secure: false });
      if (!proved.ok) return proved;
      const { secret } = authorizer.sessionKey;
      const keyOf = (direction: 'req' | 'resp'): Uint8Array =>
        hmac(sha256, secret, keyLabel(direction, session));
      this.#session = { handle: session, request: keyOf('req'), response: keyOf('resp') };
      this.#seq = 0n;
      return { ok: true };
    } finally {
      authorizer.wipe();
    }
  }

  /**
   * One request. Throws RequestError: `request.failed` if it was not sent, `response.unproven` if
   * there is no answer that proves to be one to it. Then nobody knows whether it was carried out.
   */
  async call(method: string, path: string, body?: unknown): Promise<AdminReply> {
    const session = this.#session;
    if (session === undefined) throw failed('there is no session');
    const { url, clock } = this.#options;
    const target = new URL(path, url);
    const bytes = body === undefined ? EMPTY : utf8.encode(JSON.stringify(body));
    this.#seq += 1n;
    const headers = new Headers({
      'content-type': 'application/json',
      'content-digest': contentDigest(bytes),
      'cephgate-seq': this.#seq.toString(),
    });
    const { pathname, search, host } = target;
    const parts = { authority: host, path: pathname, query: search === '' ? '?' : search };
    const by = { keyid: session.handle, created: Number(clock() / 1_000_000_000n) };
    signRequest(session.request, { method, headers, ...parts }, by);
    const signature = readRequestSignature(headers)!;
    const init = { method, headers, ...(bytes.length > 0 && { body: bytes }) };
    const response = await this.#fetch(target.href, init as RequestInit, unproven);
    const answered = await bodyOf(response, unproven);
    const isSigned = responseMatches(session.response, response, signature);
    if (!isSigned || !digestMatches(response.headers, answered)) {
      throw unproven(`the answer ${response.status} is not signed`);
    }
    const { status, headers: given } = response;
    return { status, headers: given, body: answered };
  }

  /** Forgets the session. */
  close(): void {
    this.#session?.request.fill(0);
    this.#session?.response.fill(0);
    this.#session = undefined;
  }

  async #open(body: unknown): Promise<Readonly<Record<string, unknown>>> {
    const target = new URL('/v1/admin/session', this.#options.url);
    const headers = { 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    const response = await this.#fetch(target.href, init, failed);
    try {
      return JSON.parse(new TextDecoder().decode(await bodyOf(response, failed)));
    } catch (error) {
      if (error instanceof RequestError) throw error;
      throw failed(`the answer ${response.status} is not JSON`);
    }
  }

  async #fetch(
    url: string,
    init: RequestInit,
    wrong: (why: string) => RequestError,
  ): Promise<Response> {
    const { fetch = globalThis.fetch } = this.#options;
    try {
      return await fetch(url, { ...init, redirect: 'error' });
    } catch {
      throw wrong('there is no answer');
    }
  }
}

async function bodyOf(
  response: Response,
  wrong: (why: string) => RequestError,
): Promise<Uint8Array> {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw wrong('the answer is cut');
  }
}

function bytesOf(value: unknown): Uint8Array | undefined {
  return typeof value === 'string' ? decodeBase64(value) : undefined;
}

function codeOf({ reason, code }: Readonly<Record<string, unknown>>): string {
  const found = (reason as { code?: unknown } | undefined)?.code ?? code;
  return typeof found === 'string' ? found : 'reply.malformed';
}

function failed(why: string): RequestError {
  return new RequestError('request.failed', `cannot ask the admin listener: ${why}`);
}

function unproven(why: string): RequestError {
  return new RequestError('response.unproven', `outcome unknown: ${why}`);
}

const EMPTY = new Uint8Array(0);
const utf8 = new TextEncoder();
