/** `cephgate serve` beside a cluster, as a process of its own; the monitor is in this one. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { Engine } from '../src/engine/engine.ts';
import { makeTicket } from './authorizers.ts';
import { type FakeMonitor, randomBytes } from './mon-fake.ts';
import { MonKit, threeSecrets, until } from './mon-kit.ts';
import { send, spawnCephgate, spawnSidecar, temporaryFolder } from './spawn.ts';

const folder = temporaryFolder('cluster');
let kit: MonKit;
beforeAll(async () => {
  kit = new MonKit(await Engine.create());
});
afterEach(() => kit.end());
afterAll(() => folder.remove());

describe('a sidecar beside a cluster', () => {
  it('verifies with its secrets, follows them, and goes on while it is away', async () => {
    let rotating = threeSecrets(1n, now(), 4);
    const keys = new Map<bigint, CryptoKey>();
    const keep = () => {
      for (const [id, { key }] of rotating.secrets) keys.set(id, copyOf(key));
    };
    keep();
    const monitor = await kit.monitor({ rotating: () => rotating });
    const sidecar = await spawnSidecar(folder.path, undefined, flagsOf(monitor, kit.key));
    // Callers on loopback TCP get bare verdicts: no challenge is asked for.
    const tcp = { host: sidecar.host, port: sidecar.port };
    const answers: Record<string, unknown>[] = [];
    const reasonOf = async (secretId: bigint): Promise<string> => {
      const created = BigInt(Date.now()) * 1_000_000n;
      const options = { secretId, createdNs: created - 10_800_000_000_000n };
      const authorizer = makeTicket(keys.get(secretId)!, randomBytes, options).authorizer();
      const question = { service: 'osd', authorizer: base64(authorizer) };
      const { body } = await send(tcp, '/v1/verify', question);
      answers.push(body);
      return body.reason.code;
    };
    expect((await send(sidecar, '/readyz')).status).toBe(200);
    // The ticket is two hours past its expiry: beside a cluster the ring alone decides.
    expect(await reasonOf(2n)).toBe('ok');
    const start = now();
    rotating = threeSecrets(2n, start, 4);
    keep();
    const { fetched } = monitor;
    await until(() => monitor.fetched > fetched);
    await until(() => sidecar.err.includes('"taken":"changed"'));
    expect(await reasonOf(4n)).toBe('ok');
    await monitor.kill();
    await until(() => sidecar.err.includes('"event":"mon_failed"'));
    expect(await reasonOf(4n)).toBe('ok');
    expect((await send(sidecar, '/readyz')).status).toBe(200);
    // The current secret expires 8 s after it came, and a second later it should have gone.
    await until(() => now() > start + 10, 60_000);
    const verbose = await send(sidecar, '/readyz?verbose');
    expect([verbose.status, verbose.body.stale]).toEqual([200, ['osd']]);
    expect(await reasonOf(4n)).toBe('ok');
    expect(answers.at(-1)).toMatchObject({ decision: true, stale: true });
    expect(answers[0]).not.toHaveProperty('stale');
    const metrics = await send({ socketPath: sidecar.socketPath }, '/metrics');
    expect(metrics.text).toMatch(/^cephgate_service_secrets_stale\{service="osd"\} 1$/m);
    expect(sidecar.err).not.toContain(kit.key.toBase64());
    expect(await sidecar.stop()).toBe(0);
  });

  it('ends at once if the cluster refuses it', async () => {
    const wrong = CryptoKey.create('aes256k', utimeFromNs(0n), randomBytes);
    const flags = flagsOf(await kit.monitor(), wrong);
    const listen = ['--listen', 'tcp:127.0.0.1:0', '--data', 'refused'];
    const refused = spawnCephgate(['serve', ...listen, ...flags], { cwd: folder.path });
    expect(await refused.ended).toBe(3);
    expect(refused.err).toContain('the key or the name is wrong');
    expect(refused.out).toBe('');
  });

  it.each([
    [['--mon-host', '127.0.0.1'], 'needs "--name"'],
    [['--mon-host', '127.0.0.1', '--name', 'nobody'], 'TYPE.ID'],
    [['--name', 'osd.0', '--secrets', 'f'], 'cannot be given together'],
  ])('does not start with %j', async (flags, words) => {
    const process = spawnCephgate(['serve', ...flags], { cwd: folder.path });
    expect(await process.ended).toBe(2);
    expect(process.err).toContain(words);
  });
});

function flagsOf(monitor: FakeMonitor, key: CryptoKey): string[] {
  const keyring = join(folder.path, 'keyring');
  writeFileSync(keyring, `[osd.0]\n\tkey = ${key.toBase64()}\n`, { mode: 0o600 });
  const monHost = `v2:127.0.0.1:${monitor.address.port}`;
  return ['--mon-host', monHost, '--name', 'osd.0', '--keyring', keyring];
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

function copyOf({ type, created, secret }: CryptoKey): CryptoKey {
  return new CryptoKey(type, created, secret);
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
