/**
 * The frames socket: connections of a unix socket, each a FrameStream, answered in turns. A turn is
 * one segment of one connection and one call of the core, so no connection waits for more than one
 * turn of each other.
 */

import { createServer, type Server, type Socket } from 'node:net';
// Not the globals: those of Deno have no unref.
import { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from 'node:timers';
import { FrameStream, STREAM_LIMITS, type StreamLimits } from './stream.ts';

/** Who answers the frames of one connection. */
export interface FramePeer {
  /**
   * Answers whole records that lie back to back, in order. The bytes may be changed; each piece of
   * the answer belongs to the caller.
   */
  answer(records: Uint8Array): Uint8Array[];
  /** The connection has ended. */
  close(): void;
}

export interface FramesOptions {
  /** Called for each connection. */
  readonly open: () => FramePeer;
  /** Told why a connection was ended, or not let in, when it was anybody but the client. */
  readonly ended: (why: Ended) => void;
  /** Called for each connection that was open, when it is no more. */
  readonly closed?: () => void;
  /** Whether no answers can be made just now: what they need has to catch up. */
  readonly waits?: () => boolean;
  readonly limits?: Partial<StreamLimits>;
  /** Most connections at a time; further ones are closed at once. */
  readonly connectionsMax?: number;
  /** Most bytes that unfinished frames of all connections may take. */
  readonly heldMax?: number;
}

/** Why a connection ends that its client has not ended. */
export type Ended =
  /** A length that cannot be right. */
  | 'length'
  | 'half frame'
  /** Answers were not taken. */
  | 'stalled'
  /** Half frames of all took too much. */
  | 'memory'
  /** There were as many as there may be. */
  | 'connections'
  /** An answer could not be made. */
  | 'error';

/** A frames socket that is open. */
export interface OpenFrames {
  readonly connections: number;
  /** Takes no new frames, sends the answers that are due, and after the time cuts them off. */
  close(timeoutMs: number): Promise<void>;
}

/** Binds before it returns; rejects with the error of the socket. */
export function listenFrames(path: string, options: FramesOptions): Promise<OpenFrames> {
  const frames = new FramesServer(options);
  const server = createServer({ allowHalfOpen: true }, (socket) => frames.accept(socket));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => {
      server.off('error', reject);
      resolve({
        get connections() {
          return frames.size;
        },
        close: (timeoutMs) => frames.close(server, timeoutMs),
      });
    });
  });
}

class FramesServer {
  readonly #options: FramesOptions;
  readonly #connections = new Set<Connection>();
  /** Those with whole frames, in the order of their next turn. */
  #turns = new Set<Connection>();
  #scheduled = false;
  /** Bytes that the streams of all connections hold. */
  #held = 0;
  /** Connections that wait for their end, since they sent a wrong length. */
  #penitents = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(options: FramesOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  get size(): number {
    return this.#connections.size;
  }

  accept(socket: Socket): void {
    const { open, limits, connectionsMax } = this.#options;
    if (this.#connections.size >= (connectionsMax ?? CONNECTIONS_MAX)) {
      socket.destroy();
      this.#options.ended('connections');
      return;
    }
    const stream = new FrameStream({ ...STREAM_LIMITS, ...limits });
    const connection = new Connection(socket, stream, open());
    this.#connections.add(connection);
    socket.on('data', (bytes: Uint8Array) => {
      if (!this.#bounded(connection, bytes.length)) return;
      if (stream.broken) return;
      stream.receive(bytes, now());
      if (stream.broken) this.#repent(connection);
      this.#count(connection);
      if (!stream.reading) socket.pause();
      if (stream.ready || stream.broken) this.#due(connection);
    });
    socket.on('end', () => {
      connection.ended = true;
      this.#due(connection);
    });
    // What goes wrong with a socket is its client's affair; the end follows.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      stream.drop();
      this.#count(connection);
      this.#connections.delete(connection);
      this.#turns.delete(connection);
      if (connection.finishMs !== undefined) this.#penitents -= 1;
      connection.peer.close();
      this.#options.closed?.();
    });
    connection.sent = () => this.#due(connection);
  }

  close(server: Server, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cut = setTimeout(() => {
        for (const { socket } of this.#connections) socket.destroy();
      }, timeoutMs);
      server.close(() => {
        clearTimeout(cut);
        clearInterval(this.#timer);
        resolve();
      });
      for (const connection of this.#connections) {
        connection.ended = true;
        connection.socket.pause();
        this.#due(connection);
      }
    });
  }

  /** Half frames may not take all memory: whoever would go beyond the bound is ended. */
  #bounded(connection: Connection, more: number): boolean {
    if (connection.endMs !== undefined) return false;
    if (connection.stream.held + more <= HELD_FREE) return true;
    if (this.#held + more <= (this.#options.heldMax ?? HELD_MAX)) return true;
    this.#options.ended('memory');
    // Sent away at once he would be back at once, and take memory from the next one.
    connection.stream.drop();
    this.#count(connection);
    connection.endMs = now() + ENDED_MS;
    connection.socket.pause();
    return false;
  }

  /**
   * A length was wrong. Closed at once its sender would be back at once, and what a new connection
   * costs is what others wait for: so he is closed a while after his answers, if there are few.
   */
  #repent(connection: Connection): void {
    this.#options.ended('length');
    if (this.#penitents >= PENITENTS_MAX) return;
    this.#penitents += 1;
    connection.finishMs = now() + PENANCE_MS;
  }

  #count(connection: Connection): void {
    const { held } = connection.stream;
    this.#held += held - connection.counted;
    connection.counted = held;
  }

  #due(connection: Connection): void {
    this.#turns.add(connection);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // After all sockets were read: each of them has its turn.
    setImmediate(() => this.#round());
  }

  #round(): void {
    this.#scheduled = false;
    if (this.#options.waits?.() === true) {
      this.#scheduled = true;
      setTimeout(() => this.#round(), WAIT_MS);
      return;
    }
    const turns = this.#turns;
    this.#turns = new Set();
    const end = now() + ROUND_MS;
    const again: Connection[] = [];
    for (const connection of turns) {
      // The rest keeps its place: sockets, also those of others, are read before it goes on.
      if (now() > end) {
        this.#due(connection);
        continue;
      }
      if (connection.socket.destroyed || connection.endMs !== undefined) continue;
      try {
        if (connection.turn()) again.push(connection);
        this.#count(connection);
      } catch {
        // An answer that could not be made leaves the rest without their order.
        this.#end(connection, 'error');
      }
    }
    // Behind those that had no turn yet.
    for (const connection of again) this.#due(connection);
  }

  #sweep(): void {
    const at = now();
    for (const connection of this.#connections) {
      const { endMs, finishMs } = connection;
      if (endMs !== undefined && at >= endMs) connection.socket.destroy();
      if (finishMs !== undefined && at >= finishMs) this.#due(connection);
      const why = connection.stream.expired(at);
      if (why !== undefined) this.#end(connection, why);
    }
  }

  #end(connection: Connection, why: Ended): void {
    this.#options.ended(why);
    connection.socket.destroy();
  }
}

