/**
 * One open HTTP server: node:http and node:https on Node and Bun, Deno.serve on Deno. Hands each
 * request on with what is known of its connection.
 */

import type { X509Certificate } from 'node:crypto';
import * as fs from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { getRequestListener } from '@hono/node-server';
import { inTurn } from './connections.ts';
import type { Outgoing } from './direct.ts';
import { PlainConnections } from './plainconnections.ts';
import type { PlainRequest } from './plainrequest.ts';
import type { TlsSource } from './tls.ts';

export type Place = { readonly path: string } | { readonly host: string; readonly port: number };

export type Handler = (
  request: Request,
  connection: Connection,
  /** The request as Node has it; undefined elsewhere. */
  incoming?: IncomingMessage,
) => Response | Promise<Response>;

/** Each answers a request and says true, or leaves it to the handler. */
export interface ShortWay {
  /** Whether `plain` takes a request there with a body of so many bytes. */
  waits(path: string, length: number): boolean;
  /** As Node has it. */
  request(incoming: IncomingMessage, outgoing: ServerResponse, connection: Connection): boolean;
  /** As it came. */
  plain(request: PlainRequest, outgoing: Outgoing, connection: Connection): boolean;
}

/** One object for all requests of a connection, except on Deno, which does not tell them apart. */
export interface Connection {
  /** Address of the other end; undefined on a unix socket. */
  readonly remote: string | undefined;
  /** What the client proved to hold the key of; only with mTLS. */
  readonly certificate: X509Certificate | undefined;
}

export interface Opened {
  /** 0 for a unix socket. */
  readonly port: number;
  close(timeoutMs: number): Promise<void>;
}

/**
 * Binds before it returns; the promise only waits for the event.
 *
 * @param short asked first, where the server is Node's
 */
export function openServer(
  handler: Handler,
  place: Place,
  tls?: TlsSource,
  short?: ShortWay,
): Promise<Opened> {
  const deno = (globalThis as { Deno?: DenoServe }).Deno;
  return deno === undefined
    ? openNode(handler, place, tls, short)
    : openDeno(deno, handler, place, tls);
}

function openNode(
  handler: Handler,
  place: Place,
  tls: TlsSource | undefined,
  short: ShortWay | undefined,
): Promise<Opened> {
  const connections = new WeakMap<Socket, Connection>();
  const connectionAt = (socket: Socket): Connection => {
    let connection = connections.get(socket);
    if (connection === undefined) {
      connection = connectionOf(socket);
      connections.set(socket, connection);
    }
    return connection;
  };
  const listener = getRequestListener(
    (request, { incoming }) => {
      const message = incoming as IncomingMessage;
      return handler(request, connectionAt(message.socket), message);
    },
    // It would read 64 MiB of a body that was refused.
    { autoCleanupIncoming: false },
  );
  const turns = inTurn((incoming, outgoing) => {
    const taken = short?.request(incoming, outgoing, connectionAt(incoming.socket));
    if (taken !== true) listener(incoming, outgoing);
  });
  const server = tls === undefined ? createServer(SERVER_LIMITS, turns) : openTls(tls, turns);
  const plain =
    short &&
    new PlainConnections(server, tls === undefined ? 'connection' : 'secureConnection', {
      waits: (path, length) => short.waits(path, length),
      answer: (request, outgoing, socket) => short.plain(request, outgoing, connectionAt(socket)),
      firstMs: SERVER_LIMITS.headersTimeout,
      keepAliveMs: SERVER_LIMITS.keepAliveTimeout,
    });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(place, () => {
      server.off('error', reject);
      const port = 'path' in place ? 0 : (server.address() as AddressInfo).port;
      resolve({ port, close: (timeoutMs) => closeNode(server, plain, timeoutMs) });
    });
  });
}

function openTls(tls: TlsSource, listener: RequestListener): Server {
  const server = createTlsServer({ ...SERVER_LIMITS, ...TLS_LIMITS, ...tls.context() }, listener);
  // Bun has no such call, nor has Deno.serve: there a new certificate needs a new start.
  if (typeof server.setSecureContext === 'function') {
    tls.changed(() => server.setSecureContext(tls.context()));
  }
  return server;
}

function connectionOf(socket: Socket): Connection {
  const certificate =
    socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined;
  return { remote: socket.remoteAddress, certificate };
}

function closeNode(
  server: Server,
  plain: PlainConnections | undefined,
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.closeAllConnections();
      plain?.closeAll();
    }, timeoutMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
    plain?.close();
  });
}

/** As much of Deno as is used here. */
interface DenoServe {
  serve(
    options: Place & { onListen: () => void; cert?: string; key?: string },
    handler: (
      request: Request,
      info: { readonly remoteAddr: { readonly hostname?: string } },
    ) => Response | Promise<Response>,
  ): { readonly addr: { readonly port?: number }; shutdown(): Promise<void> };
}

async function openDeno(
  deno: DenoServe,
  handler: Handler,
  place: Place,
  tls: TlsSource | undefined,
): Promise<Opened> {
  const options = 'path' in place ? place : { hostname: place.host, port: place.port };
  const { cert, key } = tls?.context() ?? {};
  const shared = { onListen: () => undefined, ...(tls && { cert, key }) };
  const server = deno.serve({ ...options, ...shared } as never, (request, info) =>
    handler(request, { remote: info.remoteAddr.hostname, certificate: undefined }),
  );
  return {
    port: server.addr.port ?? 0,
    async close(timeoutMs) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      // Nothing cuts a connection here: an abort after shutdown throws where nobody can catch it.
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      await Promise.race([server.shutdown(), late]);
      clearTimeout(timer);
      if ('path' in place) fs.rmSync(place.path, { force: true });
    },
  };
}

/**
 * Against half-sent requests: the app bounds the body's time, these the head's and the whole.
 * Deno.serve has no such limits: there a half-sent head holds its connection until the client goes.
 */
const SERVER_LIMITS = {
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  // Often, so that few are due at the same time: nothing else happens while they are ended.
  connectionsCheckingInterval: 200,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 16_384,
} as const;
const TLS_LIMITS = { handshakeTimeout: 10_000 } as const;
