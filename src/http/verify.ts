/**
 * POST /v1/verify: who is this? (interface section 3.1)
 *
 *   request -> how fresh must it be? (freshness.ts) -> engine.verify -> answer by what was proved
 *
 * A caller with `accept` gets replies and sessions, and only for an authorizer that answered a
 * challenge, or whose receipt says that it did. A caller with only `verify` gets a bare verdict.
 */

import { AUTHORIZER_LEN_MAX, INFO_CAPS_DECODED, INFO_CAPS_PRESENT } from '../../assembly/abi.ts';
import { formatEntityName } from '../cephx/protocol.ts';
import type { Verdict } from '../engine/verdict.ts';
import { base64, type Field, flag, object, optional, type ShapeOf, text, u64 } from './body.ts';
import { type Caller, requireRight } from './callers.ts';
import { encodeBase64, formatUtime } from './codec.ts';
import { answer, type Decision, denial, reasonOf } from './decision.ts';
import type { AppDeps } from './deps.ts';
import { peer, service } from './fields.ts';
import {
  bindingOf,
  challengeOf,
  type Freshness,
  type FreshnessRequest,
  freshnessOf,
} from './freshness.ts';
import type { JsonRoute } from './jsonroute.ts';
import { ERRNO_VERIFY } from './reasons.ts';
import type { Reply } from './reply.ts';
import { deniesAll, STALE_CHECK, tooOld } from './staleness.ts';
import { makeReceipt } from './tokens.ts';

const TOKEN_LEN_MAX = 512;

const SHAPE = {
  service,
  // Longer ones are a denial, not an error: the bytes come from the network.
  authorizer: base64(0, 1_048_576),
  peer: optional(peer),
  connection: optional(text(1, 64)),
  challenge_state: optional(text(1, TOKEN_LEN_MAX)),
  expected_challenge: optional(u64),
  receipt: optional(text(1, TOKEN_LEN_MAX)),
  secure: optional(flag),
  allow_unchallenged_verdict: optional(flag),
  min_snapshot: optional(u64),
};
type Request = ShapeOf<typeof SHAPE>;
const readRequest = object(SHAPE);
/** What a request may hold. */
export const verifyRequest: Field<unknown> = readRequest;

export const verifyRoute: JsonRoute = {
  field: readRequest,
  decide(request: Request, caller, deps) {
    requireRight(caller, 'verify', 'this call');
    if (request.secure === true) requireRight(caller, 'accept', '"secure": true');
    const { authorizer, min_snapshot: least } = request;
    if (authorizer.length > AUTHORIZER_LEN_MAX) {
      return refused(deps, caller, request, 'limit.exceeded', 'limit');
    }
    const verified = (old: boolean): Reply | Promise<Reply> =>
      old
        ? refused(deps, caller, request, 'store.stale', STALE_CHECK)
        : verify(deps, caller, request);
    return least === undefined ? verified(deniesAll(deps)) : tooOld(deps, least).then(verified);
  },
};

function refused(
  deps: AppDeps,
  caller: Caller,
  { service }: Request,
  code: 'limit.exceeded' | 'store.stale',
  check: string,
): Reply {
  const context = { call: CALL, caller, service: service.name, check };
  return answer(deps, denial(code, ERRNO_VERIFY), context);
}

function verify(deps: AppDeps, caller: Caller, request: Request): Reply | Promise<Reply> {
  const { authorizer, service } = request;
  const nowNs = deps.clock();
  deps.ring.advance(nowNs);
  const freshness = freshnessOf(deps, caller, service.id, request, nowNs);
  const judged = (): Verdict => judge(deps, caller, request, freshness, nowNs);
  const answered = (verdict: Verdict): Reply => {
    const decision = decide(deps, caller, request, freshness, verdict, nowNs);
    const byToken = freshness.kind === 'refused' && verdict.reason === CHALLENGE_REQUIRED;
    const check = byToken ? `sidecar.${freshness.why}` : verdict.check;
    const context = { call: CALL, caller, service: service.name, check, verdict, authorizer };
    return answer(deps, decision, context);
  };
  const verdict = judged();
  const caughtUp = verdict.reason === SECRET_UNKNOWN && deps.ring.catchUp?.(authorizer);
  if (caughtUp === false || caughtUp === undefined) return answered(verdict);
  return caughtUp.then((isNewer) => answered(isNewer ? judged() : verdict));
}

