/**
 * What several instances on etcd cost beside the embedded store, and how soon things are known
 * everywhere; ETCD_ROUNDS makes it longer, and the table is what the README has.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plaintextEnvelope } from '../src/store/etcd/seal.ts';
import { openStore, transaction } from '../src/store/index.ts';
import { pause, verifyAt } from './chaos/client.ts';
import { FairClock } from './chaos/fairclock.ts';
import { whole } from './chaos/faults.ts';
import { Instance, World } from './chaos/world.ts';
import { run } from './cli-kit.ts';
import { ETCD_NAME, etcdMissing, until } from './etcd.ts';
import { temporaryFolder } from './spawn.ts';

const rounds = Number(process.env.ETCD_ROUNDS ?? '1');
const JOHN = { prefix: 'auth get-or-create', entity: 'client.john' };
const CAPS = ['mon', 'allow r', 'osd', 'allow rw'];
const RULE = { deny: { entity: 'client.john' } };

describe.skipIf(etcdMissing)(`${ETCD_NAME}: figures`, () => {
  const folder = temporaryFolder('figures');
  // With a log of decisions, as the others have it.
  const log = ['--decision-log', join(folder.path, 'decisions.log')];
  const alone = new Instance(join(folder.path, 'alone'), log);
  let world: World;
  beforeAll(async () => {
    world = await World.start({ ticketTtl: 3600, loginTtl: 7200, staleAfter: 10 });
    await alone.start();
    for (const instance of [alone, world.instances[0]!]) {
      const made = await instance.admin('POST', '/command', { ...JOHN, caps: CAPS });
      expect(made.body.retcode).toBe(0);
    }
  }, 180_000);
  afterAll(async () => {
    await alone.kill();
    await world?.stop();
    folder.remove();
  });

  async function authorizerAt(instance: Instance): Promise<string> {
    const { body } = await instance.admin('POST', '/command', { ...JOHN, caps: CAPS });
    const keyring = join(folder.path, `${instance.pid}.keyring`);
    writeFileSync(keyring, body.output, { mode: 0o600 });
    const login = await run([
      ...['client', 'authorizer', '--name', 'client.john', '--keyring', keyring],
      ...['--service', 'osd', '--url', instance.url],
    ]);
    expect([login.code, login.err]).toEqual([0, '']);
    return login.out.trim();
  }

  it('verify as fast as with the embedded store', async () => {
    const [etcd] = world.instances as [Instance, ...Instance[]];
    const asked = [alone, etcd].map(async (each) => [each, await authorizerAt(each)] as const);
    const both = await Promise.all(asked);
    const shown = (us: number): string => `${(us * 1000).toFixed(0)} us`;
    // What keeping up with the store takes, whether anybody asks or not.
    const idle = new Map<Instance, number>();
    const idleBefore = both.map(([{ pid }]) => cpuMsOf(pid));
    const idleStartMs = performance.now();
    await pause(2_000);
    const idleMs = performance.now() - idleStartMs;
    for (const [i, [instance]] of both.entries()) {
      idle.set(instance, (cpuMsOf(instance.pid) - idleBefore[i]!) / idleMs);
    }
    const cpu = new Map<Instance, number[]>();
    // In turns, so that what else the machine does falls on both.
    for (let block = 0; block < 4 * rounds + 2; block++) {
      for (const [instance, authorizer] of both) {
        const before = cpuMsOf(instance.pid);
        const startMs = performance.now();
        for (let i = 0; i < BLOCK; i += 10) {
          const said = await Promise.all(
            Array.from({ length: 10 }, () => verifyAt(instance, authorizer)),
          );
          expect(new Set(said)).toEqual(new Set(['ok']));
        }
        // The first ones make the compilers busy.
        const idleMs = idle.get(instance)! * (performance.now() - startMs);
        const ms = (cpuMsOf(instance.pid) - before - idleMs) / BLOCK;
        if (block >= 2) cpu.set(instance, [...(cpu.get(instance) ?? []), ms]);
      }
    }
    const [own, shared] = [middle(cpu.get(alone)!), middle(cpu.get(etcd)!)];
    const ratio = shared / own;
    console.log(
      `  a verify over HTTP, CPU of the process: embedded ${shown(own)}, ` +
        `etcd ${shown(shared)}, ratio ${ratio.toFixed(2)}; without any: ` +
        `${both.map(([each]) => `${(idle.get(each)! * 100).toFixed(1)} %`).join(', ')} of a core`,
    );
    expect(ratio).toBeLessThan(1.5);
  }, 300_000);

  it('write, one after the other and sixteen at once', async () => {
    for (const [name, instance] of [
      ['embedded', alone],
      ['etcd', world.instances[0]!],
    ] as const) {
      for (const width of [1, 16]) {
        const count = 64 * rounds;
        const startMs = performance.now();
        const write = async (lane: number): Promise<void> => {
          for (let i = 0; i < count / width; i++) {
            const body = { prefix: 'auth get-or-create', entity: `client.w${lane}-${width}-${i}` };
            const { body: said } = await instance.admin('POST', '/command', {
              ...body,
              caps: CAPS,
            });
            expect(said.retcode).toBe(0);
          }
        };
        await Promise.all(Array.from({ length: width }, (_, lane) => write(lane)));
        const perSecond = (count * 1000) / (performance.now() - startMs);
        console.log(`  users made, ${name}, ${width} at once: ${perSecond.toFixed(0)} a second`);
      }
    }
  }, 300_000);

  it('tell each other of changes', async () => {
    const access = { prefix: 'figures/', envelope: plaintextEnvelope() };
    const address = world.cluster.address;
    const [writer, reader] = await Promise.all([
      openStore(address, access),
      openStore(address, access),
    ]);
    const key = new TextEncoder().encode('k');
    const { snapshot } = await reader!.get(key, { timeoutMs: 5_000 });
    const watch = reader!.watch(snapshot);
    const seen: number[] = [];
    const watching = (async () => {
      for await (const event of watch)
        if (event.type === 'transaction') seen.push(performance.now());
    })();
    const sent: number[] = [];
    for (let i = 0; i < 100 * rounds; i++) {
      sent.push(performance.now());
      const puts = [{ key, value: new Uint8Array(8) }];
      const { status } = await writer!.commit(transaction({ puts }), { timeoutMs: 5_000 });
      expect(status).toBe('committed');
    }
    await until(async () => seen.length === sent.length);
    watch.close();
    await watching;
    await Promise.all([writer!.close(), reader!.close()]);
    const ms = sent.map((at, i) => seen[i]! - at);
    console.log(`  from before a commit to its watch: ${spread(ms)}`);
  }, 120_000);

  /** From the acknowledgement until no instance accepts any more. */
  async function revoked(authorizer: string, meanwhile?: () => Promise<void>): Promise<number> {
    const fair = new FairClock();
    const [one, ...others] = world.instances as [Instance, ...Instance[]];
    const disturbing = meanwhile?.();
    let ackMs = 0;
    // Through the loss of the leader it may take another try.
    await until(async () => {
      const done = await one.admin('POST', '/revocations', RULE).catch(() => undefined);
      ackMs = fair.nowMs;
      return done?.status === 200;
    });
    let goneMs = ackMs;
    for (const other of others) {
      await until(async () => (await verifyAt(other, authorizer)) === 'ticket.revoked', 20_000);
      goneMs = fair.nowMs;
    }
    await disturbing;
    await until(async () => {
      const done = await one.admin('DELETE', '/revocations', RULE).catch(() => undefined);
      return done?.status === 200 || done?.status === 404;
    });
    for (const other of others) {
      await until(async () => (await verifyAt(other, authorizer)) === 'ok', 20_000);
    }
    fair.stop();
    return goneMs - ackMs;
  }

  it('know of a revocation within a second, within five through the loss of a leader', async () => {
    const authorizer = await authorizerAt(world.instances[0]!);
    const calm: number[] = [];
    for (let i = 0; i < 10 * rounds; i++) calm.push(await revoked(authorizer));
    console.log(`  revoked everywhere, all members up: ${spread(calm)}`);
    // The machine may stand still once; the system may not.
    expect(middle(calm)).toBeLessThan(1_000);
    const stormy: number[] = [];
    for (let i = 0; i < 2 * rounds; i++) {
      const leader = (await world.cluster.leader())!;
      stormy.push(await revoked(authorizer, () => leader.kill()));
      await leader.start();
      await until(async () => (await world.cluster.leader()) !== undefined);
    }
    console.log(`  revoked everywhere, the leader killed: ${spread(stormy)}`);
    expect(Math.max(...stormy)).toBeLessThan(5_000);
  }, 300_000);

  it('write again soon after the loss of a leader', async () => {
    const [one] = world.instances as [Instance, ...Instance[]];
    await whole(world);
    const leader = (await world.cluster.leader())!;
    let [lastMs, gapMs] = [performance.now(), 0];
    const killing = leader.kill();
    let after = 0;
    for (const endMs = lastMs + 60_000; performance.now() < endMs && after < 50; ) {
      const body = { prefix: 'auth caps', entity: 'client.john', caps: CAPS };
      const done = await one.admin('POST', '/command', body).catch(() => undefined);
      if (done?.status !== 200) continue;
      gapMs = Math.max(gapMs, performance.now() - lastMs);
      lastMs = performance.now();
      if (!leader.running) after += 1;
    }
    await killing;
    await leader.start();
    console.log(
      `  longest time without an acknowledged change, the leader killed: ${gapMs.toFixed(0)} ms`,
    );
    expect(gapMs).toBeLessThan(30_000);
  }, 120_000);
});

/** CPU time of all threads of a process, in milliseconds; to the microsecond, unlike its `stat`. */
function cpuMsOf(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const ns = tasks.map((task) => {
    const path = `/proc/${pid}/task/${task}/schedstat`;
    // A thread may end meanwhile.
    return existsSync(path) ? Number(readFileSync(path, 'utf8').split(' ')[0]) : 0;
  });
  return ns.reduce((sum, each) => sum + each, 0) / 1e6;
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!.toFixed(1);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, of ${sorted.length}`;
}

const BLOCK = 150;
