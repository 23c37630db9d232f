/**
 * A client of the frames socket: many questions on one connection, each with a promise of its own.
 * What is asked in one turn of the event loop goes out in one piece, which the sidecar answers with
 * one call of its core.
 */

import type { Duplex } from 'node:stream';
import { TAIL_END, VERDICT_BYTES, VERDICT_LEN, VERDICT_TAG } from '../../assembly/abi.ts';
import {
  type CheckQuestion,
  FrameVerdict,
  FrameWriter,
  SESSION_BEFORE,
  type VerifyQuestion,
} from './frames.ts';

/** The connection has ended, or what came over it were no frames. */
export class FramesError extends Error {
  override readonly name = 'FramesError';
  readonly code: 'frames.closed' | 'frames.malformed';

  constructor(code: 'frames.closed' | 'frames.malformed', message: string) {
    super(message);
    this.code = code;
  }
}

export interface FramesClientOptions {
  /** Questions that may be unanswered at a time; further ones wait here. Default 4096. */
  readonly window?: number;
}

/** An authorizer and an operation of its client. */
export interface DecideQuestion extends Omit<VerifyQuestion, 'session'> {
  readonly op: CheckQuestion['op'];
}

interface Waiting {
  readonly verify: boolean;
  readonly resolve: (verdict: FrameVerdict) => void;
  readonly reject: (error: Error) => void;
}

interface Queued extends Waiting {
  /** Means something only right behind the question before it. */
  readonly follows: boolean;
  readonly write: (tag: number) => void;
}

/**
 * @example
 * const client = await FramesClient.connect('/run/cephgate/frames.sock');
 * const op = { pool: 'liverpool', read: true };
 * console.log((await client.check({ service: 4, session, op })).reason);
 */
export class FramesClient {
  readonly #duplex: Duplex;
  readonly #window: number;
  readonly #writer = new FrameWriter();
  /** Sent and not yet answered, by tag. */
  readonly #waiting = new Map<number, Waiting>();
  #queue: Queued[] = [];
  #tag = 0;
  #flushing = false;
  #blocked = false;
  #received: Uint8Array = NOTHING;
  #failed: FramesError | undefined;
  /** Why the question before was not sent. */
  #unwritten: Error | undefined;

