/**
 * Opens the listeners of the sidecar. The app is the same behind each; a listener hands it its own
 * description with every request. Where others than this machine can call, it wants TLS and proof.
 */

import cluster from 'node:cluster';
import * as fs from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import process from 'node:process';
import { ListenError } from '../errors.ts';
import type { Listener, TokenEntry } from './callers.ts';
import type { Direct } from './direct.ts';
import { codeOf } from './files.ts';
import {
  type Connection,
  type Handler,
  type Opened,
  openServer,
  type ShortWay,
} from './servers.ts';
import type { TlsSource } from './tls.ts';

/** Where to listen. */
export type ListenAddress =
  | {
      readonly kind: 'unix';
      readonly path: string;
      /** The group may not connect. */
      readonly onlyOwner?: boolean;
    }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** What answers: `app.fetch` of createApp. */
export type Fetch = (
  request: Request,
  bindings: { listener: Listener; incoming?: IncomingMessage | undefined },
) => Response | Promise<Response>;

export interface ListenOptions {
  /** Bearer tokens of the TCP listeners; without, their callers may only verify. */
  readonly tokens?: readonly TokenEntry[] | undefined;
  /** Further names that `Host` may have. */
  readonly allowHosts: readonly string[];
  /** TCP listeners speak TLS; with a CA for clients, what these prove counts, and no token. */
  readonly tls?: TlsSource | undefined;
  /** The short way to the same app (makeDirect), taken on Node. */
  readonly direct?: Direct | undefined;
  /** Addresses that are not loopback are served even without TLS or without proof. */
  readonly insecure?: boolean;
}

/** A listener that is open. */
export interface OpenListener {
  /** `http://127.0.0.1:6480` or `unix:PATH`, with the port that was found. */
  readonly name: string;
  /**
   * Takes no new connections, lets running requests end, and after the time cuts them off, which
   * Deno cannot: there they are left to the end of the process.
   */
  close(timeoutMs: number): Promise<void>;
}

/** Reads `unix:PATH` or `tcp:HOST:PORT`; undefined for anything else. */
export function parseListen(text: string): ListenAddress | undefined {
  if (text.startsWith('unix:') && text.length > 5) return { kind: 'unix', path: text.slice(5) };
  const tcp = /^tcp:(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})$/.exec(text);
  const port = Number(tcp?.[3]);
  if (tcp === null || port > 65_535) return undefined;
  return { kind: 'tcp', host: (tcp[1] ?? tcp[2]!).toLowerCase(), port };
}

/** Opens all, or none: what was open is closed again. Throws ListenError. */
export async function listen(
  fetch: Fetch,
  addresses: readonly ListenAddress[],
  options: ListenOptions,
): Promise<OpenListener[]> {
  const open: OpenListener[] = [];
  try {
    for (const address of addresses) {
      open.push(
        await (address.kind === 'unix'
          ? openUnix(fetch, address, options)
          : openTcp(fetch, address, options)),
      );
    }
  } catch (error) {
    await Promise.all(open.map((each) => each.close(0)));
    throw error;
  }
  return open;
}

async function openTcp(
  fetch: Fetch,
  address: ListenAddress & { kind: 'tcp' },
  options: ListenOptions,
): Promise<OpenListener> {
  const { host, port } = address;
  const { tls, tokens, direct } = options;
  const shown = host.includes(':') ? `[${host}]` : host;
  if (!/^(?:localhost|127(?:\.[0-9]{1,3}){3}|::1)$/.test(host) && options.insecure !== true) {
    const proved = tokens !== undefined || tls?.asksForCertificates === true;
    const lack = tls === undefined ? 'TLS' : proved ? undefined : 'token file or client CA';
    if (lack !== undefined) {
      throw new ListenError(
        'listen.address',
        `cannot listen on tcp:${shown}:${port}: without ${lack} only loopback addresses are served`,
      );
    }
  }
  // Filled when the port is known; no request comes before.
  const hosts = new Set<string>();
  const listenerOf = ({ remote, certificate }: Connection): Listener =>
    tls?.asksForCertificates === true
      ? { kind: 'tcp', hosts, remote, holder: () => certificate && tls.entryOf(certificate) }
      : { kind: 'tcp', hosts, remote, tokens };
  const listeners = new WeakMap<Connection, Listener>();
  const listenerAt = (connection: Connection): Listener => {
    let listener = listeners.get(connection);
    if (listener === undefined) {
      listener = listenerOf(connection);
      listeners.set(connection, listener);
    }
    return listener;
  };
  const opened = await openServer(
    (request, connection, incoming) =>
      fetch(request, { listener: listenerAt(connection), incoming }),
    { host, port },
    tls,
    direct && shortWay(direct, listenerAt),
  ).catch((error: unknown) => {
    throw listenError(error, `tcp:${shown}:${port}`);
  });
  for (const name of [shown, 'localhost', ...options.allowHosts]) {
    const lower = name.toLowerCase();
    const bare = /^(?:\[[^\]]*\]|[^:]*)$/.test(lower);
    hosts.add(bare ? `${lower}:${opened.port}` : lower);
    // A browser and curl leave out the port that the scheme has by default.
    if (bare && opened.port === (tls === undefined ? 80 : 443)) hosts.add(lower);
  }
  const scheme = tls === undefined ? 'http' : 'https';
  return { name: `${scheme}://${shown}:${opened.port}`, close: opened.close };
}

