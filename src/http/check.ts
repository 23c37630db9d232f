/**
 * POST /v1/check: may it? (interface section 3.2) The subject is a session; with the right
 * `explain` also a caps text or an entity, of which nothing is proved. And the end of a session:
 * POST /v1/sessions/{handle}/release.
 */

import type { Context } from 'hono';
import type { EntitySnapshot } from '../auth/entitycaps.ts';
import {
  type CapsRequest,
  check as checkGrants,
  explain as explainCaps,
  parse,
} from '../caps/index.ts';
import { formatEntityName } from '../cephx/protocol.ts';
import type { ReasonCode } from '../engine/codes.ts';
import { RecordTooLarge } from '../engine/records.ts';
import type { Address, CheckRequest } from '../engine/types.ts';
import type { Verdict } from '../engine/verdict.ts';
import { type Field, object, optional, readBody, text, u64 } from './body.ts';
import { readBytes, sent } from './bodybytes.ts';
import { type Caller, requireRight } from './callers.ts';
import { checkEntity, readEntities } from './checkentity.ts';
import { answer, type Decision, denial, type Outcome, type Reason, reasonOf } from './decision.ts';
import type { AppDeps, AppEnv } from './deps.ts';
import { explainGrants } from './explain.ts';
import {
  anyOp,
  capsService,
  checkSchema,
  peer,
  readBitOp,
  readOp,
  type Service,
} from './fields.ts';
import type { JsonRoute } from './jsonroute.ts';
import { Problem } from './problem.ts';
import { ERRNO_CHECK } from './reasons.ts';
import type { Reply } from './reply.ts';
import { described } from './schema.ts';
import type { Session } from './sessions.ts';
import { deniesAll, STALE_CHECK, tooOld } from './staleness.ts';

/** Who is asked about, and what. */
export interface Question {
  readonly session: string | undefined;
  readonly entity: string | undefined;
  readonly caps: string | undefined;
  readonly peer: Address | undefined;
  readonly op: unknown;
}

export interface CheckBody extends Question {
  readonly service: Service;
  /** What was changed up to there has to count. */
  readonly min_snapshot?: bigint | undefined;
}

/** The fields of a question; `op` is read when its service is known. */
export const QUESTION: { readonly [K in keyof Question]: Field<Question[K]> } = {
  session: optional(text(1, 128)),
  entity: optional(text(1, 900)),
  caps: optional(text(0, 1_048_576)),
  peer: optional(peer),
  op: anyOp,
};
const SHAPE = { service: capsService, ...QUESTION, min_snapshot: optional(u64) };
export const checkRequest: Field<CheckBody> = described(() => checkSchema(SHAPE), object(SHAPE));

/** What is asked, of whatever subject. */
type Asked = Omit<CheckRequest, 'handle' | 'tail'>;

/** Without `explain`, which is asked for in the URL. */
export const checkRoute: JsonRoute = {
  field: checkRequest,
  decide(request: CheckBody, caller, deps) {
    return checkOne(deps, caller, request, false);
  },
};

/** With what the URL asks for. */
export async function checkByUrlRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Reply> {
  const caller = c.get('caller');
  const explain = readExplain(c.req.raw.url);
  if (explain) requireRight(caller, 'explain', '"explain=true"');
  const request = await readBody(sent(c), checkRequest, deps.body);
  return await checkOne(deps, caller, request, explain);
}

function checkOne(
  deps: AppDeps,
  caller: Caller,
  request: CheckBody,
  explain: boolean,
): Reply | Promise<Reply> {
  const { entity, min_snapshot: least } = request;
  const answered = (old: boolean, entities?: EntitySnapshot): Reply =>
    old ? refused(deps, caller, request) : answerCheck(deps, caller, request, explain, entities);
  if (least === undefined && entity === undefined) return answered(deniesAll(deps));
  return tooOld(deps, least).then(async (old) =>
    old || entity === undefined
      ? answered(old)
      : answered(false, await readEntities(deps, caller, [request])),
  );
}

function refused(deps: AppDeps, caller: Caller, { service, op }: CheckBody): Reply {
  const context = { call: CALL, caller, service: service.name, check: STALE_CHECK, op };
  return answer(deps, denial('store.stale', ERRNO_CHECK), context);
}

