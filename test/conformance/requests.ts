/** How an operation against a recorded daemon becomes a request (vectors' README of the lab). */

import * as abi from '../../assembly/abi.ts';

/** What is asked of OSD caps for `read`, `lock.unlock(rw)`, or several parts joined by `+`. */
export function osdNeeds(operation: string): Readonly<Record<string, unknown>> {
  const classes: unknown[] = [];
  let read = false;
  let write = false;
  // "omap_cmp only" is the comparison without an operation that it guards.
  for (const part of operation.replace(/ only$/, '').split('+')) {
    const call = /^(\w+)\.(\w+)\((rd|wr|rw)\)$/.exec(part);
    if (call !== null) {
      const [, name, method, flags] = call;
      // All classes of the record are on the default list.
      const rights = { read: flags !== 'wr', write: flags !== 'rd', allowListed: true };
      classes.push({ name, method, ...rights });
    } else if (OSD_READS.has(part)) read = true;
    else if (OSD_WRITES.has(part)) write = true;
    else throw new Error(`the operation "${part}" is not understood`);
  }
  return { read, write, classes };
}

/** Whether it is known what an operation asks of MDS caps. */
export function isMdsOperation(operation: string): boolean {
  return Object.hasOwn(MDS_MASKS, operation);
}

/** What is asked of MDS caps, by root at a directory of root's. */
export function mdsRequest(
  operation: string,
  path: string,
  uid: number,
): Readonly<Record<string, unknown>> {
  const mask = MDS_MASKS[operation];
  if (mask === undefined) throw new Error(`the operation "${operation}" is not understood`);
  return {
    path: path.replace(/^\//, ''),
    ...{ inodeUid: 0, inodeGid: 0, inodeMode: 0o777, callerUid: uid, callerGid: uid },
    ...{ callerGidList: null, mask, newUid: 0, newGid: 0, addr: '127.0.0.1' },
  };
}

/** What is asked of mon caps for a command with its arguments. */
export function monRequest(
  command: Readonly<Record<string, unknown>>,
  entity: string,
  addr: string,
): Readonly<Record<string, unknown>> {
  const { prefix, ...rest } = command;
  const found = MON_NEEDS[prefix as string];
  if (found === undefined) throw new Error(`the command "${prefix}" is not understood`);
  const [service, letters] = found;
  const args: Record<string, string> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (name === 'caps') {
      const pairs = value as string[];
      for (let i = 0; i + 1 < pairs.length; i += 2) args[`caps_${pairs[i]}`] = pairs[i + 1] ?? '';
    } else args[name] = Array.isArray(value) ? value.join(' ') : `${value}`;
  }
  const needs = {
    read: letters.includes('r'),
    write: letters.includes('w'),
    exec: letters.includes('x'),
  };
  return { entity, service, command: prefix, args, ...needs, addr };
}

/** MAY_* bits by the names that files use. */
export const MAY_NAMES: readonly (readonly [number, string])[] = [
  [abi.MAY_READ, 'READ'],
  [abi.MAY_WRITE, 'WRITE'],
  [abi.MAY_EXECUTE, 'EXECUTE'],
  [abi.MAY_CHOWN, 'CHOWN'],
  [abi.MAY_CHGRP, 'CHGRP'],
  [abi.MAY_SET_VXATTR, 'SET_VXATTR'],
  [abi.MAY_SNAPSHOT, 'SNAPSHOT'],
  [abi.MAY_FULL, 'FULL'],
];

const OSD_READS = new Set(['read', 'stat', 'getxattr', 'omap_get', 'omap_cmp', 'list']);
const OSD_WRITES = new Set([
  ...['write', 'write_full', 'append', 'setxattr', 'truncate', 'delete', 'create_excl', 'omap_set'],
]);

const MDS_READS = ['stat_dir', 'readdir', 'open_read'];
const MDS_WRITES = [
  ...['open_write', 'create', 'mkdir', 'rmdir', 'unlink', 'rename', 'rename_back', 'chmod'],
  'set_user_xattr',
];
const MDS_MASKS: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(MDS_READS.map((name) => [name, ['READ']])),
  ...Object.fromEntries(MDS_WRITES.map((name) => [name, ['WRITE']])),
  set_layout: ['SET_VXATTR'],
  set_quota: ['SET_VXATTR'],
  snap_create: ['WRITE', 'SNAPSHOT'],
  snap_delete: ['WRITE', 'SNAPSHOT'],
};

/** Service and needed letters of each recorded command. */
const MON_NEEDS: Readonly<Record<string, readonly [string, string]>> = {
  'mon stat': ['mon', 'r'],
  'mon getmap': ['mon', 'r'],
  status: ['mon', 'r'],
  df: ['mon', 'r'],
  features: ['mon', 'r'],
  quorum_status: ['mon', 'r'],
  'log last': ['mon', 'r'],
  log: ['mon', 'rw'],
  'osd dump': ['osd', 'r'],
  'osd tree': ['osd', 'r'],
  'osd pool create': ['osd', 'rw'],
  'osd set': ['osd', 'rw'],
  'osd new': ['osd', 'rw'],
  'osd blocklist': ['osd', 'rw'],
  'pg stat': ['pg', 'r'],
  'fs ls': ['fs', 'r'],
  'mgr dump': ['mgr', 'r'],
  'config get': ['config', 'r'],
  'mds stat': ['mds', 'r'],
  'fs dump': ['mds', 'r'],
  'auth get': ['auth', 'rx'],
  'auth ls': ['auth', 'rx'],
  'auth export': ['auth', 'rx'],
  'auth get-key': ['auth', 'rx'],
  'auth get-or-create': ['auth', 'rwx'],
  'auth caps': ['auth', 'rwx'],
  'config-key get': ['config-key', 'r'],
  'config-key set': ['config-key', 'rw'],
};
