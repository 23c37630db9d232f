/** Three members of etcd and three instances of `cephgate serve`, stopped and started by a test. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../cli-kit.ts';
import { EtcdCluster, until } from '../etcd.ts';
import { type HttpAnswer, type Spawned, send, spawnCephgate } from '../spawn.ts';

export interface WorldOptions {
  /** Seconds: short, so that rings turn and tickets are renewed in a run. */
  readonly ticketTtl: number;
  readonly loginTtl: number;
  /** Of those that then deny; the last instance is as the defaults have it and serves on. */
  readonly staleAfter: number;
}

/** One `cephgate serve`. */
export class Instance {
  readonly data: string;
  url = '';
  /** How often it was stopped or killed. */
  outages = 0;
  #isOut = true;
  readonly #argv: readonly string[];
  #process: Spawned | undefined;

  constructor(data: string, argv: readonly string[]) {
    this.data = data;
    this.#argv = ['serve', '--data', data, '--listen', 'tcp:127.0.0.1:0', ...argv];
  }

  /** Cannot answer: its own outage is nobody's refusal. */
  get isOut(): boolean {
    return this.#isOut;
  }

  get pid(): number {
    return this.#process!.child.pid!;
  }

  async start(): Promise<void> {
    const process = spawnCephgate(this.#argv);
    this.#process = process;
    await until(async () => {
      if (process.child.exitCode !== null) throw new Error(`it ended: ${process.err}`);
      return /listening for administration/.test(process.out);
    }, START_MS);
    this.url = /listening on (http:\S+)/.exec(process.out)![1]!.replace(/,$/, '');
    this.#isOut = false;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | string | undefined> {
    this.#isOut = true;
    this.outages += 1;
    const process = this.#process;
    this.#process = undefined;
    if (process === undefined) return undefined;
    process.child.kill('SIGCONT');
    process.child.kill(signal);
    return await process.ended;
  }

  pause(): void {
    this.#isOut = true;
    this.outages += 1;
    this.#process?.raise('SIGSTOP');
  }

  goOn(): void {
    this.#process?.raise('SIGCONT');
    this.#isOut = false;
  }

  /** A call of its admin socket, and what came; throws where nothing did. */
  admin(method: string, path: string, body?: unknown): Promise<HttpAnswer> {
    const where = { socketPath: join(this.data, 'admin.sock'), method, timeout: ADMIN_MS };
    const text = body === undefined ? undefined : JSON.stringify(body);
    // Node leaves it out for DELETE, and then nobody reads the body.
    const length =
      text === undefined ? undefined : { 'content-length': `${Buffer.byteLength(text)}` };
    return send(where, `/v1/admin${path}`, text, length);
  }
}

export class World {
  readonly cluster: EtcdCluster;
  readonly instances: readonly Instance[];
  readonly storeArgs: readonly string[];
  /** Since when all members were up, by `performance.now`; undefined while one is not. */
  membersUpMs: number | undefined = performance.now();
  readonly #folder: string;

  private constructor(folder: string, cluster: EtcdCluster, options: WorldOptions) {
    this.#folder = folder;
    this.cluster = cluster;
    this.storeArgs = ['--store-key', join(folder, 'store.key')];
    const argv = [
      ...['--store', cluster.address, ...this.storeArgs],
      ...['--auth-service-ticket-ttl', `${options.ticketTtl}`],
      ...['--auth-mon-ticket-ttl', `${options.loginTtl}`],
    ];
    const deny = ['--on-stale', 'deny', '--stale-after', `${options.staleAfter}`];
    this.instances = [deny, deny, []].map((stale, i) => {
      const log = ['--decision-log', join(folder, `decisions-${i}.log`)];
      return new Instance(join(folder, `d${i}`), [...argv, ...stale, ...log]);
    });
  }

  static async start(options: WorldOptions): Promise<World> {
    const folder = mkdtempSync(join(tmpdir(), 'cephgate-chaos-'));
    const cluster = await EtcdCluster.start({ members: 3 });
    const world = new World(folder, cluster, options);
    try {
      const made = await run(['store', 'key', join(folder, 'store.key')]);
      if (made.code !== 0) throw new Error(made.err);
      await Promise.all(world.instances.map((each) => each.start()));
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  /** Those that can answer. */
  get running(): Instance[] {
    return this.instances.filter(({ isOut }) => !isOut);
  }

  /** What an instance says that its database is: entities, revocations, secrets and their times. */
  async digestAt(instance: Instance): Promise<string> {
    const asked = [
      await instance.admin('POST', '/command', { prefix: 'auth export' }),
      await instance.admin('GET', '/revocations'),
      await instance.admin('GET', '/secrets'),
    ];
    const [entities, revocations, secrets] = asked.map(({ status, body }) => {
      if (status !== 200) throw new Error(`status ${status}: ${JSON.stringify(body)}`);
      return body;
    });
    const parts = [entities.output, revocations.revocations, secrets.secrets];
    const bytes = new TextEncoder().encode(JSON.stringify(parts));
    return Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
  }

  /** The digest of the whole store, as one member has it. */
  async digestOf(url: string): Promise<string> {
    const { code, out, err } = await run(['store', 'digest', `etcd:${url}`, ...this.storeArgs]);
    return code === 0 ? out.trim() : err;
  }

  async stop(): Promise<void> {
    await Promise.all(this.instances.map((each) => each.kill()));
    await this.cluster.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const START_MS = 60_000;
const ADMIN_MS = 8_000;
