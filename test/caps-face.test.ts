/** The one face of the four languages, for osd and mds as far as it adds to the core. */

import { beforeAll, describe, expect, it } from 'vitest';
import { CAPS_TEXT_LEN_MAX } from '../assembly/abi.ts';
import {
  check,
  explain,
  isAllowAll,
  parse,
  print,
  readRequest,
  written,
} from '../src/caps/index.ts';
import { Engine } from '../src/engine/engine.ts';
import { acceptRows } from './caps-vectors.ts';
import { cpuMs } from './cputime.ts';
import { loadVectors } from './twin/load.ts';

interface Example {
  readonly daemon: 'osd' | 'mds' | 'mon' | 'mgr';
  readonly cap: string;
  readonly parses: boolean;
  readonly checks?: readonly { readonly request: object; readonly allowed: boolean }[];
  readonly canonical?: string;
  readonly allowAll?: boolean;
}

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create({ preset: 'server' });
});

describe('caps', () => {
  it.each(['osd', 'mds'] as const)('refuses %s caps in the words of a real monitor', (service) => {
    for (const { caps, accept, error } of acceptRows(service)) {
      const parsed = parse(service, caps, { engine, release: 16 });
      const got = parsed.ok ? { accept: true } : { accept: false, error: parsed.error };
      expect(got, JSON.stringify(caps)).toEqual(accept ? { accept } : { accept, error });
    }
  });

  it('never explains otherwise than it decides', () => {
    let compared = 0;
    for (const { daemon, cap, parses, checks = [], canonical, allowAll } of loadVectors<Example[]>(
      'caps-examples.json',
    )) {
      const parsed = parse(daemon, cap, { engine });
      expect(parsed.ok, cap).toBe(parses);
      if (!parsed.ok) continue;
      if (canonical !== undefined) expect(print(parsed.grants)).toBe(canonical);
      if (allowAll !== undefined) expect(isAllowAll(parsed.grants), cap).toBe(allowAll);
      for (const { request, allowed } of checks) {
        const asked = readRequest(daemon, request);
        if (typeof asked === 'string') throw new Error(asked);
        const { grants, ...explained } = explain(parsed.grants, asked);
        expect(check(parsed.grants, asked), cap).toStrictEqual(explained);
        expect(explained.allowed, cap).toBe(allowed);
        expect(grants.some(({ failed }) => failed === null)).toBe(allowed);
        expect(grants.map(({ text }) => text)).toEqual(written(parsed.grants).map((w) => w.text));
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(100);
  });

  it('has a limit where Ceph has none', () => {
    const long = `allow r${' '.repeat(CAPS_TEXT_LEN_MAX)}`;
    for (const service of ['osd', 'mds', 'mon', 'mgr'] as const) {
      expect(parse(service, long, { engine })).toEqual({
        ok: false,
        error: `${service} capability is too large: at most ${CAPS_TEXT_LEN_MAX} bytes are taken`,
        stop: 0,
      });
    }
  });

  it('parses a long mon cap in time linear in it', () => {
    const grants = Array.from({ length: 20_000 }, (_, i) => `allow command "c${i}" with a=b`);
    const text = grants.join(',');
    const ms = cpuMs(() => {
      const parsed = parse('mon', text);
      const op = { command: 'c9', read: true };
      expect(parsed.ok && check(parsed.grants, { op }).allowed).toBe(false);
    });
    expect(ms).toBeLessThan(2000);
  });

  it('wants an engine for osd and mds', () => {
    expect(() => parse('osd', 'allow r')).toThrow(TypeError);
  });

  it.each([
    ['osd', { pool: 'a', colour: 'red' }, 'has no field "colour"'],
    ['osd', { read: 1 }, 'wrong value of "read"'],
    ['osd', { classes: [{ method: 'm' }] }, 'wrong value of "classes"'],
    ['osd', { app_metadata: { rbd: { k: 1 } } }, 'wrong value of "app_metadata"'],
    ['mds', { caller_uid: -1 }, 'wrong value of "caller_uid"'],
    ['mds', { callerUid: 1, caller_uid: 1 }, 'is given twice'],
    ['mds', { mask: ['read'] }, 'wrong value of "mask"'],
    ['mon', { module: 'm' }, 'has no field "module"'],
    ['mon', { addr: '10.0.0.1:1' }, 'wrong value of "addr"'],
    ['mon', [], 'not an object'],
  ] as const)('refuses a request for %s: %j', (service, value, message) => {
    expect(readRequest(service, value)).toContain(message);
  });
});
