/**
 * POST /v1/cephx/hello and /v1/cephx/request (interface section 4): the monitor's part of cephx.
 * Bodies are cephx payloads as on the wire; what a connection and its frames hold besides is in
 * headers.
 */

import type { Context } from 'hono';
import { readBytes, sent } from './bodybytes.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import { Problem } from './problem.ts';
import { isStale } from './staleness.ts';

/** Answers a hello with a CephXServerChallenge and the token that stands for the connection. */
export async function cephxHelloRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const issuer = issuerOf(deps);
  const answer = await issuer.helloWithToken(await payloadOf(c, deps, HELLO_LEN_MAX));
  if (answer === undefined) {
    throw new Problem(
      'field.value',
      'the body is not a cephx hello: mode 10, EntityName, global_id',
    );
  }
  return reply(answer.payload, { [EXCHANGE_HEADER]: answer.token });
}

/** Answers a request; a failure of cephx is 200 with its status in the CephXResponseHeader. */
export async function cephxRequestRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const issuer = issuerOf(deps);
  const payload = await payloadOf(c, deps, REQUEST_LEN_MAX);
  const exchange = c.req.header(EXCHANGE_HEADER);
  // There is no connection whose secret could be agreed on: the empty one is sealed, as in crc
  // mode.
  const context = { connection: 'crc', source: c.get('caller').id } as const;
  const answer = await issuer.request(payload, exchange, context);
  const { globalId } = answer;
  const headers = globalId === undefined ? {} : { [GLOBAL_ID_HEADER]: globalId.toString() };
  return reply(answer.payload, headers);
}

function issuerOf(deps: AppDeps): NonNullable<AppDeps['issuer']> {
  if (deps.issuer === undefined) throw new Problem('route.unknown', 'no tickets are issued here');
  // As a monitor without a quorum: another one may have it.
  if (isStale(deps))
    throw new Problem('store.stale', 'the store is out of sight: ask another instance');
  return deps.issuer;
}

async function payloadOf(c: Context<AppEnv>, deps: AppDeps, lenMax: number): Promise<Uint8Array> {
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/octet-stream\s*$/i.test(type) || c.req.header('content-encoding')) {
    throw new Problem('body.content_type', 'the content-type is not application/octet-stream');
  }
  return readBytes(sent(c), { ...deps.body, lenMax });
}

function reply(payload: Uint8Array, headers: Readonly<Record<string, string>>): Response {
  const body = payload as Uint8Array<ArrayBuffer>;
  return new Response(body, { headers: { 'content-type': OCTETS, ...headers } });
}

/** The MAC token between hello and 0x0100, base64. */
export const EXCHANGE_HEADER = 'cephgate-exchange';
/** The global_id of a login, decimal: on the wire it is in the frame around the payload. */
export const GLOBAL_ID_HEADER = 'cephgate-global-id';
const OCTETS = 'application/octet-stream';
const HELLO_LEN_MAX = 4096;
const REQUEST_LEN_MAX = 65_536;
