/**
 * What the guard rails are for: the installed programs of Ceph 16 do each of these harms without a
 * word. That ours do not is in auth-commands-guard, auth-commands-cli and authtool.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { temporaryFolder } from './spawn.ts';

const KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
const TIMEOUT_MS = 120_000;
const folder = temporaryFolder('harm');
afterAll(folder.remove);

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a program in `cwd` with the umask that most have. */
function run(cwd: string, argv: readonly string[], env: Record<string, string> = {}): Ran {
  const words = ['-c', 'umask 022; exec "$@"', 'sh', ...argv];
  const base = { PATH: process.env.PATH ?? '', LC_ALL: 'C.UTF-8', HOME: cwd };
  const options = { cwd, env: { ...base, ...env }, encoding: 'utf8', timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync('sh', words, { ...options, input: '' });
  return { code: status, out: stdout, err: stderr };
}

const made = (): string => mkdtempSync(join(folder.path, 'run-'));
const modeOf = (path: string): number => statSync(path).mode & 0o777;

describe.skipIf(cephMissing('ceph-authtool'))(`ceph-authtool 16 (${CEPH_INSTALL})`, () => {
  it('-C throws the keyring away that is there', () => {
    const cwd = made();
    const path = join(cwd, 'k');
    writeFileSync(path, `[client.precious]\n\tkey = ${KEY}\n`, { mode: 0o600 });
    expect(run(cwd, ['ceph-authtool', '-C', 'k', '-n', 'client.b', '-g'])).toMatchObject({
      code: 0,
    });
    expect(readFileSync(path, 'utf8')).toMatch(/^\[client\.b\]\n\tkey = \S+\n$/);
  });

  it('writes a key that everybody may read', () => {
    const cwd = made();
    const argv = ['ceph-authtool', '-C', 'k', '-n', 'client.b', '-g', '--mode', '0644'];
    expect(run(cwd, argv)).toMatchObject({ code: 0 });
    expect(modeOf(join(cwd, 'k'))).toBe(0o644);
  });
});

describe.skipIf(cephMissing('ceph-mon', 'ceph'))(`ceph of Ceph 16 (${CEPH_INSTALL})`, () => {
  let cluster: Cluster;
  let cwd: string;

  beforeAll(async () => {
    cluster = await Cluster.start();
    cwd = made();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await cluster?.stop();
  });

  const ceph = (...words: readonly string[]): Ran =>
    run(cwd, ['ceph', '--connect-timeout', '20', ...words], { CEPH_CONF: cluster.conf });
  const EVERYTHING = ['mon', 'allow *', 'osd', 'allow *', 'mds', 'allow *', 'mgr', 'allow *'];

  it('a failed command has emptied the file of -o', { timeout: TIMEOUT_MS }, () => {
    const path = join(cwd, 'precious.keyring');
    writeFileSync(path, `[client.precious]\n\tkey = ${KEY}\n`, { mode: 0o600 });
    expect(ceph('auth', 'get', 'client.nobody', '-o', path).code).toBe(2);
    expect(readFileSync(path, 'utf8')).toBe('');
  });

  it('-o makes a file with a key that everybody may read', { timeout: TIMEOUT_MS }, () => {
    const path = join(cwd, 'admin.keyring');
    expect(ceph('auth', 'get', 'client.admin', '-o', path).code).toBe(0);
    expect(readFileSync(path, 'utf8')).toContain('\tkey = ');
    expect(modeOf(path)).toBe(0o644);
  });

  it('a refused import has taken the half before its fault', { timeout: TIMEOUT_MS }, () => {
    const path = join(cwd, 'half.keyring');
    const whole = `[client.a]\n\tkey = ${KEY}\n\tcaps mon = "allow r"\n`;
    writeFileSync(path, `${whole}[client.b]\n\tkey = ${KEY}\n`);
    expect(ceph('auth', 'import', '-i', path).code).toBe(22);
    // What it has queued is committed with the next change.
    expect(ceph('auth', 'add', 'client.z').code).toBe(0);
    expect(ceph('auth', 'get-key', 'client.a')).toMatchObject({ code: 0, out: KEY });
    expect(ceph('auth', 'get', 'client.b').code).toBe(2);
  });

  it('the last administrator locks itself out', { timeout: TIMEOUT_MS }, () => {
    const rescue = ['-n', 'mon.', '-k', cluster.keyring];
    const restore = ['auth', 'caps', 'client.admin', ...EVERYTHING];
    expect(ceph('auth', 'caps', 'client.admin', 'mon', 'allow r').code).toBe(0);
    expect(ceph(...restore).code).toBe(13);
    expect(ceph(...rescue, ...restore).code).toBe(0);
    expect(ceph('auth', 'ls').code).toBe(0);
    expect(ceph('auth', 'rm', 'client.admin').code).toBe(0);
    expect(ceph('auth', 'ls').code).not.toBe(0);
  });
});
