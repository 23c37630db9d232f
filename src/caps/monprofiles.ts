/**
 * The mon profiles (Ceph: MonCapGrant::expand_profile in src/mon/MonCap.cc), as of 16.2.15 and of
 * the newer releases where they differ. Ceph: an unknown profile is no error and grants nothing.
 */

import { CAP_R, CAP_W, CAP_X, type CapGrant, type Constraint, makeGrant } from './capgrammar.ts';

/** What `profile NAME` stands for when `entity` asks. Both are byte strings. */
export function monProfile(name: string, entity: string, release: 16 | 20): readonly CapGrant[] {
  const grants = shared(name, release);
  return KEEPS_PRIVATE.includes(name) ? [...grants, ...privateKeys(entity)] : grants;
}

/** What does not depend on who asks. */
function shared(name: string, release: 16 | 20): readonly CapGrant[] {
  if (name === 'osd' && release > 16) return OSD_NEW;
  if (name === 'mgr' && release > 16) return MGR_NEW;
  if (Object.hasOwn(PROFILES, name)) return PROFILES[name]!;
  // Ceph: boost::starts_with(profile, "rbd"), so any such name is a client of rbd.
  return name.startsWith('rbd') ? RBD : [];
}

/** The daemon's own corner of the config-key store. */
function privateKeys(entity: string): CapGrant[] {
  const own = prefix('key', `daemon-private/${entity}/`);
  return ['get', 'put', 'set', 'exists', 'delete'].map((verb) =>
    command(`config-key ${verb}`, own),
  );
}

function plain(perm: number): CapGrant {
  return makeGrant('rwxa', { perm });
}

/** Service grants written as in the profile table: `mon:r pg:rw`. */
function services(list: string): CapGrant[] {
  return list.split(' ').map((each) => {
    const [name, letters] = each.split(':') as [string, string];
    const perm = [...letters].reduce((bits, letter) => bits | LETTERS[letter]!, 0);
    return makeGrant('service', { name, perm });
  });
}

function command(name: string, ...constraints: Constraint[]): CapGrant {
  return makeGrant('command', { name, constraints });
}

function equal(key: string, value: string): Constraint {
  return { key, match: 'equal', value };
}

function prefix(key: string, value: string): Constraint {
  return { key, match: 'prefix', value };
}

function regex(key: string, value: string): Constraint {
  return { key, match: 'regex', value };
}

/** `blocklist` and the older word for it, which names its argument differently. */
function blocklistAdd(word: 'blocklist' | 'blacklist'): CapGrant {
  return command(`osd ${word}`, regex('addr', '^[^/]+/[0-9]+$'), equal(`${word}op`, 'add'));
}

function bootstrap(owner: Constraint, caps: Readonly<Record<string, string>>): CapGrant {
  const constraints = Object.entries(caps).map(([service, text]) => equal(`caps_${service}`, text));
  return command('auth get-or-create', ...constraints, owner);
}

function bootstrapRbd(profile: string): CapGrant[] {
  const caps = [regex('caps_osd', RBD_POOLS), equal('caps_mon', `profile ${profile}`)];
  return [
    ...services('mon:r'),
    command('auth get-or-create', ...caps, prefix('entity', 'client.')),
  ];
}

const LETTERS: Readonly<Record<string, number>> = { r: CAP_R, w: CAP_W, x: CAP_X };

/** Osd caps that a bootstrapped rbd client may have: only rbd profiles, each perhaps in a pool. */
const RBD_POOLS =
  `^([ ,]*profile(=|[ ]+)['"]?rbd[^ ,'"]*['"]?` + `([ ]+pool(=|[ ]+)['"]?[^,'"]+['"]?)?)+$`;

const RBD: readonly CapGrant[] = [
  ...services('mon:r osd:r pg:r'),
  blocklistAdd('blocklist'),
  blocklistAdd('blacklist'),
];

const OSD: readonly CapGrant[] = [
  ...services('osd:rwx mon:r pg:rw log:w'),
  command('config set', regex('name', 'osd_mclock_max_capacity_iops_(hdd|ssd)')),
];

const OSD_NEW: readonly CapGrant[] = [
  ...OSD,
  command(
    'config rm',
    regex('name', '^(osd_max_backfills|osd_recovery_max_active(.*)|osd_mclock_scheduler_(.*))'),
  ),
];

const MGR_COMMANDS = [
  'auth get-or-create',
  'auth caps',
  'auth rm',
  'smart',
  'heap',
  'dump_mempools',
];

const MGR: readonly CapGrant[] = [
  ...services('mgr:rwx log:rw mon:rw mds:rw fs:rw osd:rw auth:rwx config-key:rw config:rw'),
  ...MGR_COMMANDS.map((name) => command(name)),
];

/** 16.2.15 refuses `pg stat` to a mgr. */
const MGR_NEW: readonly CapGrant[] = [...MGR, ...services('pg:r')];

const KEEPS_PRIVATE: readonly string[] = ['mon', 'osd', 'mds', 'mgr'];

const PROFILES: Readonly<Record<string, readonly CapGrant[]>> = {
  'read-only': [plain(CAP_R)],
  'read-write': [plain(CAP_R | CAP_W)],
  mon: services('mon:rwx log:rwx'),
  osd: OSD,
  mds: [
    ...services('mds:rwx mon:r osd:r log:w'),
    ...['osd pool rmsnap', 'osd blocklist', 'osd blacklist'].map((name) => command(name)),
  ],
  mgr: MGR,
  'bootstrap-osd': [
    ...services('mon:r osd:r'),
    ...['mon getmap', 'osd new', 'osd purge-new'].map((name) => command(name)),
  ],
  'bootstrap-mds': [
    ...services('mon:r osd:r'),
    command('mon getmap'),
    bootstrap(prefix('entity', 'mds.'), {
      mon: 'allow profile mds',
      osd: 'allow rwx',
      mds: 'allow',
    }),
  ],
  'bootstrap-mgr': [
    ...services('mon:r osd:r'),
    command('mon getmap'),
    bootstrap(prefix('entity', 'mgr.'), { mon: 'allow profile mgr' }),
  ],
  'bootstrap-rgw': [
    ...services('mon:r osd:r'),
    command('mon getmap'),
    bootstrap(prefix('entity', 'client.rgw.'), { mon: 'allow rw', osd: 'allow rwx' }),
  ],
  'bootstrap-rbd': bootstrapRbd('rbd'),
  'bootstrap-rbd-mirror': bootstrapRbd('rbd-mirror'),
  rbd: RBD,
  'rbd-mirror': [...RBD, command('config-key get', prefix('key', 'rbd/mirror/'))],
  'rbd-mirror-peer': [
    ...RBD,
    command('config-key get', regex('key', 'rbd/mirror/[^/]+')),
    command('config-key set', prefix('key', 'rbd/mirror/peer/')),
  ],
  'fs-client': services('mon:r mds:r osd:r pg:r'),
  'simple-rados-client': services('mon:r osd:r pg:r'),
  'simple-rados-client-with-blocklist': [
    ...services('mon:r osd:r pg:r'),
    blocklistAdd('blocklist'),
  ],
  'cephfs-mirror': [
    ...services('mon:r mds:r osd:r pg:r'),
    command('config-key get', prefix('key', 'cephfs/mirror/peer/')),
  ],
  crash: services('mon:r'),
  'role-definer': services('mon:r auth:rwx'),
};
