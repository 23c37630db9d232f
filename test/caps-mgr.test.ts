/** Mgr caps against a real 16.2.15 monitor, the examples, and the twin; and what mgr alone has. */

import { describe, expect, it } from 'vitest';
import { check, isAllowAll, parse, print, readRequest } from '../src/caps/index.ts';
import { answers, CAP_SEEDS, capText, mgrRequest } from './caps-mon-kit.ts';
import { Rng, seedOf } from './rng.ts';
import { loadVectors } from './twin/load.ts';
import * as twin from './twin/mgrcap.ts';

interface AcceptFile {
  readonly rows: readonly { readonly caps: string; readonly accept: boolean; error?: string }[];
}

interface Example {
  readonly daemon: string;
  readonly cap: string;
  readonly parses: boolean;
  readonly checks?: readonly { readonly request: unknown; readonly allowed: boolean }[];
  readonly canonical?: string;
  readonly allowAll?: boolean;
}

describe('mgr caps', () => {
  it('takes and refuses what a real monitor took and refused, in its words', () => {
    const { rows } = loadVectors<AcceptFile>('caps-accept-mgr.json');
    expect(rows).toHaveLength(671);
    for (const { caps, accept, error } of rows) {
      const parsed = parse('mgr', caps, { release: 16 });
      const got = parsed.ok ? { accept: true } : { accept: false, error: parsed.error };
      expect(got, JSON.stringify(caps)).toEqual(accept ? { accept } : { accept, error });
    }
  });

  it.each([16, 20] as const)('does as the examples say under release %i', (release) => {
    const cases = loadVectors<Example[]>('caps-examples.json').filter(
      ({ daemon }) => daemon === 'mgr',
    );
    expect(cases.length).toBeGreaterThan(10);
    for (const { cap, parses, checks = [], canonical, allowAll } of cases) {
      const parsed = parse('mgr', cap, { release });
      expect(parsed.ok, cap).toBe(parses);
      if (!parsed.ok) continue;
      if (canonical !== undefined) expect(print(parsed.grants)).toBe(canonical);
      if (allowAll !== undefined) expect(isAllowAll(parsed.grants), cap).toBe(allowAll);
      for (const { request, allowed } of checks) {
        const asked = readRequest('mgr', request);
        if (typeof asked === 'string') throw new Error(asked);
        const where = `${cap} ${JSON.stringify(request)}`;
        expect(check(parsed.grants, asked).allowed, where).toBe(allowed);
      }
    }
  });

  it('parses and decides as the twin does', () => {
    const seed = seedOf(0x6d6772);
    const rng = new Rng(seed);
    const count = { yes: 0, no: 0, profile: 0 };
    const wrong: unknown[] = [];
    for (let i = 0; i < 4000; i++) {
      const text = capText(rng, CAP_SEEDS.mgr);
      const newer = rng.chance(0.5);
      const parsed = parse('mgr', text, { release: newer ? 20 : 16 });
      const known = twin.parse(text, newer);
      if (!Array.isArray(known)) {
        const agree =
          !parsed.ok &&
          ('stop' in known ? parsed.stop === known.stop : parsed.error.endsWith(known.profile));
        if (!agree) wrong.push([text, known, parsed]);
        if ('profile' in known) count.profile++;
        continue;
      }
      if (!parsed.ok) {
        wrong.push([text, known, parsed]);
        continue;
      }
      for (let j = 0; j < 8; j++) {
        const fields = mgrRequest(rng);
        const expected = twin.allows(known, fields);
        if (!answers(parsed.grants, fields, expected)) wrong.push([text, fields, expected]);
        count[expected ? 'yes' : 'no']++;
      }
    }
    expect(wrong, `seed ${seed}`).toEqual([]);
    expect(Math.min(count.yes, count.no), JSON.stringify(count)).toBeGreaterThan(1000);
    expect(count.profile).toBeGreaterThan(50);
  });

  it('knows profile rgw in newer releases only', () => {
    expect(parse('mgr', 'profile rgw', { release: 20 }).ok).toBe(true);
    expect(parse('mgr', 'profile rgw', { release: 16 })).toMatchObject({
      ok: false,
      error: expect.stringContaining("unrecognized profile 'rgw'"),
    });
  });
});
