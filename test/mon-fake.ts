/**
 * A monitor in this process, for tests: speaks msgr2.1 in secure mode over loopback, knows a few
 * entities, hands out rotating secrets, its map and answers to commands. At each step a test may
 * have it say something else, nothing, or hang up.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { challengeHashMatches } from '../src/cephx/authorizer.ts';
import { CryptoKey, type Sealer } from '../src/cephx/cryptokey.ts';
import { Reader, utimeFromNs, Writer } from '../src/cephx/denc.ts';
import {
  capsBuffer,
  decodeAuthenticate,
  decodeLoginHello,
  decodeRequestHeader,
  ENTITY_TYPES,
  type EntityName,
  encodeResponseHeader,
  encodeServerChallenge,
  formatEntityName,
  type RotatingSecrets,
} from '../src/cephx/protocol.ts';
import { handshakeSignature } from '../src/cephx/signature.ts';
import {
  openServiceTicket,
  sealConnectionSecret,
  sealRotatingSecrets,
  sealServiceTicket,
  sealTicketReply,
} from '../src/cephx/ticket.ts';
import { type EntityAddress, encodeAddresses } from '../src/mon/address.ts';
import { encodeBanner } from '../src/mon/banner.ts';
import { FEATURES } from '../src/mon/connection.ts';
import * as control from '../src/mon/control.ts';
import {
  crcFraming,
  type Frame,
  type Framing,
  LIMITS_AFTER_AUTH,
  secureFraming,
} from '../src/mon/frame.ts';
import { FrameReader } from '../src/mon/framereader.ts';
import { gcmStreams } from '../src/mon/gcm.ts';
import * as message from '../src/mon/message.ts';

export type FakeStep =
  | 'banner'
  | 'hello'
  | 'challenge'
  | 'done'
  | 'signature'
  | 'ident'
  | 'message'
  | 'keepalive';

/**
 * What is said instead: a frame, raw bytes, nothing from now on, or the end. Undefined: what a
 * monitor would say.
 */
export type Twist = Frame | Uint8Array | 'silence' | 'close' | undefined;

export interface FakeOptions {
  readonly sealer: Sealer;
  readonly entities: ReadonlyMap<string, CryptoKey>;
  /** None: nobody may have any. */
  readonly rotating?: (() => RotatingSecrets) | undefined;
  /** Output of a command by its prefix; unknown ones are -22. */
  readonly commands?: Readonly<Record<string, string>>;
  /** The encoded map; default: this monitor alone, epoch 1. */
  readonly monmap?: (self: FakeMonitor) => Uint8Array;
  readonly twist?: (step: FakeStep, usual: Frame | undefined, peer: FakePeer) => Twist;
  readonly mode?: number;
  /** Seals AUTH tickets; the monitors of a cluster share it. */
  readonly authSecret?: CryptoKey;
  readonly connectionSecretLen?: number;
}

export class FakeMonitor {
  readonly options: FakeOptions;
  readonly peers: Set<FakePeer> = new Set();
  /** How many connections there were, and how many of them logged in. */
  accepted = 0;
  loggedIn = 0;
  /** What clients asked for when they logged in. */
  readonly authRequests: control.AuthRequest[] = [];
  /** MAuth requests for rotating secrets. */
  fetched = 0;
  /** Paused: the kernel takes connections, nobody answers. */
  paused = false;
  readonly authSecret: CryptoKey;
  readonly #server: Server;
  address: EntityAddress = { type: 'v2', nonce: 0, host: '127.0.0.1', port: 0 };

  constructor(options: FakeOptions) {
    this.options = options;
    this.authSecret =
      options.authSecret ?? CryptoKey.create('aes256k', utimeFromNs(0n), randomBytes);
    this.#server = createServer((socket) => {
      this.accepted++;
      const peer = new FakePeer(this, socket);
      this.peers.add(peer);
      socket.on('close', () => this.peers.delete(peer));
    });
  }

  /** @param port 0 finds one */
  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.address = { ...this.address, port: (this.#server.address() as { port: number }).port };
    return this;
  }

  /** As a process that is killed. */
  async kill(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const peer of this.peers) peer.socket.destroy();
    await closed;
  }

  /** Sends its map to everybody again. */
  pushMonMap(): void {
    for (const peer of this.peers) if (peer.isOpen) peer.sendMonMap();
  }

  encodedMonMap(): Uint8Array {
    return this.options.monmap?.(this) ?? encodeMonMap({ epoch: 1, monitors: [this] });
  }
}

