/**
 * A throwaway Ceph on loopback, made of the installed daemons: monitors, OSDs on memstore, an MDS.
 * All state lies in one folder; every process is ended by its own id.
 */

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { JsonLines } from './jsonlines.ts';

export const CEPH_INSTALL =
  'apt-get install -y --no-install-recommends ceph-mon ceph-osd ceph-mds ceph-common';

/** Whether these programs of Ceph 16 are there. */
export function cephInstalled(...programs: readonly string[]): boolean {
  // A run on another runtime says nothing new about them.
  if (process.env.WITHOUT_SERVICES === '1') return false;
  return programs.every((program) => {
    const found = spawnSync(program, ['--version'], { encoding: 'utf8' });
    return found.status === 0 && /ceph version 16\./.test(found.stdout);
  });
}

/** Tests that need Ceph are skipped without it, unless REQUIRE_SERVICES=1 makes that a failure. */
export function cephMissing(...programs: readonly string[]): boolean {
  return process.env.REQUIRE_SERVICES !== '1' && !cephInstalled(...programs);
}

export interface ClusterOptions {
  readonly mons?: number;
  readonly osds?: number;
  readonly mds?: boolean;
  /** Further lines of the [global] section. */
  readonly conf?: readonly string[];
}

/** What a monitor says to a command. */
export interface Answer {
  readonly rc: number;
  readonly out: string;
  readonly err: string;
}

export class Cluster {
  readonly dir: string;
  readonly monPorts: readonly { readonly v2: number; readonly v1: number }[];
  readonly #daemons = new Map<string, ChildProcess>();
  #admin: JsonLines | undefined;

  private constructor(dir: string, monPorts: readonly { v2: number; v1: number }[]) {
    this.dir = dir;
    this.monPorts = monPorts;
  }

  /** Starts the daemons and waits until all of them are in service. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const { mons = 1, mds = false } = options;
    const osds = options.osds ?? (mds ? 1 : 0);
    // Paths of unix sockets have at most 107 bytes.
    const dir = mkdtempSync(join(tmpdir(), 'cg-'));
    const ports = await freePorts(mons * 2);
    const monPorts = Array.from({ length: mons }, (_, i) => ({
      v2: ports[i * 2] as number,
      v1: ports[i * 2 + 1] as number,
    }));
    const cluster = new Cluster(dir, monPorts);
    try {
      cluster.#write(options, osds, mds);
      await cluster.#startMons();
      for (let id = 0; id < osds; id++) await cluster.#startOsd(id);
      if (osds > 0) await cluster.#until('osd stat', (out) => out.num_up_osds === osds);
      if (mds) await cluster.#startMds();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get conf(): string {
    return join(this.dir, 'ceph.conf');
  }

  /** Keys of client.admin, of the monitors and of every daemon. */
  get keyring(): string {
    return join(this.dir, 'keyring');
  }

  /** A running daemon, "mon.a" or "osd.0". */
  daemon(name: string): ChildProcess {
    const found = this.#daemons.get(name);
    if (found === undefined) throw new RangeError(`no daemon "${name}"`);
    return found;
  }

  /** One command as client.admin. */
  async command(fields: Readonly<Record<string, unknown>>): Promise<Answer> {
    this.#admin ??= new JsonLines(PYTHON, ['-c', COMMANDS, this.conf]);
    return (await this.#admin.ask(fields)) as Answer;
  }

  /** A process that answers operations of users, one JSON line each; see `OPERATIONS`. */
  operations(script: string): JsonLines {
    return new JsonLines(PYTHON, ['-c', script, this.conf, this.keyring]);
  }

  async stop(): Promise<void> {
    await this.#admin?.end();
    await Promise.all([...this.#daemons.values()].map(end));
    rmSync(this.dir, { recursive: true, force: true });
  }

  #write(options: ClusterOptions, osds: number, mds: boolean): void {
    for (const name of ['mon', 'osd', 'mds', 'log']) mkdirSync(join(this.dir, name));
    const hosts = this.monPorts.map(({ v2, v1 }) => `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`);
    const fsid = randomUUID();
    const text = [
      '[global]',
      `fsid = ${fsid}`,
      `mon_host = ${hosts.join(',')}`,
      `keyring = ${this.keyring}`,
      ...SETTINGS.map((line) => line.replaceAll('DIR', this.dir)),
      ...(options.conf ?? []),
      '',
    ];
    writeFileSync(this.conf, text.join('\n'));
    this.#addKey('mon.', 'mon', 'allow *');
    this.#addKey('client.admin', ...all('allow *', 'mon', 'osd', 'mds', 'mgr'));
    for (let id = 0; id < osds; id++) {
      this.#addKey(`osd.${id}`, 'mon', 'allow profile osd', 'osd', 'allow *');
    }
    if (mds) this.#addKey('mds.a', 'mon', 'allow profile mds', ...all('allow *', 'osd', 'mds'));
    const addresses = this.monPorts.flatMap(({ v2, v1 }, i) => [
      ...['--addv', monName(i), `[v2:127.0.0.1:${v2}/0,v1:127.0.0.1:${v1}/0]`],
    ]);
    const made = ['--create', '--fsid', fsid, '--enable-all-features'];
    const release = ['--set-min-mon-release', 'pacific'];
    this.#run('monmaptool', ...made, ...release, ...addresses, join(this.dir, 'monmap'));
  }

  #addKey(name: string, ...caps: readonly string[]): void {
    const words = caps.flatMap((word, i) => (i % 2 === 0 ? ['--cap', word] : [word]));
    const create = name === 'mon.' ? ['--create-keyring'] : [];
    this.#run('ceph-authtool', ...create, this.keyring, '-n', name, '--gen-key', ...words);
  }

  async #startMons(): Promise<void> {
    for (const [i] of this.monPorts.entries()) {
      const id = monName(i);
      const map = ['--monmap', join(this.dir, 'monmap'), '--keyring', this.keyring];
      this.#run('ceph-mon', '--mkfs', '-i', id, '-c', this.conf, ...map);
      this.#spawn(`mon.${id}`, 'ceph-mon', '-f', '-i', id, '-c', this.conf);
    }
    // The first command is answered once there is a quorum.
    await this.#until('mon stat', () => true);
  }

