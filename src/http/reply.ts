/**
 * Answers with the headers that every answer has. A route gives what it answers as a Reply, or as
 * a Response that is not complete yet; the headers go into the Response as it is made, since set
 * on it afterwards they cost as much as the whole of the decision.
 */

import { REQUEST_ID_HEADER } from '../observe/requestid.ts';
import type { AppDeps } from './deps.ts';

/** An answer that nothing has to be added to but what every answer has. */
export interface Reply {
  /** Without it 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Content type. */
  readonly type: string;
  readonly body: string | Uint8Array<ArrayBuffer>;
  /** Called where it can be seen that the body is out: its bytes may be used again. */
  readonly done?: () => void;
}

/** The whole answer. */
export function complete(
  given: Reply | Response,
  { state }: Pick<AppDeps, 'state'>,
  requestId: string,
): Response {
  if ('ok' in given) return completed(given, state.draining, requestId);
  const { status = 200, body } = given;
  return new Response(body, { status, headers: headersOfReply(given, state.draining, requestId) });
}

/** All headers of a reply but its length, names in lower case. */
export function headersOfReply(
  { type, headers: own }: Reply,
  draining: boolean,
  requestId: string,
): Record<string, string> {
  // Answers are about secrets: nobody keeps them, nobody guesses what they are.
  const headers: Record<string, string> = {
    'content-type': type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    [REQUEST_ID_HEADER]: requestId,
  };
  if (own !== undefined) Object.assign(headers, own);
  // So that connections that are kept alive do not outlast us.
  if (draining) headers.connection = 'close';
  return headers;
}

function completed(response: Response, draining: boolean, requestId: string): Response {
  const { headers } = response;
  headers.set('cache-control', 'no-store');
  headers.set('x-content-type-options', 'nosniff');
  headers.set(REQUEST_ID_HEADER, requestId);
  if (draining) headers.set('connection', 'close');
  return response;
}

export const JSON_TYPE = 'application/json';
