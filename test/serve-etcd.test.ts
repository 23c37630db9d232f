/** Three processes of `cephgate serve` on three etcd members; test/chaos.test.ts kills them. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from './cli-kit.ts';
import { ETCD_NAME, EtcdCluster, etcdMissing, until } from './etcd.ts';
import { Rng, seedOf } from './rng.ts';
import { type Spawned, spawnCephgate } from './spawn.ts';

const seed = seedOf(20261202);
const rng = new Rng(seed);

const VISITS_MIN = 5;

interface Instance {
  readonly data: string;
  readonly process: Spawned;
  url: string;
}

describe.skipIf(etcdMissing)(`${ETCD_NAME}: three processes, seed ${seed}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'cephgate-three-'));
  const file = (name: string): string => join(folder, name);
  let cluster: EtcdCluster;
  let instances: Instance[] = [];
  beforeAll(async () => {
    cluster = await EtcdCluster.start({ members: 3 });
    expect((await run(['store', 'key', file('store.key')])).code).toBe(0);
  });
  afterAll(async () => {
    for (const { process } of instances) process.child.kill('SIGKILL');
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(data: string): Instance {
    const process = spawnCephgate([
      ...['serve', '--data', data, '--listen', 'tcp:127.0.0.1:0'],
      ...['--store', cluster.address, '--store-key', file('store.key')],
    ]);
    return { data, process, url: '' };
  }
  async function listening(each: Instance): Promise<void> {
    await until(async () => /listening for administration/.test(each.process.out));
    each.url = /listening on (http:\S+)/.exec(each.process.out)![1]!.replace(/,$/, '');
  }
  const adminOf = (each: Instance) => ({ CEPHGATE_ADMIN_LISTEN: `unix:${each.data}/admin.sock` });

  /** Logs in at one, verifies at another: `ok`, or what was said instead. */
  async function visit(): Promise<string> {
    const [at, other] = [rng.pick(instances), rng.pick(instances)];
    const login = await run([
      ...['client', 'authorizer', '--name', 'client.john', '--keyring', file('john.keyring')],
      ...['--service', 'osd', '--url', at.url],
    ]);
    if (login.code !== 0) return `login: ${login.err}`;
    const verdict = await fetch(`${other.url}/v1/verify`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ service: 'osd', authorizer: login.out.trim() }),
      signal: AbortSignal.timeout(15_000),
    });
    const { reason } = (await verdict.json()) as { reason: { code: string } };
    return reason.code;
  }

  /** For so long, and until there were a few. */
  async function visits(ms: number): Promise<{ said: string[]; gapMs: number }> {
    const said = new Set<string>();
    let [lastMs, gapMs, count] = [performance.now(), 0, 0];
    for (const end = lastMs + ms; performance.now() < end || count < VISITS_MIN; count++) {
      const result = await visit();
      said.add(result);
      if (result === 'ok') lastMs = performance.now();
      gapMs = Math.max(gapMs, performance.now() - lastMs);
    }
    return { said: [...said], gapMs };
  }

  it('start on an empty store at once, and one of them makes client.admin', async () => {
    instances = [0, 1, 2].map((i) => start(file(`d${i}`)));
    await Promise.all(instances.map(listening));
    const made = instances.filter(({ process }) => /made client\.admin/.test(process.out));
    expect(made).toHaveLength(1);
    const list = await run(['auth', 'ls'], { env: adminOf(instances[1]!) });
    expect([list.code, list.out + list.err]).toEqual([0, expect.stringContaining('client.admin')]);
  });

  it('log in and verify what any of them was told, all alike', async () => {
    const caps = ['mon', 'allow r', 'osd', 'allow rw'];
    const env = adminOf(instances[0]!);
    const john = file('john.keyring');
    const made = await run(['auth', 'get-or-create', 'client.john', ...caps, '-o', john], { env });
    expect(made.code).toBe(0);
    expect(readFileSync(john, 'utf8')).toContain('[client.john]');
    const { said } = await visits(2_000);
    expect(said).toEqual(['ok']);
  });

  it('end in order, and forget nothing', async () => {
    const [one, ...others] = instances as [Instance, ...Instance[]];
    for (const { process } of others) process.raise('SIGTERM');
    expect(await Promise.all(others.map(({ process }) => process.ended))).toEqual([0, 0]);
    instances = [one];
    expect((await visits(1_000)).said).toEqual(['ok']);
    one.process.raise('SIGTERM');
    expect(await one.process.ended).toBe(0);
    instances = [];
    const digest = await run([
      ...['store', 'digest', cluster.address, '--store-key', file('store.key')],
    ]);
    expect(digest.out).toMatch(/^\d+ entries, SHA-256 [0-9a-f]{64}\n$/);
  });

  it('end in order without etcd too', async () => {
    const last = start(file('d3'));
    instances = [last];
    await listening(last);
    await Promise.all(cluster.members.map((member) => member.kill()));
    const startMs = performance.now();
    last.process.raise('SIGTERM');
    expect(await last.process.ended).toBe(0);
    // Less than what a service manager waits before it kills.
    expect(performance.now() - startMs).toBeLessThan(25_000);
    instances = [];
  }, 90_000);
});