/** One connection of a client to the monitor. */
export class FakePeer {
  readonly monitor: FakeMonitor;
  readonly socket: Socket;
  readonly reader: FrameReader = new FrameReader();
  isOpen = false;
  #sawBanner = false;
  #isMute = false;
  #framing: Framing = crcFraming(1);
  readonly #sent: Uint8Array[] = [];
  readonly #received: Uint8Array[] = [];
  #name: EntityName = { type: 0, id: '' };
  #challenge = 0n;
  #claimed = 0n;
  #sessionKey: CryptoKey | undefined;
  #seq = 0n;

  constructor(monitor: FakeMonitor, socket: Socket) {
    this.monitor = monitor;
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      try {
        this.#receive(Uint8Array.from(bytes as Uint8Array));
      } catch {
        socket.destroy();
      }
    });
    if (monitor.paused) return;
    const twist = monitor.options.twist?.('banner', undefined, this);
    if (twist === undefined) this.#raw(encodeBanner({ supported: 1n, required: 0n }));
    else this.#twisted(twist);
  }

  get key(): CryptoKey | undefined {
    return this.monitor.options.entities.get(formatEntityName(this.#name));
  }

  send(step: FakeStep, frame: Frame): void {
    const twist = this.monitor.options.twist?.(step, frame, this);
    if (twist === undefined) this.sendFrame(frame);
    else this.#twisted(twist);
  }

  sendFrame(frame: Frame): void {
    this.#raw(this.#framing.encode(frame));
  }

  sendMessage(outgoing: message.OutgoingMessage): void {
    this.#seq += 1n;
    const rest = { middle: new Uint8Array(0), data: new Uint8Array(0), ...outgoing };
    const numbers = { seq: this.#seq, ackSeq: 0n, priority: 196, flags: 3 };
    this.send('message', message.messageFrame({ ...rest, ...numbers }));
  }

  sendMonMap(): void {
    const front = new Writer().bl(this.monitor.encodedMonMap()).finish();
    this.sendMessage({ type: message.MSG_MON_MAP, version: 1, compatVersion: 1, tid: 0n, front });
  }

  #twisted(twist: Exclude<Twist, undefined>): void {
    if (twist === 'close') this.socket.destroy();
    else if (twist === 'silence') this.#isMute = true;
    else if (twist instanceof Uint8Array) this.#raw(twist);
    else this.sendFrame(twist);
  }

  #raw(bytes: Uint8Array): void {
    if (this.#isMute) return;
    if (this.#sessionKey === undefined) this.#sent.push(bytes);
    this.socket.write(bytes);
  }

  #receive(bytes: Uint8Array): void {
    if (this.monitor.paused) return;
    this.reader.push(bytes);
    if (!this.#sawBanner) {
      const banner = this.reader.banner();
      if (banner === undefined) return;
      this.#sawBanner = true;
      this.#received.push(...banner.raw);
      const { host = '', port = 0 } = {
        host: this.socket.remoteAddress,
        port: this.socket.remotePort,
      };
      const peerAddress: EntityAddress = { type: 'v2', nonce: 0, host, port };
      this.send('hello', control.controlFrame(control.HELLO, { entityType: 1, peerAddress }));
    }
    for (;;) {
      const read = this.reader.frame(this.#framing, LIMITS_AFTER_AUTH);
      if (read === undefined) return;
      if (this.#sessionKey === undefined) this.#received.push(...read.raw);
      this.#onFrame(read.value);
    }
  }

  #onFrame(frame: Frame): void {
    switch (frame.tag) {
      case control.TAG_AUTH_REQUEST:
        this.#onAuthRequest(control.openControl(control.AUTH_REQUEST, frame));
        break;
      case control.TAG_AUTH_REQUEST_MORE:
        this.#onProof(control.openControl(control.AUTH_REQUEST_MORE, frame));
        break;
      case control.TAG_AUTH_SIGNATURE:
        this.#onSignature(control.openControl(control.AUTH_SIGNATURE, frame));
        break;
      case control.TAG_CLIENT_IDENT:
        this.#onIdent();
        break;
      case control.TAG_KEEPALIVE2: {
        const stamp = control.openControl(control.KEEPALIVE2, frame);
        this.send('keepalive', control.controlFrame(control.KEEPALIVE2_ACK, stamp));
        break;
      }
      case control.TAG_MESSAGE:
        this.#onMessage(message.openMessage(frame));
        break;
    }
  }

  #onAuthRequest(request: control.AuthRequest): void {
    const { payload, modes } = request;
    this.monitor.authRequests.push(request);
    if (!modes.includes(this.#mode)) {
      this.#refuse(-95);
      return;
    }
    const { name, globalId } = decodeLoginHello(new Reader(payload));
    this.#name = name;
    this.#claimed = globalId;
    this.#challenge = new Reader(randomBytes(8)).u64();
    const out = new Writer();
    encodeServerChallenge(out, this.#challenge);
    this.send('challenge', control.controlFrame(control.AUTH_REPLY_MORE, out.finish()));
  }

  #refuse(result: number): void {
    const refusal = { method: control.METHOD_CEPHX, result, methods: [2], modes: [this.#mode] };
    this.send('done', control.controlFrame(control.AUTH_BAD_METHOD, refusal));
  }

  get #mode(): number {
    return this.monitor.options.mode ?? control.MODE_SECURE;
  }

  #onProof(payload: Uint8Array): void {
    const { sealer, connectionSecretLen = 64 } = this.monitor.options;
    const reader = new Reader(payload);
    decodeRequestHeader(reader);
    const asked = decodeAuthenticate(reader);
    const challenges = { server: this.#challenge, client: asked.clientChallenge };
    const { key } = this;
    if (key === undefined || !challengeHashMatches(sealer, key, challenges, asked.key)) {
      this.#refuse(-13);
      return;
    }
    const isSecure = this.#mode === control.MODE_SECURE;
    const secret = randomBytes(isSecure ? connectionSecretLen : 0);
    const oldSessionKey = this.#reclaim(asked.oldTicket.blob);
    if (this.#claimed !== 0n && oldSessionKey === undefined) {
      this.#refuse(-13);
      return;
    }
    this.monitor.loggedIn++;
    const globalId = this.#claimed || new Reader(randomBytes(8)).u64() | 1n;
    const done = control.controlFrame(control.AUTH_DONE, {
      globalId,
      mode: this.#mode,
      payload: this.#loginReply(key, globalId, secret, oldSessionKey),
    });
    const sessionKey = this.#sessionKey!;
    this.#sessionKey = undefined;
    this.send('done', done);
    this.#sessionKey = sessionKey;
    if (isSecure && connectionSecretLen === 64) {
      this.#framing = secureFraming(1, gcmStreams(secret, 'server', 1));
    }
    const signature = handshakeSignature(sealer, sessionKey, joined(this.#received));
    this.send('signature', control.controlFrame(control.AUTH_SIGNATURE, signature));
  }

  /** The session key of the ticket with which the claimed global_id is claimed. */
  #reclaim(blob: Uint8Array): CryptoKey | undefined {
    if (this.#claimed === 0n) return undefined;
    try {
      const { sealer } = this.monitor.options;
      const { ticket, sessionKey } = openServiceTicket(sealer, this.monitor.authSecret, blob);
      return ticket.globalId === this.#claimed ? sessionKey : undefined;
    } catch {
      return undefined;
    }
  }

  #loginReply(
    key: CryptoKey,
    globalId: bigint,
    secret: Uint8Array,
    oldSessionKey: CryptoKey | undefined,
  ): Uint8Array {
    const { sealer } = this.monitor.options;
    const sessionKey = CryptoKey.create('aes256k', utimeFromNs(0n), randomBytes);
    this.#sessionKey = sessionKey;
    const times = { created: utimeFromNs(0n), expires: { seconds: 4e9, nanoseconds: 0 } };
    const ticket = {
      name: this.#name,
      globalId,
      auid: 0xffffffffffffffffn,
      ...times,
      caps: { allowAll: false, caps: capsBuffer('allow *') },
      flags: 0,
    };
    const info = { ticket, sessionKey };
    const blob = sealServiceTicket(sealer, this.monitor.authSecret, 2n, info, randomBytes);
    const validity = { seconds: 3600, nanoseconds: 0 };
    const grant = { serviceId: ENTITY_TYPES.auth!, sessionKey, validity, blob };
    const out = new Writer();
    encodeResponseHeader(out, { type: 0x0100, status: 0 });
    out.bytes(sealTicketReply(sealer, key, [grant], randomBytes, oldSessionKey));
    out.bl(sealConnectionSecret(sealer, sessionKey, secret, randomBytes));
    return out.bl(new Uint8Array(0)).finish();
  }

  #onSignature(signature: Uint8Array): void {
    const expected = handshakeSignature(
      this.monitor.options.sealer,
      this.#sessionKey,
      joined(this.#sent),
    );
    if (expected.join() !== signature.join()) this.socket.destroy();
  }

  #onIdent(): void {
    this.isOpen = true;
    const ident = {
      addresses: [this.monitor.address],
      gid: 0n,
      globalSeq: 1n,
      supported: FEATURES,
      required: 0n,
      flags: 1n,
      cookie: 0n,
    };
    this.send('ident', control.controlFrame(control.SERVER_IDENT, ident));
  }

  #onMessage(received: message.Message): void {
    if (received.type === message.MSG_MON_SUBSCRIBE) this.sendMonMap();
    else if (received.type === message.MSG_AUTH) this.#onAuth(received);
    else if (received.type === message.MSG_MON_COMMAND) this.#onCommand(received);
  }

  #onCommand(received: message.Message): void {
    const reader = new Reader(received.front.subarray(38));
    const { prefix } = JSON.parse(reader.string()) as { prefix: string };
    const output = this.monitor.options.commands?.[prefix];
    const front = new Writer().bytes(new Uint8Array(18)).s32(output === undefined ? -22 : 0);
    this.sendMessage({
      type: message.MSG_MON_COMMAND_ACK,
      version: 1,
      compatVersion: 1,
      tid: received.tid,
      front: front.string('').u32(0).finish(),
      data: new TextEncoder().encode(output ?? ''),
    });
  }

  #onAuth({ front }: message.Message): void {
    const payload = new Reader(front.subarray(22)).bl();
    const type = decodeRequestHeader(new Reader(payload));
    const { rotating, sealer } = this.monitor.options;
    const out = new Writer();
    const isKnown = type === 0x0400 && rotating !== undefined;
    if (isKnown) {
      this.monitor.fetched++;
      encodeResponseHeader(out, { type, status: 0 });
      out.bytes(sealRotatingSecrets(sealer, this.key!, rotating(), randomBytes));
    }
    const reply = new Writer()
      .u32(2)
      .s32(isKnown ? 0 : -13)
      .u64(0n);
    this.sendMessage({
      type: message.MSG_AUTH_REPLY,
      version: 1,
      compatVersion: 1,
      tid: 0n,
      front: reply.bl(out.finish()).string('').finish(),
    });
  }
}

