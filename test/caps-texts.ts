/**
 * Random OSD and MDS caps texts and requests. Texts are near the grammar, some are then damaged;
 * names come from small pools, so that grants and requests meet. Texts are bytes as characters.
 */

import type { Rng } from './rng.ts';
import type { Mask, MdsRequest } from './twin/mdscap.ts';
import type { OsdRequest } from './twin/osdcap.ts';

/** Characters 0-255 as bytes. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** A caps text for osd: 1 to 4 grants, half of the texts damaged. */
export function osdText(rng: Rng): string {
  const blanks = (): string => rarely(rng, ['\n', '\r'], ['', '', '', ' ', '\t', '  ']);
  return text(rng, osdGrant, () => blanks() + rng.pick([',', ',', ';']) + blanks());
}

/** A caps text for mds. */
export function mdsText(rng: Rng): string {
  if (rng.chance(0.01)) return 'allow';
  const blanks = (): string => rarely(rng, ['\t', '\n'], ['', '', '', ' ', '  ']);
  return text(rng, mdsGrant, () => blanks() + rng.pick([',', ',', ';']) + blanks());
}

function text(rng: Rng, grant: (rng: Rng) => string, separator: () => string): string {
  let all = rng.chance(0.1) ? rng.pick(SPACES) : '';
  all += grant(rng);
  for (let i = rng.int(4); i > 0; i--) all += separator() + grant(rng);
  if (rng.chance(0.1)) all += rng.pick(SPACES);
  return rng.chance(0.45) ? damage(rng, all) : all;
}

function damage(rng: Rng, whole: string): string {
  let all = whole;
  for (let i = rng.int(3) + 1; i > 0; i--) {
    const at = rng.int(all.length + 1);
    const cut = rng.pick([0, 0, 1, 1, 1, 2, rng.int(12)]);
    const piece = rng.pick([
      '',
      rng.pick(TOKENS),
      rng.pick(TOKENS),
      String.fromCharCode(rng.int(256)),
      all.slice(rng.int(all.length + 1)).slice(0, rng.int(20)),
    ]);
    all = all.slice(0, at) + piece + all.slice(at + cut);
  }
  return rng.chance(0.05) ? all.slice(0, rng.int(all.length + 1)) : all;
}

// --- osd ---------------------------------------------------------------------------------------

function osdGrant(rng: Rng): string {
  const net = rng.chance(0.2) ? network(rng, SPACES) : '';
  if (rng.chance(0.25)) {
    const name = `profile${equals(rng)}${str(rng, PROFILES)}`;
    return name + some(rng, 0.4, pool) + some(rng, 0.3, namespace) + net;
  }
  const parts = [match(rng), spec(rng)];
  if (rng.chance(0.6)) parts.reverse();
  return `allow${parts.join('')}${net}`;
}

function spec(rng: Rng): string {
  if (rng.chance(0.2)) {
    const method = some(rng, 0.5, () => sp(rng) + str(rng, METHODS));
    return `${sp(rng)}class${sp(rng)}${str(rng, CLASSES)}${method}`;
  }
  if (rng.chance(0.2)) return sp(rng) + rarely(rng, ['* class-read', 'allrw'], ['*', 'all', '*']);
  const letters = sp(rng) + rarely(rng, ['wr', 'r w'], ['r', 'w', 'x', 'rw', 'rx', 'wx', 'rwx']);
  const read = some(rng, 0.3, () => `${sp(rng)}class-read`);
  const write = some(rng, 0.3, () => `${sp(rng)}class-write`);
  if (rng.chance(0.05)) return letters + write + read;
  return read + write !== '' && rng.chance(0.3) ? read + write : letters + read + write;
}

function match(rng: Rng): string {
  if (rng.chance(0.2)) {
    return some(rng, 0.4, namespace) + tag(rng) + some(rng, 0.05, prefix);
  }
  const parts = [some(rng, 0.4, pool), some(rng, 0.4, namespace), some(rng, 0.3, prefix)];
  if (rng.chance(0.05)) parts.reverse();
  if (rng.chance(0.03)) parts.push(tag(rng));
  return parts.join('');
}

