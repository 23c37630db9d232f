/** Our client of monitors against real ones, of the installed Ceph. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAuthorizeChallenge } from '../src/cephx/authorizer.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { Reader, utimeFromNs } from '../src/cephx/denc.ts';
import { parseEntityName } from '../src/cephx/protocol.ts';
import { cephgate } from '../src/cli/cephgate.ts';
import { type OpenCluster, openClusterRing } from '../src/cli/cluster.ts';
import { Engine } from '../src/engine/engine.ts';
import { findClientKey } from '../src/keyring/keyringsearch.ts';
import { MonClient, type MonClientOptions } from '../src/mon/monclient.ts';
import { parseMonHost } from '../src/mon/monhost.ts';
import { engineSealer } from '../src/sealer.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { Capture, captureMissing } from './mon-capture.ts';
import { randomBytes } from './mon-fake.ts';
import { until } from './mon-kit.ts';

const OSD = 4;
const TTL_RUN_MS = Number(process.env.TTL_RUN_MS ?? 20_000);
const QUICK = { keepaliveMs: 300, keepaliveAckMs: 700, connectMs: 500, loginMs: 1_000 };

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create();
});

describe.skipIf(cephMissing('ceph-mon', 'ceph-osd'))(
  `three monitors, an OSD (${CEPH_INSTALL})`,
  () => {
    let cluster: Cluster;
    const clients: MonClient[] = [];
    const connect = async (name: string, options: Partial<MonClientOptions> = {}) => {
      const client = await clientOf(cluster, name, options);
      clients.push(client);
      return client;
    };

    beforeAll(async () => {
      cluster = await Cluster.start({ mons: 3, osds: 1 });
    }, 90_000);
    afterAll(async () => {
      for (const client of clients) await client.stop();
      await cluster?.stop();
    });

    it('give a daemon its rotating secrets, and nobody else', async () => {
      const client = await connect('osd.0');
      const { secrets, maxVersion } = await client.fetchRotating();
      expect([...secrets.keys()]).toEqual([1n, 2n, 3n]);
      expect(maxVersion).toBe(3n);
      expect((await client.connected()).isSecure).toBe(true);
      expect(client.monmap!.monitors.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
      const admin = await connect('client.admin');
      await expect(admin.fetchRotating()).rejects.toMatchObject({
        code: 'mon.refused',
        errno: -13,
      });
    });

    it('answer commands as they answer the real client', async () => {
      const admin = await connect('client.admin');
      const { result, output } = await admin.command({ prefix: 'auth ls', format: 'json' });
      expect(result).toBe(0);
      const real = await cluster.command({ prefix: 'auth ls', format: 'json' });
      expect(JSON.parse(new TextDecoder().decode(output))).toEqual(JSON.parse(real.out));
      const osd = await connect('osd.0');
      expect((await osd.command({ prefix: 'auth ls' })).result).toBe(-13);
    });

    it('refuse a wrong key, each of them once', async () => {
      const key = CryptoKey.create('aes', utimeFromNs(0n), randomBytes);
      const client = await connect('osd.0', { key });
      await expect(client.fetchRotating()).rejects.toMatchObject({
        code: 'mon.refused',
        errno: -13,
      });
      await client.stop();
    });

    it('gave tickets that we verify: entity, global_id, caps', async () => {
      const caps = { mon: 'allow r', osd: 'allow rw pool=liverpool' };
      const flat = Object.entries(caps).flat();
      const made = { prefix: 'auth get-or-create', entity: 'client.john', caps: flat };
      const key = CryptoKey.fromBase64(/key = (\S+)/.exec((await cluster.command(made)).out)![1]!);
      const john = await connect('client.john', { key });
      const handler = await john.tickets(OSD);
      const authorizer = handler.authorizer(OSD);
      if (!authorizer.ok) throw new Error(authorizer.reason);
      const { close } = await ringOf(cluster);
      const verdict = verify(authorizer.value.first());
      expect([verdict.reason, verdict.entityId, verdict.caps, verdict.globalId]).toEqual([
        'ok',
        'john',
        caps.osd,
        john.globalId,
      ]);
      await close();
    });

    it.skipIf(captureMissing())(
      'let in real clients whose authorizers we verify (needs root)',
      async () => {
        const found = JSON.parse((await cluster.command({ prefix: 'osd find', id: 0 })).out);
        const { addr } = found.addrs.addrvec.find(({ type }: { type: string }) => type === 'v2');
        await cluster.command({ prefix: 'osd pool create', pool: 'p', pg_num: 8 });
        const { close } = await ringOf(cluster);
        const capture = await Capture.start(Number(addr.split(':')[1]));
        const users = ['client.admin', 'client.r', 'client.rw'];
        for (const entity of users.slice(1)) {
          const caps = ['mon', 'allow r', 'osd', `allow ${entity.slice(7)} pool=p`];
          const { out } = await cluster.command({ prefix: 'auth get-or-create', entity, caps });
          const key = /key = (\S+)/.exec(out)![1]!;
          const args = ['-c', cluster.conf, '-n', entity, '--key', key, '-p', 'p', 'ls'];
          expect(spawnSync('rados', args, { timeout: 20_000 }).status).toBe(0);
        }
        const args = ['-c', cluster.conf, '-p', 'p', 'ls'];
        expect(spawnSync('rados', args, { timeout: 20_000 }).status).toBe(0);
        const seen = new Set<string>();
        for (const { authorizers, challenge } of (await capture.stop()).handshakes()) {
          const [first, second] = authorizers;
          const open = verify(first!);
          if (open.entityType !== 8) continue;
          expect(open.reason).toBe('ok');
          seen.add(`client.${open.entityId} ${open.caps}`);
          const sessionKey = CryptoKey.decode(new Reader(open.secrets!.sessionKey));
          const value = openAuthorizeChallenge(engineSealer(engine), sessionKey, challenge!);
          expect(verify(second!, { mode: 'issued', value }).reason).toBe('ok');
          expect(verify(second!, { mode: 'issued', value: value ^ 1n }).reason).toBe(
            'authorizer.challenge_mismatch',
          );
          expect(verify(first!, { mode: 'issued', value }).decision).toBe(false);
        }
        expect([...seen].sort()).toEqual([
          'client.admin allow *',
          'client.r allow r pool=p',
          'client.rw allow rw pool=p',
        ]);
        await close();
      },
      60_000,
    );

    it('are seen by the command line', async () => {
      const flags = [
        '--name',
        'osd.0',
        '--keyring',
        cluster.keyring,
        '--mon-host',
        monHost(cluster),
      ];
      const plain = await run('secrets', 'fetch', ...flags);
      const facts = JSON.parse(plain).secrets as { service: string; secret_id: string }[];
      expect(facts.map((each) => `${each.service} ${each.secret_id}`)).toEqual([
        'osd 1',
        'osd 2',
        'osd 3',
      ]);
      const client = await connect('osd.0');
      const { secrets } = await client.fetchRotating();
      const keys = [...secrets.values()].map(({ key }) => key.toBase64());
      for (const key of keys) expect(plain).not.toContain(key);
      const full = JSON.parse(await run('secrets', 'fetch', '--reveal-keys', ...flags));
      expect(full.format).toBe('cephgate-secrets/1');
      expect(full.secrets.map(({ key }: { key: string }) => key)).toEqual(keys);
      const [status] = JSON.parse(await run('ceph', 'status', '--json', ...flags));
      expect(status).toMatchObject({
        entity: 'osd.0',
        encrypted: true,
        key_types: ['aes'],
        auth: { epoch: 0, service_cipher: 'aes' },
      });
      expect(status.monmap.monitors).toHaveLength(3);
      expect(await run('ceph', 'status', ...flags)).toContain('osd 2     aes, ');
    });

    it('may be paused or killed: another one goes on', async () => {
      const client = await connect('osd.0', { timing: QUICK });
      await client.fetchRotating();
      const nameOf = (port: number | undefined) =>
        `mon.${'abc'[cluster.monPorts.findIndex(({ v2 }) => v2 === port)]}`;
      const isElsewhere = (name: string) => () => {
        const port = client.connectedTo?.port;
        return port !== undefined && nameOf(port) !== name;
      };
      const former = nameOf(client.connectedTo?.port);
      cluster.daemon(former).kill('SIGSTOP');
      try {
        await until(isElsewhere(former), 15_000);
        await client.fetchRotating();
      } finally {
        cluster.daemon(former).kill('SIGCONT');
      }
      const killed = nameOf(client.connectedTo?.port);
      cluster.daemon(killed).kill('SIGKILL');
      const start = Date.now();
      await until(isElsewhere(killed), 15_000);
      await client.fetchRotating();
      // Some hundredths of a second, and an election if it was the leader.
      expect(Date.now() - start).toBeLessThan(15_000);
    }, 60_000);
  },
);

describe.skipIf(cephMissing('ceph-mon'))(`secrets that live 6 s (${CEPH_INSTALL})`, () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start({
      conf: ['auth_service_ticket_ttl = 6', 'mon_tick_interval = 1'],
    });
  }, 60_000);
  afterAll(() => cluster?.stop());

  it(
    'are followed: no valid ticket is refused, and with the monitor away none that was good',
    async () => {
      const caps = ['mon', 'allow profile osd', 'osd', 'allow *'];
      const { out } = await cluster.command({
        prefix: 'auth get-or-create',
        entity: 'osd.0',
        caps,
      });
      const key = CryptoKey.fromBase64(/key = (\S+)/.exec(out)![1]!);
      const { ring, close } = await ringOf(cluster, key);
      const admin = await clientOf(cluster, 'client.admin');
      const first = ring.facts[0]!.secretId;
      const end = Date.now() + TTL_RUN_MS;
      let last: Uint8Array | undefined;
      for (let i = 0; Date.now() < end; i++) {
        const handler = await admin.tickets(OSD);
        const authorizer = handler.authorizer(OSD);
        if (!authorizer.ok) throw new Error(authorizer.reason);
        last = authorizer.value.first();
        const verdict = verify(last);
        expect([i, verdict.reason]).toEqual([i, 'ok']);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      expect(ring.facts[0]!.secretId - first).toBeGreaterThanOrEqual(
        BigInt(Math.floor((TTL_RUN_MS - 8_000) / 7_000)),
      );
      cluster.daemon('mon.a').kill('SIGKILL');
      const { snapshot } = ring;
      await new Promise((resolve) => setTimeout(resolve, 8_000));
      ring.advance(BigInt(Date.now()) * 1_000_000n);
      expect(ring.snapshot).toBe(snapshot);
      expect(verify(last!).reason).toBe('ok');
      await Promise.all([admin.stop(), close()]);
    },
    TTL_RUN_MS + 60_000,
  );
});

function verify(
  authorizer: Uint8Array,
  challenge: { mode: 'off' } | { mode: 'issued'; value: bigint } = { mode: 'off' },
) {
  const request = { service: OSD, authorizer, challenge, secrets: true } as const;
  const policy = { expiry: 'ring', release: 16 } as const;
  return engine.verify(request, { nowNs: BigInt(Date.now()) * 1_000_000n, policy });
}

/** The ring of osd.0, as `serve` opens it. */
async function ringOf(cluster: Cluster, key?: CryptoKey): Promise<OpenCluster> {
  const io = { env: {}, out: () => undefined, err: () => undefined, readInput };
  const keyring = key === undefined ? cluster.keyring : keyringOf(cluster, key);
  const config = { names: [parseEntityName('osd.0')!], monHost: monHost(cluster), keyring };
  return openClusterRing(config, 86_400_000_000_000n, { engine, io });
}

