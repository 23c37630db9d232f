/**
 * How fresh an authorizer must be before it counts (CVE-2018-1128; interface section 3.1). This
 * is the only place that decides whether an authorizer is judged without a challenge.
 */

import { DecodeError, equalBytes, Reader } from '../cephx/denc.ts';
import { skipTicketBlob } from '../cephx/protocol.ts';
import type { ReasonCode } from '../engine/codes.ts';
import type { Address, Challenge } from '../engine/types.ts';
import { type Caller, requireRight } from './callers.ts';
import type { AppDeps } from './deps.ts';
import { Problem } from './problem.ts';
import {
  type Binding,
  makeChallengeState,
  type ReceiptMode,
  readChallengeState,
  readReceipt,
} from './tokens.ts';

/** The fields of a verify request that freshness depends on. */
export interface FreshnessRequest {
  readonly authorizer: Uint8Array;
  readonly peer: Address | undefined;
  readonly connection: string | undefined;
  readonly challenge_state: string | undefined;
  readonly expected_challenge: bigint | undefined;
  readonly receipt: string | undefined;
  readonly allow_unchallenged_verdict: boolean | undefined;
}

export type Freshness =
  /** A bare verdict is asked for, and may be. */
  | { readonly kind: 'none' }
  /** No challenge was issued yet: this one is. */
  | { readonly kind: 'required'; readonly challenge: bigint; readonly state: string }
  /** A challenge was issued and must be answered. */
  | { readonly kind: 'issued'; readonly challenge: bigint; readonly mode: ReceiptMode }
  /** A valid receipt says when a challenge was answered on this connection. */
  | { readonly kind: 'receipt'; readonly mode: ReceiptMode; readonly answeredNs: bigint }
  /** The state or receipt does not count; `why` is for the log. */
  | { readonly kind: 'refused'; readonly reason: ReasonCode; readonly why: string };

/** Decides. Throws Problem for what this caller may not ask or what contradicts itself. */
export function freshnessOf(
  deps: AppDeps,
  caller: Caller,
  service: number,
  request: FreshnessRequest,
  nowNs: bigint,
): Freshness {
  const { challenge_state: state, expected_challenge: expected, receipt } = request;
  const ways = [state, expected, receipt].filter((way) => way !== undefined).length;
  const unchallenged = request.allow_unchallenged_verdict === true;
  if (ways + (unchallenged ? 1 : 0) > 1) {
    throw new Problem(
      'field.conflict',
      'only one of "challenge_state", "expected_challenge", "receipt" and ' +
        '"allow_unchallenged_verdict" can be given',
    );
  }
  if (state !== undefined) requireRight(caller, 'accept', '"challenge_state"');
  if (receipt !== undefined) requireRight(caller, 'accept', '"receipt"');
  if (expected !== undefined) return { kind: 'issued', challenge: expected, mode: 'expected' };
  if (!caller.rights.has('accept')) return { kind: 'none' };
  if (unchallenged) {
    if (deps.allowUnchallengedVerdict) return { kind: 'none' };
    throw new Problem(
      'unchallenged.disabled',
      'verdicts without a challenge are not enabled for callers with the right "accept"',
    );
  }
  const binding = bindingOf(caller, service, request);
  // Without a part a the core refuses by name; nothing can be bound to it.
  if (binding === undefined) return refused('authorizer.malformed', 'part_a');
  if (state !== undefined) return byState(deps, binding, state, nowNs);
  if (receipt !== undefined) return byReceipt(deps, binding, receipt, nowNs);
  return required(deps, binding, nowNs);
}

/** The challenge that the core is to ask for. A refused one can never be answered. */
export function challengeOf(freshness: Freshness): Challenge {
  switch (freshness.kind) {
    case 'none':
    case 'receipt':
      return { mode: 'off' };
    case 'issued':
      return { mode: 'issued', value: freshness.challenge };
    case 'required':
      return { mode: 'required', value: freshness.challenge };
    case 'refused':
      return { mode: 'required', value: 0n };
  }
}

/** What states and receipts are bound to; undefined if part a of the authorizer is cut. */
export function bindingOf(
  caller: Caller,
  service: number,
  request: Pick<FreshnessRequest, 'authorizer' | 'peer' | 'connection'>,
): Binding | undefined {
  const { authorizer, connection, peer } = request;
  const reader = new Reader(authorizer);
  try {
    reader.bytes(PART_A_HEAD_LEN);
    skipTicketBlob(reader);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
  const partA = authorizer.subarray(0, authorizer.length - reader.left);
  return { service, caller: caller.id, connection, peer, partA };
}

function required(deps: AppDeps, binding: Binding, nowNs: bigint): Freshness {
  const { state } = deps;
  const fields = { issuedNs: nowNs, instance: state.instance, serial: state.nextSerial() };
  const made = makeChallengeState(deps.engine, state.keys, binding, fields, state.salt());
  return { kind: 'required', challenge: made.challenge, state: made.token };
}

function byState(deps: AppDeps, binding: Binding, token: string, nowNs: bigint): Freshness {
  const { state } = deps;
  const held = readChallengeState(deps.engine, state.keys, binding, token);
  if (held === undefined) return refused(EXPIRED, 'state.bad');
  // Only its own process knows whether a state was spent; elsewhere the connection's name, which
  // the caller never uses again, stands in for that.
  const own = equalBytes(held.instance, state.instance);
  if (!own && binding.connection === undefined) return refused(EXPIRED, 'state.foreign');
  // Spent by being presented, whatever comes of it: one answer per challenge.
  const spending = state.spent.spend(held, nowNs);
  if (spending === 'full') return refused('limit.exceeded', 'state.limit');
  if (spending === 'refused') return refused(EXPIRED, 'state.spent_or_old');
  return { kind: 'issued', challenge: held.challenge, mode: 'state' };
}

function byReceipt(deps: AppDeps, binding: Binding, token: string, nowNs: bigint): Freshness {
  // A receipt speaks of one connection, so without its name it says nothing.
  if (binding.connection === undefined) return refused(EXPIRED, 'receipt.connection');
  const held = readReceipt(deps.engine, deps.state.keys, binding, token);
  if (held === undefined) return refused(EXPIRED, 'receipt.bad');
  const ageMax = deps.policy.sessionMaxAgeNs ?? 0n;
  if (ageMax > 0n && nowNs - held.answeredNs >= ageMax) return refused(EXPIRED, 'receipt.age');
  return { kind: 'receipt', ...held };
}

function refused(reason: ReasonCode, why: string): Freshness {
  return { kind: 'refused', reason, why };
}

const EXPIRED = 'authorizer.challenge_expired';
/** authorizer_v, global_id, service_id. */
const PART_A_HEAD_LEN = 13;
