/**
 * Who carries out the commands of `cephgate auth`: this process on a store that it opens, doing the
 * monitor's part of the login itself, or a sidecar behind its admin socket.
 */

import { Buffer } from 'node:buffer';
import { getRandomValues } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { callerOf } from '../auth/callers.ts';
import {
  type Caller,
  type CommandDeps,
  type CommandReply,
  type CommandRequest,
  runCommand,
} from '../auth/commands.ts';
import { readAddress } from '../caps/network.ts';
import type { CryptoKey } from '../cephx/cryptokey.ts';
import { type EntityName, parseEntityName } from '../cephx/protocol.ts';
import { Engine } from '../engine/engine.ts';
import { FileError, RequestError } from '../errors.ts';
import { readPrivateFile } from '../http/files.ts';
import { CephExit } from '../keyring/cephargs.ts';
import type { ClientOptions, Surroundings } from '../keyring/cephconf.ts';
import { KeyRing, type KeyRingEntity } from '../keyring/keyring.ts';
import { findClientKey, KeyringSearchError } from '../keyring/keyringsearch.ts';
import type { Store } from '../store/store.ts';
import { CannotConnect, openClusterBackend } from './authcluster.ts';
import { openRemote } from './authremote.ts';
import { MON_KEYRING } from './bootstrap.ts';
import type { CommandDescriptor } from './cephcommands.ts';
import type { CephLine } from './cephline.ts';
import type { Io } from './io.ts';
import type { LikeCeph } from './likeceph.ts';
import type { Tell } from './progress.ts';
import { post } from './request.ts';
import { CLIENT_OPTIONS, SERVE_OPTIONS, settingsOf } from './settings.ts';
import { ETCD_OPTIONS, openStoreAt } from './storeplace.ts';

export interface Backend {
  /** The commands that it has; default: those of the release that is imitated. */
  readonly commands?: readonly CommandDescriptor[];
  /** @param tell how far a command is, where this process carries it out */
  run(request: CommandRequest, tell?: Tell): Promise<CommandReply>;
  close(): Promise<void>;
}

/**
 * The cluster of `--cluster` or `-m`, or the store of `--store`, else the admin socket if it is
 * there, else the store of the settings. Throws CephExit where `ceph` cannot connect, StoreError,
 * ConfigError; using it RequestError, MonError.
 */
export async function openBackend(line: CephLine, like: LikeCeph, io: Io): Promise<Backend> {
  const flags = { help: false, words: [], values: line.storeFlags };
  const settings = settingsOf(PLACE_OPTIONS, flags, io.env);
  const isOurs = line.store !== undefined || line.admin !== undefined;
  // Who names a cluster or its monitors means them.
  if (!isOurs && (line.cluster !== undefined || line.monHost !== undefined)) {
    const monHost = line.monHost ?? settings.text('mon-host');
    return await realBackend(monHost, line, like, io);
  }
  const cwd = io.cwd ?? process.cwd();
  const data = settings.text('data') ?? 'data';
  const listens = settings.list('admin-listen')?.filter((each) => each.startsWith('unix:'));
  const admin = line.admin ?? listens?.[0] ?? join(data, ADMIN);
  if (line.store === undefined && /^https?:\/\//.test(admin)) {
    const ticketUrl = settings.text('url') ?? DEFAULT_URL;
    return await remoteBackend(admin, ticketUrl, line, like, io);
  }
  const socketPath = resolve(cwd, admin.replace(/^unix:/, ''));
  // A store that a sidecar serves is locked: then its socket is the way.
  const viaSocket = line.store === undefined && existsSync(socketPath);
  const address = viaSocket ? undefined : (line.store ?? settings.text('store'));
  if (address === undefined) return adminBackend(socketPath);
  const path = /^sqlite:(.+)$/s.exec(address)?.[1];
  const located = path === undefined ? undefined : resolve(cwd, path);
  const store = await openStoreAt(located === undefined ? address : `sqlite:${located}`, settings);
  // The monitor's own keyring lies beside its database; one that many share is in no folder.
  const folder = located === undefined ? resolve(cwd, data) : dirname(located);
  const monKeyring = readMonKeyring(join(folder, MON_KEYRING), like);
  return storeBackend(store, monKeyring, line, like, io);
}

