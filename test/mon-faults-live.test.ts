/**
 * A sidecar beside a real cluster in which things go wrong: secrets that live six seconds, monitors
 * that are stopped, paused and killed, keys that are wrong or change. What the sidecar says is held
 * against what a real OSD does with the same ticket at the same moment.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceAuthorizer } from '../src/cephx/client.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { parseEntityName } from '../src/cephx/protocol.ts';
import { Engine } from '../src/engine/engine.ts';
import { findClientKey } from '../src/keyring/keyringsearch.ts';
import { MonClient } from '../src/mon/monclient.ts';
import { parseMonHost } from '../src/mon/monhost.ts';
import { engineSealer } from '../src/sealer.ts';
import { CEPH_INSTALL, Cluster, cephMissing } from './ceph.ts';
import { randomBytes } from './mon-fake.ts';
import { until } from './mon-kit.ts';
import { offerToSidecar } from './mon-offer.ts';
import { Rows, sleep } from './mon-rows.ts';
import {
  type ClusterSidecar,
  clusterFlags,
  monHostOf,
  osdPort,
  sidecarBeside,
} from './mon-sidecar.ts';
import { Rng, seedOf } from './rng.ts';
import { spawnCephgate, temporaryFolder } from './spawn.ts';

const seed = seedOf(Date.now() & 0x7fffffff);
const RUN_MS = Number(process.env.CLUSTER_RUN_MS ?? 60_000);
const TTL_MS = 6_000;
const SKEW_MS = 1_000;
const OSD = 4;
const QUICK = { keepaliveMs: 500, keepaliveAckMs: 1_500, requestMs: 3_000 };
const MONS: readonly string[] = ['mon.a', 'mon.b', 'mon.c'];
const MISSING = cephMissing('ceph-mon', 'ceph-osd');

describe.skipIf(MISSING)(`a cluster with faults (${CEPH_INSTALL})`, () => {
  const folder = temporaryFolder('faults');
  const other = temporaryFolder('enforce');
  let cluster: Cluster;
  let engine: Engine;
  let osd: number;
  let admin: MonClient;
  let ring: ClusterSidecar;
  let enforce: ClusterSidecar;

  beforeAll(async () => {
    // A daemon looks after its secrets no more often than it pings a monitor.
    const quick = ['mon_client_ping_interval = 1', 'mon_client_hunt_interval = 1'];
    const ttl = [`auth_service_ticket_ttl = ${TTL_MS / 1_000}`, 'mon_tick_interval = 1'];
    const options = { mons: 3, osds: 1, conf: [...ttl, ...quick] };
    [cluster, engine] = await Promise.all([Cluster.start(options), Engine.create()]);
    osd = await osdPort(cluster);
    await cluster.command({ prefix: 'osd pool create', pool: 'p', pg_num: 8 });
    const caps = ['mon', 'allow r', 'osd', 'allow rw pool=p'];
    await cluster.command({ prefix: 'auth get-or-create', entity: 'client.rw', caps });
    admin = await connect('client.admin');
    ring = await sidecarBeside(cluster, folder.path, ['osd.0']);
    const strict = ['--expiry', 'enforce', '--skew', String(SKEW_MS / 1_000)];
    enforce = await sidecarBeside(cluster, other.path, ['osd.0'], strict);
  }, 180_000);

  afterAll(async () => {
    await admin?.stop();
    await Promise.all([ring?.stop(), enforce?.stop()]);
    await cluster?.stop();
    folder.remove();
    other.remove();
  });

  it(`${TTL_MS} ms is a secret's life: for ${RUN_MS} ms every ticket is judged as the OSD does (seed ${seed})`, {
    timeout: RUN_MS + 240_000,
  }, async () => {
    const rows = new Rows({ osd, ring, enforce, skewMs: SKEW_MS, rng: new Rng(seed) });
    const busy = [rows.renew(admin), rows.read(cluster, 'client.rw', 'p')];
    const start = Date.now();
    await rows.run(start + RUN_MS / 3);
    // In the middle between two rotations, when the OSD and we have the same secrets.
    const fetched = ring.err.length;
    await until(() => eventsIn(ring, fetched).includes('secrets_fetched'), 60_000);
    await rows.run(Date.now() + TTL_MS / 2);
    // All monitors stand still for three lives of a secret.
    for (const mon of MONS) cluster.daemon(mon).kill('SIGSTOP');
    rows.awayUntilMs = Date.now() + 3 * TTL_MS;
    await rows.run(rows.awayUntilMs);
    const before = rows.tickets.length;
    const resumedMs = Date.now();
    for (const mon of MONS) cluster.daemon(mon).kill('SIGCONT');
    await rows.run(start + RUN_MS);
    // And it goes on: there are new tickets, and they are good.
    const enough = (): boolean => rows.tickets.length >= before + 20;
    for (const end = Date.now() + 90_000; !enough() && Date.now() < end; ) {
      await rows.run(Date.now() + 500);
    }
    rows.stop();
    await Promise.all(busy);
    const after = rows.tickets[before]!.madeMs - resumedMs;
    console.log(`${rows.summary()}; new tickets ${after} ms after the monitors went on`);
    expect([enough(), rows.lasting, rows.wrong]).toEqual([true, [], []]);
    for (const name of ['accepted', 'refused', 'expired', 'reads'] as const) {
      expect([name, rows.count[name] > 20]).toEqual([name, true]);
    }
  });

  it('a wrong key: it does not start, and says why', async () => {
    const wrong = join(folder.path, 'wrong.keyring');
    const key = CryptoKey.create('aes', utimeFromNs(0n), randomBytes).toBase64();
    writeFileSync(wrong, `[osd.0]\n\tkey = ${key}\n`, { mode: 0o600 });
    const flags = clusterFlags(cluster, ['osd.0']).map((each) =>
      each === cluster.keyring ? wrong : each,
    );
    const listen = ['--listen', 'tcp:127.0.0.1:0', '--data', 'wrong'];
    const spawned = spawnCephgate(['serve', ...listen, ...flags], { cwd: folder.path });
    expect(await spawned.ended).toBe(3);
    expect(spawned.err).toContain('the key or the name is wrong');
    expect(spawned.err).not.toContain(key);
  }, 60_000);

  it('the monitor that we talk to is paused: another one goes on', async () => {
    const held = await ticket();
    const paused = connectedTo(ring);
    const from = ring.err.length;
    cluster.daemon(paused).kill('SIGSTOP');
    try {
      const start = Date.now();
      await goesOn(ring, paused, from, async () => (await offerToSidecar(ring, held)).accepted);
      console.log(`paused: elsewhere and refreshed after ${Date.now() - start} ms`);
    } finally {
      cluster.daemon(paused).kill('SIGCONT');
    }
  }, 180_000);

  it('it is killed: verification never stops, and another one goes on', async () => {
    let newest = await ticket();
    const killed = connectedTo(ring);
    const from = ring.err.length;
    const start = Date.now();
    cluster.daemon(killed).kill('SIGKILL');
    let [tickets, isOver] = [0, false];
    // While the monitors elect a leader there are none; the newest there is must be good.
    const renew = async (): Promise<void> => {
      while (!isOver) {
        const made = await ticket().catch(() => undefined);
        if (made !== undefined) tickets++;
        newest = made ?? newest;
        await sleep(200);
      }
    };
    const renewing = renew();
    try {
      const verifies = async () => (await offerToSidecar(ring, newest)).accepted;
      await goesOn(ring, killed, from, verifies);
    } finally {
      isOver = true;
    }
    await renewing;
    expect(tickets).toBeGreaterThan(0);
    console.log(`killed: elsewhere and refreshed after ${Date.now() - start} ms`);
  }, 180_000);

  it('the key of the daemon changes: what is held goes on, and a new keyring is taken', async () => {
    const held = await ticket();
    expect((await offerToSidecar(ring, held)).why).toBe('ok');
    const from = ring.err.length;
    const caps = ['mon', 'allow profile osd', 'osd', 'allow *'];
    await cluster.command({
      prefix: 'auth caps',
      entity: 'osd.0',
      caps: [...caps, 'mgr', 'allow r'],
    });
    const key = CryptoKey.create('aes', utimeFromNs(0n), randomBytes).toBase64();
    const lines = ['[osd.0]', `\tkey = ${key}`, '\tcaps mon = "allow profile osd"'];
    const imported = join(folder.path, 'new.keyring');
    writeFileSync(imported, `${lines.join('\n')}\n\tcaps osd = "allow *"\n`, { mode: 0o600 });
    const args = ['-c', cluster.conf, 'auth', 'import', '-i', imported];
    expect(spawnSync('ceph', args, { timeout: 60_000 }).status).toBe(0);
    await until(() => eventsIn(ring, from).includes('secrets_failed'), 60_000);
    expect((await offerToSidecar(ring, held)).why).toBe('ok');
    const former = readFileSync(cluster.keyring, 'utf8');
    const changed = former.replace(/(\[osd\.0\]\s+key = )\S+/, `$1${key}`);
    expect(changed).not.toBe(former);
    writeFileSync(cluster.keyring, changed, { mode: 0o600 });
    await until(() => eventsIn(ring, from).includes('key_changed'), 90_000);
    const at = ring.err.lastIndexOf('"key_changed"');
    await until(() => eventsIn(ring, at).includes('secrets_fetched'), 90_000);
    expect((await offerToSidecar(ring, await ticket())).why).toBe('ok');
    for (const text of [key, /key = (\S+)/.exec(former)![1]!]) expect(ring.err).not.toContain(text);
  }, 240_000);

  /** A ticket that was made just now. */
  async function ticket(): Promise<ServiceAuthorizer> {
    const authorizer = (await admin.tickets(OSD)).authorizer(OSD);
    if (!authorizer.ok) throw new Error(authorizer.reason);
    return authorizer.value;
  }

  /** The monitor that a sidecar said last that it talks to. */
  function connectedTo(sidecar: ClusterSidecar): string {
    const address = [...sidecar.err.matchAll(/"mon_connected".*?"v2:127\.0\.0\.1:(\d+)"/g)].at(-1)!;
    const at = cluster.monPorts.findIndex(({ v2 }) => v2 === Number(address[1]));
    return MONS[at]!;
  }

  /** Waits until a sidecar is elsewhere and has had news from there; it verifies all the while. */
  async function goesOn(
    sidecar: ClusterSidecar,
    former: string,
    from: number,
    verifies: () => Promise<boolean>,
  ): Promise<void> {
    const isElsewhere = (): boolean =>
      eventsIn(sidecar, from).includes('mon_connected') && connectedTo(sidecar) !== former;
    const hasNews = (): boolean => {
      const at = sidecar.err.lastIndexOf('"mon_connected"');
      return isElsewhere() && eventsIn(sidecar, at).includes('secrets_fetched');
    };
    const end = Date.now() + 90_000;
    while (!hasNews()) {
      expect(Date.now()).toBeLessThan(end);
      // With the news a secret goes whose time has come.
      if (!(await verifies())) await until(hasNews, 10_000);
      await sleep(100);
    }
  }

  async function connect(text: string): Promise<MonClient> {
    const name = parseEntityName(text)!;
    const client = new MonClient({
      ...{ name, sealer: engineSealer(engine), random: randomBytes, timing: QUICK },
      clock: () => BigInt(Date.now()) * 1_000_000n,
      key: findClientKey({ name, conf: cluster.conf }, { env: {} }).key,
      hosts: await parseMonHost(monHostOf(cluster), async () => []),
    });
    client.start();
    return client;
  }
});

/** The names of the events that a sidecar has logged since. */
function eventsIn(sidecar: ClusterSidecar, from: number): string[] {
  return [...sidecar.err.slice(from).matchAll(/"event":"(\w+)"/g)].map(([, name]) => name!);
}
