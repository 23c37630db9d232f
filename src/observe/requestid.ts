/**
 * The id that ties a request to its log lines: the caller's own if it is one, else a random one.
 */

import type { Ids } from './ids.ts';

/** Header of the request and of the answer. */
export const REQUEST_ID_HEADER = 'cephgate-request-id';

/** @param given the header's value, if there is one */
export function requestIdOf(given: string | null | undefined, ids: Ids): string {
  if (given === null || given === undefined) return ids.next();
  // Anything else would let a caller write what it likes into our logs.
  return /^[A-Za-z0-9._-]{1,64}$/.test(given) ? given : ids.next();
}
