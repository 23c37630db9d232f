/** The command line of `cephgate auth` where no recorded run goes: files, words, guard rails. */

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { authCommand, cephCommand } from '../src/cli/auth.ts';
import { storeBackend } from '../src/cli/authbackend.ts';
import { MemoryStore } from '../src/store/memory.ts';
import type { Store } from '../src/store/store.ts';
import { dump, load } from './auth-kit.ts';

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const ADMIN = `[client.admin]\n\tkey = ${KEY}\n\tcaps mon = "allow *"\n`;

let cwd = '';
let store: Store;
let env: Record<string, string>;

beforeEach(async () => {
  cwd = fs.mkdtempSync(join(tmpdir(), 'cephgate-auth-'));
  store = new MemoryStore();
  await load(store, ADMIN);
  fs.writeFileSync(join(cwd, 'ceph.conf'), '[global]\nkeyring = admin.keyring\n');
  fs.writeFileSync(join(cwd, 'admin.keyring'), ADMIN);
  env = { HOME: cwd, CEPHGATE_RELEASE: '16', CEPHGATE_GUARD: 'off' };
});
afterEach(() => fs.rmSync(cwd, { recursive: true }));

async function run(argv: readonly string[], input = '', command = authCommand) {
  let [out, err] = ['', ''];
  const io = {
    env,
    cwd,
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    readInput: async () => new TextEncoder().encode(input),
  };
  const kept = { ...store, close: async () => {} } as Store;
  for (const name of ['get', 'list', 'commit', 'watch', 'lease'] as const) {
    kept[name] = store[name].bind(store) as never;
  }
  const code = await command(argv, io, (line, like, around) =>
    storeBackend(kept, undefined, line, like, around),
  );
  return { code, out, err };
}

const read = (name: string): string => fs.readFileSync(join(cwd, name), 'utf8');
const modeOf = (name: string): number => fs.statSync(join(cwd, name)).mode & 0o777;

describe('words', () => {
  it('are those of ceph auth', async () => {
    const [short, long] = [
      await run(['get-key', 'client.admin']),
      await run(['auth', 'get-key', 'client.admin'], '', cephCommand),
    ];
    expect(short).toEqual({ code: 0, out: KEY, err: '' });
    expect(long).toEqual(short);
  });

  it.each([
    [['l'], 'no valid command found; 1 closest matches:\nauth ls\n'],
    [
      ['get-o'],
      'no valid command found; 2 closest matches:\nauth get-or-create-key <entity> [<caps>...]\n' +
        'auth get-or-create <entity> [<caps>...]\n',
    ],
    [
      ['add', 'client.é'],
      'Invalid command: invalid chars é in client.é\nauth add <entity> [<caps>...] :  add auth ' +
        'info for <entity> from input file, or random key if no input is given, and/or any caps ' +
        'specified in the command\n',
    ],
    [
      ['rm', 'a', "b'c", 'd"e'],
      'Invalid command: unused arguments: ["b\'c", \'d"e\']\n' +
        'auth rm <entity> :  remove all caps for <name>\n',
    ],
  ])('%j are not understood', async (argv, complaint) => {
    expect(await run(argv)).toEqual({
      code: 22,
      out: '',
      err: `${complaint}Error EINVAL: invalid command\n`,
    });
  });

  it('refuses a format that is none, and an option without its value', async () => {
    const format = await run(['ls', '-f', 'toml']);
    expect(format.code).toBe(2);
    expect(format.err).toContain("invalid choice: 'toml'");
    const value = await run(['ls', '-o']);
    expect([value.code, value.err]).toEqual([
      2,
      expect.stringContaining('argument -o/--out-file: expected one argument\n'),
    ]);
  });

  it('take key types since 16', async () => {
    expect((await run(['add', 'client.a', '--key-type', 'aes'])).err).toContain(
      'Unexpected argument',
    );
    env.CEPHGATE_RELEASE = '20';
    fs.writeFileSync(join(cwd, 'admin.keyring'), ADMIN);
    // The admin of this store has an aes key, which release 20 does not let log in.
    expect(await run(['ls'])).toEqual({
      code: 13,
      out: '',
      err: '[errno 13] RADOS permission denied (error connecting to the cluster)\n',
    });
  });

  it('help and version ask nobody', async () => {
    expect(await run(['--help'])).toMatchObject({ code: 0, err: '' });
    expect((await run(['-v'])).out).toMatch(/^cephgate .* as ceph of Ceph 16\n$/);
  });
});

