/**
 * Control frames (Ceph: frames_v2.h): their tags and payloads, both directions. Bytes after a
 * payload are ignored, as C++ decoders do.
 */

import { decode, encode, type Reader, type Writer } from '../cephx/denc.ts';
import {
  decodeAddress,
  decodeAddresses,
  type EntityAddress,
  encodeAddress,
  encodeAddresses,
} from './address.ts';
import type { Frame } from './frame.ts';

export const TAG_HELLO = 1;
export const TAG_AUTH_REQUEST = 2;
export const TAG_AUTH_BAD_METHOD = 3;
export const TAG_AUTH_REPLY_MORE = 4;
export const TAG_AUTH_REQUEST_MORE = 5;
export const TAG_AUTH_DONE = 6;
export const TAG_AUTH_SIGNATURE = 7;
export const TAG_CLIENT_IDENT = 8;
export const TAG_SERVER_IDENT = 9;
export const TAG_IDENT_MISSING_FEATURES = 10;
export const TAG_MESSAGE = 17;
export const TAG_KEEPALIVE2 = 18;
export const TAG_KEEPALIVE2_ACK = 19;
export const TAG_ACK = 20;

/** Authentication method cephx (Ceph: CEPH_AUTH_CEPHX). */
export const METHOD_CEPHX = 2;

/** Connection modes. */
export const MODE_CRC = 1;
export const MODE_SECURE = 2;

/** HELLO: u8 entity type of the sender, entity_addr of the receiver as the sender sees it. */
export interface Hello {
  readonly entityType: number;
  readonly peerAddress: EntityAddress;
}

export const HELLO: Payload<Hello> = {
  tag: TAG_HELLO,
  decode: (reader) => ({ entityType: reader.u8('HELLO'), peerAddress: decodeAddress(reader) }),
  encode(out, hello) {
    out.u8(hello.entityType);
    encodeAddress(out, hello.peerAddress);
  },
};

/** AUTH_REQUEST: u32 method, u32 n, n x u32 preferred modes, bl payload. */
export interface AuthRequest {
  readonly method: number;
  readonly modes: readonly number[];
  readonly payload: Uint8Array;
}

export const AUTH_REQUEST: Payload<AuthRequest> = {
  tag: TAG_AUTH_REQUEST,
  decode: (reader) => ({
    method: reader.u32('AUTH_REQUEST'),
    modes: decodeNumbers(reader),
    payload: reader.bl('AUTH_REQUEST'),
  }),
  encode(out, request) {
    out.u32(request.method);
    encodeNumbers(out, request.modes);
    out.bl(request.payload);
  },
};

/** AUTH_BAD_METHOD: u32 method as asked, s32 result, methods and modes that are allowed. */
export interface AuthBadMethod {
  readonly method: number;
  readonly result: number;
  readonly methods: readonly number[];
  readonly modes: readonly number[];
}

export const AUTH_BAD_METHOD: Payload<AuthBadMethod> = {
  tag: TAG_AUTH_BAD_METHOD,
  decode: (reader) => ({
    method: reader.u32('AUTH_BAD_METHOD'),
    result: reader.s32('AUTH_BAD_METHOD'),
    methods: decodeNumbers(reader),
    modes: decodeNumbers(reader),
  }),
  encode(out, refusal) {
    out.u32(refusal.method).s32(refusal.result);
    encodeNumbers(out, refusal.methods);
    encodeNumbers(out, refusal.modes);
  },
};

/** AUTH_REPLY_MORE and AUTH_REQUEST_MORE: bl payload. */
export const AUTH_REPLY_MORE: Payload<Uint8Array> = {
  tag: TAG_AUTH_REPLY_MORE,
  decode: (reader) => reader.bl('AUTH_REPLY_MORE'),
  encode: (out, payload) => void out.bl(payload),
};
export const AUTH_REQUEST_MORE: Payload<Uint8Array> = {
  ...AUTH_REPLY_MORE,
  tag: TAG_AUTH_REQUEST_MORE,
};

/** AUTH_DONE: u64 global_id, u32 connection mode, bl payload. */
export interface AuthDone {
  readonly globalId: bigint;
  readonly mode: number;
  readonly payload: Uint8Array;
}