function answerCheck(
  deps: AppDeps,
  caller: Caller,
  request: CheckBody,
  explain: boolean,
  entities: EntitySnapshot | undefined,
): Reply {
  const { service, op } = request;
  const nowNs = deps.clock();
  deps.ring.advance(nowNs);
  const outcome = decideCheck(deps, caller, request, { explain, nowNs, entities });
  const { check, verdict } = outcome;
  const context = { call: CALL, caller, service: service.name, check, verdict, op };
  return answer(deps, outcome.decision, context, entities?.snapshot);
}

/** Ends a session of this caller. Saying it twice is no error. */
export async function releaseRoute(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const caller = c.get('caller');
  requireRight(caller, 'accept', 'this call');
  const body = await readBytes(sent(c), deps.body);
  if (body.length > 0) throw new Problem('field.unknown', 'this call takes no body');
  const handle = c.req.param('handle') ?? '';
  const session = deps.state.sessions.find(handle, caller.id);
  if (session !== undefined) drop(deps, handle, session);
  return c.json({ released: session !== undefined });
}

/** The session of a caller, or why there is none. One that is too old is ended. */
export function sessionOf(
  deps: AppDeps,
  caller: string,
  handle: string,
  nowNs: bigint,
): Session | 'session.unknown' | 'session.expired' {
  const session = deps.state.sessions.find(handle, caller);
  if (session === undefined) return 'session.unknown';
  // The core counts a session's age from when it was opened; one that came by receipt is older.
  const ageMax = deps.policy.sessionMaxAgeNs ?? 0n;
  if (ageMax === 0n || nowNs - session.answeredNs < ageMax) return session;
  drop(deps, handle, session);
  return 'session.expired';
}

/** What holds for all questions of a call. */
export interface Asking {
  readonly explain: boolean;
  readonly nowNs: bigint;
  readonly entities: EntitySnapshot | undefined;
  /** Caps texts of the call that the core has parsed already, and under which handle. */
  readonly parsed?: Map<string, bigint>;
}

/** Decides one question. Throws Problem for what this caller may not ask or what is malformed. */
export function decideCheck(
  deps: AppDeps,
  caller: Caller,
  request: CheckBody,
  asking: Asking,
): Outcome {
  try {
    return decide(deps, caller, request, asking);
  } catch (error) {
    // A name or a caps text of about 1 MiB does not fit into the core: no operation has such.
    if (!(error instanceof RecordTooLarge)) throw error;
    return { decision: denial('limit.exceeded', ERRNO_CHECK), check: 'limit' };
  }
}

function decide(deps: AppDeps, caller: Caller, request: CheckBody, asking: Asking): Outcome {
  const { service, session, caps, entity } = request;
  const subjects = given(session) + given(caps) + given(entity);
  if (subjects !== 1) {
    throw new Problem('field.conflict', 'exactly one of "session", "entity", "caps" must be given');
  }
  requireRight(caller, 'verify', 'this call');
  if (session === undefined) {
    requireRight(caller, 'explain', caps === undefined ? '"entity"' : '"caps"');
  }
  const { explain } = asking;
  if (service.name === 'mon' || (service.name === 'mgr' && session === undefined)) {
    return decideBits(deps, request, service.name, asking);
  }
  const op = readOp(service, request.op, 'op');
  const asked = { service: service.id, op, peer: request.peer, explain };
  if (session !== undefined) return checkSession(deps, caller.id, session, asked, asking.nowNs);
  if (caps !== undefined) return checkCaps(deps, caps, asked, asking);
  return checkEntity(asking.entities, entity, service.name, (text) =>
    checkCaps(deps, text, asked, asking),
  );
}

function given(subject: string | undefined): number {
  return subject === undefined ? 0 : 1;
}

/** Mon and mgr caps, which the core does not know: a text, or an entity's. */
function decideBits(
  deps: AppDeps,
  request: CheckBody,
  service: 'mon' | 'mgr',
  { explain, entities }: Asking,
): Outcome {
  if (request.session !== undefined) {
    throw new Problem('service.refused', `service "${service}" is not served on this listener`);
  }
  const op = readBitOp(service, request.op, 'op');
  const { caps, entity, peer } = request;
  const asked = { op, peer, release: deps.policy.release ?? 20, explain };
  if (caps !== undefined) return checkBits(service, caps, asked);
  // Who calls is known, whatever the operation says of it.
  return checkEntity(entities, entity, service, (text, name) =>
    checkBits(service, text, { ...asked, op: { ...op, entity: name } }),
  );
}