/** Works on an open store, which is closed at the end. Throws CephExit. */
export async function storeBackend(
  store: Store,
  monKeyring: KeyRingEntity | undefined,
  line: CephLine,
  like: LikeCeph,
  io: Io,
): Promise<Backend> {
  let engine: Promise<Engine> | undefined;
  const deps: CommandDeps = {
    ...like,
    store,
    monKeyring,
    engine: () => (engine ??= Engine.create()),
    clock: () => BigInt(Date.now()) * 1_000_000n,
    random: (n) => getRandomValues(new Uint8Array(n)),
  };
  const close = async (): Promise<void> => {
    monKeyring?.key.wipe();
    await store.close();
  };
  try {
    const caller = await logIn(deps, line, like, io);
    return {
      run: (request, progress) => runCommand({ ...deps, progress }, { ...request, caller }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Ceph: finding the key, then the monitor's answer. Throws CephExit with librados' last line. */
async function logIn(deps: CommandDeps, line: CephLine, like: LikeCeph, io: Io): Promise<Caller> {
  const { name, key } = await identityOf(line, like, io);
  const caller = await callerOf(deps, name, key, readAddress(LOOPBACK));
  key.wipe();
  if (caller === undefined) throw cannotConnect(EACCES, '');
  return caller;
}

/** Over TCP, with the tickets of a sidecar. Throws CephExit; using it RequestError. */
async function remoteBackend(
  adminUrl: string,
  ticketUrl: string,
  line: CephLine,
  like: LikeCeph,
  io: Io,
): Promise<Backend> {
  const { name, key } = await identityOf(line, like, io);
  const session = await openRemote(adminUrl, ticketUrl, name, key).finally(() => key.wipe());
  if (session === undefined) throw cannotConnect(EACCES, '');
  return {
    async run(request) {
      const { client } = session;
      const { status, body } = await client.call('POST', COMMAND_PATH, bodyOf(request));
      return replyIn(status, new TextDecoder().decode(body));
    },
    close: async () => session.close(),
  };
}

/** The monitors of a real cluster. Throws CephExit. */
async function realBackend(
  monHost: string | undefined,
  line: CephLine,
  like: LikeCeph,
  io: Io,
): Promise<Backend> {
  const { options, around } = await clientOf(line, io);
  const all = { ...options, ...(monHost !== undefined && { monHost }) };
  return await openClusterBackend(all, around, like, line.connectTimeout).catch(
    (error: unknown) => {
      if (error instanceof CannotConnect) throw unconnected(error, line);
      throw asKeyringExit(error);
    },
  );
}

/** Throws CephExit. */
async function identityOf(
  line: CephLine,
  like: LikeCeph,
  io: Io,
): Promise<{ readonly name: EntityName; readonly key: CryptoKey }> {
  const { options, around } = await clientOf(line, io);
  return { name: options.name, key: keyOf(options, around, like) };
}

/** Who calls, and where the key is looked for. Throws CephExit. */
async function clientOf(
  line: CephLine,
  io: Io,
): Promise<{ readonly options: ClientOptions; readonly around: Surroundings }> {
  const name = parseEntityName(line.name);
  if (name === undefined) {
    const words = "Error('rados_initialize failed with error code: -22')";
    throw new CephExit(1, `Error initializing cluster client: ${words}\n`);
  }
  const { conf, cluster, keyring, key, keyfile } = line;
  const given = Object.entries({ conf, cluster, keyring, key, keyfile });
  const options = Object.fromEntries(given.filter(([, value]) => value !== undefined));
  const stdin = keyfile === '-' ? { stdin: await io.readInput() } : {};
  const around = { env: io.env, ...(io.cwd !== undefined && { cwd: io.cwd }), ...stdin };
  return { options: { name, ...options }, around };
}

function keyOf(options: ClientOptions, around: Surroundings, { release }: LikeCeph): CryptoKey {
  try {
    return findClientKey(options, around, release).key;
  } catch (error) {
    throw asKeyringExit(error);
  }
}

/** Ceph: a time limit that was given has words of its own. */
function unconnected({ errno, message }: CannotConnect, line: CephLine): CephExit {
  const isLate = errno === ETIMEDOUT && line.connectTimeout !== undefined;
  return isLate ? new CephExit(1, `${message}\ntimed out\n`) : cannotConnect(errno, `${message}\n`);
}

/** What `ceph` says where there is no key to log in with; another error as it is. */
function asKeyringExit(error: unknown): unknown {
  // The library's own lines may quote a key; ours do not.
  if (error instanceof KeyringSearchError) return cannotConnect(error.errno, `${error.message}\n`);
  if (!(error instanceof FileError)) return error;
  const words = "ObjectNotFound('RADOS object not found (error calling conf_read_file)')";
  return new CephExit(1, `Error initializing cluster client: ${words}\n`);
}

function cannotConnect(errno: number, before: string): CephExit {
  const known = RADOS_ERRORS[errno];
  const words = known === undefined ? 'error connecting' : `${known} (error connecting`;
  const end = known === undefined ? '' : ')';
  return new CephExit(
    errno === EACCES ? EACCES : 1,
    `${before}[errno ${errno}] ${words} to the cluster${end}\n`,
  );
}

function readMonKeyring(path: string, { release }: LikeCeph): KeyRingEntity | undefined {
  if (!existsSync(path)) return undefined;
  const bytes = new TextEncoder().encode(readPrivateFile(path));
  try {
    return KeyRing.parse(bytes, release).get(parseEntityName('mon.')!);
  } finally {
    bytes.fill(0);
  }
}

/** The socket's mode says who may: no login. */
function adminBackend(socketPath: string): Backend {
  return {
    async run(request) {
      if (!existsSync(socketPath)) {
        throw new RequestError(
          'request.failed',
          `cannot connect to unix:${socketPath}: no such socket ("cephgate serve" makes it; ` +
            '--store names a store without a sidecar)',
        );
      }
      const body = JSON.stringify(bodyOf(request));
      const headers = { 'content-type': 'application/json' };
      const where = { socketPath, host: 'localhost', path: COMMAND_PATH };
      const place = { ...where, headers, timeout: COMMAND_TIMEOUT_MS };
      const { status, text } = await post(place, body);
      return replyIn(status, text);
    },
    close: async () => {},
  };
}

function bodyOf({ prefix, args, inbuf, force }: CommandRequest): unknown {
  const input = Buffer.from(inbuf ?? []).toString('base64');
  const insists = { yes_i_really_mean_it: true };
  return { ...args, prefix, ...(input !== '' && { input }), ...(force && insists) };
}

function replyIn(status: number, text: string): CommandReply {
  const failed = (why: string): RequestError =>
    new RequestError('request.failed', `cannot run the command: ${status}: ${why}`);
  let answer: Record<string, unknown>;
  try {
    answer = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw failed('the answer is not JSON');
  }
  const { retcode, status: words, output, code, detail } = answer;
  if (status !== 200) throw failed(`${code}: ${detail}`);
  if (typeof retcode !== 'number' || typeof words !== 'string' || typeof output !== 'string') {
    throw failed('the answer is not that of a command');
  }
  return { retcode, status: words, output };
}

const PLACE_OPTIONS = [
  ...ETCD_OPTIONS,
  ...[...SERVE_OPTIONS, ...CLIENT_OPTIONS].filter(({ name }) =>
    ['data', 'store', 'admin-listen', 'url', 'mon-host'].includes(name),
  ),
];
const COMMAND_PATH = '/v1/admin/command';
/** Where tickets are had, unless CEPHGATE_URL says otherwise. */
const DEFAULT_URL = 'http://127.0.0.1:6480';
const ADMIN = 'admin.sock';
/** An import answers when it is carried out, which takes minutes for a million entities. */
const COMMAND_TIMEOUT_MS = 600_000;
const LOOPBACK = '127.0.0.1';
const EACCES = 13;
const ETIMEDOUT = 110;
const RADOS_ERRORS: Readonly<Record<number, string>> = {
  2: 'RADOS object not found',
  5: 'RADOS I/O error',
  13: 'RADOS permission denied',
  22: 'RADOS invalid argument',
  110: 'RADOS timed out',
};
