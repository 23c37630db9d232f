/**
 * Real etcd members on loopback, for tests: free ports, a temporary folder, killed by their ids.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

export const ETCD_NAME = 'etcd (apt-get install -y --no-install-recommends etcd-server)';
/** A run on another runtime says nothing new about services. */
const wanted = process.env.WITHOUT_SERVICES !== '1';
const installed = wanted && spawnSync('etcd', ['--version'], { encoding: 'utf8' }).status === 0;
/** Tests without etcd are skipped, unless REQUIRE_SERVICES=1 makes that a failure. */
export const etcdMissing: boolean = !installed && process.env.REQUIRE_SERVICES !== '1';

/** One member alone chooses itself, and the shortest lease hangs on how soon: a second then. */
export const QUICK: readonly string[] = [
  ...['--heartbeat-interval', '20'],
  ...['--election-timeout', '400'],
];

export interface Member {
  readonly url: string;
  kill(signal?: NodeJS.Signals): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  start(): Promise<void>;
  readonly running: boolean;
}

export interface ClusterOptions {
  readonly members?: 1 | 3;
  /** Paths in PEM of the members' certificate and key. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly flags?: readonly string[];
}

export class EtcdCluster {
  readonly members: readonly EtcdMember[];
  readonly #folder: string;

  private constructor(folder: string, members: readonly EtcdMember[]) {
    this.#folder = folder;
    this.members = members;
  }

  static async start(options: ClusterOptions = {}): Promise<EtcdCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'cephgate-etcd-'));
    const count = options.members ?? 1;
    const ports = await freePorts(count * 2);
    const scheme = options.tls === undefined ? 'http' : 'https';
    const peers = Array.from({ length: count }, (_, i) => `m${i}=http://127.0.0.1:${ports[i * 2]}`);
    const members = peers.map((_, i) => {
      const url = `${scheme}://127.0.0.1:${ports[i * 2 + 1]}`;
      const peer = `http://127.0.0.1:${ports[i * 2]}`;
      const tls = options.tls && ['--cert-file', options.tls.cert, '--key-file', options.tls.key];
      const data = join(folder, `m${i}`);
      const flags = [
        ...['--name', `m${i}`, '--data-dir', data],
        ...['--listen-client-urls', url, '--advertise-client-urls', url],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster', peers.join(','), '--logger', 'zap', '--log-level', 'error'],
        ...(tls ?? []),
        ...(options.flags ?? []),
      ];
      return new EtcdMember({ url, peer, data, flags });
    });
    const cluster = new EtcdCluster(folder, members);
    await Promise.all(members.map((member) => member.start()));
    // With TLS nobody here knows the CA: whoever opens the store waits for the leader.
    if (!options.tls) await until(async () => (await cluster.leader()) !== undefined);
    return cluster;
  }

  /** As `--store` takes it. */
  get address(): string {
    return `etcd:${this.members.map((member) => member.url).join(',')}`;
  }

  /** The member that leads now. */
  async leader(): Promise<EtcdMember | undefined> {
    for (const member of this.members.filter((each) => each.running)) {
      const status = await member.status();
      if (status === undefined || status.leader === undefined) continue;
      for (const each of this.members) {
        if ((await each.status())?.member === status.leader) return each;
      }
    }
    return undefined;
  }

  async compact(revision: bigint): Promise<void> {
    const member = this.members.find((each) => each.running)!;
    await call(member.url, '/v3/kv/compaction', { revision: String(revision), physical: true });
  }

  /** The newest revision. */
  async revision(): Promise<bigint> {
    const member = this.members.find((each) => each.running)!;
    const { header } = await call(member.url, '/v3/kv/range', { key: 'AA==' });
    return BigInt(header.revision);
  }

  /** A member whose disk is gone: taken out, emptied, added again. */
  async replace(index: number): Promise<void> {
    const lost = this.members[index]!;
    await lost.kill();
    const [other] = this.members.filter((each) => each !== lost);
    const ask = async (path: string, body: unknown) => {
      let answer: Awaited<ReturnType<typeof call>>;
      // The others may have to choose a leader first.
      await until(async () => {
        answer = await call(other!.url, path, body).catch(() => undefined);
        return answer?.header !== undefined;
      });
      return answer;
    };
    const { members } = await ask('/v3/cluster/member/list', {});
    const known = members.find(({ peerURLs }: { peerURLs: string[] }) => peerURLs[0] === lost.peer);
    await ask('/v3/cluster/member/remove', { ID: known.ID });
    await ask('/v3/cluster/member/add', { peerURLs: [lost.peer] });
    lost.wipe();
    await lost.start();
    await until(async () => (await lost.status())?.leader !== undefined);
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export class EtcdMember {
  readonly url: string;
  readonly peer: string;
  readonly #data: string;
  #flags: readonly string[];
  #child: ChildProcess | undefined;

  constructor(options: { url: string; peer: string; data: string; flags: readonly string[] }) {
    this.url = options.url;
    this.peer = options.peer;
    this.#data = options.data;
    this.#flags = options.flags;
  }

  /** Forgets all it had: it joins a cluster that is there already. */
  wipe(): void {
    rmSync(this.#data, { recursive: true, force: true });
    this.#flags = [...this.#flags, '--initial-cluster-state', 'existing'];
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  async start(): Promise<void> {
    const child = spawn('etcd', this.#flags, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    await until(() => answers(this.url));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGCONT');
    child.kill(signal);
    await gone;
  }

  async status(): Promise<{ member: string; leader: string | undefined } | undefined> {
    try {
      const answer = await call(this.url, '/v3/maintenance/status', {});
      const leader = answer.leader === '0' ? undefined : answer.leader;
      return { member: answer.header.member_id, leader };
    } catch {
      return undefined;
    }
  }
}

/** One call of the gateway, as a test's own. */
// biome-ignore lint/suspicious/noExplicitAny: whatever etcd answers
export async function call(url: string, path: string, body: unknown, headers = {}): Promise<any> {
  const signal = AbortSignal.timeout(2_000);
  const options = { method: 'POST', body: JSON.stringify(body), headers, signal };
  const answer = await fetch(url + path, options);
  return await answer.json();
}

export async function until(holds: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not so after ${timeoutMs} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Whether it takes connections; with TLS that is all that can be asked without its CA. */
async function answers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const { connect } = await import('node:net');
  return await new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

export async function freePorts(n: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: n },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
