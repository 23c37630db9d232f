/**
 * Fields that several requests share: service, peer, and the operation that is asked about.
 */

import {
  APP_METADATA_MAX,
  CLASSES_MAX,
  ENTITY_TYPE_MDS,
  ENTITY_TYPE_OSD,
  GIDS_MAX,
} from '../../assembly/abi.ts';
import type { BitOp } from '../caps/index.ts';
import { ENTITY_TYPES } from '../cephx/protocol.ts';
import type { Address, MdsOp, OsdOp } from '../engine/types.ts';
import {
  type Field,
  flag,
  list,
  object,
  oneOf,
  optional,
  record,
  text,
  u32,
  wrongType,
  wrongValue,
} from './body.ts';
import { parseAddress } from './codec.ts';
import { Problem } from './problem.ts';
import { described, objectSchema, type Schema, schemaOf } from './schema.ts';

export interface Service {
  readonly name: 'osd' | 'mds' | 'mgr' | 'mon';
  /** Entity type. */
  readonly id: number;
}

/** The service that asks. `mon` and `auth` belong to the admin listener and are refused here. */
export const service: Field<Service> = described({ enum: ['osd', 'mds', 'mgr'] }, (value, at) => {
  if (value === 'mon' || value === 'auth') {
    throw new Problem('service.refused', `service "${value}" is not served on this listener`);
  }
  const name = oneOf(['osd', 'mds', 'mgr'])(value, at);
  return { name, id: ENTITY_TYPES[name]! };
});

/** The service whose caps are asked. That of the monitors passes: a caps text is no secret. */
export const capsService: Field<Service> = described(
  { enum: ['osd', 'mds', 'mgr', 'mon'] },
  (value, at) => (value === 'mon' ? { name: value, id: ENTITY_TYPES[value]! } : service(value, at)),
);

const PEER = { type: 'string', anyOf: [{ format: 'ipv4' }, { format: 'ipv6' }] };

/** The client's socket address, without port. */
export const peer: Field<Address> = described(PEER, (value, at) => {
  if (typeof value !== 'string') throw wrongType(at, 'a string', value);
  const address = parseAddress(value);
  if (address === undefined) throw wrongValue(at, 'an IPv4 or IPv6 address without port');
  return address;
});

/**
 * The operation in `op`, by service. Throws Problem `service.unsupported` for a service whose
 * caps are not decided by the core, which is asked with `readBitOp`.
 */
export function readOp(asked: Service, value: unknown, at: string): OsdOp | MdsOp {
  if (asked.id === ENTITY_TYPE_OSD) return osdOp(value, at);
  if (asked.id === ENTITY_TYPE_MDS) return mdsOp(value, at);
  throw new Problem('service.unsupported', `checks for service "${asked.name}" are not supported`);
}

const ARGS_MAX = 256;

// Longer names are a denial of the core (`limit.exceeded`), so any text passes here.
const name = text(0, 1_048_576);

const OSD_OP = object({
  pool: name,
  namespace: optional(name),
  object: optional(name),
  app_metadata: optional(record(record(name, APP_METADATA_MAX), APP_METADATA_MAX)),
  read: optional(flag),
  write: optional(flag),
  classes: optional(
    list(
      object({
        name,
        method: name,
        read: optional(flag),
        write: optional(flag),
        allow_listed: optional(flag),
      }),
      CLASSES_MAX,
    ),
  ),
});

function osdOp(value: unknown, at: string): OsdOp {
  const op = OSD_OP(value, at);
  return {
    pool: op.pool,
    namespace: op.namespace ?? '',
    object: op.object ?? '',
    read: op.read ?? false,
    write: op.write ?? false,
    classes: (op.classes ?? []).map((call) => ({
      name: call.name,
      method: call.method,
      read: call.read ?? false,
      write: call.write ?? false,
      allowListed: call.allow_listed ?? false,
    })),
    appMetadata: op.app_metadata ?? {},
  };
}

const gids = list(u32, GIDS_MAX);
const gidList: Field<number[] | null> = described(
  () => ({ anyOf: [{ type: 'null' }, schemaOf(gids)] }),
  (value, at) => (value === null ? null : gids(value, at)),
);

const MDS_OP = object({
  path: name,
  inode_uid: u32,
  inode_gid: u32,
  inode_mode: u32,
  caller_uid: u32,
  caller_gid: u32,
  caller_gid_list: optional(gidList),
  mask: u32,
  new_uid: optional(u32),
  new_gid: optional(u32),
  fs: optional(name),
});

function mdsOp(value: unknown, at: string): MdsOp {
  const op = MDS_OP(value, at);
  return {
    path: op.path,
    inodeUid: op.inode_uid,
    inodeGid: op.inode_gid,
    inodeMode: op.inode_mode,
    callerUid: op.caller_uid,
    callerGid: op.caller_gid,
    callerGidList: op.caller_gid_list ?? null,
    mask: op.mask,
    newUid: op.new_uid ?? 0,
    newGid: op.new_gid ?? 0,
    fs: op.fs ?? '',
  };
}

const BIT_FIELDS = {
  entity: optional(name),
  service: optional(name),
  command: optional(name),
  args: optional(record(name, ARGS_MAX)),
  read: optional(flag),
  write: optional(flag),
  exec: optional(flag),
};
const MON_OP = object(BIT_FIELDS);
const MGR_OP = object({ ...BIT_FIELDS, module: optional(name) });

/** An operation before its service is known: any value that is there. */
export const anyOp: Field<unknown> = described(
  () => ({ anyOf: [OSD_OP, MDS_OP, MON_OP, MGR_OP].map((op) => schemaOf(op)) }),
  (value, at) => {
    if (value === undefined) throw new Problem('field.missing', `"${at}" is missing`);
    return value;
  },
);

/**
 * Schema of a check: the operation is that of the service, exactly one subject is given, and only
 * services whose authorizers are verified here have sessions.
 *
 * @param shape with `service`, `session`, `entity`, `caps`, and `op` as `anyOp`
 */
export function checkSchema(shape: Readonly<Record<string, Field<unknown>>>): Schema {
  const ops = { osd: OSD_OP, mds: MDS_OP, mgr: MGR_OP, mon: MON_OP };
  const withSessions = ['osd', 'mds'];
  const subjects = ['session', 'entity', 'caps'].map((name) => ({ required: [name] }));
  const whole = objectSchema({ ...shape, op: described({}, (value) => value) });
  return {
    ...whole,
    oneOf: subjects,
    allOf: Object.entries(ops).map(([name, op]) => ({
      if: { properties: { service: { const: name } } },
      // biome-ignore lint/suspicious/noThenProperty: this is how JSON Schema calls it
      then: {
        properties: { op: schemaOf(op) },
        ...(!withSessions.includes(name) && { not: { required: ['session'] } }),
      },
    })),
  };
}

/** The operation in `op` for a mon or a mgr. */
export function readBitOp(asked: 'mon' | 'mgr', value: unknown, at: string): BitOp {
  const op = asked === 'mgr' ? MGR_OP(value, at) : { ...MON_OP(value, at), module: undefined };
  return {
    entity: op.entity ?? '',
    service: op.service ?? '',
    module: op.module ?? '',
    command: op.command ?? '',
    args: op.args ?? {},
    read: op.read ?? false,
    write: op.write ?? false,
    exec: op.exec ?? false,
  };
}