  async #startOsd(id: number): Promise<void> {
    const uuid = randomUUID();
    const made = await this.command({ prefix: 'osd create', uuid });
    if (made.rc !== 0) throw new Error(`osd create: ${made.err}`);
    mkdirSync(join(this.dir, 'osd', String(id)));
    this.#run('ceph-osd', '--mkfs', '-i', String(id), '-c', this.conf, '--osd-uuid', uuid);
    this.#spawn(`osd.${id}`, 'ceph-osd', '-f', '-i', String(id), '-c', this.conf);
  }

  async #startMds(): Promise<void> {
    mkdirSync(join(this.dir, 'mds', 'a'));
    for (const pool of ['meta', 'data']) {
      await this.command({ prefix: 'osd pool create', pool, pg_num: 8 });
    }
    const made = { prefix: 'fs new', fs_name: 'labfs', metadata: 'meta', data: 'data' };
    const { rc, err } = await this.command(made);
    if (rc !== 0) throw new Error(`fs new: ${err}`);
    this.#spawn('mds.a', 'ceph-mds', '-f', '-i', 'a', '-c', this.conf);
    await this.#until('mds stat', (out) => JSON.stringify(out).includes('up:active'));
  }

  async #until(prefix: string, ready: (out: Record<string, unknown>) => boolean): Promise<void> {
    const end = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < end) {
      const { rc, out } = await this.command({ prefix, format: 'json' });
      if (rc === 0 && ready(JSON.parse(out || '{}') as Record<string, unknown>)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`"${prefix}" did not come right within ${START_TIMEOUT_MS} ms`);
  }

  #run(program: string, ...args: readonly string[]): void {
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  #spawn(name: string, program: string, ...args: readonly string[]): void {
    const log = openSync(join(this.dir, 'log', `${name}.out`), 'w');
    const child = spawn(program, args, { stdio: ['ignore', log, log] });
    this.#daemons.set(name, child);
  }

  /** The last lines that a daemon wrote before it logged to its file. */
  lastWords(name: string): string {
    return readFileSync(join(this.dir, 'log', `${name}.out`), 'utf8').slice(-2000);
  }
}

/** The distribution's python: its rados module is built for it. */
const PYTHON = '/usr/bin/python3';
const START_TIMEOUT_MS = 60_000;

const SETTINGS: readonly string[] = [
  ...all('cephx', 'auth_cluster_required =', 'auth_service_required =', 'auth_client_required ='),
  'auth_allow_insecure_global_id_reclaim = false',
  'admin_socket = DIR/$name.asok',
  'run_dir = DIR',
  'pid_file =',
  'log_file = DIR/log/$name.log',
  'log_to_stderr = false',
  'mon_cluster_log_file = DIR/log/cluster.log',
  'public_network = 127.0.0.0/8',
  'ms_bind_ipv6 = false',
  ...['size', 'min_size'].map((each) => `osd_pool_default_${each} = 1`),
  ...['pg_num', 'pgp_num'].map((each) => `osd_pool_default_${each} = 8`),
  'osd_pool_default_pg_autoscale_mode = off',
  'osd_crush_chooseleaf_type = 0',
  'mon_allow_pool_size_one = true',
  'mon_data_avail_crit = 0',
  'mon_data = DIR/mon/$id',
  'osd_data = DIR/osd/$id',
  'mds_data = DIR/mds/$id',
  'osd_objectstore = memstore',
  'memstore_device_bytes = 268435456',
  'osd_max_object_name_len = 256',
  'osd_max_object_namespace_len = 64',
  'mds_beacon_interval = 0.5',
  'mds_tick_interval = 0.25',
  // Without these a changing command waits for a second, and an election for five.
  'paxos_propose_interval = 0.05',
  'paxos_min_wait = 0.02',
  'mon_election_timeout = 1',
  'mon_lease = 3',
];

/** Commands of client.admin, JSON lines in and out. */
const COMMANDS = `
import json, rados, sys
cluster = rados.Rados(conffile=sys.argv[1], name="client.admin")
cluster.connect(timeout=60)
for line in sys.stdin:
    rc, out, err = cluster.mon_command(line.strip(), b"", timeout=60)
    print(json.dumps({"rc": rc, "out": out.decode("utf-8", "replace"), "err": err}), flush=True)
cluster.shutdown()
`;

function monName(i: number): string {
  return 'abcdefghi'[i] as string;
}

function all(value: string, ...names: readonly string[]): string[] {
  return names.flatMap((name) => (name.endsWith('=') ? [`${name} ${value}`] : [name, value]));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 2000);
  await ended;
  clearTimeout(late);
}

/** Ports that are free now, each held until all are found. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports.push((server.address() as { port: number }).port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
