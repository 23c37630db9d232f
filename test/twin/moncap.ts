/** A slow, obvious twin of mon caps: grammar as recursive code, the decision as it is stated. */

import { inNetwork, networkClause } from './network.ts';
import { ALNUM, binary, Peg } from './peg.ts';

export interface BitGrant {
  readonly form: 'plain' | 'profile' | 'service' | 'module' | 'command';
  readonly name: string;
  /** '*', letters, or '' where the form has none. */
  readonly perm: string;
  readonly kv: readonly [key: string, match: string, value: string][];
  readonly network?: string | undefined;
  readonly fsname?: string | undefined;
}

/** As in caps-examples; texts are given as they are. */
export interface BitRequest {
  readonly entity: string;
  readonly service: string;
  readonly module?: string;
  readonly command: string;
  readonly args: Readonly<Record<string, string>>;
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly addr: string | null;
}

/** The grants, or where REST begins. */
export function parse(text: string): BitGrant[] | { stop: number } {
  return parseList(text, (peg) => {
    const rules = [plain, profile, service, command];
    for (const rule of rules) {
      const grant = peg.attempt(() => rule(peg));
      if (grant !== undefined) return grant;
    }
    return undefined;
  });
}

/** `[sp] grant [sp]`, separated by `,` or `;`. */
export function parseList(
  text: string,
  rule: (peg: Peg) => BitGrant | undefined,
): BitGrant[] | { stop: number } {
  const peg = new Peg(new TextEncoder().encode(text));
  const grants: BitGrant[] = [];
  for (;;) {
    const grant = peg.attempt(() => {
      if (grants.length > 0 && !peg.literal(',') && !peg.literal(';')) return undefined;
      peg.some(SP);
      const found = rule(peg);
      peg.some(SP);
      return found;
    });
    if (grant === undefined) break;
    grants.push(grant);
  }
  return grants.length > 0 && peg.done ? grants : { stop: peg.at };
}

/** What 4.2 says, with profiles expanded as caps of their own. */
export function allows(grants: readonly BitGrant[], request: BitRequest, newer: boolean): boolean {
  let have = '';
  for (const grant of grants) {
    if (grant.network !== undefined && !inNetwork(grant.network, request.addr)) continue;
    if (grant.form === 'plain' && grant.perm === '*' && grant.fsname === undefined) return true;
    have += letters(grant, request, newer);
    if (needs(request).every((need) => have.includes(need))) return true;
  }
  return false;
}

export function needs({ read, write, exec }: BitRequest): string[] {
  return [read ? 'r' : '', write ? 'w' : '', exec ? 'x' : ''].filter((need) => need !== '');
}

export function holds(grant: BitGrant, request: BitRequest): boolean {
  return grant.kv.every(([key, match, wanted]) => {
    const args = Object.entries(request.args).map(([name, value]) => [binary(name), binary(value)]);
    const value = args.find(([name]) => name === key)?.[1];
    if (value === undefined) return false;
    if (match === '=') return value === wanted;
    return match === 'prefix' ? value.startsWith(wanted) : wholeMatch(wanted, value);
  });
}

function letters(grant: BitGrant, request: BitRequest, newer: boolean): string {
  const perm = grant.perm === '*' ? 'rwx' : grant.perm;
  if (grant.form === 'profile') {
    return expand(grant.name, request.entity, newer)
      .map((each) => letters(each, request, newer))
      .join('');
  }
  if (grant.form === 'service') return grant.name === binary(request.service) ? perm : '';
  if (grant.form === 'command') {
    return grant.name === binary(request.command) && holds(grant, request) ? 'rwx' : '';
  }
  return request.service === 'config-key' ? '' : perm;
}

