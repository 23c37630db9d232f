/**
 * The short way to what a node asks for each request of its clients, POST /v1/verify, /v1/check and
 * /v1/frames, on Node: without the web's Request and Response, and nothing is awaited that is there
 * already. Whatever is not plainly such a request goes the long way by Hono (app.ts); all give the
 * same answers.
 *
 *   connection -> one plain request after the other? (plainconnections.ts) -> direct.plain
 *              -> else Node's HTTP server -> plainly one of the three? -> direct.request, else Hono
 */

import { Buffer } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { REQUEST_ID_HEADER, requestIdOf } from '../observe/requestid.ts';
import { admit, problemOf } from './admission.ts';
import { parseBody, requireJson } from './body.ts';
import { incomplete, receive, refuseLong, together } from './bodybytes.ts';
import { type Caller, type Listener, refuseForeign } from './callers.ts';
import { checkRoute } from './check.ts';
import type { AppDeps } from './deps.ts';
import { framesOf } from './frames.ts';
import { type HeaderLookup, plainHeaders } from './headers.ts';
import type { JsonRoute } from './jsonroute.ts';
import type { PlainRequest } from './plainrequest.ts';
import type { ProblemCode } from './problem.ts';
import { headersOfReply, type Reply } from './reply.ts';
import { verifyRoute } from './verify.ts';

/** Each answers the request and says true, or leaves it alone and says false. Never throws. */
export interface Direct {
  /** A request of Node's HTTP server, whose body may still be on its way. */
  request(incoming: IncomingMessage, outgoing: ServerResponse, listener: Listener): boolean;
  /** Whether `plain` will take a request there with a body of so many bytes. */
  waits(path: string, length: number): boolean;
  /** A request that is there as a whole, unless its client has gone. */
  plain(request: PlainRequest, outgoing: Outgoing, listener: Listener): boolean;
}

/** What an answer goes out by. */
export interface Outgoing {
  /** Sends it, to nobody where the client has gone. Throws for the second one of a request. */
  send(answer: Answer): void;
  destroy(): void;
}

/** A whole answer. */
export interface Answer {
  readonly status: number;
  /** The length of the body is among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** Called when `body` has gone out, or will not any more. */
  readonly done: (() => void) | undefined;
}

/** A route that takes its body as bytes. */
export interface DirectRoute {
  /** Throws Problem `body.content_type`. */
  requireType(headers: HeaderLookup): void;
  /** As JsonRoute.decide. */
  decide(pieces: readonly Uint8Array[], caller: Caller, deps: AppDeps): Reply | Promise<Reply>;
}

/** The short way of an app with the same `deps`. */
export function makeDirect(deps: AppDeps): Direct {
  const routes: ReadonlyMap<string, DirectRoute> = new Map([
    ['/v1/verify', ofJson(verifyRoute)],
    ['/v1/check', ofJson(checkRoute)],
    ['/v1/frames', framesOf(deps).direct],
  ]);
  return {
    waits: (path, length) => routes.has(path) && length <= deps.body.lenMax,
    request(incoming, outgoing, listener) {
      const { method, url = '' } = incoming;
      const route = method === 'POST' ? routes.get(url) : undefined;
      if (route === undefined) return false;
      const headers = plainHeaders(incoming);
      if (headers === undefined || !isHost(headers)) return false;
      const out = new NodeOutgoing(outgoing);
      const exchange = new Exchange(deps, url, out, performance.now());
      exchange.receive(route, incoming, headers, listener);
      return true;
    },
    plain({ path, headers, pieces, missing, startedMs }, outgoing, listener) {
      const route = routes.get(path);
      if (route === undefined || !isHost(headers)) return false;
      const exchange = new Exchange(deps, path, outgoing, startedMs);
      exchange.take(route, missing > 0 ? undefined : pieces, headers, listener);
      return true;
    },
  };
}

function ofJson({ field, decide }: JsonRoute): DirectRoute {
  return {
    requireType: requireJson,
    decide: (pieces, caller, deps) => decide(parseBody(together(pieces), field), caller, deps),
  };
}

/** What Hono would not make a URL of is its to refuse. */
function isHost(headers: HeaderLookup): boolean {
  return HOST.test(headers.get('host') ?? '');
}

class NodeOutgoing implements Outgoing {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  send({ status, headers, body, done }: Answer): void {
    this.#response.writeHead(status, headers);
    if (done !== undefined) this.#response.once('close', done);
    this.#response.end(body);
  }

  destroy(): void {
    this.#response.destroy();
  }
}

/** One request and its answer. */
class Exchange {
  readonly #deps: AppDeps;
  readonly #path: string;
  readonly #outgoing: Outgoing;
  readonly #startedMs: number;
  #requestId = '';

  /** @param startedMs when the request began, by performance.now() */
  constructor(deps: AppDeps, path: string, outgoing: Outgoing, startedMs: number) {
    this.#startedMs = startedMs;
    this.#deps = deps;
    this.#path = path;
    this.#outgoing = outgoing;
  }

  /** Reads the body and answers. */
  receive(
    route: DirectRoute,
    incoming: IncomingMessage,
    headers: HeaderLookup,
    listener: Listener,
  ): void {
    const failed = (error: unknown): void => this.#fail(error);
    try {
      const caller = this.#admit(route, headers, listener);
      const whole = (pieces: Uint8Array[]): void => this.#decide(route, pieces, caller);
      receive(incoming, headers.get('content-length'), this.#deps.body, whole, failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Answers a request whose body is there; without one its client has gone. */
  take(
    route: DirectRoute,
    pieces: readonly Uint8Array[] | undefined,
    headers: HeaderLookup,
    listener: Listener,
  ): void {
    try {
      const caller = this.#admit(route, headers, listener);
      refuseLong(headers.get('content-length'), this.#deps.body);
      if (pieces === undefined) throw incomplete();
      this.#decide(route, pieces, caller);
    } catch (error) {
      this.#fail(error);
    }
  }

  #admit(route: DirectRoute, headers: HeaderLookup, listener: Listener): Caller {
    this.#requestId = requestIdOf(headers.get(REQUEST_ID_HEADER), this.#deps.state.ids);
    refuseForeign(headers, listener);
    const caller = admit(this.#deps, headers, listener, this.#requestId);
    route.requireType(headers);
    return caller;
  }

  #decide(route: DirectRoute, pieces: readonly Uint8Array[], caller: Caller): void {
    try {
      const reply = route.decide(pieces, caller, this.#deps);
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
    const { status = 200, body, done } = reply;
    const headers = headersOfReply(reply, state.draining, this.#requestId);
    headers['content-length'] =
      `${typeof body === 'string' ? Buffer.byteLength(body) : body.length}`;
    this.#outgoing.send({ status, headers, body, done });
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

/** A name or an address, with or without a port. */
const HOST = /^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