export const AUTH_DONE: Payload<AuthDone> = {
  tag: TAG_AUTH_DONE,
  decode: (reader) => ({
    globalId: reader.u64('AUTH_DONE'),
    mode: reader.u32('AUTH_DONE'),
    payload: reader.bl('AUTH_DONE'),
  }),
  encode: (out, done) => void out.u64(done.globalId).u32(done.mode).bl(done.payload),
};

/** AUTH_SIGNATURE: 32 bytes. */
export const AUTH_SIGNATURE: Payload<Uint8Array> = {
  tag: TAG_AUTH_SIGNATURE,
  decode: (reader) => reader.bytes(32, 'AUTH_SIGNATURE'),
  encode: (out, signature) => void out.bytes(signature),
};

/**
 * CLIENT_IDENT: entity_addrvec, entity_addr target, s64 gid, u64 global_seq, u64 features
 * supported, u64 required, u64 flags, u64 cookie. SERVER_IDENT has no target.
 */
export interface ServerIdent {
  readonly addresses: readonly EntityAddress[];
  /** As u64: -1 is 2^64 - 1. */
  readonly gid: bigint;
  readonly globalSeq: bigint;
  readonly supported: bigint;
  readonly required: bigint;
  /** 1: lossy. */
  readonly flags: bigint;
  readonly cookie: bigint;
}

export interface ClientIdent extends ServerIdent {
  readonly target: EntityAddress;
}

export const CLIENT_IDENT: Payload<ClientIdent> = {
  tag: TAG_CLIENT_IDENT,
  decode: (reader) => ({
    addresses: decodeAddresses(reader),
    target: decodeAddress(reader),
    ...decodeIdentNumbers(reader),
  }),
  encode(out, ident) {
    encodeAddresses(out, ident.addresses);
    encodeAddress(out, ident.target);
    encodeIdentNumbers(out, ident);
  },
};

export const SERVER_IDENT: Payload<ServerIdent> = {
  tag: TAG_SERVER_IDENT,
  decode: (reader) => ({ addresses: decodeAddresses(reader), ...decodeIdentNumbers(reader) }),
  encode(out, ident) {
    encodeAddresses(out, ident.addresses);
    encodeIdentNumbers(out, ident);
  },
};

/** IDENT_MISSING_FEATURES: u64 mask. */
export const IDENT_MISSING_FEATURES: Payload<bigint> = {
  tag: TAG_IDENT_MISSING_FEATURES,
  decode: (reader) => reader.u64('IDENT_MISSING_FEATURES'),
  encode: (out, mask) => void out.u64(mask),
};

/** KEEPALIVE2 and its ack, which repeats the 8 bytes. */
export const KEEPALIVE2: Payload<Uint8Array> = {
  tag: TAG_KEEPALIVE2,
  decode: (reader) => reader.bytes(8, 'KEEPALIVE2'),
  encode: (out, stamp) => void out.bytes(stamp),
};
export const KEEPALIVE2_ACK: Payload<Uint8Array> = { ...KEEPALIVE2, tag: TAG_KEEPALIVE2_ACK };

/** What a control frame holds. */
export interface Payload<T> {
  readonly tag: number;
  readonly decode: (reader: Reader) => T;
  readonly encode: (out: Writer, value: T) => void;
}

export function controlFrame<T>(payload: Payload<T>, value: T): Frame {
  return { tag: payload.tag, segments: [encode(payload.encode, value)] };
}

/** Throws DecodeError. */
export function openControl<T>(payload: Payload<T>, { segments }: Frame): T {
  return decode(payload.decode, segments[0]!, 'ignore');
}

type IdentNumbers = Omit<ServerIdent, 'addresses'>;

function decodeIdentNumbers(reader: Reader): IdentNumbers {
  const u64 = (): bigint => reader.u64('ident');
  return {
    gid: u64(),
    globalSeq: u64(),
    supported: u64(),
    required: u64(),
    flags: u64(),
    cookie: u64(),
  };
}

function encodeIdentNumbers(out: Writer, ident: IdentNumbers): void {
  out.u64(ident.gid).u64(ident.globalSeq).u64(ident.supported).u64(ident.required);
  out.u64(ident.flags).u64(ident.cookie);
}

function decodeNumbers(reader: Reader): number[] {
  return Array.from({ length: reader.count(4, 'list') }, () => reader.u32('list'));
}

function encodeNumbers(out: Writer, numbers: readonly number[]): void {
  out.u32(numbers.length);
  for (const number of numbers) out.u32(number);
}
