/**
 * How mon and mgr grants come to an answer: the bits of the grants whose network fits are added up,
 * in order, until they cover what is needed (Ceph: MonCap::is_capable, MgrCap::is_capable). The one
 * loop here is behind both `check` and `explain`.
 */

import type { Address } from '../engine/types.ts';
import { CAP_R, CAP_RWX, CAP_W, CAP_X, type CapGrant, type Constraint } from './capgrammar.ts';
import { networkHas } from './network.ts';
import { compilePosix, type WholeMatch } from './posixregex.ts';

/** What a mon or mgr grant can fail on; the later, the nearer to a yes. */
export type BitCondition =
  | 'profile'
  | 'service'
  | 'module'
  | 'command'
  | 'constraint'
  | 'permission'
  | 'network'
  | 'not_examined';

/** A request to a mon or mgr as byte strings. */
export interface BitRequest {
  /** The caller's name, `client.x`. */
  readonly entity: string;
  readonly service: string;
  /** '' for a mon. */
  readonly module: string;
  /** '' for none. */
  readonly command: string;
  readonly args: ReadonlyMap<string, string>;
  /** CAP_R, CAP_W, CAP_X bits. */
  readonly need: number;
  readonly peer: Address | undefined;
}

/** What one grant gives to a request: some bits, or the condition that failed. */
export interface Given {
  readonly bits: number;
  /** Plain `*`: yes, whatever is needed. */
  readonly all?: boolean;
  /** Set when no bits are given. */
  readonly failed?: BitCondition;
}

export interface GrantAnswer {
  /** The condition that failed first; undefined for a grant that answers the request. */
  readonly failed: BitCondition | undefined;
  /** Needed bits that it gives. */
  readonly gives: number;
}

export interface BitAnswer {
  readonly allowed: boolean;
  /** The grant that completed the answer, or the nearest miss; undefined without grants. */
  readonly grant: number | undefined;
  /** What the nearest miss failed on. */
  readonly condition: BitCondition | undefined;
  /** Needed bits that no grant gives. */
  readonly missing: number;
  /** One per grant; those after the one that answered are `not_examined`. */
  readonly grants: readonly GrantAnswer[];
}

/** Answers a request. `give` says what a grant gives when its network is not looked at. */
export function addUp(
  grants: readonly CapGrant[],
  request: BitRequest,
  give: (grant: CapGrant, request: BitRequest) => Given,
): BitAnswer {
  const { need } = request;
  const answers: GrantAnswer[] = [];
  let have = 0;
  let decided: number | undefined;
  for (const [index, grant] of grants.entries()) {
    if (decided !== undefined) {
      answers.push({ failed: 'not_examined', gives: 0 });
      continue;
    }
    const given = give(grant, request);
    const outside = grant.network !== undefined && !networkHas(grant.network, request.peer);
    const enough = given.all === true || ((have | given.bits) & need) === need;
    answers.push({
      failed: enough ? (outside ? 'network' : undefined) : (given.failed ?? 'permission'),
      gives: outside ? 0 : given.bits & need,
    });
    if (outside) continue;
    have |= given.bits;
    if (enough) decided = index;
  }
  if (decided !== undefined) {
    return { allowed: true, grant: decided, condition: undefined, missing: 0, grants: answers };
  }
  const grant = nearest(answers);
  const condition = grant === undefined ? undefined : answers[grant]?.failed;
  return { allowed: false, grant, condition, missing: need & ~have, grants: answers };
}

/** What the expansion of a profile gives together. */
export function giveProfile(
  expanded: readonly CapGrant[],
  request: BitRequest,
  give: (grant: CapGrant, request: BitRequest) => Given,
): Given {
  let bits = 0;
  let failed: BitCondition = 'profile';
  for (const each of expanded) {
    const given = give(each, request);
    bits |= given.bits;
    if (given.failed !== undefined && rank(given.failed) > rank(failed)) failed = given.failed;
  }
  return bits === 0 ? { bits, failed } : { bits };
}

/** Whether every constraint holds. Arguments without a constraint are free. */
export function constraintsHold(
  constraints: readonly Constraint[],
  args: ReadonlyMap<string, string>,
): boolean {
  return constraints.every((constraint) => {
    const value = args.get(constraint.key);
    if (value === undefined) return false;
    if (constraint.match === 'equal') return value === constraint.value;
    if (constraint.match === 'prefix') return value.startsWith(constraint.value);
    return compiled(constraint)?.(value) ?? false;
  });
}

/** The CAP_* bits of a need. */
export function needBits(read: boolean, write: boolean, exec: boolean): number {
  return ((read ? CAP_R : 0) | (write ? CAP_W : 0) | (exec ? CAP_X : 0)) & CAP_RWX;
}

/** Expressions are compiled on the first value that they meet. */
function compiled(constraint: Constraint): WholeMatch {
  if (!matchers.has(constraint)) matchers.set(constraint, compilePosix(constraint.value));
  return matchers.get(constraint);
}

/** The grant that got furthest, the first such. */
function nearest(answers: readonly GrantAnswer[]): number | undefined {
  let found: number | undefined;
  let best = -1;
  for (const [index, { failed }] of answers.entries()) {
    if (failed === undefined || rank(failed) <= best) continue;
    best = rank(failed);
    found = index;
  }
  return found;
}

function rank(condition: BitCondition): number {
  return CONDITIONS.indexOf(condition);
}

const matchers = new WeakMap<Constraint, WholeMatch>();
const CONDITIONS: readonly BitCondition[] = [
  'profile',
  'service',
  'module',
  'command',
  'constraint',
  'permission',
  'network',
];