class Connection {
  readonly socket: Socket;
  readonly stream: FrameStream;
  readonly peer: FramePeer;
  /** Nothing more comes. */
  ended = false;
  /** When it is closed, since it was ended. */
  endMs: number | undefined;
  /** When it ends with its answers, since its length was wrong. */
  finishMs: number | undefined;
  /** What its stream held when the connections were last added up, in bytes. */
  counted = 0;
  /** Called when answers have gone. */
  sent: () => void = () => undefined;
  #finishing = false;

  constructor(socket: Socket, stream: FrameStream, peer: FramePeer) {
    this.socket = socket;
    this.stream = stream;
    this.peer = peer;
  }

  /** Answers one segment. True if there is more to do at once. */
  turn(): boolean {
    const { socket, stream } = this;
    if (stream.ready && stream.writable) {
      const pieces = this.peer.answer(stream.take());
      for (const piece of pieces) this.#send(piece);
    }
    if (stream.ready) return stream.writable;
    const late = this.finishMs !== undefined && now() < this.finishMs;
    if (this.ended || (stream.broken && !late)) this.#finish();
    else if (!stream.reading) socket.pause();
    else if (socket.isPaused()) socket.resume();
    return false;
  }

  /** Ends after the last answer; nobody waits for the client to end too. */
  #finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    this.socket.end(() => this.socket.destroy());
  }

  /** In parts, so that a slow reader's progress can be seen. */
  #send(piece: Uint8Array): void {
    const { socket, stream } = this;
    for (let at = 0; at < piece.length; at += PART_LEN) {
      const part = piece.subarray(at, at + PART_LEN);
      stream.sending(part.length, now());
      socket.write(part, () => {
        // Answers can hold connection secrets.
        part.fill(0);
        const waited = !stream.writable;
        stream.sent(part.length, now());
        if (waited && stream.writable) this.sent();
      });
    }
  }
}

/** Not the clock of decisions: that one can be set back. */
function now(): number {
  return performance.now();
}

const CONNECTIONS_MAX = 1_024;
const HELD_MAX = 67_108_864;
/** What a connection may hold before the others are looked at. */
const HELD_FREE = 65_536;
const PART_LEN = 65_536;
const SWEEP_MS = 100;
/** How long one who wanted more memory than there was is kept waiting. */
const ENDED_MS = 5_000;
/** How long, and for how many at a time, after a wrong length. */
const PENANCE_MS = 1_000;
const PENITENTS_MAX = 64;
/** How often it is asked whether answers can be made again. */
const WAIT_MS = 10;
/** How long turns are taken before anything else has its own. */
const ROUND_MS = 1;