function expand(name: string, entity: string, newer: boolean): BitGrant[] {
  const rbd = name.startsWith('rbd') && !Object.hasOwn(PROFILES, name) ? 'rbd' : name;
  let text = Object.hasOwn(PROFILES, rbd) ? PROFILES[rbd] : undefined;
  if (text === undefined) return [];
  if (name === 'osd' && newer) text += `, ${CONFIG_RM}`;
  if (name === 'mgr' && newer) text += ', allow service pg r';
  if (['mon', 'osd', 'mds', 'mgr'].includes(name)) {
    for (const verb of ['get', 'put', 'set', 'exists', 'delete']) {
      text += `, allow command "config-key ${verb}" with key prefix "daemon-private/${entity}/"`;
    }
  }
  const grants = parse(text);
  if (!Array.isArray(grants)) throw new RangeError(`Cannot expand "${name}": bad text`);
  // No cap text can hold both kinds of quote, so this expression comes in afterwards.
  return grants.map((grant) => ({
    ...grant,
    kv: grant.kv.map(([key, match, value]) => [key, match, value === 'R1' ? R1 : value]),
  }));
}

/** The expressions of the tests mean the same in JavaScript, but for `.`, and have no class. */
function wholeMatch(expression: string, value: string): boolean {
  try {
    return new RegExp(`^(?:${expression})$`, 's').test(value);
  } catch {
    return false;
  }
}

function plain(peg: Peg): BitGrant | undefined {
  if (!peg.literal('allow')) return undefined;
  const perm = spPerm(peg);
  if (perm === undefined) return undefined;
  const network = networkClause(peg, SP);
  const fsname = peg.attempt(() =>
    peg.some(SP) && peg.literal('fsname') && equalsOrSp(peg) ? peg.some(`${ALNUM}_.-`) : undefined,
  );
  return { form: 'plain', name: '', perm, kv: [], network, fsname };
}

function profile(peg: Peg): BitGrant | undefined {
  peg.attempt(() => peg.literal('allow') && peg.some(SP));
  const name = peg.literal('profile') && equalsOrSp(peg) ? peg.str() : undefined;
  if (name === undefined) return undefined;
  return { form: 'profile', name, perm: '', kv: [], network: networkClause(peg, SP) };
}

export function service(peg: Peg): BitGrant | undefined {
  const name = named(peg, 'service');
  const perm = name && spPerm(peg);
  if (!name || !perm) return undefined;
  return { form: 'service', name, perm, kv: [], network: networkClause(peg, SP) };
}

function command(peg: Peg): BitGrant | undefined {
  const name = named(peg, 'command');
  if (name === undefined) return undefined;
  const kv = withClause(peg, '');
  return { form: 'command', name, perm: '', kv, network: networkClause(peg, SP) };
}

export function named(peg: Peg, form: string): string | undefined {
  const found = peg.literal('allow') && peg.some(SP) && peg.literal(form) && equalsOrSp(peg);
  return found ? peg.str() : undefined;
}

/** `blanks` may stand around `=`. */
export function withClause(peg: Peg, blanks: string): BitGrant['kv'] {
  return (
    peg.attempt(() => {
      if (!peg.some(SP) || !peg.literal('with')) return undefined;
      const kv = keyValues(peg, blanks);
      return kv.length > 0 ? kv : undefined;
    }) ?? []
  );
}

export function keyValues(peg: Peg, blanks: string): BitGrant['kv'] {
  const kv: [string, string, string][] = [];
  for (;;) {
    const next = peg.attempt((): [string, string, string] | undefined => {
      const key = peg.some(SP) && peg.str();
      if (!key) return undefined;
      for (const match of ['=', 'prefix', 'regex']) {
        const value = peg.attempt(() => {
          const around = match === '=' ? blanks : SP;
          const before = peg.some(around);
          if ((match !== '=' && !before) || !peg.literal(match)) return undefined;
          const after = peg.some(around);
          return match !== '=' && !after ? undefined : peg.str();
        });
        if (value !== undefined) return [key, match, value];
      }
      return undefined;
    });
    if (next === undefined) return kv;
    if (!kv.some(([key]) => key === next[0])) kv.push(next);
  }
}

export function spPerm(peg: Peg): string | undefined {
  return peg.attempt(() => {
    if (!peg.some(SP)) return undefined;
    if (peg.literal('*') || peg.literal('all')) return '*';
    const found = ['r', 'w', 'x'].filter((letter) => peg.literal(letter)).join('');
    return found === '' ? undefined : found;
  });
}

