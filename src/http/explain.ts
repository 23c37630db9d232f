/**
 * `?explain=true`: per written grant its text, where it stands, and the condition that failed
 * first.
 */

import { toByteString } from '../caps/capgrammar.ts';
import { coreExplanation, type GrantExplanation } from '../caps/index.ts';
import type { Verdict } from '../engine/verdict.ts';

/** The explanation in a verdict on these caps. */
export function explainGrants(verdict: Verdict, caps: string): GrantExplanation[] {
  return coreExplanation(verdict, toByteString(caps));
}
