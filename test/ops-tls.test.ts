/** TLS and client certificates on the TCP listeners, and what is not served without them. */

import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseCertificateRights } from '../src/http/tls.ts';
import { Authority, hasOpenssl, logged, sendTls, startServe, stopLeft } from './ops-kit.ts';
import { spawnCephgate, temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('tls');
const at = (name: string): string => join(folder.path, name);
const required = process.env.REQUIRE_SERVICES === '1';
const onNode = !('Deno' in globalThis) && process.versions.bun === undefined;
let ca: Authority;

beforeAll(() => {
  if (!hasOpenssl) return;
  ca = new Authority(folder.path);
  ca.issue('server', 'DNS:localhost,IP:127.0.0.1');
  ca.issue('server2', 'DNS:localhost,IP:127.0.0.1');
  ca.issue('osd', 'DNS:osd.storage.test,DNS:other.test');
  ca.issue('common', '', 'osd.7');
  // A name that would be taken from the text of the names, were they read as text.
  ca.issue('liar', 'email:x@x.test', 'nobody.test');
  ca.issue('wild', 'DNS:*.storage.test');
  ca.issue('hidden', 'DNS:elsewhere.test', 'osd.7');
  new Authority(folder.path, 'foreign').issue('stranger', 'DNS:osd.storage.test', 'x', 'foreign');
  writeFileSync(at('rights'), '# nodes\naccept OSD.storage.test\nverify osd.7\n');
  writeFileSync(at('granted'), 'verify osd.test\n', { mode: 0o600 });
  // What openssl wrote was 0600 already; the certificates need no secrecy.
  chmodSync(at('rights'), 0o644);
});
afterEach(stopLeft);
afterAll(folder.remove);

const TLS = ['--tls-cert', 'server.pem', '--tls-key', 'server.key'];
const MTLS = [...TLS, '--tls-client-ca', 'ca.pem', '--tls-client-rights', 'rights'];
const LOOPBACK = ['--listen', 'tcp:127.0.0.1:0'];
const QUESTION = { service: 'osd', authorizer: 'AAAA', connection: 'AAAAAAAAAAA=' };

describe.skipIf(!hasOpenssl && !required)('TLS', () => {
  it('serves on TCP, and says so', async () => {
    const sidecar = await startServe(folder.path, [...LOOPBACK, ...TLS]);
    const options = { port: sidecar.port, ca: ca.read('ca.pem') };
    expect(sidecar.line).toBe(`listening on https://127.0.0.1:${sidecar.port}`);
    expect((await sendTls(options, '/readyz')).body).toEqual({ status: 'ready' });
    const unnamed = { ...options, checkServerIdentity: () => undefined };
    const foreign = await sendTls(unnamed, '/livez', undefined, { host: 'evil.test' });
    expect(foreign.body.code).toBe('host.refused');
    await expect(sendTls({ port: sidecar.port }, '/livez')).rejects.toThrow('certificate');
    const old = { ...options, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' } as const;
    await expect(sendTls(old, '/livez')).rejects.toThrow();
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
  });

  it.skipIf(onNode)('says where a new certificate needs a new start', async () => {
    for (const name of ['pem', 'key']) copyFileSync(at(`server.${name}`), at(`live.${name}`));
    const files = ['--tls-cert', 'live.pem', '--tls-key', 'live.key'];
    const sidecar = await startServe(folder.path, [...LOOPBACK, ...files]);
    const hangup = (): Promise<Record<string, unknown>> =>
      logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'));
    expect((await hangup()).restart_needed).toBeUndefined();
    for (const name of ['pem', 'key']) copyFileSync(at(`server2.${name}`), at(`live.${name}`));
    expect(await hangup()).toMatchObject({ level: 'info', restart_needed: 'tls-cert' });
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
  });

  it.skipIf(!onNode)('takes a new certificate on SIGHUP and keeps the last good one', async () => {
    for (const name of ['pem', 'key']) copyFileSync(at(`server.${name}`), at(`live.${name}`));
    const files = ['--tls-cert', 'live.pem', '--tls-key', 'live.key'];
    const sidecar = await startServe(folder.path, [...LOOPBACK, ...files]);
    const shown = (): Promise<string> => fingerprintAt(sidecar.port);
    const [one, two] = ['server', 'server2'].map((name) => fingerprintOf(ca.read(`${name}.pem`)));
    expect(await shown()).toBe(one);
    for (const name of ['pem', 'key']) copyFileSync(at(`server2.${name}`), at(`live.${name}`));
    expect(await logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'))).toMatchObject({
      level: 'info',
    });
    expect(await shown()).toBe(two);
    copyFileSync(at('server.key'), at('live.key'));
    const mixed = await logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'));
    expect(mixed.message).toContain('it is not the key of the certificate');
    writeFileSync(at('live.key'), 'no PEM');
    const broken = await logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'));
    expect(broken).toMatchObject({ level: 'error', event: 'reload' });
    expect(broken.message).toContain('not PEM');
    expect(await shown()).toBe(two);
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
  });
});

describe.skipIf((!hasOpenssl && !required) || !onNode)('client certificates', () => {
  it('give the rights of their names', async () => {
    const sidecar = await startServe(folder.path, [...LOOPBACK, ...MTLS]);
    const as = (name: string): object => ({
      port: sidecar.port,
      ca: ca.read('ca.pem'),
      cert: ca.read(`${name}.pem`),
      key: ca.read(`${name}.key`),
    });
    const code = async (name: string): Promise<unknown> => {
      const { body } = await sendTls(as(name), '/v1/verify', QUESTION);
      return body.code ?? body.reason.code;
    };
    // `accept` gets as far as the authorizer, and may release sessions; `verify` may not.
    expect(await code('osd')).toBe('authorizer.mode');
    expect(await releaseCode(as('osd'))).not.toBe('right.missing');
    expect(await releaseCode(as('common'))).toBe('right.missing');
    for (const name of ['liar', 'wild', 'hidden'])
      expect(await code(name)).toBe('certificate.unknown');
    await expect(sendTls(as('stranger'), '/livez')).rejects.toThrow();
    await expect(
      sendTls({ port: sidecar.port, ca: ca.read('ca.pem') }, '/livez'),
    ).rejects.toThrow();

    // Rights go with a reload, also for what is known already.
    writeFileSync(at('rights'), 'verify osd.storage.test\n');
    await logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'));
    expect(await releaseCode(as('osd'))).toBe('right.missing');
    expect(await code('common')).toBe('certificate.unknown');
    writeFileSync(at('rights'), 'admin osd.storage.test\n');
    const bad = await logged(sidecar, 'reload', () => sidecar.raise('SIGHUP'));
    expect(bad.message).toContain('line 1: a right is not one of verify, accept');
    expect(await releaseCode(as('osd'))).toBe('right.missing');
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
  });

  async function releaseCode(options: object): Promise<unknown> {
    const answer = await sendTls(options, '/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA==/release', {});
    return answer.body?.code;
  }
});

describe.skipIf(!hasOpenssl && !required)('a sidecar does not begin', () => {
  it.each([
    ['without TLS where others can call', ['--listen', 'tcp:0.0.0.0:0'], 'without TLS only'],
    ['with TLS and no proof there', ['--listen', 'tcp:0.0.0.0:0', ...TLS], 'without token file or'],
    [
      'with a certificate and no key',
      ['--tls-cert', 'server.pem'],
      '"--tls-cert" needs "--tls-key"',
    ],
    [
      'with the key of another',
      ['--tls-cert', 'server.pem', '--tls-key', 'osd.key'],
      'not the key of',
    ],
    ['with no certificate', ['--tls-cert', 'rights', '--tls-key', 'osd.key'], 'not PEM as TLS'],
    [
      'with a CA that is none',
      [...MTLS.slice(0, 4), '--tls-client-ca', 'granted', '--tls-client-rights', 'granted'],
      onNode ? 'not PEM as TLS' : 'this runtime cannot',
    ],
    ['with a CA and no rights', [...TLS, '--tls-client-ca', 'ca.pem'], '"--tls-client-rights"'],
    ['with tokens and a CA', [...MTLS, '--token-file', 't'], 'by its certificate or by its token'],
  ])('%s', async (_, args, message) => {
    const spawned = spawnCephgate(['serve', ...args], { cwd: folder.path });
    expect([2, 3]).toContain(await spawned.ended);
    expect(spawned.err).toContain(message);
    expect(spawned.out).toBe('');
  });

  it('with a key that others may read, or rights that others may write', async () => {
    copyFileSync(at('server.key'), at('open.key'));
    chmodSync(at('open.key'), 0o644);
    const open = ['serve', '--tls-cert', 'server.pem', '--tls-key', 'open.key'];
    const spawned = spawnCephgate(open, { cwd: folder.path });
    expect(await spawned.ended).toBe(3);
    expect(spawned.err).toContain('open.key": its mode is 0644, expected 0600');
  });

  it('unless told that this is meant', async () => {
    const args = ['--listen', 'tcp:0.0.0.0:0', '--insecure-listen'];
    const sidecar = await startServe(folder.path, args);
    expect(sidecar.line).toMatch(/^listening on http:\/\/0\.0\.0\.0:/);
    sidecar.raise('SIGTERM');
    expect(await sidecar.ended).toBe(0);
  });
});

describe('the file of rights', () => {
  it('holds names in any case, and rights', () => {
    const entries = parseCertificateRights('accept OSD.1\n\n# x\nverify,accept a_b-c.test\n', 'f');
    expect(entries.map(({ name, rights }) => [name, [...rights].sort()])).toEqual([
      ['osd.1', ['accept', 'verify']],
      ['a_b-c.test', ['accept', 'verify']],
    ]);
  });

  it.each([
    ['explain a', 'a right is not one of verify, accept'],
    ['accept *.test', 'the name is not like that of a host'],
    ['accept -a', 'the name is not like that of a host'],
    ['accept a\nverify A', 'line 2: a name is given twice'],
    ['accept', 'expected RIGHT[,RIGHT] NAME'],
    ['# none', 'it holds no name'],
  ])('%j is refused', (text, why) => {
    expect(() => parseCertificateRights(text, 'f')).toThrow(why);
  });
});

function fingerprintOf(pem: string): string {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  return createHash('sha256').update(der).digest('hex');
}

function fingerprintAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca: ca.read('ca.pem') }, () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      resolve(createHash('sha256').update(raw).digest('hex'));
    });
    socket.on('error', reject);
  });
}
