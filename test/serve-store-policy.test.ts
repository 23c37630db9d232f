/** Settings of the issuing side as an operator gives them: ciphers, lives of tickets, commits. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminKit } from './admin-kit.ts';
import { helloBytes } from './auth-issue-client.ts';
import { privateFile } from './cli-kit.ts';
import { HOST } from './http-kit.ts';
import { type SpawnedSidecar, spawnCephgate, spawnSidecar, temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('policy');
let sidecar: SpawnedSidecar;
beforeAll(async () => {
  const ttls = ['--auth-service-ticket-ttl', '60', '--auth-mon-ticket-ttl', '600'];
  const weak = ['--emergency-ciphers', 'aes'];
  sidecar = await spawnSidecar(folder.path, undefined, ['--auto-commit', ...ttls, ...weak]);
});
afterAll(async () => {
  await sidecar?.stop();
  folder.remove();
});

describe('a sidecar with settings of its own', () => {
  it('makes tickets of the life that was asked for', async () => {
    const { tickets } = JSON.parse((await logIn(ADMIN_KEYRING)).out);
    const lives = tickets.map(({ service, expires }: Record<string, string>) => [
      service,
      Math.round((Date.parse(expires!) - Date.now()) / 10_000) * 10,
    ]);
    const expected = ['mon', 'mds', 'osd', 'mgr'].map((name) => [name, 60]);
    expect(lives).toEqual([...expected, ['auth', 600]]);
  });

  it('takes a pending key for the key once it was used', async () => {
    expect((await run(['keys', 'client.admin', 'rotate'])).code).toBe(0);
    const { out } = await run(['auth', 'get-or-create-pending', 'client.admin']);
    const pending = /pending key = (\S+)/.exec(out)![1]!;
    privateFile(folder.path, 'new.keyring', `[client.admin]\n\tkey = ${pending}\n`);
    expect((await logIn('new.keyring')).code).toBe(0);
    expect((await run(['keys', 'client.admin'])).out).not.toContain('pending');
    expect((await logIn(ADMIN_KEYRING)).code).toBe(1);
  });

  it('lets a key in that only the emergency list allows, and says so', async () => {
    const weak = `[client.weak]\n\tkey = ${AES_KEY}\n\tcaps mon = "allow r"\n`;
    privateFile(folder.path, 'weak.keyring', weak);
    expect((await run(['auth', 'add', 'client.weak', '-i', 'weak.keyring'])).code).toBe(0);
    expect((await logIn('weak.keyring', 'client.weak')).code).toBe(0);
    expect((await run(['health'])).out).toContain('AUTH_EMERGENCY_CIPHERS_SET');
  });

  it('changes its ciphers by "mon set"', async () => {
    const set = (name: string, value: string) => run(['mon', 'set', name, value], 'ceph');
    expect((await set('auth_service_cipher', 'aes256k')).err).toBe('already set\n');
    expect(await set('auth_service_cipher', 'aes')).toMatchObject({ code: 0, err: '' });
    const health = await run(['health']);
    expect([health.code, health.out.slice(0, 10)]).toEqual([1, 'HEALTH_ERR']);
    expect(health.out).toContain('auth_service_cipher is aes\n');
    expect((await set('auth_service_cipher', 'des')).code).toBe(22);
    expect((await set('mon_host', 'x')).code).toBe(22);
    expect(await set('auth_service_cipher', 'aes256k')).toMatchObject({ code: 0 });
  });
});

it.each([
  [['--auth-service-ticket-ttl', '0'], 'at least a second'],
  [['--emergency-ciphers', 'des'], 'aes and aes256k'],
])('%j is wrong usage', async (flags, words) => {
  const own = temporaryFolder('wrong');
  const wrong = spawnCephgate(['serve', '--listen', 'unix:s', ...flags], { cwd: own.path });
  expect([await wrong.ended, wrong.out]).toEqual([2, '']);
  expect(wrong.err).toContain(words);
  own.remove();
});

it('limits logins by where they come from, and never by whose they are', async () => {
  const kit = await AdminKit.create({ 'client.john': { mon: 'allow r' } });
  kit.appDeps.state.rates.set({ perSecond: 1, burst: 3 });
  const hello = async (remote: string): Promise<number> => {
    const headers = { 'content-type': 'application/octet-stream', host: HOST };
    const body = helloBytes('client.john') as Uint8Array<ArrayBuffer>;
    const listener = { kind: 'tcp', hosts: new Set([HOST]), remote } as const;
    const init = { method: 'POST', headers, body };
    return (await kit.app.request('/v1/cephx/hello', init, { listener })).status;
  };
  const guesses = [];
  for (let i = 0; i < 6; i++) guesses.push(await hello('192.0.2.66'));
  expect(guesses).toEqual([200, 200, 200, 429, 429, 429]);
  expect(await hello('192.0.2.1')).toBe(200);
  expect(await kit.client('client.john').login()).toMatchObject({ ok: true });
});

interface Run {
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

async function run(args: readonly string[], program?: 'ceph'): Promise<Run> {
  const argv = program === undefined ? args : [program, ...args];
  const spawned = spawnCephgate(argv, { cwd: folder.path });
  const code = await spawned.ended;
  return { code, out: spawned.out, err: spawned.err };
}

function logIn(keyring: string, name = 'client.admin'): Promise<Run> {
  expect(readFileSync(join(folder.path, keyring), 'utf8')).toContain(`[${name}]`);
  const url = `http://${sidecar.host}:${sidecar.port}`;
  const who = ['--name', name, '--keyring', keyring];
  return run(['client', 'tickets', ...who, '--url', url, '--json']);
}

const ADMIN_KEYRING = join('data', 'ceph.client.admin.keyring');
const AES_KEY = 'AQBwZWxgAAAAABAAAAECAwQFBgcICQoLDA0ODw==';
