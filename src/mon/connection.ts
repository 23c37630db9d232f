/**
 * The client's side of one connection to a monitor, from banner to messages: bytes in, bytes and
 * events out; no socket, no clock (Ceph: ProtocolV2.cc; msgr2-mon.md 1 to 9).
 *
 * Whatever the monitor does that it must not do ends the connection, with no second try in a
 * weaker way: MonError `mon.protocol`; what it refuses is `mon.refused`. After a throw the
 * connection is of no use.
 */

import { ENTITY_TYPE_AUTH, ENTITY_TYPE_CLIENT, ENTITY_TYPE_MON } from '../../assembly/abi.ts';
import type { CephxClientHandler, ClientStep } from '../cephx/client.ts';
import type { CryptoKey, Sealer } from '../cephx/cryptokey.ts';
import { DecodeError, equalBytes, Writer } from '../cephx/denc.ts';
import { handshakeSignature } from '../cephx/signature.ts';
import { type EntityAddress, formatAddress, sameAddress } from './address.ts';
import { type Banner, encodeBanner, FEATURE_REVISION_1 } from './banner.ts';
import * as control from './control.ts';
import { protocolError } from './errors.ts';
import {
  crcFraming,
  type Frame,
  type Framing,
  LIMITS_AFTER_AUTH,
  LIMITS_BEFORE_AUTH,
  secureFraming,
} from './frame.ts';
import { FrameReader, type Read } from './framereader.ts';
import { type GcmStreams, gcmStreams } from './gcm.ts';
import { type Message, messageFrame, type OutgoingMessage, openMessage } from './message.ts';
import { identRefused, loginRefused, unwrap } from './refusals.ts';

export interface ConnectionOptions {
  readonly sealer: Sealer;
  /** The address that was dialled. */
  readonly target: EntityAddress;
  /** Logs in; on this connection nobody else uses it before it is open. */
  readonly handler: CephxClientHandler;
  /** Tells our connections apart in the monitor's log: any u32. */
  readonly nonce: number;
  /** Takes crc mode where the monitor does not offer secure mode. */
  readonly allowCrc?: boolean;
  /** The crc mode alone, and another entity type than client: for recorded conversations. */
  readonly modes?: readonly number[];
  readonly entityType?: number;
  /** What we say of a message's flags and priority. */
  readonly messageFlags?: number;
}

export type ConnectionEvent =
  | { readonly kind: 'open'; readonly isSecure: boolean }
  | { readonly kind: 'message'; readonly message: Message }
  | { readonly kind: 'keepalive_ack'; readonly stamp: Uint8Array };

/** What we wait for. */
export type Step =
  | 'banner'
  | 'HELLO'
  | 'AUTH_REPLY_MORE'
  | 'AUTH_DONE'
  | 'AUTH_SIGNATURE'
  | 'SERVER_IDENT'
  | 'messages';

