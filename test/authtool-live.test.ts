/** Seeded command lines and keyring files: `cephgate authtool` against the installed real tool. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { cephgate } from '../src/cli/cephgate.ts';
import { Rng, seedOf } from './rng.ts';
import {
  compareOutcome,
  type Outcome,
  type Runner,
  replay,
  type TranscriptCase,
} from './transcript.ts';

const golden: readonly TranscriptCase[] = JSON.parse(
  readFileSync(new URL('./vectors/authtool-golden.json', import.meta.url), 'utf8'),
);
const installed = spawnSync('ceph-authtool', ['--version'], { encoding: 'utf8' });
const version = /^ceph version (\d+)\./.exec(installed.stdout ?? '')?.[1];
const required = process.env.REQUIRE_SERVICES === '1';
const RUNS = Number(process.env.RUNS ?? 120);
const TIMEOUT_MS = 60_000 + RUNS * 500;
const seed = seedOf(20261124);

describe.skipIf(version !== '16' && !required)(
  'ceph-authtool 16 (apt-get install -y --no-install-recommends ceph-common)',
  () => {
    it('is installed', () => {
      expect(version).toBe('16');
    });

    it('still does what was recorded', async () => {
      for (const recorded of golden) {
        const outcome = await replay(recorded, {}, realTool);
        expect([recorded.id, compareOutcome(recorded, outcome).failures]).toEqual([
          recorded.id,
          [],
        ]);
      }
    });

    it(
      `does the same with command lines, seed ${seed}`,
      async () => {
        const rng = new Rng(seed);
        await compareRuns(rng, () => commandLine(rng));
      },
      TIMEOUT_MS,
    );

    it(
      `reads the same keyrings and caps files, seed ${seed}`,
      async () => {
        const rng = new Rng(seed + 1);
        await compareRuns(rng, () =>
          rng.chance(0.5) ? ['k', '-l'] : ['-C', 'n', '-a', KEYS[0]!, '--caps', 'k', '-l'],
        );
      },
      TIMEOUT_MS,
    );
  },
);

async function compareRuns(rng: Rng, argvOf: () => readonly string[]): Promise<void> {
  const settings = { CEPHGATE_RELEASE: '16', CEPHGATE_GUARD: 'off' };
  let compared = 0;
  for (let i = 0; i < RUNS; i++) {
    const given = {
      argv: ['ceph-authtool', ...withoutNul(argvOf())],
      files_before: { k: fileText(rng), o: fileText(rng), 'd/x': '' },
      modes_before: { k: rng.pick(['0644', '0600', '0400']) },
      stdin: null,
      env: rng.chance(0.1) ? { CEPH_ARGS: withoutNul(words(rng)).join(' ') } : {},
    };
    const real = await replay(given, {}, realTool);
    // Ceph aborts; we must only not do the same.
    if (real.exit > 1) continue;
    const ours = await replay(given, settings, (argv, io) => cephgate(['authtool', ...argv], io));
    expect({ given, ran: comparable(ours) }).toEqual({ given, ran: comparable(real) });
    compared++;
  }
  expect(compared).toBeGreaterThan(RUNS * 0.9);
}

const realTool: Runner = (argv, io) => {
  const { env, cwd } = io;
  const PATH = process.env.PATH;
  const done = spawnSync('ceph-authtool', argv, { env: { ...env, PATH }, cwd, encoding: 'utf8' });
  io.out(done.stdout);
  io.err(done.stderr);
  return done.status ?? 2;
};

/** Generated keys by their structure. */
function comparable({ exit, stdout, stderr, files, modes, began }: Outcome): unknown {
  const texts = Object.entries(files).map(([name, bytes]) => [
    name,
    structure(new TextDecoder().decode(bytes), began),
  ]);
  return {
    exit,
    stdout: structure(stdout, began),
    stderr,
    files: Object.fromEntries(texts),
    modes,
  };
}

function structure(text: string, began: number): string {
  return text.replace(/\b[A-Za-z0-9+/]{38}==/g, (found) => {
    try {
      const { type, secret, created } = CryptoKey.fromBase64(found);
      const recent = Math.abs(created.seconds - began) < 60;
      return recent ? `<generated: type ${type}, ${secret.length} bytes>` : found;
    } catch {
      return found;
    }
  });
}

function withoutNul(words: readonly string[]): string[] {
  return words.map((word) => word.replaceAll('\0', ''));
}