function keyringOf(cluster: Cluster, key: CryptoKey): string {
  const path = `${cluster.dir}/osd.keyring`;
  writeFileSync(path, `[osd.0]\n\tkey = ${key.toBase64()}\n`, { mode: 0o600 });
  return path;
}

async function clientOf(
  cluster: Cluster,
  name: string,
  options: Partial<MonClientOptions> = {},
): Promise<MonClient> {
  const entity = parseEntityName(name)!;
  const found = () => findClientKey({ name: entity, conf: cluster.conf }, { env: {} }).key;
  const client = new MonClient({
    sealer: engineSealer(engine),
    random: randomBytes,
    clock: () => BigInt(Date.now()) * 1_000_000n,
    name: entity,
    key: options.key ?? found(),
    hosts: await parseMonHost(monHost(cluster), async () => []),
    ...options,
  });
  client.start();
  return client;
}

function monHost(cluster: Cluster): string {
  const one = ({ v2, v1 }: { v2: number; v1: number }) => `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`;
  return cluster.monPorts.map(one).join(',');
}

async function run(...argv: string[]): Promise<string> {
  let [out, err] = ['', ''];
  const code = await cephgate(argv, {
    env: {},
    out(text) {
      out += text;
    },
    err(text) {
      err += text;
    },
    readInput,
  });
  expect([code, err]).toEqual([0, '']);
  return out;
}

async function readInput(): Promise<Uint8Array> {
  return new Uint8Array(0);
}