function checkBits(
  service: 'mon' | 'mgr',
  caps: string,
  asked: CapsRequest & { readonly release: 16 | 20; readonly explain: boolean },
): Outcome {
  const parsed = parse(service, caps, { release: asked.release });
  if (!parsed.ok) {
    return { decision: denial('caps.unparsable', ERRNO_CHECK), check: 'caps.unparsable' };
  }
  const explained = asked.explain ? explainCaps(parsed.grants, asked) : undefined;
  const { allowed, reason, grant } = explained ?? checkGrants(parsed.grants, asked);
  const decision = {
    decision: allowed,
    authenticated: false,
    reason: { ...reasonOf(reason), grant: grant ?? null },
    client_errno: allowed ? undefined : ERRNO_CHECK,
    grants: explained?.grants,
  };
  return { decision, check: reason };
}

function checkSession(
  deps: AppDeps,
  caller: string,
  handle: string,
  asked: Asked,
  nowNs: bigint,
): Outcome {
  const session = sessionOf(deps, caller, handle, nowNs);
  if (typeof session === 'string') {
    // What no operation can be is told as over frames, where the core looks at it first.
    const { reason } = deps.engine.check({ ...asked, handle: 0n }, { nowNs, policy: deps.policy });
    if (reason !== 'limit.exceeded') {
      return { decision: denial(session, ERRNO_CHECK), check: 'sidecar.session' };
    }
    return { decision: denial(reason, ERRNO_CHECK), check: 'limit' };
  }
  if (session.service !== asked.service) {
    return { decision: denial('session.unknown', ERRNO_CHECK), check: 'sidecar.session_service' };
  }
  const host = { nowNs, policy: deps.policy };
  const verdict = deps.engine.check({ ...asked, handle: session.core, tail: true }, host);
  const { reason } = verdict;
  if (reason === 'session.unknown' || reason === 'session.expired') drop(deps, handle, session);
  // The core names the entity only if the session itself was good.
  const authenticated = verdict.entityType !== 0;
  const entity = authenticated
    ? formatEntityName({ type: verdict.entityType, id: verdict.entityId })
    : undefined;
  const decision = decisionOf(verdict, authenticated, entity);
  if (!asked.explain) return { decision, check: reason, verdict };
  const grants = explainGrants(verdict, session.caps);
  return { decision: { ...decision, grants }, check: reason, verdict };
}

function checkCaps(deps: AppDeps, caps: string, asked: Asked, asking: Asking): Outcome {
  const host = { nowNs: asking.nowNs, policy: deps.policy };
  const known = asking.parsed?.get(caps);
  if (known !== undefined) {
    const verdict = deps.engine.check({ ...asked, handle: known }, host);
    // Other texts of the call may have taken its place in the core.
    if (verdict.reason !== 'session.unknown') return outcomeOf(verdict, caps, asked);
  }
  const parsed = deps.engine.capsParse(asked.service, caps, host, { keep: true });
  if (!parsed.decision) {
    return { decision: denial(parsed.reason, ERRNO_CHECK), check: parsed.reason };
  }
  asking.parsed?.set(caps, parsed.handle);
  return outcomeOf(deps.engine.check({ ...asked, handle: parsed.handle }, host), caps, asked);
}

function outcomeOf(verdict: Verdict, caps: string, asked: Asked): Outcome {
  const decision = decisionOf(verdict, false);
  if (!asked.explain) return { decision, check: verdict.reason };
  return { decision: { ...decision, grants: explainGrants(verdict, caps) }, check: verdict.reason };
}

function decisionOf(verdict: Verdict, authenticated: boolean, entity?: string): Decision {
  // The core also names the nearest miss: a grant that does not cover the operation is no reason.
  const covered = verdict.reason !== 'caps.no_matching_grant';
  const grant = covered ? (verdict.grant ?? null) : null;
  return {
    decision: verdict.decision,
    authenticated,
    reason: reasonAt(verdict.reason, grant),
    entity,
    client_errno: verdict.decision ? undefined : ERRNO_CHECK,
  };
}

function reasonAt(code: ReasonCode, grant: number | null): Reason {
  const { message } = reasonOf(code);
  return message === undefined ? { code, grant } : { code, message, grant };
}

function drop(deps: AppDeps, handle: string, session: Session): void {
  deps.state.sessions.remove(handle);
  deps.engine.sessionRelease(session.core);
}

export function readExplain(url: string): boolean {
  let explain = false;
  if (!url.includes('?')) return explain;
  for (const [name, value] of new URL(url).searchParams) {
    if (name !== 'explain' || (value !== 'true' && value !== 'false')) {
      throw new Problem('query.unknown', 'the query can only hold "explain=true"');
    }
    explain = value === 'true';
  }
  return explain;
}

const CALL = 'check';
