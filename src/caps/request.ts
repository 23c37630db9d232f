/**
 * Requests as JSON: the record of each service, in Ceph's spelling (`app_metadata`) or in camelCase
 * as in files of cases. Strict: a field that is not known is an error.
 */

import * as abi from '../../assembly/abi.ts';
import type { Address, ClassCall, MdsOp, OsdOp } from '../engine/types.ts';
import { readAddress } from './network.ts';

export type CapsService = 'osd' | 'mds' | 'mon' | 'mgr';

/** What a mon or a mgr is asked. */
export interface BitOp {
  /** The caller's name, `client.x`. */
  readonly entity?: string;
  readonly service?: string;
  /** Mgr only. */
  readonly module?: string;
  /** The prefix words of the command; empty for none. */
  readonly command?: string;
  readonly args?: Readonly<Record<string, string>>;
  readonly read?: boolean;
  readonly write?: boolean;
  readonly exec?: boolean;
}

/** An operation for the service whose caps are asked, and where the client is. */
export interface CapsRequest {
  readonly op: OsdOp | MdsOp | BitOp;
  /** Undefined for a client of no family: it lies in no network. */
  readonly peer?: Address | undefined;
}

/** Reads a request record; a text says what is wrong with it. */
export function readRequest(service: CapsService, value: unknown): CapsRequest | string {
  if (!isRecord(value)) return 'the request is not an object';
  const fields: Record<string, unknown> = {};
  for (const [name, held] of Object.entries(value)) {
    const field = camelCase(name);
    const known = field === 'addr' || Object.hasOwn(FIELDS[service], field);
    if (!known) return `the request of service ${service} has no field "${name}"`;
    if (Object.hasOwn(fields, field)) return `"${name}" is given twice`;
    const wrong = field === 'addr' ? undefined : FIELDS[service][field]!(held);
    if (wrong !== undefined) return `wrong value of "${name}": expected ${wrong}`;
    fields[field] = held;
  }
  const { addr, ...op } = fields;
  const peer = typeof addr === 'string' ? readAddress(addr) : undefined;
  if (addr !== undefined && addr !== null && peer === undefined) {
    return 'wrong value of "addr": expected an IP address without port, or null';
  }
  if (service === 'osd') return { op: osdOp(op), peer };
  if (service === 'mds') return { op: mdsOp(op), peer };
  return { op: op as BitOp, peer };
}

/** What a value should have been; undefined if it is that. */
type Check = (value: unknown) => string | undefined;

function osdOp(fields: Readonly<Record<string, unknown>>): OsdOp {
  const { classes, ...rest } = fields as { classes?: readonly Record<string, unknown>[] };
  const calls = (classes ?? []).map((call) => ({ ...NO_CALL, ...withCamelCase(call) }));
  return { pool: '', namespace: '', object: '', ...rest, classes: calls as ClassCall[] };
}

function mdsOp(fields: Readonly<Record<string, unknown>>): MdsOp {
  const { mask, ...rest } = fields as { mask?: number | readonly string[] };
  const bits =
    typeof mask === 'number'
      ? mask
      : (mask ?? []).reduce((sum, name) => sum | MASKS[name as keyof typeof MASKS], 0);
  return { ...ROOT_DIRECTORY, ...rest, mask: bits };
}

function withCamelCase(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).map(([name, held]) => [camelCase(name), held]));
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const text: Check = (value) => (typeof value === 'string' ? undefined : 'a string');
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false');
const u32: Check = (value) =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffffffff
    ? undefined
    : 'a whole number up to 4294967295';
const texts: Check = (value) =>
  isRecord(value) && Object.values(value).every((held) => typeof held === 'string')
    ? undefined
    : 'an object of strings';
const metadata: Check = (value) =>
  isRecord(value) && Object.values(value).every((held) => texts(held) === undefined)
    ? undefined
    : 'an object of objects of strings';
const gidList: Check = (value) =>
  value === null || (Array.isArray(value) && value.every((gid) => u32(gid) === undefined))
    ? undefined
    : 'a list of groups or null';
const maskBits: Check = (value) => {
  if (u32(value) === undefined) return undefined;
  const named = Array.isArray(value) && value.every((name) => Object.hasOwn(MASKS, String(name)));
  return named ? undefined : `a number or a list of ${Object.keys(MASKS).join(', ')}`;
};
const classCalls: Check = (value) => {
  const good =
    Array.isArray(value) &&
    value.every((call) => {
      if (!isRecord(call) || typeof call.name !== 'string') return false;
      const fields = Object.entries(withCamelCase(call));
      return fields.every(
        ([name, held]) => Object.hasOwn(CLASS_CALL, name) && CLASS_CALL[name]!(held) === undefined,
      );
    });
  return good ? undefined : 'a list of {name, method, read, write, allow_listed}';
};

const MASKS = {
  READ: abi.MAY_READ,
  WRITE: abi.MAY_WRITE,
  EXECUTE: abi.MAY_EXECUTE,
  CHOWN: abi.MAY_CHOWN,
  CHGRP: abi.MAY_CHGRP,
  SET_VXATTR: abi.MAY_SET_VXATTR,
  SNAPSHOT: abi.MAY_SNAPSHOT,
  FULL: abi.MAY_FULL,
};

const CLASS_CALL: Readonly<Record<string, Check>> = {
  name: text,
  method: text,
  read: flag,
  write: flag,
  allowListed: flag,
};

const NO_CALL = { method: '', read: false, write: false, allowListed: false };

const ROOT_DIRECTORY = {
  path: '',
  inodeUid: 0,
  inodeGid: 0,
  inodeMode: 0o755,
  callerUid: 0,
  callerGid: 0,
};

const BIT_FIELDS: Readonly<Record<string, Check>> = {
  entity: text,
  service: text,
  command: text,
  args: texts,
  read: flag,
  write: flag,
  exec: flag,
};

const FIELDS: Readonly<Record<CapsService, Readonly<Record<string, Check>>>> = {
  osd: {
    pool: text,
    namespace: text,
    object: text,
    appMetadata: metadata,
    read: flag,
    write: flag,
    classes: classCalls,
  },
  mds: {
    path: text,
    inodeUid: u32,
    inodeGid: u32,
    inodeMode: u32,
    callerUid: u32,
    callerGid: u32,
    callerGidList: gidList,
    mask: maskBits,
    newUid: u32,
    newGid: u32,
    fs: text,
  },
  mon: BIT_FIELDS,
  mgr: { ...BIT_FIELDS, module: text },
};
