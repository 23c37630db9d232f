/** Load on one listener: prebuilt bytes over raw connections, answers counted and not looked at. */

import { Buffer } from 'node:buffer';
import { connect, type Socket } from 'node:net';
import { FRAME_LEN_MAX } from '../src/frames/layout.ts';

export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

/**
 * Asks on so many connections, each with one request at a time, until so many are answered; how
 * many were. Rejects at a status other than 200.
 */
export type Load = (requests: number) => Promise<number>;

/** One POST as bytes, to the host that the listener answers to. */
export function postOf(
  host: string,
  path: string,
  type: string,
  body: Uint8Array | string,
): Buffer {
  const bytes = Buffer.from(body);
  const head = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: ${type}\r\n`;
  return Buffer.concat([Buffer.from(`${head}content-length: ${bytes.length}\r\n\r\n`), bytes]);
}

/** HTTP with keep-alive; each connection goes through the requests in turn. */
export function httpLoad(target: Target, requests: readonly Buffer[], connections: number): Load {
  let next = 0;
  const begin: Begin = (socket, answered) => {
    let held: Buffer = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      held = held.length === 0 ? (bytes as Buffer) : Buffer.concat([held, bytes as Buffer]);
      const end = answerEnd(held);
      if (end > held.length) return;
      held = Buffer.alloc(0);
      answered(1);
    });
    return () => void socket.write(requests[next++ % requests.length]!);
  };
  return (requests) => ask(target, connections, requests, begin);
}

/** Frames, `records` of them in each piece; the next piece goes when all verdicts are there. */
export function framesLoad(
  target: Target,
  pieces: readonly { readonly bytes: Uint8Array; readonly records: number }[],
  connections: number,
): Load {
  let next = 0;
  const begin: Begin = (socket, answered) => {
    let piece = pieces[0]!;
    let due = 0;
    let held: Buffer = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      held = held.length === 0 ? (bytes as Buffer) : Buffer.concat([held, bytes as Buffer]);
      let at = 0;
      let count = 0;
      while (held.length - at >= 4) {
        const length = held.readUInt32LE(at);
        if (length < 24 || length > FRAME_LEN_MAX) throw new Error(`a verdict of ${length} bytes`);
        if (held.length - at < length) break;
        at += length;
        count += 1;
      }
      held = held.subarray(at);
      due -= count;
      if (due === 0) answered(1);
    });
    return () => {
      piece = pieces[next++ % pieces.length]!;
      due = piece.records;
      socket.write(piece.bytes);
    };
  };
  return (requests) => ask(target, connections, requests, begin);
}

/** Where an HTTP answer ends; Infinity if its head is not whole. */
function answerEnd(held: Buffer): number {
  const head = held.indexOf('\r\n\r\n');
  if (head < 0) return Number.POSITIVE_INFINITY;
  const text = held.toString('latin1', 0, head);
  if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`no 200: ${text.split('\r\n')[0]}`);
  const length = /^content-length: *([0-9]+)/im.exec(text)?.[1];
  if (length === undefined) throw new Error('an answer without a length');
  return head + 4 + Number(length);
}

/** Gives what asks on a connection; it calls `answered` once for each time it asked. */
type Begin = (socket: Socket, answered: (count: number) => void) => () => void;

/** New connections for each run: idle ones are closed by the server between two slices. */
async function ask(
  target: Target,
  connections: number,
  requests: number,
  begin: Begin,
): Promise<number> {
  const sockets = await Promise.all(Array.from({ length: connections }, () => connected(target)));
  try {
    return await new Promise<number>((resolve, reject) => {
      let count = 0;
      let asking = sockets.length;
      for (const socket of sockets) {
        socket.on('error', reject);
        socket.on('close', () => reject(new Error('a connection was closed')));
        const next = begin(socket, (n) => {
          count += n;
          if (count < requests) next();
          else if (--asking === 0) resolve(count);
        });
        next();
      }
    });
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

function connected(target: Target): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ noDelay: true, ...target }, () => {
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}
