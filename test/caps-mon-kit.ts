/** Random mon and mgr caps and requests: mostly good ones, some damaged. */

import { check, explain, type Grants, readRequest } from '../src/caps/index.ts';
import type { Rng } from './rng.ts';
import type { BitRequest } from './twin/moncap.ts';

interface Seeds {
  readonly grants: readonly ((rng: Rng) => string)[];
}

/** A text of one to three grants; one in four has a byte changed, lost or doubled. */
export function capText(rng: Rng, { grants }: Seeds): string {
  const count = 1 + rng.int(3);
  let text = rng.pick(grants)(rng);
  for (let i = 1; i < count; i++) {
    text += `${blank(rng)}${rng.pick([',', ';'])}${blank(rng)}${rng.pick(grants)(rng)}`;
  }
  if (rng.chance(0.1)) text = ` ${text}\n`;
  if (!rng.chance(0.25)) return text;
  const at = rng.int(text.length + 1);
  const inserted = rng.pick(['', ' ', ',', '=', '"', "'", 'r', '*', 'é', '\v', 'allow', '/']);
  return text.slice(0, at) + inserted + text.slice(at + rng.int(2));
}

export function monRequest(rng: Rng): BitRequest {
  const [service, command] = rng.pick(COMMANDS);
  const args: Record<string, string> = {};
  const own = ARGS_OF[command] ?? [];
  for (const [key, values] of ARGS) {
    if (rng.chance(own.includes(key) ? 0.8 : 0.1)) args[key] = rng.pick(values);
  }
  return {
    entity: rng.pick(['client.x', 'osd.3', 'mds.a', 'mgr.x']),
    service,
    command,
    args,
    read: rng.chance(0.6),
    write: rng.chance(0.3),
    exec: rng.chance(0.2),
    addr: rng.pick([null, '10.1.2.3', '192.0.2.9', '2001:db8::1', '::ffff:10.1.2.3']),
  };
}

export function mgrRequest(rng: Rng): BitRequest {
  const request = monRequest(rng);
  const command = rng.chance(0.4) ? '' : request.command;
  const entity = rng.chance(0.05) ? 'mon.a' : request.entity;
  return { ...request, entity, command, module: rng.pick(['rbd_support', 'volumes', '']) };
}

/** Whether check and explain both give this answer, and the explanation carries it. */
export function answers(grants: Grants, fields: BitRequest, expected: boolean): boolean {
  const request = readRequest(grants.service, fields);
  if (typeof request === 'string') return false;
  const explained = explain(grants, request);
  const passing = explained.grants.filter(({ failed }) => failed === null);
  const decided = expected && explained.grant !== undefined ? [explained.grant] : [];
  return (
    explained.allowed === expected &&
    check(grants, request).allowed === expected &&
    passing.map(({ grant }) => grant).join() === decided.join()
  );
}

function blank(rng: Rng): string {
  return rng.pick(['', '', ' ', '\t', '\n ']);
}

function perm(rng: Rng): string {
  return rng.pick(['r', 'rw', 'rwx', 'w', 'x', 'rx', 'wx', '*', 'all']);
}

function net(rng: Rng): string {
  if (!rng.chance(0.25)) return '';
  const where = rng.pick(['10.0.0.0/8', '192.0.2.0/24', '2001:db8::/32', '10.0.0.1', '0.0.0.0/0']);
  return ` network ${where}`;
}

function constraint(rng: Rng): string {
  const [key, values] = rng.pick(ARGS);
  const value = rng.pick(values);
  const quoted = /^[\w./-]+$/.test(value) && rng.chance(0.5) ? value : `"${value}"`;
  const kinds = [
    `${key}=${quoted}`,
    `${key} prefix ${quoted.slice(0, 3)}${quoted.startsWith('"') ? '"' : ''}`,
    `${key} regex "${rng.pick(REGEXES)}"`,
  ];
  return rng.pick(kinds);
}

function withs(rng: Rng): string {
  if (!rng.chance(0.6)) return '';
  return ` with ${constraint(rng)}${rng.chance(0.3) ? ` ${constraint(rng)}` : ''}`;
}

function eq(rng: Rng): string {
  return rng.pick([' ', '=', '  ']);
}

const REGEXES = ['[0-9]+', 'a.*', '^(rbd|app)/.*$', '[*', 'x{2,3}', '(a|b)+', '[^/]+/[0-9]+'];

