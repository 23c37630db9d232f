/**
 * Reads the connections of Node's HTTP server for as long as all that comes on them is one plain
 * request after the other (plainrequest.ts), which Node's own machinery makes as dear as the
 * decision. With the first bytes that are anything else a connection goes over to the server, with
 * these bytes and for the rest of its life, and so it does when a body keeps it waiting: time
 * limits and everything malformed are the server's.
 */

import { Buffer } from 'node:buffer';
import { type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type Deadline, Deadlines } from './deadlines.ts';
import type { Answer, Outgoing } from './direct.ts';
import { type PlainRequest, parsePlain } from './plainrequest.ts';

export interface PlainOptions {
  /** Whether the rest of such a body is waited for here. */
  readonly waits: (path: string, length: number) => boolean;
  /**
   * Answers the request, now or later, and says true; or leaves it to the server. Something is
   * missing only where the client has gone.
   */
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
    const seconds = Math.floor(this.#options.keepAliveMs / 1000);
    const connection: PlainConnection = new PlainConnection(socket, {
      ...this.#options,
      keepAlive: `Connection: keep-alive\r\nKeep-Alive: timeout=${seconds}\r\n`,
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

/** A request whose body is on its way. */
interface Begun {
  readonly request: PlainRequest;
  /** All that has come, the head included. */
  readonly came: Buffer[];
  missing: number;
  readonly deadline: Deadline;
}

class PlainConnection implements Outgoing {
  readonly #socket: Socket;
  readonly #ways: Ways;
  /** A request has not been answered yet. */
  #busy = false;
  #begun: Begun | undefined;
  #isFirst = true;

  constructor(socket: Socket, ways: Ways) {
    this.#socket = socket;
    this.#ways = ways;
    socket.setTimeout(ways.firstMs);
    socket.on('timeout', this.#onTimeout).on('data', this.#onData);
    socket.on('end', this.#onEnd).on('error', this.#onError).on('close', this.#onClose);
  }

  send({ status, headers, body, done }: Answer): void {
    const socket = this.#socket;
    // The client would take it for the answer to what it asks next.
    if (!this.#busy) throw new Error('a request is answered twice');
    this.#busy = false;
    if (!socket.writable) {
      done?.();
      return;
    }
    const last = headers.connection === 'close';
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n`;
    for (const name of Object.keys(headers)) head += `${name}: ${headers[name]}\r\n`;
    head += `Date: ${httpDate()}\r\n${last ? '' : this.#ways.keepAlive}\r\n`;
    this.#write(head, headers['content-length'], body, done);
    if (last || this.#ways.closing()) {
      this.#end();
      return;
    }
    if (this.#isFirst) {
      this.#isFirst = false;
      socket.setTimeout(this.#ways.keepAliveMs);
    }
    if (socket.writableNeedDrain && socket.writableLength > 0) {
      // Who does not read his answers is not heard.
      socket.pause().once('drain', () => socket.resume());
    } else if (socket.isPaused()) socket.resume();
  }

  /** In one write to the system. */
  #write(
    head: string,
    length: string | undefined,
    body: string | Uint8Array,
    done: (() => void) | undefined,
  ): void {
    const socket = this.#socket;
    if (typeof body === 'string') {
      // As many bytes as characters: all of it is ASCII.
      socket.write(head + body, length === `${body.length}` ? 'latin1' : 'utf8', done);
      return;
    }
    socket.cork();
    socket.write(head, 'latin1');
    socket.write(body, done);
    socket.uncork();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  endIfIdle(): void {
    if (!this.#busy) this.#end();
  }

  /** When all is written. RFC 9112 section 9.6: what still comes is no request any more. */
  #end(): void {
    this.#socket.off('data', this.#onData);
    this.#socket.destroySoon();
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#begun !== undefined) {
      this.#goOn(this.#begun, bytes);
      return;
    }
    const request = parsePlain(bytes);
    if (request === undefined) this.#leave([bytes]);
    else if (request.missing === 0) this.#take(request, [bytes]);
    else if (!this.#ways.waits(request.path, request.missing + request.pieces[0]!.length)) {
      this.#leave([bytes]);
    } else {
      this.#busy = true;
      const deadline = DEADLINES.add(BEGUN_MS, () => this.#leave(this.#begun!.came));
      this.#begun = { request, came: [bytes], missing: request.missing, deadline };
    }
  };

  /** More of a body. */
  #goOn(begun: Begun, bytes: Buffer): void {
    begun.came.push(bytes);
    begun.missing -= bytes.length;
    if (begun.missing > 0) return;
    this.#drop(begun);
    if (begun.missing < 0) {
      this.#leave(begun.came);
      return;
    }
    const pieces = [...begun.request.pieces, ...begun.came.slice(1)];
    this.#take({ ...begun.request, pieces, missing: 0 }, begun.came);
  }

  #take(request: PlainRequest, came: Buffer[]): void {
    this.#busy = true;
    if (!this.#ways.answer(request, this, this.#socket)) {
      this.#busy = false;
      this.#leave(came);
    } else if (this.#busy) {
      // The next one waits in the socket.
      this.#socket.pause();
    }
  }

  #drop(begun: Begun): void {
    DEADLINES.remove(begun.deadline);
    this.#begun = undefined;
  }

  /** The client has gone before its request was whole. */
  #abandon(): void {
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#drop(begun);
    this.#ways.answer(begun.request, this, this.#socket);
  }

  /** As Node's server does: whoever ends his side gets what has been written, and no more. */
  readonly #onEnd = (): void => {
    this.#socket.end();
    this.#abandon();
  };

  readonly #onClose = (): void => {
    this.#abandon();
    this.#ways.closed();
  };

  readonly #onTimeout = (): void => {
    if (!this.#busy) this.#socket.destroy();
  };

  /** The socket closes by itself; without a listener the process would. */
  readonly #onError = (): void => undefined;

  #leave(came: Buffer[]): void {
    const socket = this.#socket;
    if (this.#begun !== undefined) this.#drop(this.#begun);
    socket.setTimeout(0);
    socket.off('timeout', this.#onTimeout).off('data', this.#onData);
    socket.off('end', this.#onEnd).off('error', this.#onError).off('close', this.#onClose);
    this.#ways.leave(came.length === 1 ? came[0]! : Buffer.concat(came));
  }
}

/** RFC 9110 section 5.6.7, made once a second. */
function httpDate(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dated.second) dated = { second, text: new Date(second * 1000).toUTCString() };
  return dated.text;
}

const DEADLINES = new Deadlines();
/** How long the rest of a body is waited for here. */
const BEGUN_MS = 100;
let dated = { second: -1, text: '' };
