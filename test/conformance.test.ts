/**
 * The conformance runner over every vector file it reads, its self-test (one altered value of each
 * kind is one failure), and what it says of files and options that it does not understand.
 */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { main } from './conformance/main.ts';

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

const scratch = mkdtempSync(join(tmpdir(), 'conformance-'));
afterAll(() => rmSync(scratch, { recursive: true }));

async function run(...argv: string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const code = await main(argv, (line) => lines.push(line));
  return { code, lines };
}

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
