/**
 * The parts that every decision has in common: reason, `client_errno`, snapshot, id, log line.
 */

import type { ReasonCode } from '../engine/codes.ts';
import type { Verdict } from '../engine/verdict.ts';
import type { Caller } from './callers.ts';
import { encodeHex } from './codec.ts';
import type { AppDeps } from './deps.ts';
import { REASON_MESSAGES } from './reasons.ts';
import { JSON_TYPE, reply } from './reply.ts';
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
  return code === 'ok' ? { code } : { code, message: REASON_MESSAGES[code] };
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
): Response {
  const id = newDecisionId(deps);
  logDecision(deps, id, decision, context);
  const whole = { ...decision, ...ending(deps, id, context.service, snapshot) };
  return reply(deps, context.caller.requestId, JSON_TYPE, JSON.stringify(whole));
}

/** What every answer with decisions says besides them; `snapshot` as in `answer`. */
export function ending(
  deps: AppDeps,
  id: string,
  service: string,
  snapshot?: bigint,
): { readonly snapshot: string; readonly decision_id: string; readonly stale?: true } {
  // Cluster or store are away: what was good when they were last heard of is good still.
  const isOld = snapshot !== undefined && deps.users?.isStale(deps.clock()) === true;
  const isLate = (): boolean => deps.ring.stale?.(deps.clock()).includes(service) === true;
  const isAway = isOld || isStale(deps) || isLate();
  return {
    snapshot: (snapshot ?? deps.ring.snapshot).toString(),
    decision_id: id,
    ...(isAway && { stale: true }),
  };
}

export function newDecisionId(deps: AppDeps): string {
  return encodeHex(deps.random(DECISION_ID_LEN));
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
  const { call, caller, service, check, verdict } = context;
  const { requestId } = caller;
  const reason = decision.reason.code;
  const facts = { ...context, id, item, requestId, caller: caller.id, reason };
  if (deps.observe?.decision({ ...facts, decision: decision.decision })) return;
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

const DECISION_ID_LEN = 12;