function pool(rng: Rng): string {
  return `${sp(rng)}pool${equals(rng)}${str(rng, POOLS)}`;
}

function namespace(rng: Rng): string {
  const name = rng.chance(0.2) ? rng.pick(['""', "''", '"*"', "'a*'"]) : str(rng, NAMESPACES);
  return `${sp(rng)}namespace${equals(rng)}${name}${rng.chance(0.3) ? '*' : ''}`;
}

function prefix(rng: Rng): string {
  return `${sp(rng)}object_prefix${sp(rng)}${str(rng, PREFIXES)}`;
}

function tag(rng: Rng): string {
  const side = (from: readonly string[]): string =>
    rng.chance(0.3) ? rarely(rng, ['allfs'], ['*', 'all', '"*"', '"all"']) : str(rng, from);
  const around = (): string => rng.pick(['', '', '', ' ', '\n', '  ']);
  const pair = side(KEYS) + around() + rarely(rng, [' '], ['=']) + around();
  return `${sp(rng)}tag${sp(rng)}${str(rng, APPLICATIONS)}${sp(rng)}${pair}${side(VALUES)}`;
}

/** A request for any of the texts above. */
export function osdRequest(rng: Rng): OsdRequest {
  const classes = Array.from({ length: rng.pick([0, 0, 0, 1, 1, 2, 3]) }, () => ({
    name: utf8(rng.pick(CLASSES)),
    method: utf8(rng.pick(METHODS)),
    read: rng.chance(0.5),
    write: rng.chance(0.4),
    allowListed: rng.chance(0.5),
  }));
  const appMetadata: Record<string, Record<string, string>> = {};
  for (const application of APPLICATIONS) {
    if (!rng.chance(0.4)) continue;
    const values: Record<string, string> = {};
    for (const key of KEYS) if (rng.chance(0.3)) values[utf8(key)] = utf8(rng.pick(VALUES));
    appMetadata[utf8(application)] = values;
  }
  return {
    pool: utf8(rng.pick(POOLS)),
    namespace: rng.chance(0.3) ? '' : utf8(rng.pick(NAMESPACES)),
    object: utf8(rng.pick(['', rng.pick(PREFIXES), `${rng.pick(PREFIXES)}x`, 'rbd_header.1'])),
    read: rng.chance(0.5),
    write: rng.chance(0.3),
    classes,
    appMetadata,
    addr: clientAddress(rng),
  };
}

// --- mds ---------------------------------------------------------------------------------------

function mdsGrant(rng: Rng): string {
  const parts = [
    some(rng, 0.25, () => `${mdsSp(rng)}fsname=${rarely(rng, ODD_FSNAMES, FSNAMES)}`),
    some(rng, 0.4, () => `${mdsSp(rng)}path=${path(rng)}`),
    some(rng, 0.15, () => `${mdsSp(rng)}root_squash`),
    some(rng, 0.35, () => `${mdsSp(rng)}uid=${rarely(rng, ODD_UINTS, UINTS)}`),
    some(rng, 0.35, () => `${mdsSp(rng)}gids=${gids(rng)}`),
    some(rng, 0.2, () => network(rng, MDS_SPACES)),
  ];
  if (rng.chance(0.05)) parts.reverse();
  return `allow${mdsSp(rng)}${rarely(rng, ODD_MDS_PERMS, MDS_PERMS)}${parts.join('')}`;
}

function path(rng: Rng): string {
  const bare = rng.pick(['', '/', '//']) + rng.pick(PATHS) + rng.pick(['', '', '', '/', '//']);
  return rng.chance(0.4) || (/[ \xc3]/.test(bare) && rng.chance(0.95)) ? quote(rng, bare) : bare;
}

function gids(rng: Rng): string {
  const all = Array.from({ length: rng.int(4) + 1 }, () => rarely(rng, ODD_UINTS, UINTS));
  return all.join(rng.chance(0.05) ? rng.pick([';', ', ', ',,']) : ',');
}

