/**
 * A sidecar beside a real cluster: real `rados`, `ceph` and CephFS clients are recorded on the
 * loopback interface as they log in, and what the sidecar says of their authorizers is what the
 * cluster's own daemons know of them. Then the sidecar lets them in itself. Needs root.
 */

import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAuthorizeChallenge } from '../src/cephx/authorizer.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { Reader } from '../src/cephx/denc.ts';
import { decodeLoginHello, formatEntityName, parseEntityName } from '../src/cephx/protocol.ts';
import { type OpenCluster, openClusterRing } from '../src/cli/cluster.ts';
import { Engine } from '../src/engine/engine.ts';
import { engineSealer } from '../src/sealer.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { liveUsers, OPERATIONS } from './ceph-operations.ts';
import { Capture, captureMissing, type Handshake } from './mon-capture.ts';
import { until } from './mon-kit.ts';
import {
  base64,
  type ClusterSidecar,
  mdsPort,
  monHostOf,
  osdPort,
  sidecarBeside,
} from './mon-sidecar.ts';
import { StandIn } from './mon-standin.ts';
import { Rng, seedOf } from './rng.ts';
import { temporaryFolder } from './spawn.ts';

const seed = seedOf(Date.now() & 0x7fffffff);
const USERS = 20;
const MISSING = captureMissing() || cephMissing('ceph-mon', 'ceph-osd', 'ceph-mds');
const SERVICES = { osd: 4, mds: 2 } as const;
type Service = keyof typeof SERVICES;

