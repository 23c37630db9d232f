/**
 * What one connection of Node's HTTP server may take from the others. Node runs all requests of a
 * segment at once, hundreds of small ones, and reads the body of a refused request to its end.
 * Here requests of a connection run one after the other, and a body that nobody wants is read so
 * far and no farther.
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The requests of one connection. */
interface Line {
  /** Received and not begun, the oldest first. */
  readonly waiting: [IncomingMessage, ServerResponse][];
  busy: boolean;
  /** Too many were sent: none of them runs any more. */
  cut: boolean;
}

/** Runs the requests of each connection in turn. */
export function inTurn(listener: RequestListener): RequestListener {
  const lines = new WeakMap<Socket, Line>();
  const penitents = new Set<Socket>();
  const run = (line: Line, request: IncomingMessage, response: ServerResponse): void => {
    line.busy = true;
    // Before Node's own listener, which would read the rest of the body without an end.
    response.prependOnceListener('finish', () => {
      if (!request.complete && !request.readableEnded) leaveUnread(request);
    });
    response.once('close', () => {
      line.busy = false;
      const next = request.socket.destroyed ? undefined : line.waiting.shift();
      if (next !== undefined) run(line, ...next);
    });
    listener(request, response);
  };
  return (request, response) => {
    const { socket } = request;
    let line = lines.get(socket);
    if (line === undefined) {
      line = { waiting: [], busy: false, cut: false };
      lines.set(socket, line);
    }
    if (line.cut) {
      forget(request);
      return;
    }
    if (!line.busy) run(line, request, response);
    else if (line.waiting.length < WAITING_MAX) line.waiting.push([request, response]);
    else {
      cutOff(line, socket, penitents);
      forget(request);
    }
  };
}

/**
 * Whoever sends that many requests and reads no answer is not heard any more. He would be back at
 * once if he were sent away, and taking his requests apart is what costs: so he waits a while.
 */
function cutOff(line: Line, socket: Socket, penitents: Set<Socket>): void {
  line.cut = true;
  for (const [request] of line.waiting.splice(0)) forget(request);
  // The requests of his last segment are in memory for as long as he is.
  if (penitents.size >= PENITENTS_MAX) {
    socket.destroy();
    return;
  }
  penitents.add(socket);
  socket.pause();
  // Node reads on when the answer that is under way has gone.
  socket.on('resume', () => socket.pause());
  // Not all at the same time: each takes his requests with him, and that costs too.
  const timer = setTimeout(() => socket.destroy(), PENANCE_MS * (1 + Math.random()));
  timer.unref();
  socket.once('close', () => {
    clearTimeout(timer);
    penitents.delete(socket);
  });
}

/**
 * Nobody has heard of this request, and nobody will hear of its end: telling each of hundreds, when
 * the connection is closed, keeps all others waiting for 40 ms.
 */
function forget(request: IncomingMessage): void {
  request.destroy = () => request;
}

/** The answer has gone, and the body is still to come: a client may send it all before it looks. */
function leaveUnread(request: IncomingMessage): void {
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), UNREAD_MS);
  timer.unref();
  let left = UNREAD_LEN_MAX;
  // A read of ours, and Node leaves the body alone.
  request.read();
  request.on('data', (bytes: Uint8Array) => {
    left -= bytes.length;
    if (left >= 0 || request.isPaused()) return;
    // Whoever sends on and on sees the answer and the end of it, if he looks at all.
    request.pause();
    socket.end();
  });
  request.once('end', () => clearTimeout(timer));
  socket.once('close', () => clearTimeout(timer));
}

/** Requests of one connection that have come while another one runs. */
const WAITING_MAX = 128;
const PENITENTS_MAX = 64;
const PENANCE_MS = 5_000;
/** Of a body after its refusal. */
const UNREAD_LEN_MAX = 1_048_576;
const UNREAD_MS = 1_000;
