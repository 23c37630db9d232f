/**
 * Recorded caps reality as requests: which texts a real 16.2.15 monitor took, and what a real OSD,
 * MDS and monitor allowed (vectors caps-accept-*, network-match, *-enforcement), and the examples.
 */

import { loadVectors } from './twin/load.ts';
import type { Mask, MdsRequest, Release } from './twin/mdscap.ts';
import type { OsdRequest } from './twin/osdcap.ts';

export interface Case<Request> {
  readonly caps: string;
  readonly request: Request;
  readonly allowed: boolean;
}

export interface Example<Request> {
  readonly cap: string;
  readonly parses: boolean;
  readonly checks: readonly { readonly request: Request; readonly allowed: boolean }[];
  readonly canonical?: string;
  readonly allowAll?: boolean;
  readonly roundTrip?: boolean;
  readonly why: string;
  /** 19: not so in 16.2.15. */
  readonly since?: string;
}

/** The examples for a daemon. */
export function examples<Request>(daemon: 'osd' | 'mds'): Example<Request>[] {
  type Any = Example<Request> & { readonly daemon: string };
  return loadVectors<Any[]>('caps-examples.json').filter((each) => each.daemon === daemon);
}

/** Releases under which an example holds. */
export function releasesOf(example: { readonly since?: string }): readonly Release[] {
  return example.since === undefined ? [16, 20] : [20];
}

export interface AcceptRow {
  readonly caps: string;
  readonly accept: boolean;
  /** The monitor's words where it refused. */
  readonly error?: string;
}

/** Texts that the monitor accepted or refused. */
export function acceptRows(service: 'osd' | 'mds'): AcceptRow[] {
  return loadVectors<{ rows: AcceptRow[] }>(`caps-accept-${service}.json`).rows;
}

/** The words of a refusal that stopped at byte `stop`. */
export function refusal(service: 'osd' | 'mds', caps: string, stop: number): string {
  const rest = new TextDecoder().decode(new TextEncoder().encode(caps).subarray(stop));
  return `${service} capability parse failed, stopped at '${rest}' of '${caps}'`;
}

/** What each client address got from `allow r network X`. */
export function networkRows(): Case<OsdRequest>[] {
  type Row = { network: string; matches: Record<string, number> };
  const { rows } = loadVectors<{ rows: Row[] }>('network-match.json');
  return rows.flatMap(({ network, matches }) =>
    Object.entries(matches).map(([addr, matched]) => ({
      caps: `allow r network ${network}`,
      request: { ...NOTHING, pool: 'p', object: 'o', read: true, addr },
      allowed: matched === 1,
    })),
  );
}

interface OsdFile {
  readonly pool_application_metadata: Record<string, OsdRequest['appMetadata']>;
  readonly op_lists: Record<string, string[]>;
  readonly users: {
    readonly caps: { readonly osd?: string };
    readonly source_address: string;
    readonly osd?: [string, string, string, string, string][];
  }[];
}

/** Operations that users with OSD caps did against a real OSD; each a request. */
export function osdRows(name: 'osd-enforcement' | 'osd-enforcement-compound'): Case<OsdRequest>[] {
  const file = loadVectors<OsdFile>(`${name}.json`);
  const cases: Case<OsdRequest>[] = [];
  for (const { caps, source_address: addr, osd = [] } of file.users) {
    if (caps.osd === undefined) continue;
    for (const [pool, namespace, object, list, digits] of osd) {
      const appMetadata = file.pool_application_metadata[pool] ?? {};
      for (const [i, op] of (file.op_lists[list] ?? []).entries()) {
        const request = { ...operation(op), pool, namespace, object, appMetadata, addr };
        cases.push({ caps: caps.osd, request, allowed: digits[i] === '1' });
      }
    }
  }
  return cases;
}

/** `read`, `lock.unlock(rw)`, or several parts joined by `+`. */
function operation(name: string): Pick<OsdRequest, 'read' | 'write' | 'classes'> {
  const classes: OsdRequest['classes'][number][] = [];
  let read = false;
  let write = false;
  for (const part of name.replace(' only', '').split('+')) {
    const call = /^(\w+)\.(\w+)\((rd|wr|rw)\)$/.exec(part);
    if (call !== null) {
      const [, className = '', method = '', needs] = call;
      const flags = { read: needs !== 'wr', write: needs !== 'rd', allowListed: true };
      classes.push({ name: className, method, ...flags });
    } else if (READS.includes(part)) read = true;
    else if (WRITES.includes(part)) write = true;
    else throw new RangeError(`Cannot map "${part}": no such operation`);
  }
  return { read, write, classes };
}

interface MdsFile {
  readonly users: {
    readonly mds_caps: string | null;
    readonly rows: [string, string, number | null, number][];
  }[];
}

/** Operations against a real MDS; rows whose answer says nothing are left out. */
export function mdsRows(): Case<MdsRequest>[] {
  const cases: Case<MdsRequest>[] = [];
  for (const { mds_caps: caps, rows } of loadVectors<MdsFile>('mds-enforcement.json').users) {
    for (const [path, op, allowed] of rows) {
      const mask = MASKS[op];
      if (caps === null || mask === undefined) throw new RangeError(`Cannot map "${op}": unknown`);
      if (allowed === null) continue;
      const request = { ...ROOT, path: path.slice(1), mask };
      cases.push({ caps, request, allowed: allowed === 1 });
    }
  }
  return cases;
}

const NOTHING: OsdRequest = {
  pool: '',
  namespace: '',
  object: '',
  read: false,
  write: false,
  classes: [],
  appMetadata: {},
  addr: null,
};

/** Root at an inode of root's, from the loopback address, as the rows were recorded. */
const ROOT: MdsRequest = {
  path: '',
  inodeUid: 0,
  inodeGid: 0,
  inodeMode: 0o777,
  callerUid: 0,
  callerGid: 0,
  callerGidList: null,
  mask: [],
  newUid: 0,
  newGid: 0,
  addr: '127.0.0.1',
};

const READS = ['read', 'stat', 'getxattr', 'omap_get', 'omap_cmp', 'list'];
const WRITES = [
  'write',
  'write_full',
  'append',
  'setxattr',
  'truncate',
  'delete',
  'create_excl',
  'omap_set',
];

const MASKS: Readonly<Record<string, readonly Mask[]>> = {
  stat_dir: ['READ'],
  readdir: ['READ'],
  open_read: ['READ'],
  open_write: ['WRITE'],
  create: ['WRITE'],
  mkdir: ['WRITE'],
  rmdir: ['WRITE'],
  unlink: ['WRITE'],
  rename: ['WRITE'],
  rename_back: ['WRITE'],
  chmod: ['WRITE'],
  set_user_xattr: ['WRITE'],
  set_layout: ['SET_VXATTR'],
  set_quota: ['SET_VXATTR'],
  snap_create: ['WRITE', 'SNAPSHOT'],
  snap_delete: ['WRITE', 'SNAPSHOT'],
};
