/**
 * A server that stands where an OSD stood, on its own address and port, and lets in whom the
 * sidecar lets in: msgr2.1 from the banner to the signatures, with not one key of its own.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { BLANK_ADDRESS } from '../src/mon/address.ts';
import { encodeBanner } from '../src/mon/banner.ts';
import * as control from '../src/mon/control.ts';
import {
  crcFraming,
  type Frame,
  type Framing,
  LIMITS_BEFORE_AUTH,
  secureFraming,
} from '../src/mon/frame.ts';
import { FrameReader } from '../src/mon/framereader.ts';
import { gcmStreams } from '../src/mon/gcm.ts';
import { base64, type ClusterSidecar, fromBase64 } from './mon-sidecar.ts';

/** What came of one connection. */
export interface Admitted {
  readonly entity: string;
  readonly mode: number;
  /** Whether the sidecar found the client's AUTH_SIGNATURE good. */
  readonly signatureIsGood: boolean;
  /** Whether the client went on after ours: then it found that one good. */
  readonly identified: boolean;
}

export class StandIn {
  /** One for each connection that came to its end, or why it did not. */
  readonly admitted: (Admitted | string)[] = [];
  readonly #sidecar: ClusterSidecar;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(sidecar: ClusterSidecar) {
    this.#sidecar = sidecar;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true).on('error', () => undefined);
      const peer = new Peer(this.#sidecar, socket, `stand-in ${this.#sockets.size}`);
      void peer.serve().then(
        (admitted) => this.admitted.push(admitted),
        (error: unknown) => this.admitted.push(String(error)),
      );
    });
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(port, '127.0.0.1', resolve);
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

class Peer {
  readonly #sidecar: ClusterSidecar;
  readonly #socket: Socket;
  readonly #connection: string;
  readonly #reader = new FrameReader();
  readonly #sent: Uint8Array[] = [];
  readonly #received: Uint8Array[] = [];
  #framing: Framing = crcFraming(1);
  #isAuthenticated = false;

  constructor(sidecar: ClusterSidecar, socket: Socket, connection: string) {
    this.#sidecar = sidecar;
    this.#socket = socket;
    this.#connection = connection;
  }

  async serve(): Promise<Admitted> {
    this.#write(encodeBanner({ supported: 1n, required: 0n }));
    await this.#read(() => this.#reader.banner());
    this.#send(control.HELLO, { entityType: ENTITY_TYPE_OSD, peerAddress: this.#peerAddress });
    await this.#frame(control.HELLO);
    const request = await this.#frame(control.AUTH_REQUEST);
    const mode = request.modes[0]!;
    const secure = mode === control.MODE_SECURE;
    const common = { service: 'osd', peer: '127.0.0.1', connection: this.#connection, secure };
    const first = await this.#verify({ ...common, authorizer: base64(request.payload) });
    if (first.challenge === undefined) throw new Error(`no challenge: ${first.reason.code}`);
    this.#send(control.AUTH_REPLY_MORE, fromBase64(first.challenge));
    const authorizer = base64(await this.#frame(control.AUTH_REQUEST_MORE));
    const state = { challenge_state: first.challenge_state };
    const verdict = await this.#verify({ ...common, authorizer, ...state });
    if (verdict.decision !== true) throw new Error(`refused: ${verdict.reason.code}`);
    const payload = fromBase64(verdict.reply);
    this.#send(control.AUTH_DONE, { globalId: BigInt(verdict.global_id), mode, payload });
    this.#isAuthenticated = true;
    if (secure) {
      const secret = fromBase64(verdict.connection_secret);
      this.#framing = secureFraming(1, gcmStreams(secret, 'server', 1));
    }
    return { entity: verdict.entity, mode, ...(await this.#signatures(verdict.session)) };
  }

  /** Each side signs what it received before AUTH_SIGNATURE, the sidecar for us. */
  async #signatures(session: string): Promise<Pick<Admitted, 'signatureIsGood' | 'identified'>> {
    const about = { session, scheme: 'msgr2-auth' };
    const bytesOf = (pieces: readonly Uint8Array[]) => ({ bytes: base64(joined(pieces)) });
    const ours = await this.#sidecar.call('/v1/sign', { ...about, block: bytesOf(this.#received) });
    this.#send(control.AUTH_SIGNATURE, fromBase64(ours.signature));
    const theirs = base64(await this.#frame(control.AUTH_SIGNATURE));
    const check = { ...about, block: bytesOf(this.#sent), signature: theirs };
    const { decision } = await this.#sidecar.call('/v1/sign/verify', check);
    await this.#frame(control.CLIENT_IDENT);
    return { signatureIsGood: decision, identified: true };
  }

  #verify(body: unknown): ReturnType<ClusterSidecar['call']> {
    return this.#sidecar.call('/v1/verify', body);
  }

  get #peerAddress() {
    const { remoteAddress = '', remotePort = 0 } = this.#socket;
    return { ...BLANK_ADDRESS, type: 'v2' as const, host: remoteAddress, port: remotePort };
  }

  #send<T>(payload: control.Payload<T>, value: T): void {
    this.#write(this.#framing.encode(control.controlFrame(payload, value)));
  }

  #write(bytes: Uint8Array): void {
    if (!this.#isAuthenticated) this.#sent.push(bytes);
    this.#socket.write(bytes);
  }

  async #frame<T>(payload: control.Payload<T>): Promise<T> {
    const frame = await this.#read<Frame>(() =>
      this.#reader.frame(this.#framing, LIMITS_BEFORE_AUTH),
    );
    if (frame.tag !== payload.tag) throw new Error(`frame ${frame.tag}, not ${payload.tag}`);
    return control.openControl(payload, frame);
  }

  /** Waits until something is whole. Throws when the client hangs up, or is too slow. */
  async #read<T>(
    next: () => { readonly value: unknown; readonly raw: readonly Uint8Array[] } | undefined,
  ): Promise<T> {
    for (;;) {
      const read = next();
      if (read !== undefined) {
        if (!this.#isAuthenticated) this.#received.push(...read.raw);
        return read.value as T;
      }
      this.#reader.push(await nextBytes(this.#socket));
    }
  }
}

function nextBytes(socket: Socket): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const held = socket.read() as Uint8Array | null;
    if (held !== null) return resolve(held);
    if (socket.destroyed) return reject(new Error('the client hung up'));
    const settle = (): void => {
      clearTimeout(timer);
      socket.off('readable', onReadable).off('close', onClose);
    };
    const onReadable = (): void => {
      const bytes = socket.read() as Uint8Array | null;
      if (bytes === null) return;
      settle();
      resolve(bytes);
    };
    const onClose = (): void => {
      settle();
      reject(new Error('the client hung up'));
    };
    const timer = setTimeout(onClose, STEP_MS);
    socket.on('readable', onReadable).on('close', onClose);
  });
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

const ENTITY_TYPE_OSD = 4;
const STEP_MS = 20_000;