export class ClientConnection {
  readonly #options: ConnectionOptions;
  readonly #reader = new FrameReader();
  #output = new Writer();
  #events: ConnectionEvent[] = [];
  #step: Step = 'banner';
  #framing: Framing = crcFraming(1);
  #streams: GcmStreams | undefined;
  /** All bytes of both directions until AUTH_DONE, for the signatures. */
  #sent: Uint8Array[] = [];
  #received: Uint8Array[] = [];
  #ownHost = '';
  /** Of the AUTH ticket, from AUTH_DONE on. */
  #sessionKey: CryptoKey | undefined;
  #seqOut = 0n;
  #seqIn = 0n;
  /** Keepalives of the monitor since our own last one. */
  #keepalives = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#send(encodeBanner({ supported: FEATURE_REVISION_1, required: 0n }));
  }

  /** What we wait for: says where a connection that was closed had come to. */
  get step(): Step {
    return this.#step;
  }

  /** The bytes to send now. */
  takeOutput(): Uint8Array {
    return this.#output.finish();
  }

  /** Takes bytes of any length. Throws MonError. */
  receive(bytes: Uint8Array): ConnectionEvent[] {
    this.#reader.push(bytes);
    try {
      while (this.#readOne());
    } catch (error) {
      this.close();
      if (error instanceof DecodeError) throw protocolError(this.#step, error.code);
      throw error;
    }
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Sends a message under the next number. RangeError before the connection is open. */
  send(message: OutgoingMessage): void {
    if (this.#step !== 'messages') throw new RangeError('cannot send a message: not open');
    this.#seqOut += 1n;
    const { messageFlags = FLAGS_OF_CEPH } = this.#options;
    const numbers = { seq: this.#seqOut, ackSeq: this.#seqIn, flags: messageFlags };
    const body = { middle: EMPTY, data: EMPTY, ...message };
    this.#sendFrame(messageFrame({ ...body, ...numbers, priority: PRIORITY_HIGH }));
  }

  /**
   * To be sent every few seconds, and answered: a monitor may send some of its own in between.
   *
   * @param stamp 8 bytes that the ack repeats
   */
  sendKeepalive(stamp: Uint8Array): void {
    if (this.#step !== 'messages') throw new RangeError('cannot send a keepalive: not open');
    this.#keepalives = 0;
    this.#sendFrame(control.controlFrame(control.KEEPALIVE2, stamp));
  }

  /** Forgets the keys of the connection. */
  close(): void {
    this.#streams?.send.wipe();
    this.#streams?.receive.wipe();
    this.#sent = [];
    this.#received = [];
  }

  #readOne(): boolean {
    if (this.#step === 'banner') {
      const banner = this.#kept(this.#reader.banner());
      if (banner !== undefined) this.#onBanner(banner);
      return banner !== undefined;
    }
    const isAuthenticated = this.#step === 'SERVER_IDENT' || this.#step === 'messages';
    const limits = isAuthenticated ? LIMITS_AFTER_AUTH : LIMITS_BEFORE_AUTH;
    const frame = this.#kept(this.#reader.frame(this.#framing, limits));
    if (frame !== undefined) this.#onFrame(frame);
    return frame !== undefined;
  }

  /** Keeps what was read for our signature, while that is open. */
  #kept<T>(read: Read<T> | undefined): T | undefined {
    if (read !== undefined && this.#sessionKey === undefined) this.#received.push(...read.raw);
    return read?.value;
  }

  #onBanner({ supported, required }: Banner): void {
    if ((required & ~FEATURE_REVISION_1) !== 0n) {
      throw protocolError('banner', `it requires features 0x${required.toString(16)}`);
    }
    if ((supported & FEATURE_REVISION_1) === 0n) {
      throw protocolError('banner', 'the monitor speaks msgr2.0 only');
    }
    const { target, handler, entityType = ENTITY_TYPE_CLIENT } = this.#options;
    this.#sendControl(control.HELLO, { entityType, peerAddress: target });
    const payload = handler.hello();
    const method = control.METHOD_CEPHX;
    this.#sendControl(control.AUTH_REQUEST, { method, modes: this.#modes, payload });
    this.#step = 'HELLO';
  }

  get #modes(): readonly number[] {
    const { modes, allowCrc } = this.#options;
    return modes ?? (allowCrc ? [control.MODE_SECURE, control.MODE_CRC] : [control.MODE_SECURE]);
  }

  #onFrame(frame: Frame): void {
    if (frame.segments.length > 1 && frame.tag !== control.TAG_MESSAGE) {
      throw protocolError(this.#step, `frame ${frame.tag} has ${frame.segments.length} segments`);
    }
    if (this.#step === 'messages') {
      this.#onSessionFrame(frame);
      return;
    }
    if (frame.tag === control.TAG_AUTH_BAD_METHOD && MAY_BE_REFUSED.includes(this.#step)) {
      throw loginRefused(control.openControl(control.AUTH_BAD_METHOD, frame));
    }
    if (frame.tag === control.TAG_IDENT_MISSING_FEATURES && this.#step === 'SERVER_IDENT') {
      throw identRefused(control.openControl(control.IDENT_MISSING_FEATURES, frame));
    }
    if (frame.tag !== EXPECTED[this.#step])
      throw protocolError(this.#step, `frame ${frame.tag} came`);
    switch (frame.tag) {
      case control.TAG_HELLO:
        this.#onHello(control.openControl(control.HELLO, frame));
        break;
      case control.TAG_AUTH_REPLY_MORE:
        this.#onChallenge(control.openControl(control.AUTH_REPLY_MORE, frame));
        break;
      case control.TAG_AUTH_DONE:
        this.#onDone(control.openControl(control.AUTH_DONE, frame));
        break;
      case control.TAG_AUTH_SIGNATURE:
        this.#onSignature(control.openControl(control.AUTH_SIGNATURE, frame));
        break;
      case control.TAG_SERVER_IDENT:
        this.#onIdent(control.openControl(control.SERVER_IDENT, frame));
        break;
    }
  }

  #onHello({ entityType, peerAddress }: control.Hello): void {
    if (entityType !== ENTITY_TYPE_MON) {
      throw protocolError('HELLO', `the peer is no monitor but of entity type ${entityType}`);
    }
    this.#ownHost = peerAddress.host;
    this.#step = 'AUTH_REPLY_MORE';
  }

  #onChallenge(payload: Uint8Array): void {
    const step = unwrap(this.#options.handler.receive(payload), 'AUTH_REPLY_MORE');
    if (step.kind !== 'send') throw protocolError('AUTH_REPLY_MORE', 'it is no challenge');
    this.#sendControl(control.AUTH_REQUEST_MORE, step.payload);
    this.#step = 'AUTH_DONE';
  }

  #onDone({ globalId, mode, payload }: control.AuthDone): void {
    if (!this.#modes.includes(mode)) {
      throw protocolError('AUTH_DONE', `connection mode ${mode}, which we did not offer`);
    }
    const { sealer, handler } = this.#options;
    const connection = mode === control.MODE_SECURE ? 'secure' : 'crc';
    const step: ClientStep = unwrap(
      handler.receive(payload, { globalId, connection }),
      'AUTH_DONE',
    );
    if (step.kind !== 'login') throw protocolError('AUTH_DONE', 'it is no login reply');
    const { connectionSecret } = step;
    this.#sessionKey = handler.tickets.held(ENTITY_TYPE_AUTH)!.sessionKey;
    const signature = handshakeSignature(sealer, this.#sessionKey, this.#transcript(true));
    if (mode === control.MODE_SECURE) {
      this.#streams = gcmStreams(connectionSecret, 'client', 1);
      this.#framing = secureFraming(1, this.#streams);
    }
    connectionSecret.fill(0);
    this.#received = [];
    this.#output.bytes(
      this.#framing.encode(control.controlFrame(control.AUTH_SIGNATURE, signature)),
    );
    this.#step = 'AUTH_SIGNATURE';
  }

  #onSignature(signature: Uint8Array): void {
    const { sealer, nonce, target } = this.#options;
    const expected = handshakeSignature(sealer, this.#sessionKey, this.#transcript(false));
    this.#sent = [];
    if (!equalBytes(signature, expected) || equalBytes(signature, NO_SIGNATURE)) {
      throw protocolError('AUTH_SIGNATURE', 'it is not of the bytes that we sent');
    }
    this.#sendControl(control.CLIENT_IDENT, {
      addresses: [{ type: 'any', nonce, host: this.#ownHost, port: 0 }],
      target,
      gid: NO_GID,
      globalSeq: 1n,
      supported: FEATURES,
      required: FEATURES_REQUIRED,
      flags: FLAG_LOSSY,
      cookie: 0n,
    });
    this.#step = 'SERVER_IDENT';
  }

  #onIdent({ addresses, required }: control.ServerIdent): void {
    const { target } = this.#options;
    if (!addresses.some((address) => sameAddress(address, target))) {
      throw protocolError('SERVER_IDENT', `it is not of ${formatAddress(target)}`);
    }
    if ((required & ~FEATURES) !== 0n) throw identRefused(required & ~FEATURES);
    this.#step = 'messages';
    this.#events.push({ kind: 'open', isSecure: this.#streams !== undefined });
  }

  #onSessionFrame(frame: Frame): void {
    switch (frame.tag) {
      case control.TAG_MESSAGE: {
        const message = openMessage(frame);
        if (message.seq <= this.#seqIn) throw protocolError('message', 'its number came before');
        this.#seqIn = message.seq;
        this.#events.push({ kind: 'message', message });
        return;
      }
      case control.TAG_KEEPALIVE2: {
        // Real monitors send none. What we owe to one that does not read must not grow for ever.
        if (++this.#keepalives > KEEPALIVES_MAX) {
          throw protocolError('messages', `more than ${KEEPALIVES_MAX} keepalives came`);
        }
        const stamp = control.openControl(control.KEEPALIVE2, frame);
        this.#sendControl(control.KEEPALIVE2_ACK, stamp);
        return;
      }
      case control.TAG_KEEPALIVE2_ACK: {
        const stamp = control.openControl(control.KEEPALIVE2_ACK, frame);
        this.#events.push({ kind: 'keepalive_ack', stamp });
        return;
      }
      // A lossy connection has none; one that comes means nothing.
      case control.TAG_ACK:
        return;
      default:
        throw protocolError('messages', `frame ${frame.tag} came`);
    }
  }

  #transcript(ofReceived: boolean): Uint8Array {
    const out = new Writer();
    for (const bytes of ofReceived ? this.#received : this.#sent) out.bytes(bytes);
    return out.finish();
  }

  #sendControl<T>(payload: control.Payload<T>, value: T): void {
    this.#sendFrame(control.controlFrame(payload, value));
  }

  #sendFrame(frame: Frame): void {
    this.#send(this.#framing.encode(frame));
  }

  #send(bytes: Uint8Array): void {
    if (this.#sessionKey === undefined) this.#sent.push(bytes);
    this.#output.bytes(bytes);
  }
}

/** The frame that must come in a step of the handshake. */
const EXPECTED: Readonly<Record<Step, number | undefined>> = {
  banner: undefined,
  HELLO: control.TAG_HELLO,
  AUTH_REPLY_MORE: control.TAG_AUTH_REPLY_MORE,
  AUTH_DONE: control.TAG_AUTH_DONE,
  AUTH_SIGNATURE: control.TAG_AUTH_SIGNATURE,
  SERVER_IDENT: control.TAG_SERVER_IDENT,
  messages: undefined,
};
const MAY_BE_REFUSED: readonly Step[] = ['AUTH_REPLY_MORE', 'AUTH_DONE'];

const KEEPALIVES_MAX = 1_000;
const EMPTY = new Uint8Array(0);
const NO_SIGNATURE = new Uint8Array(32);
/** -1: we are no daemon that the monitor should send maps to. */
const NO_GID = 0xffffffffffffffffn;
/** All that 16.2.15 knows: they choose the encodings of what we are sent. */
export const FEATURES = 0x3f01cfbdfffdffffn;
const FEATURES_REQUIRED = 0x0800000000000000n;
const FLAG_LOSSY = 1n;
const PRIORITY_HIGH = 127;
const FLAGS_OF_CEPH = 3;
