/**
 * A route that is asked with one JSON document and decides on it, whichever way that comes: by
 * Hono, or on Node by the short way of direct.ts.
 */

import type { Context } from 'hono';
import { type Field, readBody } from './body.ts';
import { sent } from './bodybytes.ts';
import type { Caller } from './callers.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import type { Reply } from './reply.ts';

export interface JsonRoute {
  readonly field: Field<unknown>;
  /**
   * @param request what `field` has read
   * @returns a promise only where something has to be waited for: one for each request would cost
   * as much as the decision
   * @throws Problem, with which the promise may be rejected too
   */
  decide(request: unknown, caller: Caller, deps: AppDeps): Reply | Promise<Reply>;
}

/** The route for Hono. */
export function byHono(route: JsonRoute): (c: Context<AppEnv>, deps: AppDeps) => Promise<Reply> {
  return async (c, deps) =>
    await route.decide(await readBody(sent(c), route.field, deps.body), c.get('caller'), deps);
}
