/**
 * Names, caps and tickets of cephx, both directions (Ceph: entity_name.h, Auth.h,
 * CephxProtocol.h; spec sections 2 and 8). `protocol.ts` re-exports this file; the messages that
 * carry these structures are there.
 *
 * Ceph's decoders read version bytes without comparing them, and so do these.
 */

import {
  ENTITY_TYPE_AUTH,
  ENTITY_TYPE_CLIENT,
  ENTITY_TYPE_MDS,
  ENTITY_TYPE_MGR,
  ENTITY_TYPE_MON,
  ENTITY_TYPE_OSD,
} from '../../assembly/abi.ts';
import { CryptoKey } from './cryptokey.ts';
import { decodeUtf8, Reader, type Utime, Writer } from './denc.ts';

/** Entity types by name; services in tickets bear the same numbers. */
export const ENTITY_TYPES: Readonly<Record<string, number>> = {
  mon: ENTITY_TYPE_MON,
  mds: ENTITY_TYPE_MDS,
  osd: ENTITY_TYPE_OSD,
  client: ENTITY_TYPE_CLIENT,
  mgr: ENTITY_TYPE_MGR,
  auth: ENTITY_TYPE_AUTH,
};

/** "osd" of 4, or undefined for a number that is no entity type. */
export function entityTypeName(type: number): string | undefined {
  return Object.keys(ENTITY_TYPES).find((name) => ENTITY_TYPES[name] === type);
}

/** The u64 that Ceph writes where old releases had a user id. */
export const AUID_DEFAULT = 0xffffffffffffffffn;

/** secret_id of a ticket that is sealed with the service's own, non-rotating key. */
export const GENERAL_SECRET_ID = 0xffffffffffffffffn;

/**
 * EntityName: 8 + L bytes.
 *
 *   0 u32 type · 4 string id
 */
export interface EntityName {
  readonly type: number;
  readonly id: string;
}

export function decodeEntityName(reader: Reader): EntityName {
  return { type: reader.u32('EntityName'), id: reader.string('EntityName') };
}

export function encodeEntityName(out: Writer, name: EntityName): void {
  out.u32(name.type).string(name.id);
}

/** "client.john"; a type without a name prints as its number. */
export function formatEntityName(name: EntityName): string {
  return `${entityTypeName(name.type) ?? name.type}.${name.id}`;
}

/** The name in "client.john", or undefined if there is no known type before the first dot. */
export function parseEntityName(text: string): EntityName | undefined {
  const dot = text.indexOf('.');
  const type = dot < 0 ? '' : text.slice(0, dot);
  if (!Object.hasOwn(ENTITY_TYPES, type)) return undefined;
  return { type: ENTITY_TYPES[type]!, id: text.slice(dot + 1) };
}

/**
 * AuthCapsInfo (inside AuthTicket): 6 + C bytes.
 *
 *   0 u8 struct_v 1 · 1 u8 allow_all · 2 bl caps
 *
 * `caps` is itself an encoded string, or empty when the entity has no caps for the service.
 */
export interface AuthCapsInfo {
  readonly allowAll: boolean;
  readonly caps: Uint8Array;
}

export function decodeAuthCapsInfo(reader: Reader): AuthCapsInfo {
  reader.u8('AuthCapsInfo');
  return { allowAll: reader.bool('AuthCapsInfo'), caps: reader.bl('AuthCapsInfo').slice() };
}

export function encodeAuthCapsInfo(out: Writer, info: AuthCapsInfo): void {
  out.u8(1).bool(info.allowAll).bl(info.caps);
}

/** The caps buffer that holds a text; undefined stands for no caps. */
export function capsBuffer(text: string | undefined): Uint8Array {
  return text === undefined ? new Uint8Array(0) : new Writer().string(text).finish();
}

/** The text in a caps buffer, undefined if it is empty. Bytes after the string are ignored. */
export function capsText(caps: Uint8Array): string | undefined {
  return caps.length === 0 ? undefined : decodeUtf8(new Reader(caps).bl('caps'), 'caps');
}

/**
 * AuthTicket: 52 + L + C bytes.
 *
 *   0 u8 struct_v 2 · 1 EntityName · u64 global_id · u64 auid (v >= 2) · utime created ·
 *   utime expires · AuthCapsInfo · u32 flags
 */
export interface AuthTicket {
  readonly name: EntityName;
  readonly globalId: bigint;
  /** Always 2^64-1 in genuine tickets; undefined in version 1, which has none. */
  readonly auid: bigint | undefined;
  readonly created: Utime;
  readonly expires: Utime;
  readonly caps: AuthCapsInfo;
  readonly flags: number;
}

export function decodeAuthTicket(reader: Reader): AuthTicket {
  const version = reader.u8('AuthTicket');
  return {
    name: decodeEntityName(reader),
    globalId: reader.u64('AuthTicket'),
    auid: version >= 2 ? reader.u64('AuthTicket') : undefined,
    created: reader.utime('AuthTicket'),
    expires: reader.utime('AuthTicket'),
    caps: decodeAuthCapsInfo(reader),
    flags: reader.u32('AuthTicket'),
  };
}

