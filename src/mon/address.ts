/**
 * Addresses as msgr2 and the monitors' map encode them (Ceph: msg_types.h).
 */

import { Reader, Writer } from '../cephx/denc.ts';
import { protocolError } from './errors.ts';

/** entity_addr. */
export interface EntityAddress {
  readonly type: AddressType;
  readonly nonce: number;
  /** "127.0.0.1", "2001:db8::1" in its shortest form, or '' for a blank address. */
  readonly host: string;
  readonly port: number;
}

export type AddressType = 'none' | 'v1' | 'v2' | 'any';

export const BLANK_ADDRESS: EntityAddress = { type: 'none', nonce: 0, host: '', port: 0 };

/** "v2:127.0.0.1:3300", "v2:[::1]:3300". */
export function formatAddress({ type, host, port }: EntityAddress): string {
  return `${type}:${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Whether both are one place: type, host and port. */
export function sameAddress(a: EntityAddress, b: EntityAddress): boolean {
  return a.type === b.type && a.host === b.host && a.port === b.port;
}

/**
 * entity_addr: 12 bytes, and 16 (IPv4) or 28 (IPv6) if it is not blank.
 *
 *   0 u8 1 · 1 u8 1 · 2 u8 1 · 3 u32 length · 7 u32 type · 11 u32 nonce · 15 u32 n ·
 *   n bytes: u16 family · u16 port (big-endian) · the rest as in a sockaddr
 */
export function encodeAddress(out: Writer, address: EntityAddress): void {
  const inner = new Writer();
  inner.u32(TYPES.indexOf(address.type)).u32(address.nonce).bl(encodeSocketAddress(address));
  out.u8(1).u8(1).u8(1).bl(inner.finish());
}

/** Reads the old form too: u32 0, nonce, 128 bytes of sockaddr_storage. */
export function decodeAddress(reader: Reader): EntityAddress {
  return addressAfter(reader.u8('entity_addr'), reader);
}

/** entity_addrvec: u8 2, u32 n, n x entity_addr. */
export function encodeAddresses(out: Writer, addresses: readonly EntityAddress[]): void {
  out.u8(2).u32(addresses.length);
  for (const address of addresses) encodeAddress(out, address);
}

/** Takes one entity_addr in its place as well. */
export function decodeAddresses(reader: Reader): EntityAddress[] {
  const marker = reader.u8('entity_addrvec');
  if (marker !== 2) return [addressAfter(marker, reader)];
  const count = reader.count(ADDRESS_LEN_MIN, 'entity_addrvec');
  return Array.from({ length: count }, () => decodeAddress(reader));
}

function addressAfter(marker: number, reader: Reader): EntityAddress {
  if (marker === 0) {
    reader.bytes(3, 'entity_addr');
    const nonce = reader.u32('entity_addr');
    return decodeSocketAddress(
      'v1',
      nonce,
      reader.bytes(SOCKADDR_STORAGE_LEN, 'entity_addr'),
      'be',
    );
  }
  if (marker !== 1) throw protocolError('entity_addr', `marker ${marker}`);
  reader.u16('entity_addr');
  const inner = new Reader(reader.bl('entity_addr'));
  const number = inner.u32('entity_addr');
  const type = TYPES[number];
  if (type === undefined) throw protocolError('entity_addr', `type ${number}`);
  return decodeSocketAddress(type, inner.u32('entity_addr'), inner.bl('entity_addr'), 'le');
}

function encodeSocketAddress({ host, port }: EntityAddress): Uint8Array {
  if (host === '') return new Uint8Array(0);
  const out = new Writer();
  const bigEndianPort = [port >> 8, port & 0xff];
  if (host.includes(':')) {
    out.u16(AF_INET6).bytes(Uint8Array.from(bigEndianPort)).u32(0);
    return out.bytes(parseIpv6(host)).u32(0).finish();
  }
  const bytes = host.split('.').map(Number);
  return out
    .u16(AF_INET)
    .bytes(Uint8Array.from([...bigEndianPort, ...bytes]))
    .bytes(new Uint8Array(8))
    .finish();
}

function decodeSocketAddress(
  type: AddressType,
  nonce: number,
  bytes: Uint8Array,
  order: 'le' | 'be',
): EntityAddress {
  if (bytes.length === 0) return { type, nonce, host: '', port: 0 };
  const reader = new Reader(bytes);
  const [low, high] = reader.bytes(2, 'sockaddr');
  const family = order === 'le' ? low! | (high! << 8) : (low! << 8) | high!;
  const [portHigh, portLow] = reader.bytes(2, 'sockaddr');
  const port = (portHigh! << 8) | portLow!;
  if (family === 0) return { type, nonce, host: '', port: 0 };
  if (family === AF_INET) return { type, nonce, host: reader.bytes(4, 'sockaddr').join('.'), port };
  if (family !== AF_INET6) throw protocolError('sockaddr', `family ${family}`);
  reader.u32('sockaddr');
  return { type, nonce, host: formatIpv6(reader.bytes(16, 'sockaddr')), port };
}

/** The 16 bytes of an address that is known to be one. */
function parseIpv6(host: string): Uint8Array {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host);
  const hex = (high: string, low: string): string =>
    ((Number(high) << 8) | Number(low)).toString(16);
  const text =
    dotted === null
      ? host
      : `${dotted[1]}${hex(dotted[2]!, dotted[3]!)}:${hex(dotted[4]!, dotted[5]!)}`;
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const start = groups(head);
  const end = tail === undefined ? [] : groups(tail);
  const all = [...start, ...new Array<number>(8 - start.length - end.length).fill(0), ...end];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** RFC 5952: lower case, the first longest run of two or more zero groups as `::`. */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let best = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.length < 2) return hex.join(':');
  return `${hex.slice(0, best.at).join(':')}::${hex.slice(best.at + best.length).join(':')}`;
}

/** The shortest form of an IP address, undefined if the text is none. */
export function canonicalHost(text: string): string | undefined {
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(text)) {
    return text.split('.').every((part) => Number(part) < 256)
      ? text.split('.').map(Number).join('.')
      : undefined;
  }
  if (!IPV6.test(text) || text.split('::').length > 2) return undefined;
  const groups = text.split(':').filter((group) => group !== '');
  const count = groups.length + (text.includes('.') ? 1 : 0);
  if (text.includes('::') ? count > 7 : count !== 8) return undefined;
  return formatIpv6(parseIpv6(text));
}

const TYPES: readonly AddressType[] = ['none', 'v1', 'v2', 'any'];
const AF_INET = 2;
const AF_INET6 = 10;
const SOCKADDR_STORAGE_LEN = 128;
/** Marker, versions, length, type, nonce, length of an empty socket address. */
const ADDRESS_LEN_MIN = 19;
const IPV6 =
  /^(?=.*:)(?!:[^:])(?!.*[^:]:$)[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){1,7}(?::?\d{1,3}(?:\.\d{1,3}){3})?$/;