function commandLine(rng: Rng): readonly string[] {
  const line = rng.chance(0.9)
    ? [rng.pick(['k', 'k', 'k', 'new', 'd', 'no/such', 'd/', 'n/', 'k/x'])]
    : [];
  for (let left = 1 + rng.int(4); left > 0; left--) {
    const at = rng.int(line.length + 1);
    if (rng.chance(0.7)) line.push(...words(rng));
    else line.splice(at, 0, ...words(rng));
  }
  return line;
}

function words(rng: Rng): string[] {
  const name = rng.pick(['client.a', 'client.b', 'osd.0', 'mon.', 'client.', 'bogus', '', 'x.y']);
  const key = rng.chance(0.8) ? rng.pick(KEYS) : mangled(rng, rng.pick(KEYS));
  const text = rng.pick(['allow r', '', ' a ', 'a"b', 'a\\b', 'a # b', '-l', '--', "it's", 'a\nb']);
  const file = rng.pick(['o', 'o', 'k', 'd', 'no', '']);
  return rng.pick([
    ['-l'],
    ['--list'],
    ['-p'],
    ['--print_key'],
    ['-C'],
    ['--create-keyring'],
    ['-g'],
    ['--gen_key'],
    ['--gen-print-key'],
    ['-n', name],
    [`--name=${name}`],
    ['--id', rng.pick(['a', '', '0'])],
    ['--user', 'b'],
    ['-a', key],
    [`--add-key=${key}`],
    ['--cap', rng.pick(['mon', 'osd', 'x y', '']), text],
    ['--cap', 'mon', 'allow r', '--cap', rng.pick(['mon', 'mds']), 'allow *'],
    ['--caps', file],
    ['--import-keyring', file],
    [`--import_keyring=${file}`],
    ['--mode', rng.pick(['0644', '600', '9', '', '+7', '-1', '0o7', ' 640', '77777777777777777'])],
    ['--keyring', 'x'],
    ['-K', 'no'],
    [`--debug-${rng.pick(['auth', 'ms', 'bogus'])}`, rng.pick(['0', '1/5', '100', ''])],
    [`--auth-debug${rng.pick(['', '=true', '=x'])}`],
    ['--no-mon-config'],
    ['--crash-dir'],
    ['--no-auth_debug'],
    ['-f'],
    ['--show_args'],
    ['--'],
    [rng.pick(['-h', '-v', '--help', '--version', '-z', '--bogus', '--list=1', '-lp', '--', 'x'])],
    [rng.pick(['-a', '--cap', '--caps', '--mode', '-n', '--id', '--import-keyring', '-k'])],
  ]);
}

/** A keyring, a caps file or nearly one. */
function fileText(rng: Rng): string {
  const lines: string[] = [];
  for (let left = rng.int(8); left > 0; left--) lines.push(line(rng));
  const text = lines.join('');
  return rng.chance(0.3) ? mangled(rng, text) : text;
}

function line(rng: Rng): string {
  const end = rng.pick([
    '\n',
    '\n',
    '\n',
    '\n',
    '\r\n',
    '\r',
    ' # c\n',
    ';c\n',
    '\n\n',
    '\n  \n',
    '',
  ]);
  const gap = () => rng.pick(['', ' ', ' ', ' ', '\t', '  ', ' \\\n ', '\\\n', ' \t ']);
  const heading = rng.pick([
    'client.a',
    'client.b',
    'osd.0',
    'mon.',
    'global',
    'global',
    'x',
    ' a',
  ]);
  if (rng.chance(0.35)) return `[${heading}]${end}`;
  if (rng.chance(0.1)) return end;
  const key = rng.pick([
    'key',
    'key',
    'caps mon',
    'caps_osd',
    'caps  mds',
    'auid',
    'mon',
    'osd',
    'mds',
  ]);
  const bare = rng.pick([...KEYS, 'allow r', 'a  b', 'a\\#b', 'a\\;', 'a"b', 'a\\\nb', '', '\\']);
  const value = rng.pick([bare, bare, `"${bare}"`, `'${bare}'`, `" ${bare} "`, `"${bare}`]);
  return `${gap()}${key}${gap()}${rng.chance(0.97) ? '=' : ':'}${gap()}${value}${end}`;
}

function mangled(rng: Rng, text: string): string {
  const at = rng.int(text.length + 1);
  const added = rng.pick([
    '',
    '=',
    '[',
    ']',
    '"',
    "'",
    '\\',
    '\n',
    '\r',
    ' ',
    '\t',
    '#',
    '\0',
    'x',
  ]);
  return text.slice(0, at) + added + text.slice(at + rng.int(2));
}

const KEYS = [
  'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==',
  'AQBwZWxgAAAAABAAEBESExQVFhcYGRobHB0eHw==',
  'AAAAAAAAAAAAAAAA',
  'AgABAAAAAQAAACAAeHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=',
];