/** A request for any of the texts above. */
export function mdsRequest(rng: Rng): MdsRequest {
  const id = (): number => rng.pick([0, 1, 1, 1, 1, 5, 5, 7, 10, 2147483648, 4294967295]);
  const near = (other: number): number => (rng.chance(0.5) ? other : id());
  const masks = MASKS.filter(() => rng.chance(0.2));
  const callerUid = id();
  const callerGid = id();
  return {
    path: utf8(rng.pick([rng.pick(PATHS), `${rng.pick(PATHS)}/${rng.pick(PATHS)}`, 'ab', 'a/'])),
    inodeUid: near(callerUid),
    inodeGid: near(callerGid),
    inodeMode: rng.pick([0o777, 0o750, 0o640, 0o444, 0o1007, 0, rng.int(0o10000)]),
    callerUid,
    callerGid,
    callerGidList: rng.chance(0.3) ? null : Array.from({ length: rng.int(4) }, id),
    mask: rng.chance(0.1) ? [] : [...masks, ...rng.pick([[], ['READ'], ['WRITE']] as Mask[][])],
    newUid: near(callerUid),
    newGid: near(callerGid),
    addr: clientAddress(rng),
  };
}

// --- both --------------------------------------------------------------------------------------

function network(rng: Rng, spaces: readonly string[]): string {
  const space = (): string => (rng.chance(0.9) ? ' ' : rng.pick(spaces));
  const which = rng.chance(0.3) ? nearNetwork(rng) : rarely(rng, ODD_NETWORKS, NETWORKS);
  return `${space()}network${space()}${which}`;
}

/** The network of a client, or one that is almost text of an address. */
export function nearNetwork(rng: Rng): string {
  let address = rng.pick([...ADDRESSES, '1::2:3:4:5:6:7']) ?? '::';
  if (rng.chance(0.6)) {
    const at = rng.chance(0.3) ? address.length : rng.int(address.length + 1);
    const piece = rng.pick([
      '',
      ':',
      '::',
      '.',
      '0',
      '1',
      'f',
      '255',
      '1:2',
      '.1',
      ':1',
      '1.2.3.4',
      ':1.2.3.4',
    ]);
    address = address.slice(0, at) + piece + address.slice(at + rng.int(3));
  }
  return `${address}/${rng.int(rng.pick([2, 34, 130]))}`;
}

/** Address of a client, or null for one of no family. */
export function clientAddress(rng: Rng): string | null {
  return rng.pick(ADDRESSES);
}

function some(rng: Rng, probability: number, part: (rng: Rng) => string): string {
  return rng.chance(probability) ? part(rng) : '';
}

/** Mostly of `usual`; of `odd`, which no grammar takes or which hides the rest, once in a while. */
function rarely<T>(rng: Rng, odd: readonly T[], usual: readonly T[]): T {
  return rng.pick(rng.chance(0.03) ? odd : usual);
}

function sp(rng: Rng): string {
  return rng.chance(0.93) ? ' ' : rng.pick(SPACES);
}

function mdsSp(rng: Rng): string {
  return rng.chance(0.03) ? rng.pick(['\r', '\v']) : rng.pick(MDS_SPACES);
}

function equals(rng: Rng): string {
  return rng.chance(0.5) ? '=' : sp(rng);
}

function str(rng: Rng, from: readonly string[]): string {
  const name = rng.pick(from);
  const plain = /^[A-Za-z0-9_./-]+$/.test(name);
  return plain && rng.chance(0.7) ? name : quote(rng, name);
}

function quote(rng: Rng, inside: string): string {
  const mark = inside.includes('"') || (!inside.includes("'") && rng.chance(0.5)) ? "'" : '"';
  return mark + inside + mark;
}

/** Bytes as characters to the string whose UTF-8 they are. */
function utf8(bytes: string): string {
  return new TextDecoder().decode(bytesOf(bytes));
}

