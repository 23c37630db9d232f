/** Our client of monitors against real ones, of the installed Ceph. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { parseEntityName } from '../src/cephx/protocol.ts';
import { cephgate } from '../src/cli/cephgate.ts';
import { type OpenCluster, openClusterRing } from '../src/cli/cluster.ts';
import { Engine } from '../src/engine/engine.ts';
import { findClientKey } from '../src/keyring/keyringsearch.ts';
import { MonClient, type MonClientOptions } from '../src/mon/monclient.ts';
import { parseMonHost } from '../src/mon/monhost.ts';
import { engineSealer } from '../src/sealer.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { randomBytes } from './mon-fake.ts';
import { until } from './mon-kit.ts';
import { monHostOf } from './mon-sidecar.ts';

const OSD = 4;
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

    it('are seen by the command line', async () => {
      const flags = [
        '--name',
        'osd.0',
        '--keyring',
        cluster.keyring,
        '--mon-host',
        monHostOf(cluster),
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
        await until(isElsewhere(former), 60_000);
        await client.fetchRotating();
      } finally {
        cluster.daemon(former).kill('SIGCONT');
      }
      const killed = nameOf(client.connectedTo?.port);
      cluster.daemon(killed).kill('SIGKILL');
      // Some hundredths of a second, and an election if it was the leader.
      await until(isElsewhere(killed), 60_000);
      await client.fetchRotating();
    }, 180_000);
  },
);

function verify(authorizer: Uint8Array) {
  const request = { service: OSD, authorizer, challenge: { mode: 'off' } } as const;
  const policy = { expiry: 'ring', release: 16 } as const;
  return engine.verify(request, { nowNs: BigInt(Date.now()) * 1_000_000n, policy });
}

/** The ring of osd.0, as `serve` opens it. */
function ringOf(cluster: Cluster): Promise<OpenCluster> {
  const io = { env: {}, out: () => undefined, err: () => undefined, readInput };
  const names = [parseEntityName('osd.0')!];
  const config = { names, monHost: monHostOf(cluster), keyring: cluster.keyring };
  return openClusterRing(config, 86_400_000_000_000n, { engine, io });
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
    hosts: await parseMonHost(monHostOf(cluster), async () => []),
    ...options,
  });
  client.start();
  return client;
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
