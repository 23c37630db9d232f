/**
 * Reads the connections of Node's HTTP server for as long as all that comes on them is one plain
 * request after the other (plainrequest.ts), which Node's own machinery makes as dear as the
 * decision. With the first bytes that are anything else a connection goes over to the server, with
 * these bytes and for the rest of its life: half requests, their time limits and everything
 * malformed are the server's.
 */

import { Buffer } from 'node:buffer';
import { type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Outgoing } from './direct.ts';
import { type PlainRequest, parsePlain } from './plainrequest.ts';

export interface PlainOptions {
  /** Answers the request, now or later, and says true; or leaves it to the server. */
  readonly answer: (request: PlainRequest, outgoing: Outgoing, socket: Socket) => boolean;
  /** How long a connection may be silent before its first request, in milliseconds. */
  readonly firstMs: number;
  /** The same after an answer; the answer says so. */
  readonly keepAliveMs: number;
}

export class PlainConnections {
  readonly #options: PlainOptions;
  readonly #serve: (socket: Socket) => void;
  readonly #open = new Set<PlainConnection>();
  #closing = false;

  /**
   * Puts itself before the server, which must be about to listen; where the server takes its
   * connections in another way than Node's, nothing changes.
   *
   * @param event with which the server hears of a connection
   */
  constructor(server: Server, event: 'connection' | 'secureConnection', options: PlainOptions) {
    this.#options = options;
    const [own, ...more] = server.listeners(event);
    this.#serve = (socket) => own?.call(server, socket);
    if (own === undefined || more.length > 0) return;
    server.removeAllListeners(event);
    server.on(event, (socket: Socket) => this.#add(socket));
  }

  /** Ends the connections that wait for no answer now, and the others with their answers. */
  close(): void {
    this.#closing = true;
    for (const connection of this.#open) connection.endIfIdle();
  }

  closeAll(): void {
    for (const connection of this.#open) connection.destroy();
  }

  #add(socket: Socket): void {
    const { answer, firstMs, keepAliveMs } = this.#options;
    const connection: PlainConnection = new PlainConnection(socket, {
      ...{ answer, firstMs },
      keepAlive: `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}\r\n`,
      keepAliveMs,
      closing: () => this.#closing,
      closed: () => void this.#open.delete(connection),
      leave: (bytes) => {
        this.#open.delete(connection);
        this.#serve(socket);
        socket.unshift(bytes);
      },
    });
    this.#open.add(connection);
  }
}

interface Ways extends PlainOptions {
  /** Headers of an answer after which more may be asked. */
  readonly keepAlive: string;
  readonly closing: () => boolean;
  readonly closed: () => void;
  /** Hands the connection over to the server, with what came last. */
  readonly leave: (bytes: Buffer) => void;
}

class PlainConnection implements Outgoing {
  readonly #socket: Socket;
  readonly #ways: Ways;
  /** A request has not been answered yet. */
  #busy = false;
  #isFirst = true;

  constructor(socket: Socket, ways: Ways) {
    this.#socket = socket;
    this.#ways = ways;
    socket.setTimeout(ways.firstMs);
    socket.on('timeout', this.#onTimeout).on('data', this.#onData);
    socket.on('end', this.#onEnd).on('error', this.#onError).on('close', ways.closed);
  }

  send(status: number, headers: Readonly<Record<string, string>>, body: string | Uint8Array): void {
    const socket = this.#socket;
    this.#busy = false;
    if (!socket.writable) return;
    const last = headers.connection === 'close';
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n`;
    for (const name of Object.keys(headers)) head += `${name}: ${headers[name]}\r\n`;
    head += `Date: ${httpDate()}\r\n${last ? '' : this.#ways.keepAlive}\r\n`;
    // One write, and of what is ASCII one without a look at each character.
    const taken =
      typeof body === 'string'
        ? socket.write(head + body, isAscii(headers, body) ? 'latin1' : 'utf8')
        : socket.write(Buffer.concat([Buffer.from(head, 'latin1'), body]));
    if (last || this.#ways.closing()) {
      socket.destroySoon();
      return;
    }
    if (this.#isFirst) {
      this.#isFirst = false;
      socket.setTimeout(this.#ways.keepAliveMs);
    }
    // Who does not read his answers is not heard.
    if (!taken) socket.pause().once('drain', () => socket.resume());
    else if (socket.isPaused()) socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  endIfIdle(): void {
    if (!this.#busy) this.#socket.destroySoon();
  }

  readonly #onData = (bytes: Buffer): void => {
    const request = parsePlain(bytes);
    if (request !== undefined) {
      this.#busy = true;
      if (this.#ways.answer(request, this, this.#socket)) {
        // The next one waits in the socket.
        if (this.#busy) this.#socket.pause();
        return;
      }
      this.#busy = false;
    }
    this.#leave(bytes);
  };

  /** As Node's server does: whoever ends his side gets what has been written, and no more. */
  readonly #onEnd = (): void => {
    this.#socket.end();
  };

  readonly #onTimeout = (): void => {
    if (!this.#busy) this.#socket.destroy();
  };

  /** The socket closes by itself; without a listener the process would. */
  readonly #onError = (): void => undefined;

  #leave(bytes: Buffer): void {
    const socket = this.#socket;
    socket.setTimeout(0);
    socket.off('timeout', this.#onTimeout).off('data', this.#onData);
    socket.off('end', this.#onEnd).off('error', this.#onError).off('close', this.#ways.closed);
    this.#ways.leave(bytes);
  }
}

/** A text has as many bytes as characters: then it is ASCII. */
function isAscii(headers: Readonly<Record<string, string>>, body: string): boolean {
  return headers['content-length'] === `${body.length}`;
}

/** RFC 9110 section 5.6.7, made once a second. */
function httpDate(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dated.second) dated = { second, text: new Date(second * 1000).toUTCString() };
  return dated.text;
}

let dated = { second: -1, text: '' };
