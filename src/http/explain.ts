/**
 * `?explain=true`: per written grant its text, where it stands, and the condition that failed
 * first.
 */

import * as abi from '../../assembly/abi.ts';
import type { Verdict } from '../engine/verdict.ts';

export interface GrantExplanation {
  /** Index of the grant as written, from 0. */
  readonly grant: number;
  readonly text: string;
  /** First character and the one after the last, in characters of the caps text. */
  readonly span: readonly [number, number];
  /** The condition that failed first; null for a grant that allows. */
  readonly failed: string | null;
}

/** The explanation in a verdict on these caps. */
export function explainGrants(verdict: Verdict, caps: string): GrantExplanation[] {
  const bytes = new TextEncoder().encode(caps);
  const utf8 = new TextDecoder();
  // Spans come in order, so each text before and inside them is counted once.
  let at = 0;
  let characters = 0;
  const advance = (to: number): { text: string; from: number } => {
    const text = utf8.decode(bytes.subarray(at, to));
    const from = characters;
    at = to;
    characters += [...text].length;
    return { text, from };
  };
  return verdict.detail.map(({ grant, condition, start, end }) => {
    advance(start);
    const { text, from } = advance(end);
    const failed = condition === abi.CONDITION_NONE ? null : (CONDITIONS[condition] ?? 'unknown');
    return { grant, text, span: [from, characters], failed };
  });
}

const CONDITIONS: Readonly<Record<number, string>> = {
  [abi.CONDITION_PROFILE]: 'profile',
  [abi.CONDITION_POOL]: 'pool',
  [abi.CONDITION_NAMESPACE]: 'namespace',
  [abi.CONDITION_TAG]: 'tag',
  [abi.CONDITION_OBJECT_PREFIX]: 'object_prefix',
  [abi.CONDITION_PERMISSION]: 'permission',
  [abi.CONDITION_CLASS]: 'class',
  [abi.CONDITION_UID]: 'uid',
  [abi.CONDITION_GIDS]: 'gids',
  [abi.CONDITION_PATH]: 'path',
  [abi.CONDITION_MDS_PERMISSION]: 'permission',
  [abi.CONDITION_ROOT_SQUASH]: 'root_squash',
  [abi.CONDITION_CHOWN]: 'chown',
  [abi.CONDITION_CHGRP]: 'chgrp',
  [abi.CONDITION_MODE]: 'mode',
  [abi.CONDITION_NETWORK]: 'network',
  [abi.CONDITION_NOT_EXAMINED]: 'not_examined',
  [abi.CONDITION_FSNAME]: 'fsname',
};