export interface FakeMap {
  readonly epoch: number;
  readonly monitors: readonly { readonly address: EntityAddress; readonly priority?: number }[];
  readonly fsid?: Uint8Array;
  /** Version 10 of the map. */
  readonly authEpoch?: number;
}

export function encodeMonMap({ epoch, monitors, fsid = FSID, authEpoch }: FakeMap): Uint8Array {
  const time = utimeFromNs(0n);
  const body = new Writer().bytes(fsid).u32(epoch).utime(time).utime(time);
  for (const features of [255n, 0n]) body.u8(1).u8(1).bl(new Writer().u64(features).finish());
  body.u32(monitors.length);
  for (const [index, { address, priority = 0 }] of monitors.entries()) {
    const info = new Writer().string(NAMES[index]!);
    encodeAddresses(info, [address]);
    info.u16(priority).u16(0).u32(0);
    body.string(NAMES[index]!).u8(5).u8(1).bl(info.finish());
  }
  body.u32(monitors.length);
  for (const index of monitors.keys()) body.string(NAMES[index]!);
  body.u8(16).u32(0).u8(1).u32(0).u8(0).string('').u32(0);
  if (authEpoch !== undefined) body.u32(authEpoch).u32(2).u32(1).u32(2).u32(2);
  const version = authEpoch === undefined ? 9 : 10;
  return new Writer().u8(version).u8(6).bl(body.finish()).finish();
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Writer();
  for (const piece of pieces) out.bytes(piece);
  return out.finish();
}

export function randomBytes(n: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(n));
}

const NAMES = ['a', 'b', 'c', 'd', 'e'];
const FSID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
