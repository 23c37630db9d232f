/**
 * A connection to one monitor over TCP, with a deadline for every step: login, then requests and
 * their answers, keepalives, and the news that were subscribed to.
 */

import { connect, type Socket } from 'node:net';
import type { CephxClientHandler } from '../cephx/client.ts';
import type { Random, Sealer } from '../cephx/cryptokey.ts';
import { DecodeError } from '../cephx/denc.ts';
import type { MonErrorCode } from '../errors.ts';
import { type EntityAddress, formatAddress } from './address.ts';
import { ClientConnection, type ConnectionEvent } from './connection.ts';
import { type Deferred, defer } from './deferred.ts';
import { MonError, protocolError } from './errors.ts';
import {
  type AuthReply,
  authMessage,
  type CommandAck,
  commandMessage,
  type Message,
  MSG_AUTH_REPLY,
  MSG_MON_COMMAND_ACK,
  MSG_MON_MAP,
  openAuthReply,
  openCommandAck,
  openMonMapMessage,
  subscribeMessage,
} from './message.ts';

/** Deadlines in milliseconds. */
export interface Timing {
  readonly connectMs: number;
  /** From the connection to SERVER_IDENT. */
  readonly loginMs: number;
  /** For the answer to a request. */
  readonly requestMs: number;
  /** Between two keepalives. */
  readonly keepaliveMs: number;
  /** For the answer to one. */
  readonly keepaliveAckMs: number;
}

export const TIMING: Timing = {
  connectMs: 2_000,
  loginMs: 5_000,
  requestMs: 10_000,
  keepaliveMs: 10_000,
  keepaliveAckMs: 15_000,
};

export interface SessionOptions {
  readonly sealer: Sealer;
  readonly random: Random;
  readonly handler: CephxClientHandler;
  readonly timing: Timing;
  readonly allowCrc: boolean;
  /** Ends the session, and what goes before it. */
  readonly signal: AbortSignal;
  /** Told of each encoded monitors' map. What it throws ends the session. */
  readonly onMonMap: (monmap: Uint8Array) => void;
}

export class MonSession {
  readonly address: EntityAddress;
  /** Why the session ended, when it has. */
  readonly closed: Promise<MonError>;
  readonly #options: SessionOptions;
  readonly #socket: Socket;
  readonly #connection: ClientConnection;
  readonly #opened = defer<boolean>();
  readonly #ended = defer<MonError>();
  readonly #commands = new Map<bigint, Waiting<CommandAck>>();
  #auth: Waiting<AuthReply> | undefined;
  #authQueue: Promise<unknown> = Promise.resolve();
  #isSecure = false;
  #tid = 0n;
  #isOver = false;
  #keepalive: ReturnType<typeof setTimeout> | undefined;
  #keepaliveDeadline: ReturnType<typeof setTimeout> | undefined;

  /** Connects and logs in. Throws MonError; then nothing is left open. */
  static async open(address: EntityAddress, options: SessionOptions): Promise<MonSession> {
    const { signal, timing } = options;
    const socket = await dial(address, timing.connectMs, signal);
    const session = new MonSession(address, socket, options);
    const abort = (): void => session.close();
    signal.addEventListener('abort', abort);
    void session.closed.then(() => signal.removeEventListener('abort', abort));
    const timer = setTimeout(
      () => session.#end(session.#late('the login')),
      options.timing.loginMs,
    );
    try {
      session.#isSecure = await session.#opened.promise;
    } finally {
      clearTimeout(timer);
    }
    session.#scheduleKeepalive();
    return session;
  }

  private constructor(address: EntityAddress, socket: Socket, options: SessionOptions) {
    this.address = address;
    this.closed = this.#ended.promise;
    this.#socket = socket;
    this.#options = options;
    const { sealer, random, handler, allowCrc } = options;
    const nonce = new DataView(random(4).buffer).getUint32(0);
    this.#connection = new ClientConnection({ sealer, handler, target: address, nonce, allowCrc });
    socket.on('data', (bytes: Uint8Array) => this.#receive(bytes));
    socket.on('error', (error: Error) => this.#end(this.#closedBy(wordsOf(error))));
    socket.on('close', () => this.#end(this.#closedBy('the monitor closed it')));
    this.#flush();
  }

  get isSecure(): boolean {
    return this.#isSecure;
  }

  /** Asks to be told of maps from an epoch on. */
  subscribeMonMap(start: number): void {
    this.#send(() =>
      this.#connection.send(subscribeMessage([{ what: 'monmap', start: BigInt(start) }], '')),
    );
  }

  /**
   * Sends a MAuth and opens its answer. Answers bear no number, so one is under way at a time,
   * from making the payload to opening what came.
   */
  auth<T>(makePayload: () => Uint8Array, open: (reply: AuthReply) => T): Promise<T> {
    const run = async (): Promise<T> => {
      const waiting = this.#wait<AuthReply>('the answer to MAuth');
      this.#auth = waiting;
      this.#send(() => this.#connection.send(authMessage(makePayload())));
      return open(await waiting.promise);
    };
    const next = this.#authQueue.then(run, run);
    this.#authQueue = next.catch(() => undefined);
    return next;
  }

  /** Runs a command: JSON with its `prefix`. */
  command(fsid: Uint8Array, json: string, input?: Uint8Array): Promise<CommandAck> {
    const tid = ++this.#tid;
    const waiting = this.#wait<CommandAck>('the answer to a command');
    this.#commands.set(tid, waiting);
    this.#send(() => this.#connection.send(commandMessage(tid, fsid, json, input)));
    return waiting.promise.finally(() => this.#commands.delete(tid));
  }

  close(
    reason: MonError = new MonError('mon.closed', `cannot use ${this.#name}: we closed it`),
  ): void {
    this.#end(reason);
  }

  /** It let the time for something go by. */
  closeLate(what: string): void {
    this.#end(this.#late(what));
  }

  #receive(bytes: Uint8Array): void {
    this.#send(() => {
      for (const event of this.#connection.receive(bytes)) this.#on(event);
    });
  }

  #on(event: ConnectionEvent): void {
    if (event.kind === 'open') this.#opened.resolve(event.isSecure);
    else if (event.kind === 'message') this.#onMessage(event.message);
    else this.#scheduleKeepalive();
  }

