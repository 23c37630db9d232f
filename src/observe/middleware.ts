/**
 * What every request has in common for those who watch: its id, its time, its outcome.
 */

import type { Context, MiddlewareHandler } from 'hono';
import type { AppDeps, AppEnv } from '../http/deps.ts';
import { isWhole } from '../http/reply.ts';
import { REQUEST_ID_HEADER, requestIdOf } from './requestid.ts';

/** Gives a request its id, and tells the observer, if there is one, what became of it. */
export function observed(deps: AppDeps): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const requestId = requestIdOf(c.req.raw.headers.get(REQUEST_ID_HEADER), deps.random);
    c.set('requestId', requestId);
    const started = performance.now();
    await next();
    if (!isWhole(c.res)) c.res.headers.set(REQUEST_ID_HEADER, requestId);
    if (deps.observe !== undefined) tell(c, deps.observe, requestId, started);
  };
}

function tell(
  c: Context<AppEnv>,
  observer: NonNullable<AppDeps['observe']>,
  requestId: string,
  started: number,
): void {
  const seconds = (performance.now() - started) / 1000;
  const { method } = c.req;
  const route = c.get('route') ?? 'unmatched';
  const status = c.res.status;
  observer.request({ requestId, route, method, status, seconds, problem: c.get('problem') });
}
