/** The bytes of a request's body: bounded in length and in time. */

import type { IncomingMessage } from 'node:http';
import type { Context } from 'hono';
import { Deadlines } from './deadlines.ts';
import type { AppEnv } from './deps.ts';
import type { HeaderLookup } from './headers.ts';
import { Problem } from './problem.ts';

/** How a body is taken in. */
export interface BodyLimits {
  /** Longest body, in bytes. */
  readonly lenMax: number;
  /** Longest time from head to end of the body, in milliseconds. */
  readonly timeoutMs: number;
}

/** A request whose body is to be read; Hono's own is one. */
export interface Sent {
  readonly raw: Request;
  /** Those of `raw`, where they can be had for less. */
  readonly headers?: HeaderLookup;
  /** The request as Node has it: then its body is read there, past the streams of the web. */
  readonly incoming?: IncomingMessage | undefined;
}

/** A request of the sidecar. */
export function sent(c: Context<AppEnv>): Sent {
  return { raw: c.req.raw, headers: c.get('headers'), incoming: c.env.incoming };
}

/** All bytes of the body. Throws Problem `body.too_large`, `body.timeout`, `body.incomplete`. */
export async function readBytes(from: Sent, limits: BodyLimits): Promise<Uint8Array> {
  return together(await readPieces(from, limits));
}

/**
 * The pieces as one, without a copy where it is one.
 *
 * @param room is where copies go; without it, to memory of their own
 */
export function together(pieces: readonly Uint8Array[], room?: Uint8Array): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const whole = room?.subarray(0, length) ?? new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** The body as it came. Throws as readBytes. */
export async function readPieces(
  { raw, headers = raw.headers, incoming }: Sent,
  limits: BodyLimits,
): Promise<Uint8Array[]> {
  const declared = headers.get('content-length');
  if (incoming === undefined) {
    refuseLong(declared, limits);
    return readWeb(raw, limits, declared);
  }
  return new Promise((resolve, reject) => receive(incoming, declared, limits, resolve, reject));
}

function readWeb(
  request: Request,
  limits: BodyLimits,
  declared: string | null,
): Promise<Uint8Array[]> {
  // With a length the runtime's own way is the fast one, and holds no more than was declared.
  const whole = declared === null ? collect(request, limits) : wholeOf(request, limits);
  return new Promise((resolve, reject) => {
    const deadline = DEADLINES.add(limits.timeoutMs, () => reject(timedOut(limits)));
    whole.then(
      (pieces) => {
        DEADLINES.remove(deadline);
        resolve(pieces);
      },
      (error: unknown) => {
        DEADLINES.remove(deadline);
        reject(error instanceof Problem ? error : incomplete());
      },
    );
  });
}

async function wholeOf(request: Request, limits: BodyLimits): Promise<Uint8Array[]> {
  const bytes = new Uint8Array(await request.arrayBuffer());
  if (bytes.length > limits.lenMax) throw tooLarge(limits);
  return [bytes];
}

async function collect(request: Request, limits: BodyLimits): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > limits.lenMax) throw tooLarge(limits);
    chunks.push(chunk);
  }
  return chunks;
}

/**
 * Node's stream, chunk by chunk; what comes after a refusal is left to the server to drain. Throws
 * Problem `body.too_large` for a body that says so; else one of the two is called, once.
 */
export function receive(
  incoming: IncomingMessage,
  declared: string | null,
  limits: BodyLimits,
  whole: (pieces: Uint8Array[]) => void,
  failed: (why: Problem) => void,
): void {
  refuseLong(declared, limits);
  const chunks: Uint8Array[] = [];
  let length = 0;
  let settled = false;
  const refuse = (why: Problem): void => {
    if (settled) return;
    settled = true;
    DEADLINES.remove(deadline);
    incoming.off('data', onData);
    failed(why);
  };
  const onData = (chunk: Uint8Array): void => {
    length += chunk.length;
    chunks.push(chunk);
    if (length > limits.lenMax) refuse(tooLarge(limits));
  };
  const onEnd = (): void => {
    if (settled) return;
    settled = true;
    DEADLINES.remove(deadline);
    whole(chunks);
  };
  // Without an end before it: the client has gone.
  const onClose = (): void => {
    if (!settled) refuse(incomplete());
  };
  const deadline = DEADLINES.add(limits.timeoutMs, () => refuse(timedOut(limits)));
  incoming.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  if (incoming.destroyed && !incoming.readableEnded) onClose();
}

/** Throws Problem `body.too_large` for a body that says that it is. */
export function refuseLong(declared: string | null, limits: BodyLimits): void {
  if (declared !== null && Number(declared) > limits.lenMax) throw tooLarge(limits);
}

function timedOut(limits: BodyLimits): Problem {
  return new Problem('body.timeout', `the body was not whole in ${limits.timeoutMs} ms`);
}

export function incomplete(): Problem {
  return new Problem('body.incomplete', 'the body ended too early');
}

function tooLarge(limits: BodyLimits): Problem {
  return new Problem('body.too_large', `the body is longer than ${limits.lenMax} bytes`);
}

const DEADLINES = new Deadlines();