export function equalsOrSp(peg: Peg): boolean {
  return (peg.literal('=') ?? peg.some(SP)) !== undefined;
}

export const SP = ' \t\n';

const svc = (list: string): string => list.replace(/(\S+):(\S+) ?/g, 'allow service $1 $2, ');
const CONFIG_RM =
  'allow command "config rm" with name regex ' +
  '"^(osd_max_backfills|osd_recovery_max_active(.*)|osd_mclock_scheduler_(.*))"';
const BLOCK = `allow command "osd blocklist" with blocklistop=add addr regex "^[^/]+/[0-9]+$"`;
const RBD = `${svc('mon:r osd:r pg:r')}${BLOCK}, ${BLOCK.replaceAll('block', 'black')}`;
const CREATE = 'allow command "auth get-or-create" with entity prefix';
const MDS_CAPS = 'caps_mon="allow profile mds" caps_osd="allow rwx" caps_mds=allow';
const MIRROR = 'caps_mon="profile rbd-mirror" caps_osd regex R1';
const GETMAP = `${svc('mon:r osd:r')}allow command "mon getmap"`;
const R1 =
  `^([ ,]*profile(=|[ ]+)['"]?rbd[^ ,'"]*['"]?` + `([ ]+pool(=|[ ]+)['"]?[^,'"]+['"]?)?)+$`;

const PROFILES: Readonly<Record<string, string>> = {
  'read-only': 'allow r',
  'read-write': 'allow rw',
  mon: 'allow service mon rwx, allow service log rwx',
  osd:
    `${svc('osd:rwx mon:r pg:rw log:w')}allow command "config set" with ` +
    'name regex "osd_mclock_max_capacity_iops_(hdd|ssd)"',
  mds:
    `${svc('mds:rwx mon:r osd:r log:w')}allow command "osd pool rmsnap", ` +
    'allow command "osd blocklist", allow command "osd blacklist"',
  mgr:
    `${svc('mgr:rwx log:rw mon:rw mds:rw fs:rw osd:rw auth:rwx config-key:rw config:rw')}` +
    'allow command "auth get-or-create", allow command "auth caps", allow command "auth rm", ' +
    'allow command smart, allow command heap, allow command dump_mempools',
  'bootstrap-osd': `${GETMAP}, allow command "osd new", allow command "osd purge-new"`,
  'bootstrap-mds': `${GETMAP}, ${CREATE} mds. ${MDS_CAPS}`,
  'bootstrap-mgr': `${GETMAP}, ${CREATE} mgr. caps_mon="allow profile mgr"`,
  'bootstrap-rgw': `${GETMAP}, ${CREATE} client.rgw. caps_mon="allow rw" caps_osd="allow rwx"`,
  'bootstrap-rbd': `${svc('mon:r')}${CREATE} client. caps_mon="profile rbd" caps_osd regex R1`,
  'bootstrap-rbd-mirror': `${svc('mon:r')}${CREATE} client. ${MIRROR}`,
  rbd: RBD,
  'rbd-mirror': `${RBD}, allow command "config-key get" with key prefix rbd/mirror/`,
  'rbd-mirror-peer':
    `${RBD}, allow command "config-key get" with key regex "rbd/mirror/[^/]+", ` +
    'allow command "config-key set" with key prefix rbd/mirror/peer/',
  'fs-client': 'allow service mon r, allow service mds r, allow service osd r, allow service pg r',
  'simple-rados-client': 'allow service mon r, allow service osd r, allow service pg r',
  'simple-rados-client-with-blocklist': `${svc('mon:r osd:r pg:r')}${BLOCK}`,
  'cephfs-mirror':
    `${svc('mon:r mds:r osd:r pg:r')}` +
    'allow command "config-key get" with key prefix cephfs/mirror/peer/',
  crash: 'allow service mon r',
  'role-definer': 'allow service mon r, allow service auth rwx',
};
