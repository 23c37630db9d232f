/**
 * Mgr caps against a real 16.2.15 monitor and the examples, and what mgr alone has; caps-pairs has
 * the twin.
 */

import { describe, expect, it } from 'vitest';
import { check, isAllowAll, parse, print, readRequest } from '../src/caps/index.ts';
import { loadVectors } from './twin/load.ts';

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

  it('knows profile rgw in newer releases only', () => {
    expect(parse('mgr', 'profile rgw', { release: 20 }).ok).toBe(true);
    expect(parse('mgr', 'profile rgw', { release: 16 })).toMatchObject({
      ok: false,
      error: expect.stringContaining("unrecognized profile 'rgw'"),
    });
  });
});
