/**
 * A slow, obvious twin of MDS caps under release 16 (Ceph 16.2.15) and 20: the grammar as recursive
 * code, the decision as it is stated. Strings have one character per byte (`binary`).
 */

import { inNetwork, networkClause } from './network.ts';
import { ALNUM, binary, Peg, WORDCHARS } from './peg.ts';

export type Release = 16 | 20;

export interface MdsGrant {
  readonly release: Release;
  /** Letters in the order r w f p s; `*` for all. */
  readonly perm: string;
  readonly fsname?: string;
  /** Without leading slashes; '' is anywhere, as is none. */
  readonly path?: string;
  readonly rootSquash: boolean;
  readonly uid?: bigint;
  /** Sorted; only beside a uid. */
  readonly gids?: readonly number[];
  readonly network?: string;
}

export type Mask =
  | 'READ'
  | 'WRITE'
  | 'EXECUTE'
  | 'CHOWN'
  | 'CHGRP'
  | 'SET_VXATTR'
  | 'SNAPSHOT'
  | 'FULL';

export interface MdsRequest {
  readonly path: string;
  readonly inodeUid: number;
  readonly inodeGid: number;
  readonly inodeMode: number;
  readonly callerUid: number;
  readonly callerGid: number;
  readonly callerGidList: readonly number[] | null;
  readonly mask: readonly Mask[];
  readonly newUid: number;
  readonly newGid: number;
  readonly addr: string | null;
}

export type MdsCondition =
  | 'none'
  | 'uid'
  | 'gids'
  | 'path'
  | 'mds_permission'
  | 'root_squash'
  | 'chown'
  | 'chgrp'
  | 'mode'
  | 'network';

/** The grants, or where the parser stopped. */
export function parseMds(text: Uint8Array, release: Release): MdsGrant[] | { stop: number } {
  const peg = new Peg(text);
  if (peg.text === 'allow') return [{ release, perm: 'rwps', rootSquash: false }];
  return peg.list(
    () => grant(peg, release),
    () =>
      peg.attempt(() => {
        peg.some(' ');
        const found = peg.literal(',') ?? peg.literal(';');
        peg.some(' ');
        return found;
      }),
  );
}

// --- grammar -----------------------------------------------------------------------------------

function grant(peg: Peg, release: Release): MdsGrant | undefined {
  return peg.attempt(() => {
    if (!peg.literal('allow') || !peg.some(SP)) return undefined;
    const perm = PERMS.find((letters) => peg.literal(letters));
    if (perm === undefined) return undefined;
    const match = release === 16 ? match16(peg) : match20(peg);
    const network = networkClause(peg, SP);
    const letters = perm === 'all' ? '*' : perm;
    return { release, perm: letters, ...match, ...(network === undefined ? {} : { network }) };
  });
}

type Match = Pick<MdsGrant, 'fsname' | 'path' | 'rootSquash' | 'uid' | 'gids'>;

/** [fs] [path] [squash] [uid] [gids]; uid 0 is any uid, and gids without a uid are nothing. */
function match20(peg: Peg): Match {
  const fs = fsnameOf(peg);
  const path = pathOf(peg);
  const rootSquash = squashOf(peg);
  const uid = uidOf(peg);
  const gids = gidsOf(peg);
  const any = uid === undefined || uid === 0n;
  return { ...fs, ...path, rootSquash, ...(any ? {} : { uid, ...gids }) };
}

/** [path] uid [gids], else [fs] [path] [squash]. */
function match16(peg: Peg): Match {
  const owned = peg.attempt(() => {
    const path = pathOf(peg);
    const uid = uidOf(peg);
    return uid === undefined ? undefined : { ...path, rootSquash: false, uid, ...gidsOf(peg) };
  });
  if (owned) return owned;
  const fs = fsnameOf(peg);
  const path = pathOf(peg);
  return { ...fs, ...path, rootSquash: squashOf(peg) };
}

/** sp WORD VALUE */
function field<T>(peg: Peg, word: string, value: () => T | undefined): T | undefined {
  return peg.attempt(() => (peg.some(SP) && peg.literal(word) ? value() : undefined));
}

function fsnameOf(peg: Peg): { fsname?: string } {
  const fsname = field(peg, 'fsname=', () => peg.some(`${ALNUM}_.-`));
  return fsname === undefined ? {} : { fsname };
}

function pathOf(peg: Peg): { path?: string } {
  const path = field(peg, 'path=', () => peg.quoted(true) ?? peg.some(WORDCHARS));
  return path === undefined ? {} : { path: path.replace(/^\/+/, '') };
}

function squashOf(peg: Peg): boolean {
  return field(peg, 'root_squash', () => true) === true;
}

function uidOf(peg: Peg): bigint | undefined {
  return field(peg, 'uid=', () => uint(peg));
}

function gidsOf(peg: Peg): { gids?: number[] } {
  const gids = field(peg, 'gids=', () => {
    const first = uint(peg);
    if (first === undefined) return undefined;
    const all = [Number(first)];
    for (;;) {
      const next = peg.attempt(() => (peg.literal(',') ? uint(peg) : undefined));
      if (next === undefined) return all;
      all.push(Number(next));
    }
  });
  return gids === undefined ? {} : { gids: gids.sort((a, b) => a - b) };
}