const ARGS: readonly (readonly [string, readonly string[]])[] = [
  ['key', ['rbd/mirror/x', 'rbd/mirror/peer/1', 'cephfs/mirror/peer/a', 'app/1', 'é']],
  ['key', ['daemon-private/osd.3/k', 'daemon-private/mds.a/k', 'daemon-private/osd.33/k']],
  ['entity', ['mds.a', 'mgr.a', 'client.rgw.a', 'client.b']],
  ['caps_mon', ['allow profile mds', 'allow profile mgr', 'allow rw', 'profile rbd']],
  ['caps_osd', ['allow rwx', 'profile rbd pool=a', 'profile rbd, profile rbd-x', 'allow *']],
  ['caps_mds', ['allow', 'allow r']],
  ['name', ['osd_recovery_max_active_hdd', 'osd_mclock_scheduler_x', 'osd_recovery_max_activ']],
  ['addr', ['192.0.2.9:0/1234', '192.0.2.9', 'a/b/1']],
  ['blocklistop', ['add', 'rm']],
  ['blacklistop', ['add', 'rm']],
  ['name', ['osd_mclock_max_capacity_iops_hdd', 'osd_max_backfills', 'osd_max_backfills2']],
  ['pool', ['vol', '12', 'xxx']],
  ['namespace', ['t1', 'ab']],
];

const COMMANDS: readonly (readonly [string, string])[] = [
  ['mon', 'mon getmap'],
  ['osd', 'osd blocklist'],
  ['osd', 'osd blacklist'],
  ['osd', 'osd new'],
  ['osd', 'osd pool rmsnap'],
  ['auth', 'auth get-or-create'],
  ['auth', 'auth ls'],
  ['auth', 'auth caps'],
  ['config-key', 'config-key get'],
  ['config-key', 'config-key set'],
  ['config-key', 'config-key put'],
  ['config-key', 'config-key exists'],
  ['config-key', 'config-key delete'],
  ['osd', 'osd purge-new'],
  ['auth', 'auth rm'],
  ['mgr', 'smart'],
  ['mgr', 'heap'],
  ['mgr', 'dump_mempools'],
  ['config', 'config set'],
  ['config', 'config rm'],
  ['pg', 'pg stat'],
  ['log', 'log'],
  ['mds', 'fs dump'],
  ['fs', 'fs ls'],
  ['mgr', 'crash post'],
  ['mgr', 'é'],
];

/** What the constraints of profiles look at. */
const ARGS_OF: Readonly<Record<string, readonly string[]>> = {
  'osd blocklist': ['addr', 'blocklistop'],
  'osd blacklist': ['addr', 'blacklistop'],
  'auth get-or-create': ['entity', 'caps_mon', 'caps_osd', 'caps_mds'],
  'config-key get': ['key'],
  'config-key set': ['key'],
  'config-key put': ['key'],
  'config-key exists': ['key'],
  'config-key delete': ['key'],
  'config set': ['name'],
  'config rm': ['name'],
};

const MON_PROFILES =
  'read-only read-write mon osd mds mgr bootstrap-osd bootstrap-mds bootstrap-mgr bootstrap-rgw ' +
  'bootstrap-rbd bootstrap-rbd-mirror rbd rbdfoo rbd-mirror rbd-mirror-peer fs-client ' +
  'simple-rados-client simple-rados-client-with-blocklist cephfs-mirror crash role-definer rgw ' +
  'nosuch toString';

const plain = (rng: Rng): string => `allow ${perm(rng)}${net(rng)}`;
const service = (rng: Rng): string =>
  `allow service${eq(rng)}${rng.pick(COMMANDS)[0]} ${perm(rng)}${net(rng)}`;
const command = (rng: Rng): string =>
  `allow command${eq(rng)}"${rng.pick(COMMANDS)[1]}"${withs(rng)}${net(rng)}`;

/** What grants of each language look like. */
export const CAP_SEEDS: Readonly<Record<'mon' | 'profiles' | 'mgr', Seeds>> = {
  mon: {
    grants: [
      plain,
      (rng) => `allow ${perm(rng)}${rng.chance(0.5) ? net(rng) : ''} fsname${eq(rng)}a`,
      service,
      command,
      command,
      (rng) =>
        `${rng.pick(['', 'allow '])}profile${eq(rng)}${pickWord(rng, MON_PROFILES)}${net(rng)}`,
      (rng) => `profile ${pickWord(rng, MON_PROFILES)}`,
    ],
  },
  profiles: { grants: [(rng) => `profile ${pickWord(rng, MON_PROFILES)}`] },
  mgr: {
    grants: [
      plain,
      service,
      command,
      (rng) =>
        `allow module${eq(rng)}${rng.pick(['rbd_support', 'volumes'])}${withs(rng)} ${perm(rng)}`,
      (rng) => {
        const name = rng.pick(['rbd', 'rbd', 'rbd-read-only', 'crash', 'osd', 'rgw', 'read-write']);
        const kv = rng.pick([
          '',
          ' pool = vol',
          ' namespace prefix t',
          ' pool=vol x=y',
          ' pool=12',
        ]);
        return `${rng.pick(['', 'allow '])}profile${eq(rng)}${name}${kv}${net(rng)}`;
      },
    ],
  },
};

function pickWord(rng: Rng, words: string): string {
  return rng.pick(words.split(' '));
}
