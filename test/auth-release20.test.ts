/**
 * `cephgate ceph` as of 2026: hand-made runs (auth-release20.json), as no such program is at hand.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cephCommand } from '../src/cli/auth.ts';
import { type CephCase, replayCeph } from './conformance/cephtranscripts.ts';
import { compareOutcome } from './transcript.ts';

const cases = JSON.parse(
  readFileSync(new URL('./vectors/auth-release20.json', import.meta.url), 'utf8'),
) as CephCase[];

describe('ceph auth, as the sources of 2026 say', () => {
  it('has all runs', () => expect(cases).toHaveLength(COUNT));

  // Each case says its release itself.
  it.each(cases.map((each) => [each.id, each] as const))('%s', async (_id, each) => {
    const { expected, outcome } = await replayCeph(
      each,
      { CEPHGATE_GUARD: 'off' },
      ([, ...argv], io) => cephCommand(argv, io),
    );
    expect(compareOutcome(expected, outcome).failures).toEqual([]);
  });
});

const COUNT = 88;