  /** Connects to the unix socket at `path`. */
  static async connect(path: string, options?: FramesClientOptions): Promise<FramesClient> {
    // Only now: the other half of `cephgate/client` runs where there are no sockets.
    const { connect } = await import('node:net');
    return await new Promise((resolve, reject) => {
      const socket = connect({ path });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new FramesClient(socket, options));
      });
    });
  }

  /** @param duplex an open connection, of which nothing was read */
  constructor(duplex: Duplex, options: FramesClientOptions = {}) {
    this.#duplex = duplex;
    this.#window = options.window ?? WINDOW;
    duplex.on('data', (bytes: Uint8Array) => this.#receive(bytes));
    duplex.on('drain', () => {
      this.#blocked = false;
      this.#pump();
    });
    duplex.on('error', (error: Error) => this.#fail('frames.closed', error.message));
    duplex.on('close', () => this.#fail('frames.closed', 'the connection has ended'));
    duplex.on('end', () => this.#fail('frames.closed', 'the sidecar has ended the connection'));
  }

  /** Questions without an answer. */
  get pending(): number {
    return this.#waiting.size + this.#queue.length;
  }

  /**
   * Asks who it is. Rejects with FramesError, or RangeError for a question that is longer than a
   * frame.
   */
  verify(question: VerifyQuestion): Promise<FrameVerdict> {
    return this.#ask(true, false, (tag) => this.#writer.verify(question, tag));
  }

  /** Asks whether a session may. */
  check(question: CheckQuestion): Promise<FrameVerdict> {
    return this.#ask(false, false, (tag) => this.#writer.check(question, tag));
  }

  /** Asks both at once: the verdict of the verify if it refuses, else that of the check. */
  async decide(question: DecideQuestion): Promise<FrameVerdict> {
    const { service, op, peer } = question;
    const check = { service, session: SESSION_BEFORE, op, peer };
    const [who, may] = await Promise.all([
      this.verify({ ...question, session: true }),
      this.#ask(false, true, (tag) => this.#writer.check(check, tag)),
    ]);
    return who.decision ? may : who;
  }

  /** Ends the connection; questions without an answer are rejected. */
  close(): void {
    this.#duplex.end();
    this.#fail('frames.closed', 'the client was closed');
  }

  #ask(verify: boolean, follows: boolean, write: (tag: number) => void): Promise<FrameVerdict> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== undefined) {
        reject(this.#failed);
        return;
      }
      this.#queue.push({ verify, follows, write, resolve, reject });
      if (this.#flushing) return;
      this.#flushing = true;
      queueMicrotask(() => {
        this.#flushing = false;
        this.#pump();
      });
    });
  }

  /** Sends as many as the window and the connection take. */
  #pump(): void {
    let next = 0;
    while (!this.#blocked && next < this.#queue.length && this.#waiting.size < this.#window) {
      const queued = this.#queue[next]!;
      next += 1;
      const tag = this.#nextTag();
      try {
        if (queued.follows && this.#unwritten !== undefined) throw this.#unwritten;
        queued.write(tag);
        this.#unwritten = undefined;
      } catch (error) {
        this.#unwritten = error as Error;
        queued.reject(this.#unwritten);
        continue;
      }
      this.#waiting.set(tag, queued);
      if (this.#writer.length >= SEND_LEN) this.#send();
    }
    this.#queue = this.#queue.slice(next);
    this.#send();
  }

  #send(): void {
    if (this.#writer.length === 0 || this.#failed !== undefined) return;
    this.#blocked = !this.#duplex.write(this.#writer.take());
  }

  #nextTag(): number {
    do this.#tag = (this.#tag + 1) >>> 0;
    while (this.#waiting.has(this.#tag));
    return this.#tag;
  }

  #receive(bytes: Uint8Array): void {
    let all = bytes;
    if (this.#received.length > 0) {
      all = new Uint8Array(this.#received.length + bytes.length);
      all.set(this.#received);
      all.set(bytes, this.#received.length);
    }
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    let at = 0;
    while (all.length - at >= VERDICT_LEN) {
      const length = view.getUint32(at + VERDICT_BYTES, true);
      if (length < VERDICT_LEN || length % 8 !== 0 || length > VERDICT_LEN_MAX) {
        this.#malformed();
        return;
      }
      if (length > all.length - at) break;
      // A verdict may be kept for long: it must not keep the whole segment.
      if (!this.#answer(new Uint8Array(all.subarray(at, at + length)))) return;
      at += length;
    }
    this.#received = all.subarray(at);
    if (this.#queue.length > 0) this.#pump();
  }

  #answer(record: Uint8Array): boolean {
    const tag = new DataView(record.buffer, record.byteOffset).getUint32(VERDICT_TAG, true);
    const waiting = this.#waiting.get(tag);
    if (waiting === undefined) return this.#malformed();
    this.#waiting.delete(tag);
    waiting.resolve(new FrameVerdict(record, waiting.verify && record.length >= TAIL_END));
    return true;
  }

  #malformed(): false {
    this.#fail('frames.malformed', 'the sidecar has sent what is no verdict');
    this.#duplex.destroy();
    return false;
  }

  #fail(code: FramesError['code'], why: string): void {
    if (this.#failed !== undefined) return;
    this.#failed = new FramesError(code, `Cannot ask over this connection: ${why}`);
    for (const { reject } of [...this.#waiting.values(), ...this.#queue]) reject(this.#failed);
    this.#waiting.clear();
    this.#queue = [];
  }
}

const WINDOW = 4_096;
/** A segment that the sidecar reads at once. */
const SEND_LEN = 65_536;
/** Longer than any response region. */
const VERDICT_LEN_MAX = 8_388_608;
const NOTHING = new Uint8Array(0);