describe.skipIf(MISSING)(`real clients (as root; ${CEPH_INSTALL} python3-cephfs)`, () => {
  const folder = temporaryFolder('clients');
  let cluster: Cluster;
  let sidecar: ClusterSidecar;
  let engine: Engine;
  let ring: OpenCluster;
  let ports: Readonly<Record<Service, number>>;

  beforeAll(async () => {
    [cluster, engine] = await Promise.all([Cluster.start({ mons: 3, mds: true }), Engine.create()]);
    const names = ['osd.0', 'mds.a'];
    const view = ['mon', 'allow command "auth ls"'];
    const made = { prefix: 'auth get-or-create', entity: 'client.view', caps: view };
    const keyring = join(folder.path, 'view.keyring');
    writeFileSync(keyring, (await cluster.command(made)).out, { mode: 0o600 });
    const users = ['--users-name', 'client.view', '--users-keyring', keyring];
    const more = [...users, '--users-refresh', '1'];
    sidecar = await sidecarBeside(cluster, folder.path, names, more);
    // The same secrets here: the test looks into the challenges of others.
    const io = { env: {}, out: ignored, err: ignored, readInput: async () => new Uint8Array(0) };
    const parsed = names.map((name) => parseEntityName(name)!);
    const config = { names: parsed, monHost: monHostOf(cluster), keyring: cluster.keyring };
    ring = await openClusterRing(config, 86_400_000_000_000n, { engine, io, mustAnswer: true });
    ports = { osd: await osdPort(cluster), mds: await mdsPort(cluster) };
  }, 180_000);

  afterAll(async () => {
    await ring?.close();
    await sidecar?.stop();
    await cluster?.stop();
    folder.remove();
  });

  it('are who the sidecar says: entity, global_id and caps', async () => {
    const key = await user(cluster, 'client.rw', 'osd', 'allow rw pool=data');
    const caps = ['mds', 'allow rw', 'osd', 'allow rw tag cephfs data=labfs'];
    const fsKey = await user(cluster, 'client.fs', ...caps);
    const capture = await Capture.start(...allPorts());
    run(cluster, 'rados', '-n', 'client.admin', '-p', 'data', 'ls');
    run(cluster, 'rados', '-n', 'client.rw', '--key', key, '-p', 'data', 'put', 'o', cluster.conf);
    run(cluster, 'ceph', 'tell', 'osd.0', 'version');
    useCephFs(cluster, fsKey);
    const handshakes = (await capture.stop()).handshakes();
    const globalIds = globalIdsOf(handshakes);
    const known = await entities(cluster);
    const seen = new Set<string>();
    for (const { service, handshake } of ofServices(handshakes)) {
      const [first, second] = handshake.requests as [Uint8Array, Uint8Array];
      const challenge = challengeOf(service, handshake);
      for (const asked of [
        { authorizer: base64(first) },
        { authorizer: base64(second), expected_challenge: String(challenge) },
      ]) {
        const verdict = await sidecar.bare('/v1/verify', { service, ...asked });
        expect(verdict).toMatchObject({ decision: true, service, expired: false });
        const { entity, global_id, caps: text } = verdict;
        expect([entity, text]).toEqual([entity, known.get(entity)?.[service]]);
        if (entity.startsWith('client.')) expect(globalIds.get(entity)).toContain(global_id);
        expect(global_id).toBe(String(handshake.done!.globalId));
        seen.add(`${entity} at ${service}`);
      }
      // A challenge that was another's, and the first authorizer in place of the second.
      for (const asked of [
        { authorizer: base64(second), expected_challenge: String(challenge ^ 1n) },
        { authorizer: base64(first), expected_challenge: String(challenge) },
      ]) {
        const refused = await sidecar.bare('/v1/verify', { service, ...asked });
        expect(refused).toMatchObject({ decision: false, client_errno: -13 });
      }
    }
    expect([...seen]).toEqual(
      expect.arrayContaining([
        'client.admin at osd',
        'client.rw at osd',
        'client.fs at mds',
        'client.fs at osd',
      ]),
    );
  }, 120_000);

  it(`do what the sidecar says they may: ${USERS} users, seed ${seed}`, async () => {
    const users = await liveUsers(cluster, new Rng(seed), USERS);
    const capture = await Capture.start(...allPorts());
    const real = cluster.operations(OPERATIONS);
    const did: boolean[][] = [];
    for (const { entity, operations } of users) {
      const asked = operations.map(({ call }) => real.ask({ entity, ...call }));
      const answers = (await Promise.all(asked)) as { allowed: boolean }[];
      did.push(answers.map(({ allowed }) => allowed));
    }
    await real.end();
    const sessions = await openSessions((await capture.stop()).handshakes());
    const known = await entities(cluster);
    // The view of the users is a second old at most, and as long as the machine takes.
    await until(() => sidecar.err.includes(`"entities":${known.size}}`), 30_000);
    const count = { yes: 0, no: 0 };
    for (const [at, { entity, caps, operations }] of users.entries()) {
      const session = sessions.get(entity);
      expect([entity, typeof session]).toEqual([entity, 'string']);
      const ops = operations.map(({ request }) => httpOp(request));
      const ask = async (subject: object) => {
        const items = ops.map((op) => ({ ...subject, op }));
        return (await sidecar.call('/v1/checks', { service: 'osd', items })).answers;
      };
      const proved = await ask({ session });
      const unproved = await ask({ entity, peer: '127.0.0.1' });
      for (const [i, { call }] of operations.entries()) {
        const decision = did[at]![i];
        const shown = ({ authenticated, decision }: (typeof proved)[0]) => ({
          ...{ caps, ...call, authenticated, decision },
        });
        const row = { caps, ...call, decision };
        expect(shown(proved[i])).toEqual({ ...row, authenticated: true });
        expect(shown(unproved[i])).toEqual({ ...row, authenticated: false });
        count[decision ? 'yes' : 'no']++;
      }
    }
    const { users: seen } = await sidecar.bare('/readyz?verbose');
    expect(seen).toMatchObject({ entities: known.size, stale: false });
    const { out } = await cluster.command({ prefix: 'auth ls', format: 'json' });
    for (const { key } of JSON.parse(out).auth_dump) expect(sidecar.err).not.toContain(key);
    console.log(`${count.yes} operations allowed, ${count.no} not (seed ${seed})`);
    expect(Math.min(count.yes, count.no)).toBeGreaterThan(USERS / 2);
  }, 180_000);

  it('are let in by the sidecar where the OSD was, and accept its proof', async () => {
    // Still up in the map: clients go on to its address.
    for (const flag of ['nodown', 'noout', 'noup']) {
      await cluster.command({ prefix: 'osd set', key: flag });
    }
    const osd = cluster.daemon('osd.0');
    const ended = new Promise((resolve) => osd.once('exit', resolve));
    osd.kill('SIGKILL');
    await ended;
    const standIn = new StandIn(sidecar);
    await standIn.listen(ports.osd);
    try {
      for (const mode of ['crc', 'secure']) {
        const from = standIn.admitted.length;
        const key = await user(cluster, 'client.rw', 'osd', 'allow rw pool=data');
        const who = ['-c', cluster.conf, '-n', 'client.rw', '--key', key];
        const args = [...who, `--ms_client_mode=${mode}`, '-p', 'data', 'ls'];
        const rados = spawn('rados', args, { stdio: 'ignore' });
        const mine = () =>
          standIn.admitted
            .slice(from)
            .filter((each) => typeof each === 'string' || each.entity === 'client.rw');
        try {
          await until(() => mine().length > 0, 30_000);
        } finally {
          rados.kill('SIGKILL');
        }
        expect(mine()[0]).toEqual({
          entity: 'client.rw',
          mode: mode === 'crc' ? 1 : 2,
          signatureIsGood: true,
          identified: true,
        });
      }
    } finally {
      await standIn.close();
    }
  }, 120_000);

  function allPorts(): number[] {
    return [...cluster.monPorts.map(({ v2 }) => v2), ports.osd, ports.mds];
  }

  /** The handshakes with OSD and MDS that came to their end. */
  function ofServices(handshakes: readonly Handshake[]) {
    return handshakes.flatMap((handshake) => {
      const service = (['osd', 'mds'] as const).find((name) => ports[name] === handshake.port);
      const isWhole = handshake.requests.length === 2 && handshake.done !== undefined;
      return service === undefined || !isWhole ? [] : [{ service, handshake }];
    });
  }

  /** The challenge that the daemon sealed for the client. */
  function challengeOf(service: Service, { requests, challenge }: Handshake): bigint {
    const { secrets } = engine.verify(
      {
        service: SERVICES[service],
        authorizer: requests[0]!,
        challenge: { mode: 'off' },
        secrets: true,
      },
      { nowNs: BigInt(Date.now()) * 1_000_000n, policy: { expiry: 'ring', release: 16 } },
    );
    const sessionKey = CryptoKey.decode(new Reader(secrets!.sessionKey));
    return openAuthorizeChallenge(engineSealer(engine), sessionKey, challenge!);
  }

  /** Sessions of the real clients' own connections to the OSD, by entity. */
  async function openSessions(handshakes: readonly Handshake[]): Promise<Map<string, string>> {
    const sessions = new Map<string, string>();
    for (const { service, handshake } of ofServices(handshakes)) {
      const verdict = await sidecar.call('/v1/verify', {
        service,
        authorizer: base64(handshake.requests[1]!),
        expected_challenge: String(challengeOf(service, handshake)),
        peer: '127.0.0.1',
      });
      expect(verdict.reason.code).toBe('ok');
      if (service === 'osd') sessions.set(verdict.entity, verdict.session);
    }
    return sessions;
  }
});

