/** `cephgate authtool` against recorded runs of ceph-authtool 16.2.15, and what is our own. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { cephgate } from '../src/cli/cephgate.ts';
import { compareOutcome, type Outcome, replay, type TranscriptCase } from './transcript.ts';

const golden: readonly TranscriptCase[] = JSON.parse(
  readFileSync(new URL('./vectors/authtool-golden.json', import.meta.url), 'utf8'),
);
const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const OTHER = 'AQBwZWxgAAAAABAAEBESExQVFhcYGRobHB0eHw==';
const KEY_2 = 'AgABAAAAAQAAACAAeHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=';
const FOO = `[client.foo]\n\tkey = ${KEY}\n\tcaps mon = "allow r"\n`;

describe('recorded runs of ceph-authtool 16.2.15', () => {
  it.each(golden.map((each) => [each.id, each] as const))('%s', async (_, recorded) => {
    const env = { CEPHGATE_RELEASE: '16', CEPHGATE_GUARD: 'off' };
    const outcome = await replay(recorded, env, authtool);
    expect(compareOutcome(recorded, outcome).failures).toEqual([]);
  });

  it('are all there', () => {
    expect(golden.length).toBe(122);
  });
});

describe('release 20', () => {
  const env = { CEPHGATE_GUARD: 'off' };

  it.each([
    [[], 2, 32, 60],
    [['--key-type', 'aes256k'], 2, 32, 60],
    [['--key-type=preferred'], 2, 32, 60],
    [['-t', 'AES'], 1, 16, 40],
    [['--key_type', 'none'], 0, 0, 16],
  ])('generates keys: %j', async (flags, type, secretLen, chars) => {
    const { exit, stdout, stderr } = await run(['--gen-print-key', ...flags], {}, env);
    expect([exit, stderr, stdout.length]).toEqual([0, '', chars + 1]);
    const key = CryptoKey.fromBase64(stdout.trimEnd());
    expect([key.type, key.secret.length]).toEqual([type, secretLen]);
  });

  it('refuses key types that are none', async () => {
    const outcome = await run(['k', '-g', '--key-type', 'des'], { k: FOO }, env);
    expect([outcome.exit, outcome.stderr]).toEqual([1, 'invalid key type: des\n']);
    expect(textOf(outcome, 'k')).toBe(FOO);
  });

  it('knows no key type under release 16', async () => {
    const old = { CEPHGATE_RELEASE: '16', CEPHGATE_GUARD: 'off' };
    const outcome = await run(['k', '-l', '--key-type', 'aes'], { k: FOO }, old);
    expect(outcome.stderr).toBe("ceph-authtool: unexpected '--key-type'\n");
  });

  it('takes and prints aes256k and pending keys', async () => {
    const file = `[client.a]\nkey = ${KEY_2}\npending_key = ${KEY}\n`;
    const printed = `[client.a]\n\tkey = ${KEY_2}\n\tpending key = ${KEY}\n`;
    const outcome = await run(['k', '-l', '-n', 'client.a', '-p'], { k: file }, env);
    expect(outcome.stdout).toBe(`${printed}${KEY_2}\n`);
  });

  it('reads no binary keyrings', async () => {
    const file = golden.find((each) => each.id === 'bin-print')!.files_before;
    const outcome = await run(['k', '-l'], file, env);
    expect([outcome.exit, outcome.stderr]).toEqual([1, 'error reading file k\n']);
  });

  it('has one line more of usage', async () => {
    const { stdout } = await run(['--help'], {}, env);
    expect(stdout).toContain('\n  -t, --key-type KEY_TYPE       set the key-type\n  --gen-print');
  });
});

describe('guard', () => {
  const admin = ['-n', 'client.foo'];
  it.each([
    ['creating over a keyring', ['-C', 'k'], 'create k: the file exists'],
    ['a new key', ['k', ...admin, '-g'], 'replace the key of client.foo: the old key'],
    ['another key', ['k', ...admin, '-a', OTHER], 'replace the key of client.foo: the old key'],
    [
      'the same key without caps',
      ['k', ...admin, '-a', KEY],
      'change client.foo: its caps for mon',
    ],
    ['caps that go', ['k', ...admin, '--cap', 'osd', 'allow r'], 'its caps for mon would be lost'],
    ['an import', ['k', '--import-keyring', 'o'], 'replace the key of client.foo'],
    ['caps that end the file', ['k', ...admin, '--cap', 'mon', 'a # b'], 'would not be read back'],
    ['caps that change', ['k', ...admin, '--cap', 'mon', ' a'], 'would not be read back'],
    ['a mode for everyone', ['-C', 'new', '-g', '--mode', '0644'], 'use mode 0644'],
  ])('refuses %s', async (_, argv, words) => {
    const files = { k: FOO, o: FOO.replace(KEY, OTHER) };
    const outcome = await run(argv, files, {});
    expect([outcome.exit, outcome.stdout]).toEqual([1, '']);
    expect(outcome.stderr).toMatch(/^refusing to .*: .* \(CEPHGATE_GUARD=off does it\)\n$/);
    expect(outcome.stderr).toContain(words);
    expect(Object.keys(outcome.files).sort()).toEqual(['k', 'o']);
    expect(textOf(outcome, 'k')).toBe(FOO);
    const without = await run(argv, files, { CEPHGATE_GUARD: 'off' });
    expect([without.exit, without.stderr]).toEqual([0, '']);
  });

  it.each([
    ['a new keyring', ['-C', 'new', '-g']],
    ['over an empty file', ['-C', 'empty', '-g']],
    ['a further entity', ['k', '-n', 'client.b', '-g', '--cap', 'mon', 'allow r']],
    ['other caps of a subsystem', ['k', ...admin, '--cap', 'mon', 'allow rw']],
    ['the same key and caps', ['k', ...admin, '-a', KEY, '--cap', 'mon', 'allow r']],
    ['an import of others', ['k', '--import-keyring', 'o']],
    ['a key for an entity that has none', ['none', '-n', 'client.foo', '-g']],
    ['reading', ['k', '-l', '-p', ...admin]],
  ])('lets pass %s', async (_, argv) => {
    const none = '[client.foo]\n\tkey = AAAAAAAAAAAAAAAA\n';
    const files = { k: FOO, empty: '', none, o: FOO.replace('client.foo', 'client.x') };
    const outcome = await run(argv, files, {});
    expect([outcome.exit, outcome.stderr]).toEqual([0, '']);
  });
});

describe('settings and trouble', () => {
  it('refuses settings that are none', async () => {
    const outcome = await run(['k', '-l'], { k: FOO }, { CEPHGATE_RELEASE: '17' });
    expect([outcome.exit, outcome.stdout]).toEqual([2, '']);
    expect(outcome.stderr).toContain('wrong value of "CEPHGATE_RELEASE": expected 16 or 20');
  });

  it('refuses text outside ASCII, at which the real tool aborts', async () => {
    const outcome = await run(['k', '-l'], { k: `[client.é]\nkey = ${KEY}\n` }, {});
    expect([outcome.exit, outcome.stderr]).toEqual([1, 'error reading file k\n']);
  });

  it('drops the caps with the key', async () => {
    const env = { CEPHGATE_GUARD: 'off' };
    const outcome = await run(['k', '-n', 'client.foo', '-g'], { k: FOO }, env);
    expect(textOf(outcome, 'k')).toMatch(/^\[client\.foo\]\n\tkey = Ag[A-Za-z0-9+/]{57}=\n$/);
    expect(outcome.modes.k).toBe('0644');
  });

  it('leaves no temporary file', async () => {
    const outcome = await run(['k', '-n', 'client.b', '-g'], { k: FOO }, {});
    expect(Object.keys(outcome.files)).toEqual(['k']);
  });
});

const authtool = (argv: readonly string[], io: Parameters<typeof cephgate>[1]) =>
  cephgate(['authtool', ...argv], io);

function run(
  argv: readonly string[],
  files: TranscriptCase['files_before'],
  env: Readonly<Record<string, string>>,
): Promise<Outcome> {
  return replay(
    { argv: ['ceph-authtool', ...argv], files_before: files, stdin: null },
    env,
    authtool,
  );
}

function textOf(outcome: Outcome, name: string): string {
  return new TextDecoder().decode(outcome.files[name]);
}