export function encodeAuthTicket(out: Writer, ticket: AuthTicket): void {
  out.u8(ticket.auid === undefined ? 1 : 2);
  encodeEntityName(out, ticket.name);
  out.u64(ticket.globalId);
  if (ticket.auid !== undefined) out.u64(ticket.auid);
  out.utime(ticket.created).utime(ticket.expires);
  encodeAuthCapsInfo(out, ticket.caps);
  out.u32(ticket.flags);
}

/**
 * CephXServiceTicketInfo (monitor to service, through the client): what a ticket blob holds, sealed
 * with the service's secret, usage TICKET_INFO, plain form.
 *
 *   0 u8 struct_v 1 · 1 AuthTicket · CryptoKey session_key
 */
export interface ServiceTicketInfo {
  readonly ticket: AuthTicket;
  readonly sessionKey: CryptoKey;
}

export function decodeServiceTicketInfo(reader: Reader): ServiceTicketInfo {
  reader.u8('CephXServiceTicketInfo');
  return { ticket: decodeAuthTicket(reader), sessionKey: CryptoKey.decode(reader) };
}

export function encodeServiceTicketInfo(out: Writer, info: ServiceTicketInfo): void {
  out.u8(1);
  encodeAuthTicket(out, info.ticket);
  CryptoKey.encode(out, info.sessionKey);
}

/**
 * CephXServiceTicket (monitor to client): the client's half of a ticket, sealed with the client's
 * key or its AUTH session key, usage TICKET_SESSION_KEY, prefixed form.
 *
 *   0 u8 struct_v 1 · 1 CryptoKey session_key · utime validity (a duration)
 */
export interface ServiceTicket {
  readonly sessionKey: CryptoKey;
  readonly validity: Utime;
}

export function decodeServiceTicket(reader: Reader): ServiceTicket {
  reader.u8('CephXServiceTicket');
  return { sessionKey: CryptoKey.decode(reader), validity: reader.utime('CephXServiceTicket') };
}

export function encodeServiceTicket(out: Writer, ticket: ServiceTicket): void {
  out.u8(1);
  CryptoKey.encode(out, ticket.sessionKey);
  out.utime(ticket.validity);
}

/**
 * CephXTicketBlob: 13 + B bytes. Opaque to the client.
 *
 *   0 u8 struct_v 1 · 1 u64 secret_id · 9 bl blob (sealed CephXServiceTicketInfo)
 */
export interface TicketBlob {
  readonly secretId: bigint;
  readonly blob: Uint8Array;
}

/** The absent ticket: what a client sends that has no old one. */
export const NO_TICKET_BLOB: TicketBlob = { secretId: 0n, blob: new Uint8Array(0) };

export function decodeTicketBlob(reader: Reader): TicketBlob {
  reader.u8('CephXTicketBlob');
  return { secretId: reader.u64('CephXTicketBlob'), blob: reader.bl('CephXTicketBlob').slice() };
}

/** Reads past one, for whoever only asks where it ends. */
export function skipTicketBlob(reader: Reader): void {
  reader.u8('CephXTicketBlob');
  reader.u64('CephXTicketBlob');
  reader.bl('CephXTicketBlob');
}

export function encodeTicketBlob(out: Writer, ticket: TicketBlob): void {
  out.u8(1).u64(ticket.secretId).bl(ticket.blob);
}

/**
 * CephXServiceTicketReply (monitor to client).
 *
 *   0 u8 struct_v 1 · 1 u32 n · n x { u32 service_id · u8 1 · bl sealed CephXServiceTicket ·
 *   u8 enc · bl payload }
 *
 * `payload` is an encoded CephXTicketBlob; with enc = 1 it is the seal (usage TICKET_BLOB, under
 * the previous AUTH session key) of a bl that holds one.
 */
export interface ServiceTicketReplyEntry {
  readonly serviceId: number;
  readonly sealedTicket: Uint8Array;
  readonly blobSealed: boolean;
  readonly payload: Uint8Array;
}

export function decodeServiceTicketReply(reader: Reader): ServiceTicketReplyEntry[] {
  const what = 'CephXServiceTicketReply';
  reader.u8(what);
  return Array.from({ length: reader.count(REPLY_ENTRY_LEN_MIN, what) }, () => {
    const serviceId = reader.u32(what);
    reader.u8(what);
    return {
      serviceId,
      sealedTicket: reader.bl(what),
      blobSealed: reader.bool(what),
      payload: reader.bl(what),
    };
  });
}

export function encodeServiceTicketReply(
  out: Writer,
  entries: readonly ServiceTicketReplyEntry[],
): void {
  out.u8(1).u32(entries.length);
  for (const entry of entries) {
    out.u32(entry.serviceId).u8(1).bl(entry.sealedTicket);
    out.bool(entry.blobSealed).bl(entry.payload);
  }
}

/** u32, u8, u32, u8, u32. */
const REPLY_ENTRY_LEN_MIN = 14;
