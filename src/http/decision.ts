/**
 * The parts that every decision has in common: reason, `client_errno`, snapshot, id, log line.
 */

import type { ReasonCode } from '../engine/codes.ts';
import type { Verdict } from '../engine/verdict.ts';
import type { Caller } from './callers.ts';
import type { AppDeps } from './deps.ts';
import { REASON_MESSAGES } from './reasons.ts';
import { JSON_TYPE, type Reply } from './reply.ts';
import { isStale } from './staleness.ts';

/** What a caller sees of why. */
export interface Reason {
  readonly code: ReasonCode;
  readonly message?: string;
  readonly grant?: number | null;
}

export interface Decision {
  readonly decision: boolean;
  readonly authenticated: boolean;
  readonly reason: Reason;
  readonly [field: string]: unknown;
}

/** What one check came to, before it is an answer. */
export interface Outcome {
  readonly decision: Decision;
  /** The exact rule that decided. */
  readonly check: string;
  readonly verdict?: Verdict;
}

/** What the operator's log says of a decision: never seen by the caller. */
export interface DecisionContext {
  readonly call: string;
  readonly caller: Caller;
  readonly service: string;
  /** The exact rule that decided. */
  readonly check: string;
  readonly verdict?: Verdict | undefined;
  /** The authorizer that was judged, or the operation that was asked for. */
  readonly authorizer?: Uint8Array | undefined;
  readonly op?: unknown;
}

export function reasonOf(code: ReasonCode): Reason {
  return REASONS[code];
}

/** A denial: nothing but the reason and what the node sends its client. */
export function denial(code: ReasonCode, errno: number, authenticated = false): Decision {
  return { decision: false, authenticated, reason: reasonOf(code), client_errno: errno };
}

/**
 * Finishes a decision: gives it its id and snapshot, logs it, and answers 200.
 *
 * @param snapshot of the store, if that was asked; else it is the one of the secrets
 */
export function answer(
  deps: AppDeps,
  decision: Decision,
  context: DecisionContext,
  snapshot?: bigint,
): Reply {
  const id = deps.state.ids.next();
  logDecision(deps, id, decision, context);
  const text = JSON.stringify(decision).slice(0, -1) + ending(deps, id, context.service, snapshot);
  return { type: JSON_TYPE, body: text };
}

/**
 * How every answer with decisions ends behind its other fields: snapshot, id, and whether what is
 * known here is old. `snapshot` as in `answer`.
 */
export function ending(deps: AppDeps, id: string, service: string, snapshot?: bigint): string {
  // Cluster or store are away: what was good when they were last heard of is good still.
  const isOld = snapshot !== undefined && deps.users?.isStale(deps.clock()) === true;
  const isLate = (): boolean => deps.ring.stale?.(deps.clock()).includes(service) === true;
  const isAway = isOld || isStale(deps) || isLate();
  const stale = isAway ? ',"stale":true' : '';
  return `,"snapshot":"${snapshot ?? deps.ring.snapshot}","decision_id":"${id}"${stale}}`;
}

/**
 * Tells the observer; and the log, unless the observer keeps decisions in one of its own.
 *
 * @param item place of the decision in the answer that has this id, if it holds several
 */
export function logDecision(
  deps: AppDeps,
  id: string,
  decision: Decision,
  context: DecisionContext,
  item?: number,
): void {
  const { call, caller, service, check, verdict, authorizer, op } = context;
  const { requestId } = caller;
  const reason = decision.reason.code;
  const told = deps.observe?.decision({
    id,
    item,
    requestId,
    call,
    caller: caller.id,
    service,
    decision: decision.decision,
    reason,
    check,
    verdict,
    authorizer,
    op,
  });
  if (told === true) return;
  const proven = verdict?.proven === true;
  deps.log({
    level: 'info',
    event: 'decision',
    decision_id: id,
    item,
    request_id: requestId,
    call,
    caller: caller.id,
    service,
    decision: decision.decision,
    reason,
    check,
    global_id: proven ? verdict.globalId.toString() : undefined,
    secret_id: proven ? verdict.secretId.toString() : undefined,
  });
}

const REASONS = Object.fromEntries(
  Object.entries(REASON_MESSAGES).map(([code, message]) => [
    code,
    code === 'ok' ? { code } : { code, message },
  ]),
) as Readonly<Record<ReasonCode, Reason>>;
