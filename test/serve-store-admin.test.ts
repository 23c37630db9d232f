/** Administration of a running sidecar over TCP, and what a revocation does to a session there. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CephxClientHandler } from '../src/cephx/client.ts';
import { CephxHttpClient } from '../src/cephx/httpclient.ts';
import { parseEntityName } from '../src/cephx/protocol.ts';
import { AdminClient } from '../src/http/adminclient.ts';
import { formatSecrets } from '../src/http/secretsfile.ts';
import { KeyRing } from '../src/keyring/keyring.ts';
import { json } from './admin-remote-kit.ts';
import { privateFile } from './cli-kit.ts';
import { SECRETS } from './http-kit.ts';
import { Authority, hasOpenssl } from './ops-kit.ts';
import {
  type SpawnedSidecar,
  send,
  spawnCephgate,
  spawnSidecar,
  temporaryFolder,
} from './spawn.ts';
import { twinSealer } from './twin/sealer.ts';

const folder = temporaryFolder('admin-tcp');
const required = process.env.REQUIRE_SERVICES === '1';
const onNode = !('Deno' in globalThis) && process.versions.bun === undefined;
const ADMIN_LISTEN = ['unix:data/admin.sock', 'tcp:127.0.0.1:0'];
let sidecar: SpawnedSidecar;
let adminUrl: string;
beforeAll(async () => {
  const more = ADMIN_LISTEN.flatMap((each) => ['--admin-listen', each]);
  sidecar = await spawnSidecar(folder.path, undefined, more);
  while (!sidecar.out.includes('administration')) await new Promise((go) => setTimeout(go, 5));
  adminUrl = /^listening for administration on unix:\S+, (http:\S+)$/m.exec(sidecar.out)![1]!;
});
afterAll(async () => {
  await sidecar?.stop();
  folder.remove();
});

const KEYRING = 'data/ceph.client.admin.keyring';
const clock = () => BigInt(Date.now()) * 1_000_000n;
const random = (n: number) => crypto.getRandomValues(new Uint8Array(n));

function ticketsOf(entity: string, keyring: string): CephxHttpClient {
  const name = parseEntityName(entity)!;
  const bytes = readFileSync(join(folder.path, keyring));
  const { key } = KeyRing.parse(bytes).get(name)!;
  const handler = new CephxClientHandler({ name, key, sealer: twinSealer, random, clock });
  return new CephxHttpClient(handler, { url: `http://${sidecar.host}:${sidecar.port}` });
}

describe('over TCP', () => {
  it('client.admin administers with its key alone', async () => {
    const tickets = ticketsOf('client.admin', KEYRING);
    const client = new AdminClient({ tickets, url: adminUrl, clock });
    expect(await client.logIn()).toEqual({ ok: true });
    const add = { prefix: 'auth add', entity: 'client.far', caps: ['mon', 'allow r'] };
    const added = await client.call('POST', '/v1/admin/command', add);
    expect(json(added)).toMatchObject({ retcode: 0 });
    const user = await client.call('GET', '/v1/admin/users/client.far');
    expect(json(user)).toMatchObject({ entity: 'client.far', caps: { mon: 'allow r' } });
    const removed = await client.call('DELETE', '/v1/admin/users/client.far');
    expect([removed.status, removed.body.length]).toEqual([204, 0]);
    // No TLS: a key does not go this way.
    const key = await client.call('GET', '/v1/admin/users/client.admin/key');
    expect([key.status, json(key).code]).toEqual([403, 'key.in_clear']);
    const watched = await client.call('GET', '/v1/admin/watch?wait=0');
    expect(watched.headers.get('content-type')).toBe('text/event-stream');
    const lifted = { deny: { entity: 'client.nobody' } };
    expect((await client.call('POST', '/v1/admin/revocations', lifted)).status).toBe(200);
    expect((await client.call('DELETE', '/v1/admin/revocations', lifted)).status).toBe(200);
  });

  it('the commands of a shell go that way too', async () => {
    const env = { CEPHGATE_URL: `http://${sidecar.host}:${sidecar.port}` };
    const ceph = async (...words: string[]) => {
      const args = ['auth', ...words, '--admin', adminUrl, '--keyring', KEYRING];
      const spawned = spawnCephgate(args, { cwd: folder.path, env });
      return { code: await spawned.ended, out: spawned.out, err: spawned.err };
    };
    const added = await ceph('add', 'client.shell', 'mon', 'allow r');
    expect(added).toEqual({ code: 0, out: '', err: 'added key for client.shell\n' });
    const inClear = await ceph('get', 'client.shell');
    expect([inClear.code, inClear.out]).toEqual([3, '']);
    expect(inClear.err).toContain('key.in_clear');
    const other = await ceph('rm', 'client.shell', '--name', 'client.other');
    expect(other).toMatchObject({ code: 13, out: '' });
    expect((await ceph('rm', 'client.shell')).code).toBe(0);
  });

  it('nobody else is let in', async () => {
    const { hostname: host, port } = new URL(adminUrl);
    const body = { prefix: 'auth ls' };
    for (const path of ['/v1/admin/command', '/v1/admin/none', '/v1/admin/session/x']) {
      const answer = await send({ host, port }, path, body);
      expect([answer.status, answer.body.code]).toEqual([401, 'signature.invalid']);
    }
    const foreign = await send({ host, port }, '/v1/admin/command', body, { origin: 'http://x' });
    expect(foreign.body.code).toBe('origin.refused');
  });
});

it.skipIf((!hasOpenssl && !required) || !onNode)(
  'answers keys over TLS (apt-get install -y openssl)',
  async () => {
    const own = temporaryFolder('admin-tls');
    new Authority(own.path).issue('server', 'DNS:localhost,IP:127.0.0.1');
    const tls = ['--tls-cert', 'server.pem', '--tls-key', 'server.key'];
    const listens = ['--listen', 'tcp:127.0.0.1:0', '--admin-listen', 'tcp:127.0.0.1:0'];
    const served = spawnCephgate(['serve', ...listens, ...tls], { cwd: own.path });
    while (!served.out.includes('made client.admin')) await new Promise((go) => setTimeout(go, 5));
    const [url, admin] = [...served.out.matchAll(/https:\/\/[0-9.:]+/g)].map(([found]) => found);
    const env = { CEPHGATE_URL: url!, NODE_EXTRA_CA_CERTS: join(own.path, 'ca.pem') };
    const args = ['auth', 'get-key', 'client.admin', '--admin', admin!, '--keyring', KEYRING];
    const got = spawnCephgate(args, { cwd: own.path, env });
    expect([await got.ended, got.err]).toEqual([0, '']);
    const keyring = readFileSync(join(own.path, KEYRING), 'utf8');
    expect(keyring).toContain(`key = ${got.out.trim()}\n`);
    served.raise('SIGTERM');
    expect(await served.ended).toBe(0);
    own.remove();
  },
);

it('is refused on other addresses without TLS, and where no tickets are issued', async () => {
  const own = temporaryFolder('admin-refused');
  const open = ['--listen', 'unix:s.sock', '--admin-listen', 'tcp:0.0.0.0:0'];
  const wide = spawnCephgate(['serve', ...open], { cwd: own.path });
  expect([await wide.ended, wide.out]).toEqual([3, '']);
  expect(wide.err).toContain('cannot listen on tcp:0.0.0.0:0: without TLS');
  privateFile(own.path, 'secrets.json', formatSecrets(SECRETS));
  const given = ['--secrets', 'secrets.json', '--store', 'memory:'];
  const local = ['--listen', 'unix:s.sock', '--admin-listen', 'tcp:127.0.0.1:0'];
  const beside = spawnCephgate(['serve', ...given, ...local], { cwd: own.path });
  expect([await beside.ended, beside.out]).toEqual([2, '']);
  expect(beside.err).toContain('tickets for it are not issued here');
  own.remove();
});

it('a watch ends with the sidecar', async () => {
  const own = temporaryFolder('admin-watch');
  const watched = await spawnSidecar(own.path);
  const path = join(own.path, 'data', 'admin.sock');
  while (!watched.out.includes('administration')) await new Promise((go) => setTimeout(go, 5));
  const events = send({ socketPath: path }, '/v1/admin/watch');
  const add = { prefix: 'auth add', entity: 'client.new' };
  await new Promise((go) => setTimeout(go, 100));
  expect((await send({ socketPath: path }, '/v1/admin/command', add)).body.retcode).toBe(0);
  const begun = Date.now();
  expect(await watched.stop()).toBe(0);
  // Connections that are kept open would take the deadline of 10 s.
  expect(Date.now() - begun).toBeLessThan(8_000);
  expect((await events).text).toContain('"name":"client.new","op":"put"');
  own.remove();
});
