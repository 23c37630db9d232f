/** Who may ask at all, and what becomes of an error: the same for every way to a route. */

import { StoreError } from '../errors.ts';
import { type Caller, callerOf, type Listener } from './callers.ts';
import type { AppDeps } from './deps.ts';
import type { HeaderLookup } from './headers.ts';
import { Problem } from './problem.ts';
import { rateKey } from './ratelimit.ts';

/** The caller, unless he asks too often. Throws Problem. */
export function admit(
  deps: AppDeps,
  headers: HeaderLookup,
  listener: Listener,
  requestId: string,
): Caller {
  const { id, rights } = callerOf(headers, listener);
  refuseHaste(deps, id, listener);
  return { id, rights, requestId };
}

function refuseHaste({ state, clock }: AppDeps, caller: string, listener: Listener): void {
  if (state.rates.limit === undefined) return;
  const remote = listener.kind === 'tcp' ? listener.remote : undefined;
  const seconds = state.rates.take(rateKey(caller, remote), clock());
  if (seconds === 0) return;
  const headers = { 'retry-after': `${seconds}` };
  throw new Problem('rate.limited', 'this caller asks more often than it may', headers);
}

export function problemOf(error: unknown, deps: AppDeps, requestId: string): Problem {
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
