/** Mon caps against a real 16.2.15 monitor and the examples; caps-pairs has the twin. */

import { describe, expect, it } from 'vitest';
import { check, explain, isAllowAll, parse, print, readRequest } from '../src/caps/index.ts';
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
  readonly since?: number;
}

interface EnforcementFile {
  readonly users: readonly {
    readonly user: string;
    readonly caps: { readonly mon?: string };
    readonly source_address: string;
    readonly mon?: readonly [Readonly<Record<string, unknown>>, number, number][];
  }[];
}

describe('mon caps', () => {
  it('takes and refuses what a real monitor took and refused, in its words', () => {
    const { rows } = loadVectors<AcceptFile>('caps-accept-mon.json');
    expect(rows).toHaveLength(718);
    for (const { caps, accept, error } of rows) {
      const parsed = parse('mon', caps, { release: 16 });
      const got = parsed.ok ? { accept: true } : { accept: false, error: parsed.error };
      expect(got, JSON.stringify(caps)).toEqual(accept ? { accept } : { accept, error });
    }
  });

  it('answers as the real monitor answered users of different caps', () => {
    let compared = 0;
    for (const { user, caps, source_address: addr, mon = [] } of loadVectors<EnforcementFile>(
      'osd-enforcement.json',
    ).users) {
      const parsed = parse('mon', caps.mon ?? '', { release: 16 });
      for (const [command, allowed] of mon) {
        if (!parsed.ok) throw new Error(parsed.error);
        const request = readRequest('mon', { ...commandRequest(command), entity: user, addr });
        if (typeof request === 'string') throw new Error(request);
        const answer = check(parsed.grants, request);
        expect([caps.mon, command, answer.allowed]).toEqual([caps.mon, command, allowed === 1]);
        compared++;
      }
    }
    expect(compared).toBe(744);
  });

  it.each([16, 20] as const)('does as the examples say under release %i', (release) => {
    const cases = loadVectors<Example[]>('caps-examples.json').filter(
      ({ daemon }) => daemon === 'mon',
    );
    expect(cases.length).toBeGreaterThan(14);
    for (const { cap, parses, checks = [], canonical, allowAll, since } of cases) {
      if (since !== undefined && release === 16) continue;
      const parsed = parse('mon', cap, { release });
      expect(parsed.ok, cap).toBe(parses);
      if (!parsed.ok) continue;
      if (canonical !== undefined) expect(print(parsed.grants)).toBe(canonical);
      if (allowAll !== undefined) expect(isAllowAll(parsed.grants), cap).toBe(allowAll);
      for (const { request, allowed } of checks) {
        const asked = readRequest('mon', request);
        if (typeof asked === 'string') throw new Error(asked);
        expect(check(parsed.grants, asked).allowed, `${cap} ${JSON.stringify(request)}`).toBe(
          allowed,
        );
      }
    }
  });

  it('agrees with the network rows of the real monitor', () => {
    interface Rows {
      readonly rows: readonly { network: string; matches: Readonly<Record<string, number>> }[];
    }
    for (const { network, matches } of loadVectors<Rows>('network-match.json').rows) {
      const parsed = parse('mon', `allow r network ${network}`);
      if (!parsed.ok) throw new Error(parsed.error);
      for (const [addr, matched] of Object.entries(matches)) {
        const request = readRequest('mon', { service: 'mon', read: true, addr });
        if (typeof request === 'string') throw new Error(request);
        expect(check(parsed.grants, request).allowed, `${network} ${addr}`).toBe(matched === 1);
      }
    }
  });

  it.each([
    ['bootstrap-mds', 'mds.a', { mon: 'allow profile mds', osd: 'allow rwx', mds: 'allow' }, true],
    ['bootstrap-mds', 'mds.a', { mon: 'allow profile mds', osd: 'allow rwx' }, false],
    ['bootstrap-mgr', 'mgr.a', { mon: 'allow profile mgr', osd: 'allow *' }, true],
    ['bootstrap-mgr', 'client.a', { mon: 'allow profile mgr' }, false],
    ['bootstrap-rgw', 'client.rgw.a', { mon: 'allow rw', osd: 'allow rwx' }, true],
    ['bootstrap-rgw', 'client.a', { mon: 'allow rw', osd: 'allow rwx' }, false],
    ['bootstrap-rbd', 'client.a', { mon: 'profile rbd', osd: 'profile rbd pool=a' }, true],
    ['bootstrap-rbd', 'client.a', { mon: 'profile rbd', osd: 'profile rbd, allow *' }, false],
    [
      'bootstrap-rbd',
      'client.a',
      { mon: 'profile rbd', osd: "profile 'rbd-x', profile rbd" },
      true,
    ],
    ['bootstrap-rbd-mirror', 'client.a', { mon: 'profile rbd-mirror', osd: 'profile rbd' }, true],
    ['bootstrap-rbd-mirror', 'client.a', { mon: 'profile rbd', osd: 'profile rbd' }, false],
  ])('lets profile %s create %s with %j: %s', (profile, entity, caps, expected) => {
    const parsed = parse('mon', `allow profile ${profile}`);
    if (!parsed.ok) throw new Error(parsed.error);
    const args = { entity, ...Object.fromEntries(Object.entries(caps).map(capsArgument)) };
    const op = { service: 'auth', command: 'auth get-or-create', args };
    const request = { op: { ...op, read: true, write: true, exec: true } };
    expect(check(parsed.grants, request).allowed).toBe(expected);
  });

  it('lets a mgr see placement groups in newer releases only', () => {
    // Seen: 16.2.15 answers EACCES to `pg stat` under profile mgr.
    const pgStat = { op: { service: 'pg', command: 'pg stat', read: true } };
    const allowed = ([16, 20] as const).map((release) => {
      const parsed = parse('mon', 'allow profile mgr', { release });
      return parsed.ok && check(parsed.grants, pgStat).allowed;
    });
    expect(allowed).toEqual([false, true]);
  });

  it('explains which condition failed first and what came nearest', () => {
    const text = '  allow r network 10.0.0.0/8 ; allow service osd rw,profile nosuch, allow "é"';
    expect(parse('mon', text).ok).toBe(false);
    const parsed = parse('mon', text.replace('allow "é"', 'allow command "é" with a=b, allow *'));
    if (!parsed.ok) throw new Error(parsed.error);
    const peer = { family: 4, bytes: Uint8Array.of(192, 0, 2, 1) } as const;
    const op = { entity: 'client.x', service: 'mon', command: 'é', read: true };
    const explained = explain(parsed.grants, { op, peer });
    expect(explained).toMatchObject({ allowed: true, reason: 'ok', grant: 4 });
    expect(explained.grants).toEqual([
      { grant: 0, text: 'allow r network 10.0.0.0/8', span: [2, 28], failed: 'network' },
      { grant: 1, text: 'allow service osd rw', span: [31, 51], failed: 'service' },
      { grant: 2, text: 'profile nosuch', span: [52, 66], failed: 'profile' },
      { grant: 3, text: 'allow command "é" with a=b', span: [68, 94], failed: 'constraint' },
      { grant: 4, text: 'allow *', span: [96, 103], failed: null },
    ]);
    const without = parse('mon', 'allow r network 10.0.0.0/8, allow w');
    if (!without.ok) throw new Error(without.error);
    expect(check(without.grants, { op, peer })).toEqual({
      allowed: false,
      reason: 'caps.network_mismatch',
      grant: 0,
      condition: 'network',
      missing: 'r',
    });
  });
});

