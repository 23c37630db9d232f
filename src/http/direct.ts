/**
 * The short way to what a node asks for each request of its clients, POST /v1/verify and /v1/check,
 * on Node's own HTTP server: without the web's Request and Response, and nothing is awaited that is
 * there already. Whatever is not plainly such a request goes the long way by Hono (app.ts); both
 * give the same answers.
 */

import { Buffer } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { REQUEST_ID_HEADER, requestIdOf } from '../observe/requestid.ts';
import { admit, problemOf } from './admission.ts';
import { parseBody, requireJson } from './body.ts';
import { receive, together } from './bodybytes.ts';
import { type Caller, type Listener, refuseForeign } from './callers.ts';
import { checkRoute } from './check.ts';
import type { AppDeps } from './deps.ts';
import { type HeaderLookup, plainHeaders } from './headers.ts';
import type { JsonRoute } from './jsonroute.ts';
import type { ProblemCode } from './problem.ts';
import { headersOfReply, type Reply } from './reply.ts';
import { verifyRoute } from './verify.ts';

/** Answers the request and says true, or leaves it alone and says false. Never throws. */
export type Direct = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  listener: Listener,
) => boolean;

/** The short way of an app with the same `deps`. */
export function makeDirect(deps: AppDeps): Direct {
  return (incoming, outgoing, listener) => {
    const { method, url } = incoming;
    const route = method === 'POST' ? ROUTES.get(url ?? '') : undefined;
    if (route === undefined) return false;
    const headers = plainHeaders(incoming);
    // What Hono would not make a URL of is its to refuse.
    if (headers === undefined || !HOST.test(headers.get('host') ?? '')) return false;
    new Exchange(deps, url!, outgoing).run(route, incoming, headers, listener);
    return true;
  };
}

/** One request and its answer. */
class Exchange {
  readonly #deps: AppDeps;
  readonly #path: string;
  readonly #outgoing: ServerResponse;
  readonly #startedMs = performance.now();
  #requestId = '';

  constructor(deps: AppDeps, path: string, outgoing: ServerResponse) {
    this.#deps = deps;
    this.#path = path;
    this.#outgoing = outgoing;
  }

  run(
    route: JsonRoute,
    incoming: IncomingMessage,
    headers: HeaderLookup,
    listener: Listener,
  ): void {
    const deps = this.#deps;
    this.#requestId = requestIdOf(headers.get(REQUEST_ID_HEADER), deps.state.ids);
    const failed = (error: unknown): void => this.#fail(error);
    try {
      refuseForeign(headers, listener);
      const caller = admit(deps, headers, listener, this.#requestId);
      requireJson(headers);
      const whole = (pieces: Uint8Array[]): void => this.#decide(route, together(pieces), caller);
      receive(incoming, headers.get('content-length'), deps.body, whole, failed);
    } catch (error) {
      failed(error);
    }
  }

  #decide(route: JsonRoute, body: Uint8Array, caller: Caller): void {
    try {
      const reply = route.decide(parseBody(body, route.field), caller, this.#deps);
      if (!('then' in reply)) this.#finish(reply, undefined);
      else {
        reply
          .then((later) => this.#finish(later, undefined))
          .catch((error: unknown) => this.#fail(error));
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    try {
      const problem = problemOf(error, this.#deps, this.#requestId);
      this.#finish(problem.toReply(), problem.code);
    } catch {
      // A log or an observer that throws costs this connection; out of an event, all of them.
      this.#outgoing.destroy();
    }
  }

  #finish(reply: Reply, problem: ProblemCode | undefined): void {
    const { state, observe } = this.#deps;
    const { status = 200, body } = reply;
    const headers = headersOfReply(reply, state.draining, this.#requestId);
    headers['content-length'] =
      `${typeof body === 'string' ? Buffer.byteLength(body) : body.length}`;
    this.#outgoing.writeHead(status, headers);
    this.#outgoing.end(body);
    observe?.request({
      requestId: this.#requestId,
      route: this.#path,
      method: 'POST',
      status,
      seconds: (performance.now() - this.#startedMs) / 1000,
      problem,
    });
  }
}

const ROUTES: ReadonlyMap<string, JsonRoute> = new Map([
  ['/v1/verify', verifyRoute],
  ['/v1/check', checkRoute],
]);
/** A name or an address, with or without a port. */
const HOST = /^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
