/**
 * The conformance runner over every vector file it reads, its self-test (one altered value of each
 * kind is one failure), and what it says of files and options that it does not understand.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from '../src/caps/index.ts';
import { Engine } from '../src/engine/index.ts';
import { main } from './conformance/main.ts';
import { Rng } from './rng.ts';

const FOLDER = fileURLToPath(new URL('vectors/', import.meta.url));
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));

/** Values that a file must at least have compared: fewer, and cases went unseen. */
const COMPARED: Readonly<Record<string, number>> = {
  'tickets-synthetic.json': 369,
  'observed-mds-16.2.15.json': 338,
  'authorizer-cases.json': 27,
  'vectors-v2-alpha.json': 12_000,
  'vectors-v1-gamma.json': 3300,
  'vectors-renewal-epsilon.json': 2500,
  'caps-examples.json': 495,
  'osd-enforcement.json': 44_936 + 744,
  'osd-enforcement-compound.json': 2000,
  'mds-enforcement.json': 751,
  'network-match.json': 200,
};

const engine = await Engine.create();
const scratch = mkdtempSync(join(tmpdir(), 'conformance-'));
afterAll(() => rmSync(scratch, { recursive: true }));

async function run(...argv: string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const code = await main(argv, (line) => lines.push(line));
  return { code, lines };
}

function accepted(ceph_version: string): object {
  const rows = [{ caps: 'allow r', accept: true }];
  return { format: 'caps-accept/1', ceph_version, service: 'osd', rows };
}

function ofMds(operation: string, allowed: number | null, rc: number): object {
  const rows = [['/a', operation, allowed, rc]];
  const users = [{ user: 'client.x', mds_caps: 'allow rw', caller_uid: 0, rows }];
  return { format: 'mds-enforcement/1', ceph_version: '16.2.15', users };
}

const NETWORK = { family: 'v4', network: '10.0.0.0/8', caps_accepted: 1, matches: {} };
const SYNTHETIC = { id: 'x', kind: 'challenge_hash', input: {}, expect: { lenient: {} } };

/** The first of them: a broken matcher would print thousands. */
function failures(lines: readonly string[]): string[] {
  return lines.filter((line) => line.startsWith('FAIL')).slice(0, 5);
}

function fileOf(content: unknown): string {
  const path = join(scratch, 'made.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe.each(FILES)('%s', (name) => {
  it('passes, value by value', async () => {
    const { code, lines } = await run(join(FOLDER, name));
    expect(failures(lines)).toEqual([]);
    expect(code).toBe(0);
    expect(lines).toHaveLength(2);
    const [, values = '0', cases = '0'] =
      /^\S+: (\d+) values in (\d+) cases compared by \S/.exec(lines[0] as string) ?? [];
    expect(Number(values)).toBeGreaterThanOrEqual(COMPARED[name] ?? Number(cases));
    expect(Number(cases)).toBeGreaterThan(0);
    expect(lines[1]).toMatch(new RegExp(`^${cases} passed, 0 failed, \\d+ skipped$`));
  });

  it('fails once for one altered value of each kind', async () => {
    const { code, lines } = await run('--self-test', join(FOLDER, name));
    expect(failures(lines)).toEqual([]);
    expect(code).toBe(0);
  });
});