async function openUnix(
  fetch: Fetch,
  { path, onlyOwner = false }: ListenAddress & { kind: 'unix' },
  { direct }: ListenOptions,
): Promise<OpenListener> {
  const listener: Listener = { kind: 'unix' };
  const handler: Handler = (request, _, incoming) => fetch(request, { listener, incoming });
  const short = direct && shortWay(direct, () => listener);
  const open = (): Promise<Opened> => openServer(handler, { path }, undefined, short);
  const opened = await bindUnix(path, open, onlyOwner);
  return { name: `unix:${path}`, close: opened.close };
}

function shortWay(direct: Direct, listenerAt: (connection: Connection) => Listener): ShortWay {
  return {
    waits: (path, length) => direct.waits(path, length),
    request: (incoming, outgoing, at) => direct.request(incoming, outgoing, listenerAt(at)),
    plain: (request, outgoing, at) => direct.plain(request, outgoing, listenerAt(at)),
  };
}

/**
 * Opens a unix socket by `bind`, which must bind before it returns: in place of one that a crash
 * has left, and never open to more than its owner and group. Throws ListenError.
 */
export async function bindUnix<T>(
  path: string,
  bind: () => Promise<T>,
  onlyOwner = false,
): Promise<T> {
  if (new TextEncoder().encode(path).length > UNIX_PATH_LEN_MAX) {
    throw new ListenError(
      'listen.address',
      `cannot listen on unix:${path}: the path is longer than ${UNIX_PATH_LEN_MAX} bytes`,
    );
  }
  // For a worker its parent binds, which has seen to both.
  if (cluster.isWorker) return bind();
  await removeStaleSocket(path);
  // Not even for a moment: no chmod afterwards.
  const umask = process.umask(onlyOwner ? 0o177 : 0o117);
  let opening: Promise<T>;
  try {
    opening = bind();
  } catch (error) {
    throw listenError(error, `unix:${path}`);
  } finally {
    process.umask(umask);
  }
  return opening.catch((error: unknown) => {
    throw listenError(error, `unix:${path}`);
  });
}

/** A socket that nobody answers on is left from a crash; anything else there is not ours. */
export async function removeStaleSocket(path: string): Promise<void> {
  let stat: fs.Stats;
  try {
    stat = fs.lstatSync(path);
  } catch {
    return;
  }
  if (!stat.isSocket()) {
    throw new ListenError('listen.failed', `cannot listen on unix:${path}: it is not a socket`);
  }
  const outcome = await new Promise<string>((resolve) => {
    const socket = connect({ path }, () => resolve('alive'));
    socket.on('error', (error) => resolve(codeOf(error)));
    socket.setTimeout(PROBE_TIMEOUT_MS, () => resolve('alive'));
    socket.on('connect', () => socket.destroy());
  });
  if (outcome === 'alive') {
    throw new ListenError('listen.in_use', `cannot listen on unix:${path}: another process does`);
  }
  if (outcome !== 'ECONNREFUSED') {
    throw new ListenError('listen.failed', `cannot listen on unix:${path}: ${outcome}`);
  }
  fs.unlinkSync(path);
}

function listenError(error: unknown, name: string): ListenError {
  const code = codeOf(error);
  const inUse = code === 'EADDRINUSE';
  return new ListenError(
    inUse ? 'listen.in_use' : 'listen.failed',
    `cannot listen on ${name}: ${inUse ? 'the address is in use' : code}`,
  );
}

/** sun_path less its final zero. */
const UNIX_PATH_LEN_MAX = 107;
const PROBE_TIMEOUT_MS = 2_000;
