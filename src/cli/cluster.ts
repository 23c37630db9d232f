/** A real cluster as commands name it: monitors, entities and their keys. */

import type { CryptoKey } from '../cephx/cryptokey.ts';
import { type EntityName, formatEntityName, parseEntityName } from '../cephx/protocol.ts';
import type { Engine } from '../engine/engine.ts';
import { ConfigError, FileError, MonError } from '../errors.ts';
import { ClusterRing } from '../http/clusterring.ts';
import type { LogRecord } from '../http/deps.ts';
import type { ClientOptions, Surroundings } from '../keyring/cephconf.ts';
import { findClientKey } from '../keyring/keyringsearch.ts';
import type { Release } from '../keyring/keytext.ts';
import { type HuntTiming, MonClient } from '../mon/monclient.ts';
import { RotatingSource, rotatingService } from '../mon/rotating.ts';
import { engineSealer } from '../sealer.ts';
import { monHostsOf } from './clusterhosts.ts';
import type { Io } from './io.ts';
import type { Option, Settings } from './options.ts';

/** Where the cluster is, and who we are there. */
export const CLUSTER_OPTIONS: readonly Option[] = [
  {
    name: 'mon-host',
    value: 'LIST',
    key: 'mon_host',
    help: 'monitors of a Ceph cluster, as "mon host" in ceph.conf, where it is looked up otherwise',
  },
  {
    name: 'name',
    value: 'NAME',
    key: 'name',
    repeatable: true,
    help: 'a daemon of the cluster whose key is used: osd.0, mds.a, mgr.x; one for each service',
  },
  {
    name: 'keyring',
    value: 'FILE',
    key: 'keyring',
    help: 'where its key is; default as Ceph finds it',
  },
];

/** A view of its users: off unless an entity is named for it. */
export const USERS_OPTIONS: readonly Option[] = [
  {
    name: 'users-name',
    value: 'NAME',
    key: 'users_name',
    help: 'a client of the cluster (mon caps: allow command "auth ls") to see its users with',
  },
  {
    name: 'users-keyring',
    value: 'FILE',
    key: 'users_keyring',
    help: 'where the key of --users-name is; default as Ceph finds it',
  },
  {
    name: 'users-refresh',
    value: 'SECONDS',
    key: 'users_refresh',
    help: 'how often the users are looked at',
    default: '60',
  },
];

export const GRACE_OPTION: Option = {
  name: 'secret-grace',
  value: 'SECONDS',
  key: 'secret_grace',
  help: 'how long after its expiration a secret of a cluster that is away is kept',
  default: '86400',
};

export interface ClusterConfig {
  readonly names: readonly EntityName[];
  readonly monHost: string | undefined;
  readonly keyring: string | undefined;
  readonly users?: UsersConfig | undefined;
}

export interface UsersConfig {
  readonly name: EntityName;
  readonly keyring: string | undefined;
  readonly refreshMs: number;
}

/** What CLUSTER_OPTIONS say; undefined if they say nothing. Throws ConfigError. */
export function clusterConfig(settings: Settings): ClusterConfig | undefined {
  const monHost = settings.text('mon-host');
  const texts = settings.list('name') ?? [];
  if (texts.length === 0) {
    if (settings.origin('users-name') !== undefined) throw settings.wrong('users-name', '--name');
    if (monHost === undefined) return undefined;
    throw new ConfigError('config.value', '"--mon-host" needs "--name": an entity to log in as');
  }
  const names = texts.map((text) => {
    const name = parseEntityName(text);
    if (name === undefined) throw settings.wrong('name', 'TYPE.ID, as osd.0');
    return name;
  });
  return { names, monHost, keyring: settings.text('keyring'), users: usersConfig(settings) };
}

function usersConfig(settings: Settings): UsersConfig | undefined {
  const text = settings.text('users-name');
  if (text === undefined) return undefined;
  const name = parseEntityName(text);
  if (name === undefined) throw settings.wrong('users-name', 'TYPE.ID, as client.cephgate');
  const refreshNs = settings.seconds('users-refresh') ?? USERS_REFRESH_NS;
  if (refreshNs === 0n) throw settings.wrong('users-refresh', 'one second or more');
  return {
    name,
    keyring: settings.text('users-keyring'),
    refreshMs: Number(refreshNs / 1_000_000n),
  };
}