function uint(peg: Peg): bigint | undefined {
  return peg.attempt(() => {
    const digits = peg.some('0123456789');
    if (digits === undefined) return undefined;
    const value = BigInt(digits);
    return value > 4294967295n ? undefined : value;
  });
}

// --- meaning -----------------------------------------------------------------------------------

/** Whether the grants allow the request. */
export function checkMds(grants: readonly MdsGrant[], request: MdsRequest): boolean {
  return grants.some((each) => inside(each, request) && conditionMds(each, request) === 'none');
}

/**
 * Per written grant, up to the one that allows, what did not fit first; `none` allows. The network
 * is looked at last here.
 */
export function explainMds(grants: readonly MdsGrant[], request: MdsRequest): MdsCondition[] {
  const lines: MdsCondition[] = [];
  for (const each of grants) {
    const condition = conditionMds(each, request);
    const line = condition === 'none' && !inside(each, request) ? 'network' : condition;
    lines.push(line);
    if (line === 'none') break;
  }
  return lines;
}

function inside(each: MdsGrant, request: MdsRequest): boolean {
  return each.network === undefined || inNetwork(each.network, request.addr);
}

/** What does not fit first, the network aside. */
function conditionMds(each: MdsGrant, request: MdsRequest): MdsCondition {
  const { callerUid, callerGid, inodeUid, inodeGid, inodeMode } = request;
  const wants = (mask: Mask): boolean => request.mask.includes(mask);
  const groups = [callerGid, ...(request.callerGidList ?? [])];
  const granted = groups.filter((gid) => each.gids?.includes(gid));
  // The caller's uid is taken as signed, the grant's is not.
  if (each.uid !== undefined && each.uid !== BigInt(callerUid | 0)) return 'uid';
  if (each.gids !== undefined && granted.length === 0) return 'gids';
  if (!covers(each, binary(request.path))) return 'path';
  const has = (letter: string): boolean => each.perm === '*' || each.perm.includes(letter);
  if ((wants('READ') || wants('EXECUTE')) && !has('r')) return 'mds_permission';
  if (wants('WRITE') && !has('w')) return 'mds_permission';
  const root = callerUid === 0 || callerGid === 0;
  if (each.rootSquash && wants('WRITE') && root) return 'root_squash';
  if (wants('SET_VXATTR') && !has('p')) return 'mds_permission';
  if (wants('SNAPSHOT') && !has('s')) return 'mds_permission';
  if (wants('FULL') && !has('f')) return 'mds_permission';
  if (each.uid === undefined) return 'none';
  if (wants('CHOWN') && (request.newUid !== callerUid || inodeUid !== callerUid)) return 'chown';
  if (wants('CHGRP') && (inodeUid !== callerUid || !granted.includes(request.newGid))) {
    return 'chgrp';
  }
  const shift = inodeUid === callerUid ? 6 : granted.includes(inodeGid) ? 3 : 0;
  const bits = inodeMode >> shift;
  const refused =
    (wants('READ') && !(bits & 4)) ||
    (wants('WRITE') && !(bits & 2)) ||
    (wants('EXECUTE') && !(bits & 1));
  return refused ? 'mode' : 'none';
}

function covers({ path = '', release }: MdsGrant, wanted: string): boolean {
  // Release 16 compares a trailing slash as it stands: the directory itself is not covered.
  if (release === 16 && path.endsWith('/')) return wanted.startsWith(path);
  const bare = path.replace(/\/+$/, '');
  return bare === '' || wanted === bare || wanted.startsWith(`${bare}/`);
}

/** Some grant is `*` on every path for every uid; fsname, squash and network are not looked at. */
export function allowAllMds(grants: readonly MdsGrant[]): boolean {
  return grants.some(
    ({ perm, uid, path = '' }) => perm === '*' && uid === undefined && path === '',
  );
}

/** Whether some grant opens the file system `fs` for what is wanted of it. */
export function fsNameCapable(
  grants: readonly MdsGrant[],
  fs: string,
  mask: readonly Mask[],
): boolean {
  if (allowAllMds(grants)) return true;
  return grants.some(({ fsname, perm }) => {
    if (fsname !== undefined && fsname !== binary(fs)) return false;
    const has = (letter: string): boolean => perm === '*' || perm.includes(letter);
    return (mask.includes('READ') && has('r')) || (mask.includes('WRITE') && has('w'));
  });
}

// --- printed form ------------------------------------------------------------------------------

/** The printed form; its characters are bytes. */
export function printMds(grants: readonly MdsGrant[]): string {
  return `MDSAuthCaps[${grants.map(printGrant).join(', ')}]`;
}

function printGrant(each: MdsGrant): string {
  const { perm, fsname, path = '', rootSquash, uid, gids, network } = each;
  const letters = perm === '*' ? '*' : [...'rwfps'].filter((one) => perm.includes(one)).join('');
  let text = `allow ${letters}`;
  if (fsname !== undefined) text += ` fsname=${fsname}`;
  if (path !== '') text += ` path="/${path}"`;
  if (rootSquash) text += ' root_squash';
  if (uid !== undefined) text += ` uid=${uid}`;
  if (gids !== undefined) text += ` gids=${gids.join(',')}`;
  if (network !== undefined) text += ` network ${network}`;
  return text;
}

const SP = ' \t\n';
const PERMS: readonly string[] = [
  '*',
  'all',
  'rwfps',
  'rwps',
  'rwfp',
  'rwfs',
  'rwp',
  'rws',
  'rwf',
  'rw',
  'r',
];
