/**
 * The sidecar as a Hono app: a thin skin over the engine. No state of its own; the server gives
 * each request's listener (which decides the caller's rights) in the bindings.
 *
 *   foreign? (callers.ts) -> caller -> too often? (ratelimit.ts) -> route: read body, decide,
 * answer
 */

import { type Context, Hono } from 'hono';
import { StoreError } from '../errors.ts';
import { REQUEST_ID_HEADER, requestIdOf } from '../observe/requestid.ts';
import { callerOf, type Listener, refuseForeign } from './callers.ts';
import { cephxHelloRoute, cephxRequestRoute } from './cephx.ts';
import { checkRoute, releaseRoute } from './check.ts';
import { checksRoute } from './checks.ts';
import type { AppDeps, AppEnv, Bindings } from './deps.ts';
import { framesRoute } from './frames.ts';
import { headersOf } from './headers.ts';
import { livezRoute, metricsRoute, openApiRoute, readyzRoute, versionRoute } from './operations.ts';
import { Problem, type ProblemCode } from './problem.ts';
import { rateKey } from './ratelimit.ts';
import { complete, type Reply } from './reply.ts';
import { signRoute, signVerifyRoute } from './sign.ts';
import { verifyRoute } from './verify.ts';

type Route = (c: Context<AppEnv>, deps: AppDeps) => Answer | Promise<Answer>;
type Answer = Reply | Response;
/** By method. */
type Routes = Readonly<Record<string, Route>>;

/** A path and what can be asked there. */
interface Place {
  /** As it stands in the route table; what is not there has the name `unmatched`. */
  readonly path: string;
  readonly routes: Routes | undefined;
  /** Whether its routes need a caller. */
  readonly ofCaller: boolean;
}

/**
 * Makes the app. Each request must come with `{ listener }` as its bindings: without one it is
 * refused.
 *
 * @example
 * const app = createApp(deps);
 * await app.request('/livez', {}, { listener: { kind: 'unix' } });
 */
export function createApp(deps: AppDeps): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  // One handler for each path and none around it: each more would cost a promise or two.
  const add = (path: string, routes: Routes, ofCaller: boolean): void => {
    const place = { path, routes, ofCaller };
    app.all(path, (c) => serve(c, deps, place));
  };
  for (const [path, routes] of Object.entries(PUBLIC_ROUTES)) add(path, routes, false);
  for (const [path, routes] of Object.entries(CALLER_ROUTES)) add(path, routes, true);
  add('/v1/frames', { POST: framesRoute(deps) }, true);
  app.notFound((c) => serve(c, deps, NOWHERE));
  return app;
}

/** What every request goes through, and what is told of it. Never throws. */
async function serve(c: Context<AppEnv>, deps: AppDeps, place: Place): Promise<Response> {
  const started = performance.now();
  const request = c.req.raw;
  // Without bindings there is no listener, and the request is refused.
  const { listener, incoming }: Partial<Bindings> = c.env ?? {};
  const headers = headersOf(request, incoming);
  const requestId = requestIdOf(headers.get(REQUEST_ID_HEADER), deps.state.ids);
  // HEAD is asked as GET; Hono leaves the body out.
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const { routes = NO_ROUTES } = place;
  const route = Object.hasOwn(routes, method) ? routes[method] : undefined;
  let answer: Answer;
  let problem: ProblemCode | undefined;
  try {
    if (listener === undefined) throw new Error('a request without a listener');
    refuseForeign(headers, listener);
    c.set('headers', headers);
    if (route === undefined) throw unknown(place);
    if (place.ofCaller) {
      const { id, rights } = callerOf(headers, listener);
      refuseHaste(deps, id, listener);
      c.set('caller', { id, rights, requestId });
    }
    answer = await route(c, deps);
  } catch (error) {
    const found = problemOf(error, deps, requestId);
    problem = found.code;
    answer = found.toResponse();
  }
  const response = complete(answer, deps, requestId);
  deps.observe?.request({
    requestId,
    route: place.path,
    method: request.method,
    status: response.status,
    seconds: (performance.now() - started) / 1000,
    problem,
  });
  return response;
}

/** Routes that anybody on the listener may ask. */
const PUBLIC_ROUTES: Readonly<Record<string, Routes>> = {
  '/livez': { GET: livezRoute },
  '/readyz': { GET: readyzRoute },
  '/version': { GET: versionRoute },
  '/metrics': { GET: metricsRoute },
  '/openapi.json': { GET: openApiRoute },
};

/** Routes that need a caller. */
const CALLER_ROUTES: Readonly<Record<string, Routes>> = {
  '/v1/verify': { POST: verifyRoute },
  '/v1/check': { POST: checkRoute },
  '/v1/checks': { POST: checksRoute },
  '/v1/sessions/:handle/release': { POST: releaseRoute },
  '/v1/sign': { POST: signRoute },
  '/v1/sign/verify': { POST: signVerifyRoute },
  '/v1/cephx/hello': { POST: cephxHelloRoute },
  '/v1/cephx/request': { POST: cephxRequestRoute },
};

function refuseHaste({ state, clock }: AppDeps, caller: string, listener: Listener): void {
  if (state.rates.limit === undefined) return;
  const remote = listener.kind === 'tcp' ? listener.remote : undefined;
  const seconds = state.rates.take(rateKey(caller, remote), clock());
  if (seconds === 0) return;
  const headers = { 'retry-after': `${seconds}` };
  throw new Problem('rate.limited', 'this caller asks more often than it may', headers);
}

/** No such place, or no such method there. */
function unknown({ routes }: Place): Problem {
  if (routes === undefined) return new Problem('route.unknown', 'no such route');
  const methods = Object.keys(routes);
  const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  const headers = { allow: allow.join(', ') };
  return new Problem('method.not_allowed', 'this route does not know the method', headers);
}

function problemOf(error: unknown, deps: AppDeps, requestId: string): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StoreError) {
    deps.log({ level: 'error', event: 'store', request_id: requestId, message: error.message });
    return new Problem('store.unavailable', 'the store did not answer as it should');
  }
  // The message stays here: it may speak of our files and state.
  const { name, message } = error instanceof Error ? error : { name: 'unknown', message: '' };
  deps.log({ level: 'error', event: 'error', request_id: requestId, name, message });
  return new Problem('internal', 'the request could not be processed');
}

const NOWHERE: Place = { path: 'unmatched', routes: undefined, ofCaller: false };
const NO_ROUTES: Routes = {};
