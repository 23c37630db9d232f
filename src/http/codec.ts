/**
 * How bytes, 64-bit numbers, times and addresses look in JSON. Decoders are strict and total:
 * undefined for anything that is not the one spelling we print.
 */

import { Buffer } from 'node:buffer';
import type { Address, Utime } from '../engine/types.ts';

/** Standard base64 with padding (RFC 4648 section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Bytes of canonical base64: padding is there, no white space, spare bits are zero. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const { length } = text;
  if (length === 0) return new Uint8Array(0);
  if (length % 4 !== 0 || text.includes('-') || text.includes('_')) return undefined;
  let padding = 0;
  if (text.charCodeAt(length - 1) === PAD) padding = text.charCodeAt(length - 2) === PAD ? 2 : 1;
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what it does not know, and then there is too little.
  if (bytes.length !== (length / 4) * 3 - padding) return undefined;
  if (padding > 0) {
    const spare = padding === 1 ? SPARE_2 : SPARE_4;
    if (!spare.includes(text.charAt(length - 1 - padding))) return undefined;
  }
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function encodeHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

export function decodeHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

/** A u64 in decimal, without leading zeros. */
export function parseU64(text: string): bigint | undefined {
  if (!/^(?:0|[1-9][0-9]{0,19})$/.test(text)) return undefined;
  const value = BigInt(text);
  return value <= U64_MAX ? value : undefined;
}

/** `2026-11-21T16:00:00.000000000Z` of nanoseconds since 1970. */
export function formatTime(ns: bigint): string {
  const seconds = ns / NS_PER_SECOND;
  return formatSeconds(Number(seconds), Number(ns - seconds * NS_PER_SECOND));
}

/** The same of a ticket's own time, whose nanoseconds may be a second and more. */
export function formatUtime({ seconds, nanoseconds }: Utime): string {
  if (nanoseconds < 1e9) return formatSeconds(seconds, nanoseconds);
  return formatSeconds(seconds + Math.floor(nanoseconds / 1e9), nanoseconds % 1e9);
}

/** @param nanoseconds below a second */
function formatSeconds(seconds: number, nanoseconds: number): string {
  const day = Math.floor(seconds / 86_400);
  if (day !== lastDay) {
    lastDate = new Date(day * 86_400_000).toISOString().slice(0, 11);
    lastDay = day;
  }
  const second = seconds - day * 86_400;
  const hour = Math.floor(second / 3600);
  const time = `${two(hour)}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}`;
  return `${lastDate}${time}.${String(1e9 + nanoseconds).slice(1)}Z`;
}

function two(number: number): string {
  return number < 10 ? `0${number}` : `${number}`;
}

/**
 * Nanoseconds since 1970 of an RFC 3339 time in UTC with up to nine decimals, or of decimal
 * seconds.
 */
export function parseTime(text: string): bigint | undefined {
  const seconds = /^([0-9]{1,11})(?:\.([0-9]{1,9}))?$/.exec(text);
  if (seconds !== null) return withFraction(BigInt(seconds[1]!), seconds[2]);
  const stamp = /^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z$/;
  const match = stamp.exec(text);
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}Z`);
  // Date.parse takes 30 February for 2 March: only a date that prints the same is one.
  if (Number.isNaN(ms) || ms < 0 || new Date(ms).toISOString().slice(0, 19) !== match[1]) {
    return undefined;
  }
  return withFraction(BigInt(ms) / 1000n, match[2]);
}

/** Whether UTF-8 can express the text: no surrogate stands alone. */
export function isWellFormed(text: string): boolean {
  return !BEYOND_LATIN.test(text) || !LONE_SURROGATE.test(text);
}

/** An IPv4 or IPv6 address in text form (RFC 4291 section 2.2); no port, brackets or zone. */
export function parseAddress(text: string): Address | undefined {
  const four = parseIpv4(text);
  if (four !== undefined) return { family: 4, bytes: Uint8Array.from(four) };
  const six = parseIpv6(text);
  return six === undefined ? undefined : { family: 6, bytes: Uint8Array.from(six) };
}

function parseIpv4(text: string): number[] | undefined {
  const parts: number[] = [];
  let part = -1;
  for (let at = 0; at <= text.length; at++) {
    const char = at < text.length ? text.charCodeAt(at) : DOT;
    if (char === DOT) {
      if (part < 0 || parts.push(part) > 4) return undefined;
      part = -1;
    } else {
      // No digit, or one behind a leading zero.
      if (char < ZERO || char > ZERO + 9 || part === 0) return undefined;
      part = (part < 0 ? 0 : part * 10) + char - ZERO;
      if (part > 255) return undefined;
    }
  }
  return parts.length === 4 ? parts : undefined;
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const last = halves.length - 1;
  const head = ipv6Groups(halves[0]!, last === 0);
  if (head === undefined) return undefined;
  if (last === 0) return head.length === 16 ? head : undefined;
  const tail = ipv6Groups(halves[1]!, true);
  // "::" stands for at least one group of zeros.
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

function ipv6Groups(text: string, atEnd: boolean): number[] | undefined {
  const bytes: number[] = [];
  if (text === '') return bytes;
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    const four = atEnd && index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (four !== undefined) bytes.push(...four);
    else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    } else return undefined;
  }
  return bytes.length <= 16 ? bytes : undefined;
}

function withFraction(seconds: bigint, fraction: string | undefined): bigint {
  return seconds * NS_PER_SECOND + BigInt((fraction ?? '0').padEnd(9, '0'));
}

/** The day that was printed last, with its `T`: most times to print are of the same one. */
let lastDay: number | undefined;
let lastDate = '';

export const U64_MAX = 0xffff_ffff_ffff_ffffn;
export const NS_PER_SECOND = 1_000_000_000n;
const BEYOND_LATIN = /[\u0100-\uffff]/;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const DOT = 46;
const ZERO = 48;
const PAD = 61;
/** Digits whose two, or four, lowest bits are zero. */
const SPARE_2 = 'AEIMQUYcgkosw048';
const SPARE_4 = 'AQgw';
