/**
 * `network ADDR/LEN` of a grant, and addresses. An unusable network parses and never matches.
 */

import type { Address } from '../engine/types.ts';

export interface CapNetwork {
  /** As written. */
  readonly text: string;
  /** Undefined for an unusable one. */
  readonly range: NetworkRange | undefined;
}

export interface NetworkRange {
  readonly address: Address;
  /** Leading bits that count, at most those of the family. */
  readonly prefixLen: number;
}

/** Reads what follows `network`. Total: what makes no sense is an unusable network. */
export function readNetwork(text: string): CapNetwork {
  return { text, range: readRange(text) };
}

/** Whether an address lies in the network; none lies in an unusable one. */
export function networkHas(network: CapNetwork, address: Address | undefined): boolean {
  const { range } = network;
  if (range === undefined || address === undefined) return false;
  if (address.family !== range.address.family) return false;
  const whole = range.prefixLen >> 3;
  for (let i = 0; i < whole; i++) {
    if (address.bytes[i] !== range.address.bytes[i]) return false;
  }
  const mask = 0xff00 >> (range.prefixLen & 7);
  const differ = (address.bytes[whole] ?? 0) ^ (range.address.bytes[whole] ?? 0);
  return (differ & mask & 0xff) === 0;
}

/** An IPv4 or IPv6 address as inet_pton takes it: no port, brackets or zone. */
export function readAddress(text: string): Address | undefined {
  const four = ipv4(text);
  if (four !== undefined) return { family: 4, bytes: Uint8Array.from(four) };
  const six = ipv6(text);
  return six === undefined ? undefined : { family: 6, bytes: Uint8Array.from(six) };
}

function readRange(text: string): NetworkRange | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const digits = text.slice(slash + 1);
  if (!/^[0-9]+$/.test(digits)) return undefined;
  const address = readAddress(text.slice(0, slash));
  if (address === undefined) return undefined;
  const width = address.bytes.length * 8;
  return { address, prefixLen: Math.min(readLength(digits), width) };
}

/** Ceph: strtol, kept as unsigned int: 2^32 is 0, beyond 2^63 is 2^32-1 (parse_network). */
function readLength(digits: string): number {
  const significant = digits.replace(/^0+/, '');
  const number = BigInt(significant.slice(0, 20) || '0');
  return Number(BigInt.asUintN(32, number > LONG_MAX ? LONG_MAX : number));
}

function ipv4(text: string): number[] | undefined {
  if (!IPV4.test(text)) return undefined;
  const parts = text.split('.').map(Number);
  return parts.every((part) => part <= 255) ? parts : undefined;
}

function ipv6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = [groups(halves[0]!, halves.length === 1), groups(halves[1] ?? '', true)];
  if (head === undefined || tail === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  // "::" stands for at least one group of zeros.
  if (head.length + tail.length > 14) return undefined;
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

/** Bytes of groups of hex digits; at the end of the address a dotted quad may stand for two. */
function groups(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const four = atEnd && index === parts.length - 1 ? ipv4(part) : undefined;
    if (four !== undefined) bytes.push(...four);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      const value = Number.parseInt(part, 16);
      bytes.push(value >> 8, value & 255);
    } else return undefined;
  }
  return bytes;
}

const IPV4 = /^(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})$/;
const LONG_MAX = 0x7fff_ffff_ffff_ffffn;
