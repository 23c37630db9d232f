/** The command line: help, wrong usage, and where settings come from. */

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ABI_VERSION } from '../assembly/abi.ts';
import { CLIENT_OPTIONS, POLICY_OPTIONS, SERVE_OPTIONS } from '../src/cli/settings.ts';
import { VERSION } from '../src/http/operations.ts';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { NOW_NS } from './authorizers.ts';
import { privateFile, run } from './cli-kit.ts';
import { osdTicket, SECRETS } from './http-kit.ts';
import { temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('cli');
afterAll(folder.remove);
const secrets = privateFile(folder.path, 'secrets.json', formatSecrets(SECRETS));
const authorizer = privateFile(folder.path, 'authorizer', osdTicket().authorizer());
const OFFLINE = ['verify', '--offline', '--service', 'osd', '--secrets', secrets];
const JUDGED = [...OFFLINE, '--authorizer', authorizer, '--at', `${NOW_NS / 1_000_000_000n}`];

describe('help', () => {
  it.each(['serve', 'verify', 'check', 'version'])('of %s, in three ways', async (name) => {
    const help = await run([name, '--help']);
    expect([help.code, help.err]).toEqual([0, '']);
    expect(help.out).toMatch(new RegExp(`^usage: cephgate ${name} `));
    expect(await run([name, '-h'])).toEqual(help);
    expect(await run(['help', name])).toEqual(help);
    expect((await run(['help'])).out).toContain(`  ${name} `);
  });

  it('needs nothing else to be right', async () => {
    expect((await run(['serve', '--listen', 'nonsense', '--help'])).code).toBe(0);
    expect((await run(['verify', '--offline', '--help'])).code).toBe(0);
  });

  it('names every flag', async () => {
    const serve = (await run(['serve', '--help'])).out;
    for (const { name } of SERVE_OPTIONS) expect(serve).toContain(`  --${name}`);
    const verify = (await run(['verify', '--help'])).out;
    const names = [...POLICY_OPTIONS, ...CLIENT_OPTIONS].map(({ name }) => name);
    const own = ['offline', 'secrets', 'server-challenge', 'no-challenge', 'at', 'reveal-keys'];
    for (const name of [...names, ...own, 'authorizer', 'connection', 'receipt', 'secure']) {
      expect(verify).toContain(`  --${name}`);
    }
    const check = (await run(['check', '--help'])).out;
    for (const name of ['session', 'caps', 'op', 'pool', 'explain', 'json', 'socket']) {
      expect(check).toContain(`  --${name}`);
    }
  });

  it('has no line over 100 columns', async () => {
    for (const argv of [['help'], ['serve', '-h'], ['verify', '-h'], ['check', '-h']]) {
      const long = (await run(argv)).out.split('\n').filter((line) => line.length > 100);
      expect(long).toEqual([]);
    }
  });

  it('is what nothing at all gives, as wrong usage', async () => {
    const { code, out } = await run([]);
    expect(code).toBe(2);
    expect(out).toBe((await run(['help'])).out);
  });
});

it('says its version', async () => {
  const text = `cephgate ${VERSION}, ABI of the core ${ABI_VERSION}\n`;
  expect(await run(['version'])).toEqual({ code: 0, out: text, err: '' });
  expect(await run(['--version'])).toEqual({ code: 0, out: text, err: '' });
  const { out } = await run(['version', '--json']);
  expect(JSON.parse(out)).toEqual({ version: VERSION, abi: ABI_VERSION });
});

describe('wrong usage ends with 2 and one line', () => {
  it.each<[string, string[], string]>([
    ['an unknown command', ['frobnicate'], 'cephgate: unknown command "frobnicate"'],
    ['a name of Object', ['constructor'], 'unknown command "constructor"'],
    ['help of nothing', ['help', 'frobnicate'], 'unknown command "frobnicate"'],
    ['an unknown flag', ['check', '--frob'], 'unknown flag "--frob"'],
    ['a flag of the other form', [...JUDGED, '--url', 'x'], 'unknown flag "--url"'],
    ['a flag of offline alone', ['verify', '--at', '1'], 'unknown flag "--at"'],
    ['a word', ['check', 'word'], 'unexpected word "word"'],
    [
      'a flag without value',
      ['check', '--service'],
      'wrong value of "--service": expected a value',
    ],
    ['a flag twice', [...JUDGED, '--skew', '1', '--skew', '2'], '"--skew" is given twice'],
    ['no service', ['verify', '--authorizer', authorizer], '"--service" is missing'],
    ['no authorizer', OFFLINE, '"--authorizer" is missing'],
    ['a policy', [...JUDGED, '--policy', 'x'], 'expected one of released, pr71231-order'],
    ['a skew', [...JUDGED, '--skew', '-1'], 'expected a whole number of seconds'],
    ['a long skew', [...JUDGED, '--skew', '1e9'], 'expected a whole number of seconds'],
    ['an expiry', [...JUDGED, '--expiry', 'never'], 'expected one of enforce, report, ring'],
    ['types', [...JUDGED, '--types', 'aes,none'], 'expected ring, or aes and aes256k by commas'],
    ['a release', [...JUDGED, '--release', '19'], 'expected one of 16, 20'],
    ['a peer', [...JUDGED, '--peer', '1.2.3'], 'expected an IPv4 or IPv6 address without port'],
    ['a challenge', [...JUDGED, '--server-challenge', '-1'], 'expected a number from 0 to 2^64-1'],
    ['too big a challenge', [...JUDGED, '--server-challenge', `${2n ** 64n}`], 'from 0 to 2^64-1'],
    [
      'two challenges',
      [...JUDGED, '--server-challenge', '1', '--no-challenge'],
      '"--server-challenge" and "--no-challenge" cannot be given together',
    ],
    ['a time', [...OFFLINE, '--authorizer', authorizer, '--at', 'noon'], 'expected a time such as'],
    [
      'a day that is none',
      [...OFFLINE, '--authorizer', authorizer, '--at', '2026-02-30T00:00:00Z'],
      'expected a time such as',
    ],
    ['a flag with a value', [...JUDGED, '--json=maybe'], 'expected true or false'],
    [
      'a service',
      ['verify', '--offline', '--service', 'x', '--secrets', secrets, '--authorizer', authorizer],
      'wrong value of "--service": expected one of',
    ],
    ['an op that is no JSON', ['check', '--service', 'osd', '--op', '{'], 'expected JSON'],
    [
      'op and pool',
      ['check', '--service', 'osd', '--op', '{}', '--pool', 'p'],
      '"--op" and "--pool" cannot be given together',
    ],
    ['no pool', ['check', '--service', 'osd', '--caps', 'allow *'], '"--pool" is missing'],
    ['a uid', ['check', '--service', 'mds', '--path', '/', '--uid', 'root'], 'expected a number'],
    [
      'a URL',
      ['check', '--service', 'osd', '--pool', 'p', '--url', 'ftp://x'],
      'expected http://HOST:PORT',
    ],
    [
      'a URL with a path',
      ['check', '--service', 'osd', '--pool', 'p', '--url', 'http://x/y'],
      'the URL of a sidecar has no path',
    ],
    [
      'URL and socket',
      ['check', '--service', 'osd', '--pool', 'p', '--url', 'x', '--socket', 'y'],
      '"--url" and "--socket" cannot be given together',
    ],
  ])('%s', async (_, argv, message) => {
    const { code, out, err } = await run(argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('trouble ends with 3', () => {
  it.each<[string, () => string[], string]>([
    [
      'no authorizer file',
      () => [...OFFLINE, '--authorizer', 'none'],
      'cannot read "none": ENOENT',
    ],
    ['a folder', () => [...OFFLINE, '--authorizer', folder.path], 'EISDIR'],
    [
      'no secrets file',
      () => [
        'verify',
        '--offline',
        '--service',
        'osd',
        '--authorizer',
        authorizer,
        '--secrets',
        'none',
      ],
      'cannot open "none": ENOENT',
    ],
    [
      'open secrets',
      () => {
        const open = join(folder.path, 'open.json');
        writeFileSync(open, formatSecrets(SECRETS));
        chmodSync(open, 0o640);
        return [
          'verify',
          '--offline',
          '--service',
          'osd',
          '--authorizer',
          authorizer,
          '--secrets',
          open,
        ];
      },
      'its mode is 0640, expected 0600',
    ],
    [
      'no sidecar',
      () => [
        'check',
        '--service',
        'osd',
        '--caps',
        'allow *',
        '--pool',
        'p',
        '--socket',
        join(folder.path, 'none.sock'),
      ],
      'cannot ask the sidecar: ENOENT',
    ],
    [
      'nobody on the port',
      () => [
        'check',
        '--service',
        'osd',
        '--caps',
        'allow *',
        '--pool',
        'p',
        '--url',
        'http://127.0.0.1:1',
      ],
      'cannot ask the sidecar: ECONNREFUSED',
    ],
  ])('%s', async (_, argv, message) => {
    const { code, out, err } = await run(argv());
    expect([code, out]).toEqual([3, '']);
    expect(err).toContain(message);
  });

  it('an empty authorizer is wrong usage', async () => {
    const empty = privateFile(folder.path, 'empty', '\n');
    const { code, err } = await run([...OFFLINE, '--authorizer', empty]);
    expect([code, err]).toEqual([2, `cephgate verify: there is no authorizer in "${empty}"\n`]);
  });
});

describe('a setting', () => {
  const expired = [...OFFLINE, '--authorizer', authorizer, '--no-challenge', '--json'];
  const late = [...expired, '--at', `${NOW_NS / 1_000_000_000n + 7_200n}`];
  const expiredOf = async (argv: string[], env: Record<string, string>): Promise<unknown> =>
    JSON.parse((await run(argv, { env })).out).ticket?.expired ?? 'refused';

  it('comes from flags, else the environment, else the file, else its default', async () => {
    const config = privateFile(folder.path, 'config.json', '{"expiry": "report", "skew": 5}');
    const refused = await run(late);
    expect([refused.code, JSON.parse(refused.out).check]).toEqual([1, 'ticket.expired']);
    expect((await run([...late, '--config', config])).code).toBe(0);
    expect((await run(late, { env: { CEPHGATE_CONFIG: config } })).code).toBe(0);
    const env = { CEPHGATE_EXPIRY: 'enforce' };
    expect((await run([...late, '--config', config], { env })).code).toBe(1);
    expect((await run([...late, '--config', config, '--expiry=report'], { env })).code).toBe(0);
    expect(await expiredOf(late, { CEPHGATE_EXPIRY: 'report' })).toBe(true);
    expect((await run(late, { env: { CEPHGATE_SKEW: '7200' } })).code).toBe(0);
  });

  it.each<[string, string, string]>([
    ['unknown', '{"frob": 1}', 'unknown setting in "FILE": "frob"'],
    ['unknown and nested', '{"expiry": {"mode": 1}}', 'unknown setting in "FILE": "expiry.mode"'],
    ['of another file', '{"config": "x"}', 'unknown setting in "FILE": "config"'],
    ['of no type', '{"expiry": null}', 'wrong value of "expiry in "FILE""'],
    ['wrong', '{"expiry": "x"}', 'wrong value of "expiry in "FILE"": expected one of'],
    ['nowhere', 'expiry: x', 'cannot read config file "FILE": not a JSON file'],
  ])('that is %s is refused', async (_, text, message) => {
    const config = privateFile(folder.path, 'bad.json', text);
    const { code, err } = await run([...late, '--config', config]);
    expect(code).toBe(2);
    expect(err).toContain(message.replace('FILE', config));
  });

  it('of the environment that is unknown is refused', async () => {
    const { code, err } = await run(late, { env: { CEPHGATE_FROB: '1', OTHER: '1' } });
    expect([code, err]).toEqual([
      2,
      'cephgate verify: unknown setting in the environment: "CEPHGATE_FROB"\n',
    ]);
  });

  it('of another command is known', async () => {
    const env = { CEPHGATE_LISTEN: 'unix:/run/x.sock', CEPHGATE_SKEW: '7200' };
    expect((await run(late, { env })).code).toBe(0);
  });
});
