/**
 * The sidecar as a Hono app: a thin skin over the engine. No state of its own; the server gives
 * each request's listener (which decides the caller's rights) in the bindings.
 *
 *   foreign? (callers.ts) -> caller -> too often? (ratelimit.ts) -> route: read body, decide,
 * answer
 */

import { type Context, Hono } from 'hono';
import { StoreError } from '../errors.ts';
import { observed } from '../observe/middleware.ts';
import { readFrom } from './bodybytes.ts';
import { type Caller, callerOf, type Listener, refuseForeign } from './callers.ts';
import { cephxHelloRoute, cephxRequestRoute } from './cephx.ts';
import { checkRoute, releaseRoute } from './check.ts';
import { checksRoute } from './checks.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import { framesRoute } from './frames.ts';
import { livezRoute, metricsRoute, openApiRoute, readyzRoute, versionRoute } from './operations.ts';
import { Problem } from './problem.ts';
import { rateKey } from './ratelimit.ts';
import { complete, isWhole } from './reply.ts';
import { signRoute, signVerifyRoute } from './sign.ts';
import { verifyRoute } from './verify.ts';

type Route = (c: Context<AppEnv>, deps: AppDeps) => Response | Promise<Response>;

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
  app.use('*', observed(deps));
  app.use('*', async (c, next) => {
    await next();
    if (!isWhole(c.res)) complete(c.res, deps);
  });
  app.use('*', async (c, next) => {
    refuseForeign(c.req.raw, c.env.listener);
    if (c.env.incoming !== undefined) readFrom(c.req.raw, c.env.incoming);
    await next();
  });
  for (const [path, routes] of Object.entries(PUBLIC_ROUTES)) {
    for (const [method, route] of Object.entries(routes)) {
      app.on(method, path, (c) => {
        c.set('route', path);
        return route(c, deps);
      });
    }
    app.all(path, (c) => {
      c.set('route', path);
      wrongMethod(Object.keys(routes));
    });
  }
  const frames = { '/v1/frames': { POST: framesRoute(deps) } };
  const callerRoutes: typeof CALLER_ROUTES = { ...CALLER_ROUTES, ...frames };
  for (const [path, routes] of Object.entries(callerRoutes)) {
    for (const [method, route] of Object.entries(routes)) {
      app.on(method, path, (c) => {
        c.set('route', path);
        const caller = callerOf(c.req.raw, c.env.listener);
        refuseHaste(deps, caller, c.env.listener);
        c.set('caller', { ...caller, requestId: c.get('requestId') });
        return route(c, deps);
      });
    }
    app.all(path, (c) => {
      c.set('route', path);
      wrongMethod(Object.keys(routes));
    });
  }
  app.notFound((c) => {
    c.set('problem', 'route.unknown');
    return new Problem('route.unknown', 'no such route').toResponse();
  });
  app.onError((error, c) => {
    const problem = problemOf(error, deps, c.get('requestId'));
    c.set('problem', problem.code);
    return problem.toResponse();
  });
  return app;
}

/** Routes that anybody on the listener may ask. */
const PUBLIC_ROUTES: Readonly<Record<string, Readonly<Record<string, Route>>>> = {
  '/livez': { GET: livezRoute },
  '/readyz': { GET: readyzRoute },
  '/version': { GET: versionRoute },
  '/metrics': { GET: metricsRoute },
  '/openapi.json': { GET: openApiRoute },
};

/** Routes that need a caller. */
const CALLER_ROUTES: Readonly<Record<string, Readonly<Record<string, Route>>>> = {
  '/v1/verify': { POST: verifyRoute },
  '/v1/check': { POST: checkRoute },
  '/v1/checks': { POST: checksRoute },
  '/v1/sessions/:handle/release': { POST: releaseRoute },
  '/v1/sign': { POST: signRoute },
  '/v1/sign/verify': { POST: signVerifyRoute },
  '/v1/cephx/hello': { POST: cephxHelloRoute },
  '/v1/cephx/request': { POST: cephxRequestRoute },
};

function refuseHaste({ state, clock }: AppDeps, caller: Caller, listener: Listener): void {
  const remote = listener.kind === 'tcp' ? listener.remote : undefined;
  const seconds = state.rates.take(rateKey(caller.id, remote), clock());
  if (seconds === 0) return;
  const headers = { 'retry-after': `${seconds}` };
  throw new Problem('rate.limited', 'this caller asks more often than it may', headers);
}

function wrongMethod(methods: readonly string[]): never {
  const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  throw new Problem('method.not_allowed', 'this route does not know the method', {
    allow: allow.join(', '),
  });
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