describe('files', () => {
  it.each([
    [['-i', 'none'], "Can't open input file none: [Errno 2] No such file or directory: 'none'\n"],
    [['-i', '.'], "Can't open input file .: [Errno 21] Is a directory: '.'\n"],
    [['-o', 'no/o'], "Can't open output file no/o: [Errno 2] No such file or directory: 'no/o'\n"],
  ])('%j send nothing', async (words, err) => {
    for (const guard of ['on', 'off']) {
      env.CEPHGATE_GUARD = guard;
      expect(await run(['add', 'client.a', ...words])).toEqual({ code: 1, out: '', err });
      expect(await dump(store)).toBe(ADMIN);
    }
  });

  it('- is standard input and output, without a line before JSON', async () => {
    const keyring = `[client.a]\n\tkey = ${KEY}\n\tcaps mon = "allow r"\n`;
    expect(await run(['import', '-i', '-'], keyring)).toMatchObject({ code: 0 });
    const { out } = await run(['get-key', 'client.a', '-f', 'json', '-o', '-']);
    expect(out).toBe(`{"key":"${KEY}"}`);
  });

  it('a failing command empties the file of the real tool', async () => {
    fs.writeFileSync(join(cwd, 'o'), 'precious');
    expect((await run(['get', 'client.zz', '-o', 'o'])).code).toBe(2);
    expect(read('o')).toBe('');
    await run(['get', 'client.admin', '-o', 'new']);
    expect(modeOf('new')).toBe(0o644);
  });

  it('and leaves it alone behind the guard rail; new ones are for the owner', async () => {
    env.CEPHGATE_GUARD = 'on';
    fs.writeFileSync(join(cwd, 'o'), 'precious', { mode: 0o600 });
    expect((await run(['get', 'client.zz', '-o', 'o'])).code).toBe(2);
    expect(read('o')).toBe('precious');
    expect((await run(['get', 'client.admin', '-o', 'o'])).code).toBe(0);
    expect(read('o')).toBe(ADMIN);
    await run(['get', 'client.admin', '-o', 'new']);
    expect(modeOf('new')).toBe(0o600);
  });

  it('what everybody may read gets no key, unless one insists', async () => {
    env.CEPHGATE_GUARD = 'on';
    fs.writeFileSync(join(cwd, 'o'), '', { mode: 0o644 });
    const refused = await run(['get-or-create', 'client.a', '-o', 'o']);
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(/^refusing to write o: everyone on this machine/),
    ]);
    expect(await dump(store)).toBe(ADMIN);
    const words = ['get-or-create', 'client.a', '-o', 'o', '--yes-i-really-mean-it'];
    expect((await run(words)).code).toBe(0);
    expect(read('o')).toContain('[client.a]');
  });
});

describe('the user guides', () => {
  it('their examples work', async () => {
    const ok = async (...argv: string[]) => {
      const result = await run(argv);
      expect(result).toMatchObject({ code: 0 });
      return result;
    };
    const pools = ['osd', 'allow rw pool=liverpool'];
    await ok('add', 'client.john', 'mon', 'allow r', ...pools);
    await ok('get-or-create', 'client.paul', 'mon', 'allow r', ...pools);
    await ok('get-or-create', 'client.george', 'mon', 'allow r', ...pools, '-o', 'george.keyring');
    await ok('get-or-create-key', 'client.ringo', 'mon', 'allow r', ...pools, '-o', 'ringo.key');
    expect(read('george.keyring')).toMatch(/^\[client\.george\]\n\tkey = \S+\n$/);
    expect(read('ringo.key')).toMatch(/^\S{40}\n$/);
    await ok('caps', 'client.john', 'mon', 'allow r', 'osd', 'allow rw pool=prague');
    expect((await ok('get', 'client.john')).out).toContain('\tcaps osd = "allow rw pool=prague"\n');
    await ok('caps', 'client.paul', 'mon', 'allow rw', 'osd', 'allow rwx pool=liverpool');
    await ok('get-or-create', 'client.brian-manager', 'mon', 'allow *', 'osd', 'allow *');
    await ok('caps', 'client.brian-manager', 'mon', 'allow *', 'osd', 'allow *');
    await ok('export', 'client.george', '-o', 'exported');
    await ok('del', 'client.george');
    expect((await run(['get', 'client.george'])).code).toBe(2);
    await ok('import', '-i', 'exported');
    expect((await ok('export', 'client.george')).out).toBe(read('exported'));
    expect((await ok('print-key', 'client.ringo')).out).toBe(read('ringo.key').trim());
    const listed = (await ok('ls')).out.split('\n').filter((line) => line.startsWith('client.'));
    expect(listed).toEqual(
      ['admin', 'brian-manager', 'george', 'john', 'paul', 'ringo'].map((id) => `client.${id}`),
    );
  });
});
