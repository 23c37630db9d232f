/**
 * The sidecar as a Hono app: a thin skin over the engine. No state of its own; the server gives
 * each request's listener (which decides the caller's rights) in the bindings.
 *
 *   foreign? (callers.ts) -> caller, too often? (admission.ts) -> route: read body, decide, answer
 */

import { type Context, Hono } from 'hono';
import { REQUEST_ID_HEADER, requestIdOf } from '../observe/requestid.ts';
import { admit, problemOf } from './admission.ts';
import { refuseForeign } from './callers.ts';
import { cephxHelloRoute, cephxRequestRoute } from './cephx.ts';
import { checkByUrlRoute, releaseRoute } from './check.ts';
import { checksRoute } from './checks.ts';
import type { AppDeps, AppEnv, Bindings } from './deps.ts';
import { framesRoute } from './frames.ts';
import { headersOf } from './headers.ts';
import { byHono } from './jsonroute.ts';
import { livezRoute, metricsRoute, openApiRoute, readyzRoute, versionRoute } from './operations.ts';
import { Problem, type ProblemCode } from './problem.ts';
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
    if (place.ofCaller) c.set('caller', admit(deps, headers, listener, requestId));
    answer = await route(c, deps);
  } catch (error) {
    const found = problemOf(error, deps, requestId);
    problem = found.code;
    answer = found.toReply();
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
  '/v1/verify': { POST: byHono(verifyRoute) },
  '/v1/check': { POST: checkByUrlRoute },
  '/v1/checks': { POST: checksRoute },
  '/v1/sessions/:handle/release': { POST: releaseRoute },
  '/v1/sign': { POST: signRoute },
  '/v1/sign/verify': { POST: signVerifyRoute },
  '/v1/cephx/hello': { POST: cephxHelloRoute },
  '/v1/cephx/request': { POST: cephxRequestRoute },
};

/** No such place, or no such method there. */
function unknown({ routes }: Place): Problem {
  if (routes === undefined) return new Problem('route.unknown', 'no such route');
  const methods = Object.keys(routes);
  const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  const headers = { allow: allow.join(', ') };
  return new Problem('method.not_allowed', 'this route does not know the method', headers);
}

const NOWHERE: Place = { path: 'unmatched', routes: undefined, ofCaller: false };
const NO_ROUTES: Routes = {};
