/**
 * Messages to and from a monitor (Ceph: msgr.h, src/messages; msgr2-mon.md 9 and 10). In msgr2 a
 * message has no footer and no signature: its frame protects it.
 */

import { decode, Reader, Writer } from '../cephx/denc.ts';
import { TAG_MESSAGE } from './control.ts';
import { protocolError } from './errors.ts';
import type { Frame } from './frame.ts';

export const MSG_MON_MAP = 4;
export const MSG_MON_GET_MAP = 5;
export const MSG_MON_SUBSCRIBE = 15;
export const MSG_AUTH = 17;
export const MSG_AUTH_REPLY = 18;
export const MSG_MON_COMMAND = 50;
export const MSG_MON_COMMAND_ACK = 51;
export const MSG_CONFIG = 62;

/** What a sender says of a message; the connection numbers it. */
export interface OutgoingMessage {
  readonly type: number;
  readonly version: number;
  /** The oldest version that a receiver must know. */
  readonly compatVersion: number;
  readonly tid: bigint;
  readonly front: Uint8Array;
  readonly data?: Uint8Array;
}

export interface Message {
  readonly seq: bigint;
  readonly ackSeq: bigint;
  readonly tid: bigint;
  readonly type: number;
  readonly priority: number;
  readonly version: number;
  readonly compatVersion: number;
  readonly flags: number;
  readonly front: Uint8Array;
  readonly middle: Uint8Array;
  readonly data: Uint8Array;
}

/**
 * ceph_msg_header2, 41 bytes.
 *
 *   0 u64 seq · 8 u64 tid · 16 u16 type · 18 u16 priority · 20 u16 version ·
 *   22 u32 data_pre_padding_len · 26 u16 data_off · 28 u64 ack_seq · 36 u8 flags ·
 *   37 u16 compat_version · 39 u16 reserved
 */
export function messageFrame(message: Message): Frame {
  const header = new Writer().u64(message.seq).u64(message.tid).u16(message.type);
  header.u16(message.priority).u16(message.version).u32(0).u16(0).u64(message.ackSeq);
  header.u8(message.flags).u16(message.compatVersion).u16(0);
  const segments = [header.finish(), message.front, message.middle, message.data];
  while (segments.length > 1 && segments.at(-1)!.length === 0) segments.pop();
  return { tag: TAG_MESSAGE, segments };
}

/** Throws DecodeError, MonError. */
export function openMessage({ segments }: Frame): Message {
  const header = new Reader(segments[0]!);
  const [seq, tid] = [header.u64('message'), header.u64('message')];
  const [type, priority, version] = [header.u16('message'), header.u16('message'), header.u16()];
  header.bytes(6, 'message');
  const ackSeq = header.u64('message');
  const flags = header.u8('message');
  const compatVersion = header.u16('message');
  header.u16('message');
  header.end('message header');
  const [front = EMPTY, middle = EMPTY, data = EMPTY] = segments.slice(1);
  const numbers = { seq, ackSeq, tid, type, priority, version, compatVersion, flags };
  return { ...numbers, front, middle, data };
}

/** MMonGetMap. */
export function getMapMessage(): OutgoingMessage {
  return { type: MSG_MON_GET_MAP, version: 1, compatVersion: 1, tid: 0n, front: EMPTY };
}

/** One thing to be told of: "monmap" or "config", from a version on. */
export interface Subscription {
  readonly what: string;
  readonly start: bigint;
}

/** MMonSubscribe: u32 n, n x { string what, u64 start, u8 flags }, string host name. */
export function subscribeMessage(
  subscriptions: readonly Subscription[],
  hostname: string,
): OutgoingMessage {
  const front = new Writer().u32(subscriptions.length);
  for (const { what, start } of subscriptions) front.string(what).u64(start).u8(0);
  front.string(hostname);
  return {
    type: MSG_MON_SUBSCRIBE,
    version: 3,
    compatVersion: 1,
    tid: 0n,
    front: front.finish(),
  };
}

/** MAuth: Paxos prefix, u32 protocol 2, bl payload, and if given the epoch of our monmap. */
export function authMessage(payload: Uint8Array, monmapEpoch?: number): OutgoingMessage {
  const front = paxosPrefix().u32(PROTOCOL_CEPHX).bl(payload);
  if (monmapEpoch !== undefined) front.u32(monmapEpoch);
  return { type: MSG_AUTH, version: 1, compatVersion: 1, tid: 0n, front: front.finish() };
}

/** MAuthReply: u32 protocol, s32 result, u64 global_id, bl payload, string text. */
export interface AuthReply {
  readonly result: number;
  readonly globalId: bigint;
  readonly payload: Uint8Array;
}

export function openAuthReply({ front }: Message): AuthReply {
  const reader = new Reader(front);
  const protocol = reader.u32('MAuthReply');
  if (protocol !== PROTOCOL_CEPHX) throw protocolError('MAuthReply', `protocol ${protocol}`);
  return {
    result: reader.s32('MAuthReply'),
    globalId: reader.u64('MAuthReply'),
    payload: reader.bl('MAuthReply'),
  };
}

/** MMonCommand: Paxos prefix, fsid, u32 1, string JSON; input in the data segment. */
export function commandMessage(
  tid: bigint,
  fsid: Uint8Array,
  json: string,
  input: Uint8Array = EMPTY,
): OutgoingMessage {
  const front = paxosPrefix().bytes(fsid).u32(1).string(json).finish();
  return { type: MSG_MON_COMMAND, version: 1, compatVersion: 1, tid, front, data: input };
}

/** MMonCommandAck: Paxos prefix, s32 result, string status text; output in the data segment. */
export interface CommandAck {
  /** 0 or a negative errno. */
  readonly result: number;
  /** May hold a key (`auth export`): never to be logged. */
  readonly status: string;
  readonly output: Uint8Array;
}

export function openCommandAck({ front, data }: Message): CommandAck {
  const reader = new Reader(front);
  reader.bytes(PAXOS_PREFIX_LEN, 'MMonCommandAck');
  return {
    result: reader.s32('MMonCommandAck'),
    status: reader.string('MMonCommandAck'),
    output: data,
  };
}

/** The encoded monitors' map in a MMonMap. Later fields are of no interest. */
export function openMonMapMessage({ front }: Message): Uint8Array {
  return decode((reader) => reader.bl('MMonMap'), front, 'ignore');
}

/** u64 version 0, s16 session_mon -1, u64 session_mon_tid 0. */
function paxosPrefix(): Writer {
  return new Writer().u64(0n).u16(0xffff).u64(0n);
}

const EMPTY = new Uint8Array(0);
const PROTOCOL_CEPHX = 2;
const PAXOS_PREFIX_LEN = 18;
