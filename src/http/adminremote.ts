/**
 * Administration over TCP (interface section 5): who calls proves it by cephx, once, and signs each
 * request with a key of that session.
 *
 *   signature -> session -> body's digest -> sequence number -> mon caps now -> route -> signed
 *
 * A request that does not come as far as the route is answered without a signature: what is signed
 * is the outcome of the request that was signed, and a copy of it that is refused is not that.
 */

import type { Context, MiddlewareHandler } from 'hono';
import { ENTITY_TYPE_MON } from '../../assembly/abi.ts';
import { callerNow } from '../auth/callers.ts';
import { utimeNs } from '../cephx/denc.ts';
import { formatEntityName } from '../cephx/protocol.ts';
import type { ReasonCode } from '../engine/codes.ts';
import type { AdminDeps, AdminEnv } from './admin.ts';
import { AdminProblem } from './adminproblem.ts';
import type { AdminKeys, AdminSession, AdminSessions } from './adminsessions.ts';
import { base64, object, optional, readBody, text } from './body.ts';
import { readBytes } from './bodybytes.ts';
import type { Caller } from './callers.ts';
import { encodeBase64, formatTime, parseAddress, parseU64 } from './codec.ts';
import { denial, reasonOf } from './decision.ts';
import type { AppDeps } from './deps.ts';
import { challengeOf, type Freshness, freshnessOf } from './freshness.ts';
import { Problem } from './problem.ts';
import { type RateLimiter, rateKey } from './ratelimit.ts';
import { ERRNO_VERIFY } from './reasons.ts';
import {
  contentDigest,
  digestMatches,
  type ReadSignature,
  readRequestSignature,
  requestMatches,
  SIGNED_HEADERS,
  type SignedRequest,
  signResponse,
} from './signature.ts';

/** What callers elsewhere need besides. */
export interface RemoteAdmin {
  readonly sessions: AdminSessions;
  /** For challenges; its state is not that of the other listeners. */
  readonly verify: Pick<
    AppDeps,
    'engine' | 'ring' | 'state' | 'policy' | 'random' | 'allowUnchallengedVerdict'
  >;
  /** By address: there is nobody to name before the proof. */
  readonly rates: RateLimiter;
  readonly tls: boolean;
}

/**
 * POST /v1/admin/session: `{authorizer, challenge_state}`. First a challenge, then the service's
 * own proof in `reply` and the handle in `session`.
 */
export async function sessionRoute(
  c: Context<AdminEnv>,
  deps: AdminDeps,
  remote: RemoteAdmin,
): Promise<Response> {
  refuseHaste(c, deps, remote);
  const limits = { ...deps.body, lenMax: SESSION_LEN_MAX };
  const { authorizer, challenge_state } = await readBody(c.req, SESSION_BODY, limits);
  const nowNs = deps.command.clock();
  const { verify, sessions } = remote;
  verify.ring.advance(nowNs);
  const request = { authorizer, challenge_state, ...NO_OTHER_WAY };
  const caller = { ...ANYBODY, id: `admin ${remoteOf(c) ?? ''}` };
  const freshness = freshnessOf(verify as AppDeps, caller, ENTITY_TYPE_MON, request, nowNs);
  const isIssued = freshness.kind === 'issued';
  const judge = () =>
    verify.engine.verify(
      {
        service: ENTITY_TYPE_MON,
        authorizer,
        challenge: challengeOf(freshness),
        reply: isIssued || freshness.kind === 'required',
        session: isIssued,
      },
      { nowNs, policy: verify.policy },
    );
  let verdict = judge();
  if (verdict.reason === SECRET_UNKNOWN && (await verify.ring.catchUp?.(authorizer))) {
    verdict = judge();
  }
  const { reply } = verdict;
  if (!verdict.decision || !isIssued || reply === undefined) {
    deps.log({ event: 'admin_session', check: verdict.check });
    return c.json(refusal(freshness, verdict.reason, reply));
  }
  const name = { type: verdict.entityType, id: verdict.entityId };
  const expiresNs = utimeNs(verdict.expires);
  const { handle } = sessions.add(verdict.handle, name, expiresNs, nowNs);
  const entity = formatEntityName(name);
  deps.log({ event: 'admin_session', entity });
  return c.json({
    ...{ decision: true, authenticated: true, reason: reasonOf('ok'), entity },
    global_id: verdict.globalId.toString(),
    expires: formatTime(expiresNs),
    reply: encodeBase64(reply),
    session: handle,
  });
}

/** With the challenge, where one is asked for. */
function refusal(
  freshness: Freshness,
  reason: ReasonCode,
  challenge: Uint8Array | undefined,
): Readonly<Record<string, unknown>> {
  if (reason !== 'authorizer.challenge_required') return denial(reason, ERRNO_VERIFY);
  if (freshness.kind === 'refused') return denial(freshness.reason, ERRNO_VERIFY);
  const denied = denial(reason, ERRNO_VERIFY);
  if (freshness.kind !== 'required' || challenge === undefined) return denied;
  const { state } = freshness;
  return { ...denied, challenge: encodeBase64(challenge), challenge_state: state };
}