function judge(
  deps: AppDeps,
  caller: Caller,
  request: Request,
  freshness: Freshness,
  nowNs: bigint,
): Verdict {
  const accept = caller.rights.has('accept');
  const { kind } = freshness;
  const secure = accept && kind === 'issued' && request.secure === true;
  return deps.engine.verify(
    {
      service: request.service.id,
      authorizer: request.authorizer,
      challenge: challengeOf(freshness),
      peer: request.peer,
      reply: accept && (kind === 'required' || kind === 'issued'),
      session: accept && (kind === 'issued' || kind === 'receipt'),
      secure,
      secrets: secure,
    },
    { nowNs, policy: deps.policy },
  );
}

function decide(
  deps: AppDeps,
  caller: Caller,
  request: Request,
  freshness: Freshness,
  verdict: Verdict,
  nowNs: bigint,
): Decision {
  const { kind } = freshness;
  if (verdict.decision) {
    // Fail closed should core and sidecar ever disagree on what a challenge is.
    if (kind === 'required' || kind === 'refused') throw new Error('accepted without a challenge');
    const handedOut = caller.rights.has('accept') && kind !== 'none';
    const proved = granted(request, freshness, verdict);
    if (!handedOut) return proved;
    return Object.assign(proved, accepted(deps, caller, request, freshness, verdict, nowNs));
  }
  const { reason } = verdict;
  if (reason !== CHALLENGE_REQUIRED) return denial(reason, ERRNO_VERIFY);
  if (kind === 'refused') return denial(freshness.reason, ERRNO_VERIFY);
  if (kind !== 'required' || verdict.reply === undefined) return denial(reason, ERRNO_VERIFY);
  return {
    ...denial(reason, ERRNO_VERIFY),
    challenge: encodeBase64(verdict.reply),
    challenge_state: freshness.state,
  };
}

/** What was proved, for every caller. */
function granted(request: Request, freshness: Freshness, verdict: Verdict): Decision {
  const { info } = verdict;
  const undecodable = (info & INFO_CAPS_PRESENT) !== 0 && (info & INFO_CAPS_DECODED) === 0;
  return {
    decision: true,
    authenticated: true,
    freshness: FRESHNESS_NAMES[freshness.kind],
    reason: reasonOf('ok'),
    entity: formatEntityName({ type: verdict.entityType, id: verdict.entityId }),
    global_id: verdict.globalId.toString(),
    service: request.service.name,
    caps: undecodable ? null : verdict.caps,
    allow_all: verdict.allowAll,
    created: formatUtime(verdict.created),
    expires: formatUtime(verdict.expires),
    expired: verdict.expired,
    secret_id: verdict.secretId.toString(),
    ticket_key_type: verdict.ticketKeyType,
    session_key_type: verdict.sessionKeyType,
    integrity: verdict.integrity,
  };
}

/** What makes a caller the service: reply, connection secret, session, receipt. */
function accepted(
  deps: AppDeps,
  caller: Caller,
  request: Request,
  freshness: Freshness,
  verdict: Verdict,
  nowNs: bigint,
): Readonly<Record<string, unknown>> {
  const answeredNs = freshness.kind === 'receipt' ? freshness.answeredNs : nowNs;
  const { handle, evicted } = deps.state.sessions.add({
    core: verdict.handle,
    caller: caller.id,
    service: request.service.id,
    caps: verdict.caps,
    answeredNs,
  });
  if (evicted !== undefined) deps.engine.sessionRelease(evicted);
  const { secrets } = verdict;
  const out = {
    reply: verdict.reply === undefined ? undefined : encodeBase64(verdict.reply),
    connection_secret:
      secrets?.connectionSecret === undefined ? undefined : encodeBase64(secrets.connectionSecret),
    session: handle,
    receipt: receiptOf(deps, caller, request.service.id, request, freshness, answeredNs),
  };
  secrets?.sessionKey.fill(0);
  secrets?.connectionSecret?.fill(0);
  return out;
}

/** A receipt for this connection; none for a connection that the caller did not name. */
export function receiptOf(
  deps: AppDeps,
  caller: Caller,
  service: number,
  request: FreshnessRequest,
  freshness: Freshness,
  answeredNs: bigint,
): string | undefined {
  if (request.connection === undefined) return undefined;
  if (freshness.kind !== 'issued' && freshness.kind !== 'receipt') return undefined;
  const binding = bindingOf(caller, service, request);
  if (binding === undefined) return undefined;
  return makeReceipt(deps.engine, deps.state.keys, binding, { mode: freshness.mode, answeredNs });
}

const CALL = 'verify';
const CHALLENGE_REQUIRED = 'authorizer.challenge_required';
const SECRET_UNKNOWN = 'authorizer.secret_unknown';
const FRESHNESS_NAMES: Readonly<Record<Freshness['kind'], string>> = {
  none: 'none',
  issued: 'challenge',
  receipt: 'receipt',
  required: 'none',
  refused: 'none',
};