describe('another file of the same format', () => {
  it.each(FILES)('%s: half of it, shuffled, fields in another order', async (name) => {
    const file: unknown = JSON.parse(readFileSync(join(FOLDER, name), 'utf8'));
    const { code, lines } = await run(fileOf(halfOf(name, file)));
    expect(failures(lines)).toEqual([]);
    expect(code).toBe(0);
    const [, passed = '0'] = /^([0-9]+) passed, 0 failed/.exec(lines.at(-1) as string) ?? [];
    expect(Number(passed)).toBeGreaterThan(0);
  });

  it.each([
    ['16.2.15', 'allow rw root_squash uid=5', 'allow rw path=/a gids=7', 'stopped at'],
    ['19.2.6', 'allow w', 'allow rwx', 'Permission flags in MDS capability string'],
    ['20.2.4', 'allow w', 'allow rwx', 'Permission flags in MDS capability string'],
  ])('of ceph_version %s is judged by its release', async (ceph_version, first, second, words) => {
    const file = { format: 'caps-accept/1', ceph_version, service: 'mds' };
    const row = (caps: string, release: 16 | 20): object => {
      const parsed = parse('mds', caps, { release, engine });
      return { caps, accept: parsed.ok, ...(parsed.ok ? {} : { rc: -22, error: parsed.error }) };
    };
    const release = ceph_version.startsWith('16') ? 16 : 20;
    const both = 'allow rw fsname=a path=/x uid=5 gids=1,2';
    const rows = [first, second, both].map((caps) => row(caps, release));
    expect(JSON.stringify(rows)).toContain(words);
    const { code, lines } = await run(fileOf({ ...file, rows }));
    expect([code, lines.at(-1)]).toEqual([0, '3 passed, 0 failed, 0 skipped']);
    const wrong = await run(fileOf({ ...file, rows: [row(both, release === 16 ? 20 : 16)] }));
    expect([wrong.code, wrong.lines.at(-1)]).toEqual([1, '0 passed, 1 failed, 0 skipped']);
  });

  it('judges what a daemon allowed by its release, for commands as well', async () => {
    const rows = [['/a', 'stat_dir', 1, 0]];
    const user = { user: 'client.x', mds_caps: 'allow rw path=/a/', caller_uid: 0, rows };
    const file = { format: 'mds-enforcement/1', users: [user] };
    const newer = await run(fileOf({ ...file, ceph_version: '20.2.4' }));
    expect(newer.lines.at(-1)).toBe('1 passed, 0 failed, 0 skipped');
    const older = await run(fileOf({ ...file, ceph_version: '16.2.15' }));
    expect(older.lines.at(-1)).toBe('0 passed, 1 failed, 0 skipped');
  });

  it('finds the sealing secret of authorizer cases by itself', async () => {
    const path = join(FOLDER, 'authorizer-cases.json');
    const text = readFileSync(path, 'utf8');
    const file = JSON.parse(text) as { osd_rotating_secrets: { id: string }[] };
    for (const secret of file.osd_rotating_secrets) secret.id = `${Number(secret.id) + 300}`;
    // The id stands in the clear, as u64 after u8, u64, u32 and u8.
    const moved = JSON.stringify(file).replace(
      /("authorizer_[12]":"[0-9a-f]{28})(0[1-3])00/g,
      (_, before: string, id: string) => `${before}${(Number(id) + 44).toString(16)}01`,
    );
    const { lines } = await run(fileOf(moved));
    expect(failures(lines)).toEqual([]);
    expect(lines.at(-1)).toBe('27 passed, 0 failed, 0 skipped');
  });
});

/** Half of the cases where their order says nothing, and every object's fields the other way. */
function halfOf(name: string, file: unknown): unknown {
  const rng = new Rng(31);
  const half = <T>(list: readonly T[]): T[] => {
    const kept = list.filter(() => rng.chance(0.5));
    const keyed = (kept.length === 0 ? list : kept).map((each) => ({ each, at: rng.u32() }));
    return keyed.sort((a, b) => a.at - b.at).map(({ each }) => each);
  };
  const halved = (value: unknown, key: string): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) {
      const cases = ['', 'rows', 'vectors', 'sessions', 'users', 'osd', 'mon', 'checks'];
      // The rows of the transcript are one story.
      const list = cases.includes(key) && name !== 'auth-mon-transcript.json' ? half(value) : value;
      return list.map((each) => halved(each, 'entry'));
    }
    const entries = Object.entries(value).reverse();
    return Object.fromEntries(entries.map(([field, held]) => [field, halved(held, field)]));
  };
  return halved(file, '');
}

describe('what is not understood is a failure', () => {
  const cap = { daemon: 'osd', cap: 'allow r', parses: true, checks: [] };

  it.each([
    ['an operation', { format: 'crypto-vectors/1', vectors: [{ id: 'x', op: 'rot13' }] }],
    ['a format', { format: 'nobody/7' }],
    ['no format', {}],
    ['an array of something', [{ a: 1 }]],
    ['a program', [{ id: 'x', argv: ['rm'], stdin: null, files_before: {} }]],
    ['text that is no JSON', '{'],
    ['a daemon', [{ ...cap, daemon: 'rgw' }]],
    ['a field of a cap case', [{ ...cap, allowSome: true }]],
    ['a release', [{ ...cap, since: '21' }]],
    ['a field of a request', [{ ...cap, checks: [{ request: { pol: 'x' }, allowed: false }] }]],
    ['the Ceph of a file', accepted('soon')],
    ['a Ceph that is too old', accepted('15.2.17')],
    ['an operation without an answer', ofMds('levitate', null, -2)],
    ['an answer that is null for another reason', ofMds('mkdir', null, -13)],
    [
      'a form of network caps',
      { format: 'network-match/1', caps_form: 'allow r', rows: [NETWORK] },
    ],
    ['a policy', { format: 'cephx-synthetic/1', policies: {}, vectors: [SYNTHETIC] }],
    ['an answer that is missing', [{ daemon: 'osd', cap: 'allow r' }]],
  ])('%s', async (_, content) => {
    const { code, lines } = await run(fileOf(content));
    expect(code).toBe(1);
    expect(lines[0]).toMatch(/^FAIL made\.json: /);
    expect(lines.at(-1)).toBe('0 passed, 1 failed, 0 skipped');
  });

  it('a file that is not there', async () => {
    const { code, lines } = await run(join(scratch, 'none.json'));
    expect([code, lines.at(-1)]).toEqual([1, '0 passed, 1 failed, 0 skipped']);
  });
});

describe('--only', () => {
  const cases = ['osd', 'mds', 'mon', 'mgr'].map((daemon) => ({
    ...{ daemon, cap: 'allow r', checks: [] },
    parses: daemon !== 'mgr',
  }));

  it('narrows to cases with the value', async () => {
    const path = fileOf(cases);
    const some = await run('--only', 'daemon=osd', '--only=daemon=mon', path);
    expect([some.code, some.lines.at(-1)]).toEqual([0, '2 passed, 0 failed, 2 skipped']);
    const wrong = await run('--only', 'daemon=mgr', path);
    expect([wrong.code, wrong.lines.at(-1)]).toEqual([1, '0 passed, 1 failed, 3 skipped']);
    expect((await run('--only', 'nothing=osd', path)).lines.at(-1)).toMatch(/4 skipped$/);
  });

  it.each([['--only', 'daemon'], ['--only', '=osd'], ['--only'], ['--unknown']])(
    'is refused as %s %s',
    async (...argv) => {
      const { code, lines } = await run(...argv.filter((each) => each !== undefined));
      expect([code, lines.length]).toEqual([2, 1]);
    },
  );
});