/** The global_ids that the monitors gave to each entity. */
function globalIdsOf(handshakes: readonly Handshake[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { requests, done } of handshakes) {
    // Login to a monitor: mode 10, where a daemon is shown an authorizer.
    if (done === undefined || requests[0]![0] !== 10) continue;
    const entity = formatEntityName(decodeLoginHello(new Reader(requests[0]!)).name);
    found.set(entity, [...(found.get(entity) ?? []), String(done.globalId)]);
  }
  return found;
}

/** The caps of all entities, as the cluster says them. */
async function entities(cluster: Cluster): Promise<Map<string, Record<string, string>>> {
  const { out } = await cluster.command({ prefix: 'auth ls', format: 'json' });
  const { auth_dump } = JSON.parse(out) as {
    auth_dump: { entity: string; caps: Record<string, string> }[];
  };
  return new Map(auth_dump.map(({ entity, caps }) => [entity, caps]));
}

/** Makes a user that may read the maps, and gives its key. */
async function user(cluster: Cluster, entity: string, ...caps: string[]): Promise<string> {
  const made = { prefix: 'auth get-or-create', entity, caps: ['mon', 'allow r', ...caps] };
  const { out } = await cluster.command(made);
  return /key = (\S+)/.exec(out)![1]!;
}

function run(cluster: Cluster, program: string, ...args: string[]): void {
  const done = spawnSync(program, ['-c', cluster.conf, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect([program, args, done.status, done.stderr]).toEqual([program, args, 0, done.stderr]);
}

/** Mounts, makes a file and writes into it: the MDS and the OSD are asked. */
function useCephFs(cluster: Cluster, key: string): void {
  const args = ['-c', CEPHFS_CLIENT, cluster.conf, key];
  const done = spawnSync('/usr/bin/python3', args, { encoding: 'utf8', timeout: 60_000 });
  expect([done.status, done.stderr, done.stdout]).toEqual([0, done.stderr, '5\n']);
}

const CEPHFS_CLIENT = `
import cephfs, os, sys
conf = {"key": sys.argv[2], "client_mount_timeout": "30", "admin_socket": ""}
files = cephfs.LibCephFS(conf=conf, conffile=sys.argv[1], auth_id="fs")
files.mount(mount_root=b"/")
fd = files.open(b"/f", os.O_CREAT | os.O_WRONLY, 0o644)
print(files.write(fd, b"hello", 0), flush=True)
files.fsync(fd, 0)
files.close(fd)
os._exit(0)
`;

/** The request of a check over HTTP. */
function httpOp(request: Readonly<Record<string, unknown>>): unknown {
  const { appMetadata, addr: _, classes, ...rest } = request;
  const calls = (classes as { allowListed: boolean }[]).map(({ allowListed, ...call }) => ({
    ...call,
    allow_listed: allowListed,
  }));
  return { ...rest, app_metadata: appMetadata, classes: calls };
}

function ignored(): void {}