const TOKENS = [
  ...['allow', 'profile', 'pool', 'namespace', 'object_prefix', 'tag', 'network', 'class', 'all'],
  ...['class-read', 'class-write', 'fsname=', 'path=', 'root_squash', 'uid=', 'gids=', 'rbd', 'rw'],
  ...['r', 'w', 'x', '*', '=', ',', ';', '"', "'", '""', ' ', '\t', '\n', '\v', '/', '0', '\\'],
];
const SPACES = [' ', '\t', '\n', '\v', '\f', '\r', '  ', ' \t\n'];
const MDS_SPACES = [' ', ' ', ' ', ' ', '\t', '\n', '  ', ' \t\n'];
const PROFILES = [
  'rbd',
  'rbd',
  'rbd-read-only',
  'read-only',
  'read-write',
  'nosuch',
  'rbdx',
  'crash',
];
const POOLS = ['a', 'a', 'b', 'pool', 'r', 'caf\xc3\xa9', 'a b', 'namespace'];
const NAMESPACES = ['a', 'ab', 'n1', 'all', 'x*', '\xc3\xa9'];
const PREFIXES = ['rbd_info', 'rbd_children', 'rbd_mirroring', 'o', 'o,;', 'rbd_header.', '"'];
const CLASSES = ['rbd', 'lock', 'foo', 'class', "it's"];
const METHODS = ['metadata_list', 'child_attach', 'child_detach', 'm', 'pool'];
const APPLICATIONS = ['cephfs', 'rbd', 'app', '*'];
const KEYS = ['data', 'k', '*', 'all'];
const VALUES = ['a', 'all', '*', 'v', 'allfs'];
const FSNAMES = ['a', 'cephfs', 'a.b_c-D', '0'];
const ODD_FSNAMES = ['*', '"a"', ''];
const PATHS = ['a', 'a/b', 'home', '', '.', 'a//b', 'a b', 'caf\xc3\xa9'];
const UINTS = ['0', '1', '1', '1', '5', '5', '007', '10', '2147483648', '4294967295'];
const ODD_UINTS = ['4294967296', '', '-1', '99999999999999999999', '1.5', '00000000000000000001'];
const MDS_PERMS = [
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
  'rw',
  'r',
];
const ODD_MDS_PERMS = ['w', 'rwx', 'rwsp', 'rp', '', 'rwpf'];
const MASKS: readonly Mask[] = [
  'READ',
  'WRITE',
  'EXECUTE',
  'CHOWN',
  'CHGRP',
  'SET_VXATTR',
  'SNAPSHOT',
  'FULL',
];
const NETWORKS = [
  ...[
    '10.0.0.0/8',
    '10.1.2.3/8',
    '0.0.0.0/0',
    '10.1.2.3/32',
    '10.1.2.3/33',
    '10.0.0.0/4294967296',
    '10.0.0.0/9223372036854775808',
    '11.0.0.0/18446744073709551616',
  ],
  ...['10.1.2.0/23', '::/0', '2001:db8::/32', '2001:DB8::1/64', '::1/128', '::ffff:10.1.2.3/128'],
  ...['1:2:3:4:5:6:7::/112', '::1.2.3.4/127', '2001:db8:0:0:0:0:0:1/128', '2001:db8::/3'],
  // Dead: they parse and never match.
  ...['[::1]/128', '10.0.0.1', '10.0.0.0/', '/8', 'bad/8', '10.0.0/8', '010.0.0.0/8', '::1::/8'],
  ...[
    '10.0.0.0/8/8',
    '10.0.0.0/a',
    '1.2.3.4::/0',
    ':::/0',
    '256.0.0.0/0',
    '1:2:3:4:5:6:7:8:9/0',
    '1:2:3:4:5:6:7:8::/0',
    '1::2:3:4:5:6:7:8/0',
  ],
];
const ODD_NETWORKS = ['foo/8', '', '10.0.0.0/-1', 'localhost/8'];
const ADDRESSES = [
  ...['10.1.2.3', '10.1.2.3', '10.9.9.9', '192.168.1.1', '0.0.0.0', null],
  ...['::1', '2001:db8::1', '2001:db8::1:0:0:1', '::ffff:10.1.2.3', '1:2:3:4:5:6:7:8', '::1.2.3.4'],
];