  /** Messages of other types mean nothing to us. */
  #onMessage(message: Message): void {
    switch (message.type) {
      case MSG_AUTH_REPLY:
        this.#auth?.resolve(openAuthReply(message));
        this.#auth = undefined;
        break;
      case MSG_MON_COMMAND_ACK:
        this.#commands.get(message.tid)?.resolve(openCommandAck(message));
        break;
      case MSG_MON_MAP:
        this.#options.onMonMap(openMonMapMessage(message));
        break;
    }
  }

  /** Does something that may fail and sends what comes of it. A failure ends the session. */
  #send(act: () => void): void {
    if (this.#isOver) return;
    try {
      act();
      this.#flush();
    } catch (error) {
      if (error instanceof DecodeError) this.#end(protocolError('message', error.code));
      else if (error instanceof MonError) this.#end(error);
      else throw error;
    }
  }

  #flush(): void {
    if (this.#isOver) return;
    const output = this.#connection.takeOutput();
    if (output.length > 0) this.#socket.write(output);
  }

  /** The next keepalive goes out some time after the answer to the last one. */
  #scheduleKeepalive(): void {
    if (this.#isOver) return;
    const { keepaliveMs, keepaliveAckMs } = this.#options.timing;
    clearTimeout(this.#keepalive);
    clearTimeout(this.#keepaliveDeadline);
    this.#keepaliveDeadline = undefined;
    this.#keepalive = setTimeout(() => {
      this.#send(() => this.#connection.sendKeepalive(this.#options.random(8)));
      if (this.#isOver) return;
      const late = (): void => this.#end(this.#late('the answer to a keepalive'));
      this.#keepaliveDeadline = setTimeout(late, keepaliveAckMs);
    }, keepaliveMs);
  }

  #wait<T>(what: string): Waiting<T> {
    const { promise, resolve, reject } = defer<T>();
    const timer = setTimeout(() => {
      reject(this.#late(what));
      // What comes late would be taken for the answer to the next request.
      this.#end(this.#late(what));
    }, this.#options.timing.requestMs);
    void this.closed.then(reject);
    const ended = promise.finally(() => clearTimeout(timer));
    ended.catch(() => undefined);
    return { promise: ended, resolve };
  }

  #end(error: MonError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#keepalive);
    clearTimeout(this.#keepaliveDeadline);
    this.#connection.close();
    this.#socket.destroy();
    this.#opened.promise.catch(() => undefined);
    this.#opened.reject(error);
    this.#ended.resolve(error);
  }

  get #name(): string {
    return formatAddress(this.address);
  }

  #late(what: string): MonError {
    const { step } = this.#connection;
    const where = step === 'messages' ? '' : ` (waiting for ${step})`;
    return new MonError('mon.timeout', `cannot use ${this.#name}: ${what} took too long${where}`);
  }

  #closedBy(words: string): MonError {
    const { step } = this.#connection;
    const hint = HINTS[step] ?? '';
    const where = step === 'messages' ? '' : ` while we waited for ${step}${hint}`;
    return new MonError('mon.closed', `cannot use ${this.#name}: ${words}${where}`);
  }
}

type Waiting<T> = Pick<Deferred<T>, 'promise' | 'resolve'>;

function dial(address: EntityAddress, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { host, port } = address;
    const socket = connect({ host, port, noDelay: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
    };
    const fail = (code: MonErrorCode, words: string): void => {
      settle();
      socket.on('error', () => undefined).destroy();
      reject(new MonError(code, `cannot connect to ${formatAddress(address)}: ${words}`));
    };
    const onError = (error: Error): void => fail('mon.unreachable', wordsOf(error));
    const onAbort = (): void => fail('mon.closed', 'the client was stopped');
    const timer = setTimeout(() => fail('mon.timeout', 'no answer in time'), timeoutMs);
    signal.addEventListener('abort', onAbort);
    socket.on('error', onError);
    socket.once('connect', () => {
      settle();
      resolve(socket);
    });
  });
}

function wordsOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? 'the connection failed';
}

/** What a connection that closes without a word mostly means (msgr2-mon.md 12 and 15). */
const HINTS: Readonly<Record<string, string>> = {
  AUTH_REPLY_MORE: ' (it is busy, or has no quorum)',
  SERVER_IDENT: ' (we dialled an address that is not its own, or our signature is wrong)',
};
