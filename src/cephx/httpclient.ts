/**
 * The client over HTTP: login and tickets through the monitor's part of cephx (interface section
 * 4), and the calls of a node to the sidecar (section 3). A unix socket, a proxy or a test come in
 * as a `fetch` of their own. No Node API.
 *
 * A refusal is a value. RequestError is thrown when no answer came, or none that is cephx or JSON.
 */

import { ENTITY_TYPE_AUTH } from '../../assembly/abi.ts';
import { RequestError } from '../errors.ts';
import type { CephxClientHandler, ClientStep, Frame } from './client.ts';
import type { RotatingSecrets } from './protocol.ts';
import {
  type ClientResult,
  maskServices,
  PAYLOAD_LEN_MAX,
  type ServiceAuthorizer,
} from './ticketmanager.ts';

/** As the global one: `fetch(url, init)`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface HttpOptions {
  /** Scheme, host and port of the server: `http://127.0.0.1:6480`. */
  readonly url: string;
  /** Default: the global one. */
  readonly fetch?: Fetch;
  /** Sent with each request, `authorization` for instance. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For one request and its answer, default 30,000. */
  readonly timeoutMs?: number;
}

/** A cephx client that logs in over HTTP, and renews what it holds when it is asked for it. */
export class CephxHttpClient {
  readonly handler: CephxClientHandler;
  readonly #options: HttpOptions;
  /** Exchanges go one after another: the state machine is in one of them at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(handler: CephxClientHandler, options: HttpOptions) {
    this.handler = handler;
    this.#options = options;
  }

  /** Logs in and takes the tickets of the services in the mask along. Throws RequestError. */
  login(want = 0): Promise<ClientResult<void>> {
    return this.#inTurn(() => this.#login(want));
  }

  /** Asks for service tickets under the AUTH ticket. Throws RequestError. */
  requestTickets(want: number): Promise<ClientResult<void>> {
    return this.#inTurn(() => this.#requestTickets(want));
  }

  /** A daemon's rotating secrets, which the caller wipes. Throws RequestError. */
  rotatingSecrets(): Promise<ClientResult<RotatingSecrets>> {
    return this.#inTurn(async () => {
      const step = await this.#exchange(this.handler.requestRotating(true));
      if (!step.ok) return step;
      if (step.value.kind === 'rotating') return { ok: true, value: step.value.rotating };
      return { ok: false, reason: 'state.unexpected' };
    });
  }

  /**
   * Sees to it that there are tickets for the services in the mask: logs in, or asks for those that
   * are missing or three quarters old. A renewal that fails counts only when the ticket is no
   * longer good: that is what the last quarter is for. If our global_id is refused and no AUTH
   * ticket is left, a new one is taken. Throws RequestError.
   */
  ensure(want: number): Promise<ClientResult<void>> {
    return this.#inTurn(() => this.#ensure(want));
  }

  /** A connection to a service, with a ticket that `ensure` saw to. Throws RequestError. */
  async authorizer(serviceId: number): Promise<ClientResult<ServiceAuthorizer>> {
    const ensured = await this.ensure(serviceId);
    return ensured.ok ? this.handler.authorizer(serviceId) : ensured;
  }

  async #ensure(want: number): Promise<ClientResult<void>> {
    const { handler } = this;
    const services = maskServices(want);
    try {
      const renewed = await this.#renew(want);
      if (renewed.ok || services.some((id) => !handler.authorizer(id).ok)) return renewed;
    } catch (error) {
      const isTrouble = error instanceof RequestError;
      if (!isTrouble || services.some((id) => !handler.authorizer(id).ok)) throw error;
    }
    return DONE;
  }

  async #renew(want: number): Promise<ClientResult<void>> {
    const { handler } = this;
    if (handler.needs(want) === 0) return DONE;
    if (handler.needs(ENTITY_TYPE_AUTH) !== 0) {
      let login = await this.#login(want);
      if (!login.ok && login.reason === 'request.refused' && handler.state === 'INIT') {
        const anew = await this.#loginAnew(want);
        if (anew.ok) login = anew;
      }
      if (!login.ok) return login;
    }
    const need = handler.needs(want);
    return need === 0 ? DONE : this.#requestTickets(need);
  }

  async #login(want: number): Promise<ClientResult<void>> {
    const challenge = await this.#post('/v1/cephx/hello', this.handler.hello(want));
    const exchange = challenge.headers.get(EXCHANGE_HEADER);
    if (exchange === null) throw trouble('the answer to the hello has no cephgate-exchange');
    const step = this.handler.receive(challenge.payload);
    if (!step.ok) return step;
    if (step.value.kind !== 'send') return { ok: false, reason: 'state.unexpected' };
    const headers = { [EXCHANGE_HEADER]: exchange };
    const reply = await this.#post('/v1/cephx/request', step.value.payload, headers);
    const globalId = globalIdOf(reply.headers.get(GLOBAL_ID_HEADER));
    return emptied(this.handler.receive(reply.payload, { globalId }));
  }

  /**
   * A claim can be refused for good: the secret of the old ticket is gone, or the global_id was
   * never ours. When the AUTH ticket is of no use any more a new global_id is the only way on.
   */
  async #loginAnew(want: number): Promise<ClientResult<void>> {
    const { tickets } = this.handler;
    const claimed = tickets.globalId;
    if (claimed === 0n) return { ok: false, reason: 'ticket.none' };
    tickets.globalId = 0n;
    try {
      return await this.#login(want);
    } finally {
      if (tickets.globalId === 0n) tickets.globalId = claimed;
    }
  }

  async #requestTickets(want: number): Promise<ClientResult<void>> {
    return emptied(await this.#exchange(this.handler.requestTickets(want)));
  }

  async #exchange(
    request: ClientResult<Uint8Array>,
    frame: Frame = {},
  ): Promise<ClientResult<ClientStep>> {
    if (!request.ok) return request;
    const reply = await this.#post('/v1/cephx/request', request.value);
    return this.handler.receive(reply.payload, frame);
  }

  async #post(
    path: string,
    payload: Uint8Array,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly payload: Uint8Array; readonly headers: Headers }> {
    const sent = { 'content-type': 'application/octet-stream', ...headers };
    const { response, bytes } = await post(this.#options, path, sent, payload);
    if (response.status !== 200) throw problem(response.status, bytes);
    return { payload: bytes, headers: response.headers };
  }

  #inTurn<T>(exchange: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(exchange);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** An answer of the sidecar, in the shape of interface section 3. */
export interface Decision {
  readonly decision: boolean;
  readonly reason: { readonly code: string; readonly message?: string };
  readonly [field: string]: unknown;
}

/** What a storage node asks the sidecar. Fields are those of the HTTP interface. */
export class SidecarClient {
  readonly #options: HttpOptions;

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  /** POST /v1/verify: who is the client of an authorizer? Throws RequestError. */
  verify(request: Readonly<Record<string, unknown>>): Promise<Decision> {
    return this.#decide('/v1/verify', request);
  }

  /** POST /v1/check: may the subject do an operation? Throws RequestError. */
  check(request: Readonly<Record<string, unknown>>): Promise<Decision> {
    return this.#decide('/v1/check', request);
  }

  /** Ends a session. Throws RequestError. */
  async release(session: string): Promise<void> {
    await this.#call(`/v1/sessions/${encodeURIComponent(session)}/release`, undefined);
  }

  async #decide(path: string, request: unknown): Promise<Decision> {
    const bytes = await this.#call(path, request);
    const document = parseObject(bytes);
    // Whatever is not a decision in so many words is no answer, and never a yes.
    const reason = document?.reason;
    const isReason = typeof reason === 'object' && reason !== null && 'code' in reason;
    if (typeof document?.decision !== 'boolean' || !isReason) {
      throw trouble('the answer holds no decision');
    }
    return document as Decision;
  }

  async #call(path: string, request: unknown): Promise<Uint8Array> {
    const text = request === undefined ? '' : JSON.stringify(request);
    const payload = new TextEncoder().encode(text);
    const headers = { 'content-type': 'application/json' };
    const { response, bytes } = await post(this.#options, path, headers, payload);
    if (!response.ok) throw problem(response.status, bytes);
    return bytes;
  }
}