/** Lets through what is signed, as its caller, and signs what comes of it. */
export function signedOnly(deps: AdminDeps, remote: RemoteAdmin): MiddlewareHandler<AdminEnv> {
  return async (c, next) => {
    const { session, keys, signature } = await authenticated(c, deps, remote);
    const peer = remoteOf(c);
    const address = peer === undefined ? undefined : parseAddress(peer.replace(/^::ffff:/, ''));
    const caller = await callerNow(deps.command, session.name, address);
    c.set('caller', caller ?? { name: session.name, monCaps: '', peer: address });
    await next();
    const body = new Uint8Array(await c.res.arrayBuffer());
    const headers = new Headers(c.res.headers);
    // It is signed, and so has to be there.
    if (!headers.has('content-type')) headers.set('content-type', 'application/json');
    headers.set('content-digest', contentDigest(body));
    const { status } = c.res;
    const by = { keyid: session.handle, created: secondsOf(deps) };
    signResponse(keys.response, { status, headers }, signature, by);
    keys.response.fill(0);
    c.res = undefined;
    c.res = new Response(body.length === 0 ? null : body, { status, headers });
  };
}

/** Throws AdminProblem `signature.invalid`, whatever it is that is wrong. */
async function authenticated(
  c: Context<AdminEnv>,
  deps: AdminDeps,
  remote: RemoteAdmin,
): Promise<{ session: AdminSession; keys: AdminKeys; signature: ReadSignature }> {
  const { headers } = c.req.raw;
  const nowNs = deps.command.clock();
  const signature = readRequestSignature(headers);
  if (signature === undefined) throw invalid(c, deps, remote, 'profile');
  const found = remote.sessions.find(signature.keyid, nowNs);
  if (found === undefined) throw invalid(c, deps, remote, 'session');
  const { session, keys } = found;
  const seq = parseU64(headers.get('cephgate-seq') ?? '');
  const whole = SIGNED_HEADERS.every((name) => headers.has(name));
  const matches = requestMatches(keys.request, signedPartsOf(c, remote), signature);
  keys.request.fill(0);
  if (!matches || !whole || seq === undefined) throw invalid(c, deps, remote, 'signature');
  const age = secondsOf(deps) - signature.created;
  if (Math.abs(age) > CREATED_SKEW) throw invalid(c, deps, remote, 'created');
  // Only now: nobody else can make us read this much.
  const body = await readBytes(c.req, deps.body);
  if (!digestMatches(headers, body)) throw invalid(c, deps, remote, 'digest');
  // The last thing, and nothing is awaited after it: of two copies one comes through.
  if (!session.seen.take(seq)) throw invalid(c, deps, remote, 'sequence');
  remote.sessions.used(session, nowNs);
  c.req.raw = withBody(c.req.raw, body);
  return { session, keys, signature };
}

function signedPartsOf(c: Context<AdminEnv>, { tls }: RemoteAdmin): SignedRequest {
  const { raw } = c.req;
  const { pathname, search } = new URL(raw.url);
  const host = (raw.headers.get('host') ?? '').toLowerCase();
  return {
    method: raw.method,
    authority: host.replace(tls ? /:443$/ : /:80$/, ''),
    path: pathname,
    query: search === '' ? '?' : search,
    headers: raw.headers,
  };
}

function invalid(
  c: Context<AdminEnv>,
  deps: AdminDeps,
  remote: RemoteAdmin,
  check: string,
): AdminProblem | Problem {
  refuseHaste(c, deps, remote);
  deps.log({ level: 'warning', event: 'admin_refused', check, remote: remoteOf(c) });
  return new AdminProblem('signature.invalid', 'the request is not signed as it has to be');
}

function refuseHaste(c: Context<AdminEnv>, deps: AdminDeps, { rates }: RemoteAdmin): void {
  const seconds = rates.take(rateKey('tcp', remoteOf(c)), deps.command.clock());
  if (seconds === 0) return;
  const headers = { 'retry-after': `${seconds}` };
  throw new Problem('rate.limited', 'this caller asks more often than it may', headers);
}

function remoteOf(c: Context<AdminEnv>): string | undefined {
  const { listener } = c.env;
  return listener.kind === 'tcp' ? listener.remote : undefined;
}

function withBody(request: Request, body: Uint8Array): Request {
  const { method, url, headers } = request;
  const hasBody = body.length > 0 && method !== 'GET' && method !== 'HEAD';
  const bytes = body as Uint8Array<ArrayBuffer>;
  return new Request(url, { method, headers, ...(hasBody && { body: bytes }) });
}

function secondsOf(deps: AdminDeps): number {
  return Number(deps.command.clock() / 1_000_000_000n);
}

const SESSION_BODY = object({
  // Longer ones are a denial, not an error: the bytes come from the network.
  authorizer: base64(0, 65_536),
  challenge_state: optional(text(1, 512)),
});
const SECRET_UNKNOWN = 'authorizer.secret_unknown';
const SESSION_LEN_MAX = 131_072;
const CREATED_SKEW = 300;
/** Who proves a ticket gets the reply: that is what is asked for here. */
const ANYBODY: Omit<Caller, 'id'> = { rights: new Set(['verify', 'accept']) };
const NO_OTHER_WAY = {
  peer: undefined,
  connection: undefined,
  expected_challenge: undefined,
  receipt: undefined,
  allow_unchallenged_verdict: undefined,
};
