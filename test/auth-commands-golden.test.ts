/** `cephgate ceph`, run for run against the real program (auth-golden.json, 16.2.15). */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cephCommand } from '../src/cli/auth.ts';
import { type CephCase, replayCeph } from './conformance/cephtranscripts.ts';
import { compareOutcome } from './transcript.ts';

const cases = JSON.parse(
  readFileSync(new URL('./vectors/auth-golden.json', import.meta.url), 'utf8'),
) as CephCase[];

const AS_RECORDED = { CEPHGATE_RELEASE: '16', CEPHGATE_GUARD: 'off' };

describe('ceph auth, as recorded', () => {
  it('has all runs', () => expect(cases).toHaveLength(191));

  it.each(cases.map((each) => [each.id, each] as const))('%s', async (_id, each) => {
    const { expected, outcome } = await replayCeph(each, AS_RECORDED, ([, ...argv], io) =>
      cephCommand(argv, io),
    );
    expect(compareOutcome(expected, outcome).failures).toEqual([]);
  });
});