async function post(
  options: HttpOptions,
  path: string,
  headers: Readonly<Record<string, string>>,
  payload: Uint8Array,
): Promise<{ readonly response: Response; readonly bytes: Uint8Array }> {
  const { fetch = globalThis.fetch, timeoutMs = TIMEOUT_MS } = options;
  try {
    const response = await fetch(new URL(path, options.url).href, {
      method: 'POST',
      headers: { ...options.headers, ...headers },
      body: payload as Uint8Array<ArrayBuffer>,
      // A proof is for the one who was asked.
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { response, bytes: await readLimited(response) };
  } catch (error) {
    if (error instanceof RequestError) throw error;
    throw trouble('there is no answer', error);
  }
}

async function readLimited(response: Response): Promise<Uint8Array> {
  const reader = response.body?.getReader();
  const out: Uint8Array[] = [];
  let len = 0;
  while (reader !== undefined) {
    const { done, value } = await reader.read();
    if (done) break;
    len += value.length;
    if (len > ANSWER_LEN_MAX) {
      await reader.cancel();
      throw trouble(`the answer is longer than ${ANSWER_LEN_MAX} bytes`);
    }
    out.push(value);
  }
  const bytes = new Uint8Array(len);
  let at = 0;
  for (const chunk of out) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function problem(status: number, bytes: Uint8Array): RequestError {
  const { code, detail } = parseObject(bytes) ?? {};
  const isProblem = typeof code === 'string' && typeof detail === 'string';
  return trouble(isProblem ? `${status}: ${code}: ${detail}` : `status ${status}`);
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** 0n, which no login gives, for a header that is no u64. */
function globalIdOf(text: string | null): bigint | undefined {
  if (text === null) return undefined;
  if (!/^[1-9][0-9]{0,19}$/.test(text)) return 0n;
  const value = BigInt(text);
  return value <= U64_MAX ? value : 0n;
}

function emptied(step: ClientResult<ClientStep>): ClientResult<void> {
  return step.ok ? DONE : step;
}

function trouble(state: string, cause?: unknown): RequestError {
  const options = cause === undefined ? undefined : { cause };
  return new RequestError('request.failed', `cannot ask the server: ${state}`, options);
}

const DONE: ClientResult<void> = { ok: true, value: undefined };
const U64_MAX = 0xffffffffffffffffn;
const EXCHANGE_HEADER = 'cephgate-exchange';
const GLOBAL_ID_HEADER = 'cephgate-global-id';
const TIMEOUT_MS = 30_000;
const ANSWER_LEN_MAX = 4 * PAYLOAD_LEN_MAX;