function capsArgument([daemon, text]: [string, string]): [string, string] {
  return [`caps_${daemon}`, text];
}

/** A recorded command as a request: service and needs by its prefix words. */
function commandRequest(command: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { prefix, caps, ...rest } = command as Record<string, string> & { caps?: string[] };
  const [service, letters] = COMMANDS[prefix as string]!;
  const args: Record<string, string> = {};
  for (const [name, value] of Object.entries(rest)) args[name] = String(value);
  for (let i = 0; i + 1 < (caps?.length ?? 0); i += 2) args[`caps_${caps![i]}`] = caps![i + 1]!;
  const has = (letter: string): boolean => letters.includes(letter);
  return { service, command: prefix, args, read: has('r'), write: has('w'), exec: has('x') };
}

const COMMANDS: Readonly<Record<string, readonly [string, string]>> = {
  'mon stat': ['mon', 'r'],
  'mon getmap': ['mon', 'r'],
  status: ['mon', 'r'],
  df: ['mon', 'r'],
  features: ['mon', 'r'],
  quorum_status: ['mon', 'r'],
  'log last': ['mon', 'r'],
  log: ['mon', 'rw'],
  'osd dump': ['osd', 'r'],
  'osd tree': ['osd', 'r'],
  'osd pool create': ['osd', 'rw'],
  'osd set': ['osd', 'rw'],
  'osd new': ['osd', 'rw'],
  'osd blocklist': ['osd', 'rw'],
  'pg stat': ['pg', 'r'],
  'fs ls': ['fs', 'r'],
  'mgr dump': ['mgr', 'r'],
  'config get': ['config', 'r'],
  'mds stat': ['mds', 'r'],
  'fs dump': ['mds', 'r'],
  'auth get': ['auth', 'rx'],
  'auth ls': ['auth', 'rx'],
  'auth export': ['auth', 'rx'],
  'auth get-key': ['auth', 'rx'],
  'auth get-or-create': ['auth', 'rwx'],
  'auth caps': ['auth', 'rwx'],
  'config-key get': ['config-key', 'r'],
  'config-key set': ['config-key', 'rw'],
};