export interface ClusterContext {
  readonly engine: Engine;
  readonly io: Io;
  /** Takes a connection without encryption; nothing secret goes over it. */
  readonly allowCrc?: boolean;
  /** A cluster that does not answer is an error as well. */
  readonly mustAnswer?: boolean;
  readonly log?: (record: LogRecord) => void;
  /** Whose forms of keys are read; default 20. */
  readonly release?: Release;
  readonly timing?: Partial<HuntTiming>;
}

/** A client that has begun to look for a monitor. Throws MonError, FileError. */
export async function connectAs(
  name: EntityName,
  { monHost, keyring }: Omit<ClusterConfig, 'names'>,
  context: ClusterContext,
): Promise<MonClient> {
  const { env, cwd } = context.io;
  const options = { name, ...(keyring && { keyring }), ...(monHost && { monHost }) };
  return startClient(options, { env, ...(cwd && { cwd }) }, context);
}

/** The same, with all that a command line of Ceph may say. */
export async function startClient(
  options: ClientOptions,
  around: Surroundings,
  { engine, allowCrc = false, log, release = 20, timing }: Omit<ClusterContext, 'io'>,
): Promise<MonClient> {
  const { name } = options;
  const { conf, key } = findClientKey(options, around, release);
  const findKey = (): CryptoKey | undefined => {
    try {
      return findClientKey(options, around, release).key;
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      return undefined;
    }
  };
  const level = (event: string): string => (event.endsWith('_failed') ? 'warn' : 'info');
  const client = new MonClient({
    ...{ sealer: engineSealer(engine), random, clock, name, key, findKey, allowCrc },
    hosts: await monHostsOf(conf),
    fsid: conf.get('fsid'),
    ...(timing && { timing }),
    ...(log && {
      log: (record) => log({ level: level(String(record.event)), ...record } as LogRecord),
    }),
  });
  client.start();
  return client;
}

export interface OpenCluster {
  readonly ring: ClusterRing;
  close(): Promise<void>;
}

/**
 * The ring of a cluster's secrets, with its upkeep. A cluster that refuses us is MonError; one that
 * does not answer is asked again and again, and the ring is empty until then.
 */
export async function openClusterRing(
  config: ClusterConfig,
  graceNs: bigint,
  context: ClusterContext,
): Promise<OpenCluster> {
  const ring = new ClusterRing(context.engine, graceNs);
  const clients: MonClient[] = [];
  const sources: RotatingSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.stop()));
    await Promise.all(sources.map((source) => source.stop()));
  };
  try {
    for (const name of config.names) {
      const service = rotatingService(name);
      if (service === undefined) {
        const words = `${formatEntityName(name)} has no rotating secrets: it is no osd, mds or mgr`;
        throw new ConfigError('config.value', words);
      }
      const client = await connectAs(name, config, context);
      clients.push(client);
      const { log } = context;
      const source = new RotatingSource({
        ...{ client, ring, service, clock },
        ...(log && { log: (record) => log({ level: 'info', ...record } as LogRecord) }),
      });
      ring.fetchWith(service, () => source.refresh(CATCH_UP_MS));
      sources.push(source);
    }
    const { mustAnswer = false } = context;
    const starts = sources.map((source) => source.start());
    await Promise.all(mustAnswer ? starts : starts.map((start) => start.catch(unlessAway)));
  } catch (error) {
    await close();
    throw error;
  }
  return { ring, close };
}

/** What more time cannot mend is thrown. */
export function unlessAway(error: unknown): void {
  if (error instanceof MonError && AWAY.includes(error.code)) return;
  throw error;
}

function clock(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function random(n: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(n));
}

/** How long a caller is kept waiting for a secret that may be on its way. */
const CATCH_UP_MS = 1_000;
const USERS_REFRESH_NS = 60_000_000_000n;
const AWAY: readonly string[] = ['mon.closed', 'mon.timeout', 'mon.unreachable'];
