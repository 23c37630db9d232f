/** The outcome of matching a cap: the grant that allowed, or the one that got furthest. */

import { CONDITION_NONE } from './abi';

let grant: i32 = -1;
let condition: i32 = 0;

/** Index, as written, of the grant that allowed or missed nearest; -1 for none. */
export function checkGrant(): i32 {
  return grant;
}

/** The CONDITION_* that the nearest miss failed; CONDITION_NONE after a yes. */
export function checkCondition(): i32 {
  return condition;
}

export function outcomeReset(): void {
  grant = -1;
  condition = CONDITION_NONE;
}

export function outcomeYes(index: i32): void {
  grant = index;
  condition = CONDITION_NONE;
}

/** A grant failed a condition; the highest one counts, and its first grant. */
export function outcomeMiss(failed: i32, index: i32): void {
  if (failed <= condition) return;
  condition = failed;
  grant = index;
}
