/**
 * Answers with the headers that every answer has. Where the path is hot they are given to the
 * Response as it is made: set on it afterwards they cost as much as the whole of the decision.
 */

import { REQUEST_ID_HEADER } from '../observe/requestid.ts';
import type { AppDeps } from './deps.ts';

/** A 200 that nothing has to be added to. */
export function reply(
  { state }: Pick<AppDeps, 'state'>,
  requestId: string | undefined,
  type: string,
  body: string | Uint8Array<ArrayBuffer>,
): Response {
  const headers: Record<string, string> = { 'content-type': type, ...SHARED };
  if (requestId !== undefined) headers[REQUEST_ID_HEADER] = requestId;
  if (state.draining) headers.connection = 'close';
  const response = new Response(body, { headers });
  whole.add(response);
  return response;
}

/** Whether `reply` has made it. */
export function isWhole(response: Response): boolean {
  return whole.has(response);
}

/** Gives any other answer its headers. */
export function complete({ headers }: Response, { state }: Pick<AppDeps, 'state'>): void {
  for (const [name, value] of Object.entries(SHARED)) headers.set(name, value);
  // So that connections that are kept alive do not outlast us.
  if (state.draining) headers.set('connection', 'close');
}

export const JSON_TYPE = 'application/json';
/** Answers are about secrets: nobody keeps them, nobody guesses what they are. */
const SHARED = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;
const whole = new WeakSet<Response>();
