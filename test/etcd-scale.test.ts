/**
 * Many users on etcd, and what one instance costs it: 2,000 in `npm test`, ETCD_USERS=1000000 in
 * the long form. The traffic of many instances is computed from that of one, which passes a
 * counter.
 */

import { readFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { HEAR_EVERY_NS } from '../src/auth/leader.ts';
import { CLOCK_EVERY_NS } from '../src/auth/leader-instance.ts';
import { NOTES } from '../src/auth/leader-records.ts';
import { CryptoKey } from '../src/cephx/cryptokey.ts';
import { utimeFromNs } from '../src/cephx/denc.ts';
import { readStoreKeys } from '../src/cli/storeplace.ts';
import { Engine } from '../src/engine/index.ts';
import { engineSealer } from '../src/sealer.ts';
import type { EtcdStore } from '../src/store/etcd/etcd.ts';
import { type Envelope, sealedEnvelope } from '../src/store/etcd/seal.ts';
import { ENTITIES, openStore, type Store, transaction } from '../src/store/index.ts';
import { Instance } from './chaos/world.ts';
import { run } from './cli-kit.ts';
import { ETCD_NAME, EtcdCluster, etcdMissing } from './etcd.ts';
import { temporaryFolder } from './spawn.ts';

const USERS = Number(process.env.ETCD_USERS ?? 2_000);
const IDLE_S = USERS > 10_000 ? 30 : 3;
const CHANGES = 50;
const CLOCK_EVERY_S = Number(CLOCK_EVERY_NS) / 1e9;
const INSTANCES = 1_000;
/** Others that only have a lease and its note: what the leader hears of them is measured. */
const NOTED = 100;
const CALL = { timeoutMs: 20_000 };
const random = (n: number): Uint8Array => crypto.getRandomValues(new Uint8Array(n));
const nameOf = (i: number): string => `client.user${String(i).padStart(7, '0')}`;

/** Passes bytes on, and counts them both ways, and the requests. */
class Counter {
  bytes = 0;
  requests = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: URL) {
    this.#server = createServer((client) => {
      const member = connect(Number(target.port), target.hostname);
      for (const [from, to] of [
        [client, member],
        [member, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (chunk: Uint8Array) => {
          this.bytes += chunk.length;
          if (from === client && isRequest(chunk)) this.requests += 1;
        });
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => this.#sockets.delete(from));
      }
    });
  }

  static async start(target: string): Promise<Counter> {
    const counter = new Counter(new URL(target));
    await new Promise<void>((resolve) => counter.#server.listen(0, '127.0.0.1', resolve));
    return counter;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

describe.skipIf(etcdMissing)(`${ETCD_NAME}: ${USERS} users`, () => {
  const folder = temporaryFolder('etcd-scale');
  const keyFile = join(folder.path, 'store.key');
  let cluster: EtcdCluster | undefined;
  const counters: Counter[] = [];
  const instances: Instance[] = [];
  let store: Store | undefined;
  afterAll(async () => {
    for (const each of instances) await each.kill();
    await store?.close();
    for (const each of counters) each.stop();
    await cluster?.stop();
    folder.remove();
  });

  it('are imported, served and changed', async () => {
    cluster = await EtcdCluster.start({ flags: ['--quota-backend-bytes', '8589934592'] });
    expect((await run(['store', 'key', keyFile])).code).toBe(0);
    const sealer = engineSealer(await Engine.create({ preset: 'small' }));
    const envelope = sealedEnvelope(sealer, readStoreKeys(keyFile), random);
    store = await openStore(cluster.address, { envelope });
    let startMs = performance.now();
    await (store as EtcdStore).load(users(), CALL);
    report('imported, sealed', `${((performance.now() - startMs) / 1000).toFixed(1)} s`);

    // The first one leads; what there are many of is the second.
    for (const name of ['leads', 'follows']) {
      const counter = await Counter.start(cluster.members[0]!.url);
      counters.push(counter);
      const argv = ['--store', `etcd:${counter.url}`, '--store-key', keyFile];
      instances.push(new Instance(join(folder.path, name), argv));
    }
    const [leading, instance] = instances as [Instance, Instance];
    const [leaderCounter, counter] = counters as [Counter, Counter];
    await leading.start();
    startMs = performance.now();
    await instance.start();
    report('an instance started', `${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    report('its memory', `${memoryMiB(instance)} MiB`);

    startMs = performance.now();
    const middle = nameOf(USERS >> 1);
    const body = {
      prefix: 'auth caps',
      entity: middle,
      caps: ['mon', 'allow r', 'osd', 'allow w'],
    };
    expect((await instance.admin('POST', '/command', body)).body.retcode).toBe(0);
    report('one of them changed', `${(performance.now() - startMs).toFixed(0)} ms`);
    const { body: user } = await instance.admin('GET', `/users/${middle}`);
    expect(user.caps).toEqual({ mon: 'allow r', osd: 'allow w' });

    await sleep(1_000);
    const leaderBefore = leaderCounter.bytes;
    const requestsBefore = counter.requests;
    const idle = await counted(counter, () => sleep(IDLE_S * 1_000));
    const idlePerS = idle / IDLE_S;
    const requestsPerS = (counter.requests - requestsBefore) / IDLE_S;
    const leaderPerS = (leaderCounter.bytes - leaderBefore) / IDLE_S;
    startMs = performance.now();
    const changing = await counted(counter, async () => {
      for (let i = 0; i < CHANGES; i++) await change(i);
      await sleep(500);
    });
    const s = (performance.now() - startMs) / 1000;
    const perChange = Math.max(0, changing - idlePerS * s) / CHANGES;
    report('an instance that is idle', `${idlePerS.toFixed(0)} bytes a second, both ways`);
    report('a change elsewhere', `${perChange.toFixed(0)} bytes to each instance`);
    report('its memory then', `${memoryMiB(instance)} MiB`);
    report('the one that leads, idle', `${leaderPerS.toFixed(0)} bytes a second`);
    const perNote = (await heardBytes(envelope)) / NOTED / (Number(HEAR_EVERY_NS) / 1e9);
    report('the one that leads, of each other one', `${perNote.toFixed(0)} bytes a second`);
    const mega = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
    const leads = leaderPerS + INSTANCES * perNote;
    report(
      `computed for ${INSTANCES} instances`,
      `${mega(INSTANCES * idlePerS)} a second idle, ${mega(leads)} more for the one that leads, ` +
        `${mega(INSTANCES * perChange)} for each change; etcd is asked ` +
        `${(INSTANCES * requestsPerS).toFixed(0)} times a second, of which ` +
        `${(INSTANCES / CLOCK_EVERY_S + 1).toFixed(0)} write`,
    );
    startMs = performance.now();
    expect(await listed()).toBe(USERS);
    report('all of them listed', `${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    // It neither keeps the users nor asks for them all the time.
    expect(memoryMiB(instance)).toBeLessThan(600);
    expect(idlePerS).toBeLessThan(50_000);
    expect(leaderPerS).toBeLessThan(200_000);
    expect(perChange).toBeGreaterThan(100);
    expect(perNote).toBeGreaterThan(10);
    expect(perNote).toBeLessThan(1_000);
    expect(requestsPerS).toBeLessThan(10);
  }, 3_600_000);

  function* users(): Generator<{ key: Uint8Array; value: Uint8Array }> {
    const created = utimeFromNs(BigInt(Date.now()) * 1_000_000n);
    const caps = new Map([
      ['mon', 'allow r'],
      ['osd', 'allow rw pool=liverpool'],
    ]);
    for (let i = 0; i < USERS; i++) {
      const key = CryptoKey.create('aes256k', created, random).encode();
      const value = ENTITIES.encode({ key, caps, pendingKey: undefined });
      yield { key: ENTITIES.key(nameOf(i)), value };
    }
  }

  /** How many there are, page by page. */
  async function listed(): Promise<number> {
    let page = await store!.list({ ...CALL, prefix: ENTITIES.prefix });
    const { snapshot: at } = page;
    let count = page.entries.length;
    while (page.next !== undefined) {
      page = await store!.list({ ...CALL, prefix: ENTITIES.prefix, at, after: page.next });
      count += page.entries.length;
    }
    return count;
  }

  /** What one listing of many notes takes, as the leader asks for it. */
  async function heardBytes(envelope: Envelope): Promise<number> {
    const counter = await Counter.start(cluster!.members[0]!.url);
    counters.push(counter);
    const listing = await openStore(`etcd:${counter.url}`, { envelope });
    const note = NOTES.encode({ snapshot: 1n << 40n, clockNs: BigInt(Date.now()) * 1_000_000n });
    for (let i = 0; i < NOTED; i++) {
      const id = Buffer.from(random(16)).toString('hex');
      const lease = await store!.lease(`instance/${id}`, 600_000, CALL);
      expect(await lease!.renew(CALL, note)).toBe(true);
    }
    const bytes = await counted(counter, () => listing.leases('instance/', CALL));
    await listing.close();
    return bytes;
  }

  /** As another instance does it: not through the counter. */
  async function change(i: number): Promise<void> {
    const key = ENTITIES.key(nameOf(i % USERS));
    const { entry } = await store!.get(key, CALL);
    const tx = transaction({ puts: [{ key, value: entry!.value }] });
    expect((await store!.commit(tx, CALL)).status).toBe('committed');
  }
});

/** Each of ours comes in a piece of its own. */
function isRequest(chunk: Uint8Array): boolean {
  return Buffer.from(chunk.subarray(0, 5)).toString('latin1') === 'POST ';
}

async function counted(counter: Counter, work: () => Promise<unknown>): Promise<number> {
  const before = counter.bytes;
  await work();
  return counter.bytes - before;
}

function memoryMiB({ pid }: Instance): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024);
}

function report(what: string, figure: string): void {
  console.log(`  ${what}: ${figure}`);
}
