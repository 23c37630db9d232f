/**
 * The id that ties a request to its log lines: the caller's own if it is one, else a random one.
 */

import { encodeHex } from '../http/codec.ts';

/** Header of the request and of the answer. */
export const REQUEST_ID_HEADER = 'cephgate-request-id';

/** @param given the header's value, if there is one */
export function requestIdOf(given: string | null, random: (n: number) => Uint8Array): string {
  // Anything else would let a caller write what it likes into our logs.
  if (given !== null && /^[A-Za-z0-9._-]{1,64}$/.test(given)) return given;
  return encodeHex(random(ID_LEN));
}

const ID_LEN = 12;
