/**
 * What the guides to user management have one type (Ceph: doc/rados/operations/user-management.rst
 * and those of the file system and of block devices), and what comes of it. Keys are numbered in
 * the order in which they first show; K1 is that of client.admin.
 */

export interface GuideStep {
  readonly argv: readonly string[];
  /** Default 0. */
  readonly code?: number;
  readonly out?: string;
  readonly err?: string;
  /** Files and what is in them afterwards. */
  readonly files?: Readonly<Record<string, string>>;
}

const ALL = ['mds', 'mgr', 'mon', 'osd'] as const;
const ADMIN = section('client.admin', 'K1', Object.fromEntries(ALL.map((each) => [each, '*'])));
const LIVERPOOL = { mon: 'r', osd: 'rw pool=liverpool' };
const WORDS = ['mon', 'allow r', 'osd', 'allow rw pool=liverpool'];
const JOHN = section('client.john', 'K2', LIVERPOOL);
const PAUL = section('client.paul', 'K3', LIVERPOOL);
const PAUL_PRAGUE = section('client.paul', 'K3', { mon: 'rw', osd: 'rwx pool=prague' });
const GEORGE = section('client.george', 'K4', LIVERPOOL);
const RINGO = section('client.ringo', 'K5', LIVERPOOL);
const BRIAN = section('client.brian-manager', 'K6', { mon: '*', osd: '*' });
const RINGO_WORDS = ['--cap', 'osd', 'allow rwx', '--cap', 'mon', 'allow rwx'];
const RINGO_TOOL = section('client.ringo', 'K7', { mon: 'rwx', osd: 'rwx' });

/** Who is there, and the first users. */
const ADD: readonly GuideStep[] = [
  {
    argv: auth('ls'),
    out: `client.admin\n\tkey: K1\n${ALL.map((each) => `\tcaps: [${each}] allow *\n`).join('')}`,
    err: 'installed auth entries:\n\n',
  },
  { argv: auth('get client.admin'), out: ADMIN, err: 'exported keyring for client.admin\n' },
  { argv: auth('add client.john', ...WORDS), err: 'added key for client.john\n' },
  { argv: auth('get client.john'), out: JOHN, err: 'exported keyring for client.john\n' },
  // Again changes nothing: caps and key are what they were.
  { argv: auth('get-or-create client.paul', ...WORDS), out: bare('client.paul', 'K3') },
  { argv: auth('get-or-create client.paul', ...WORDS), out: bare('client.paul', 'K3') },
  {
    argv: auth('get-or-create client.george', ...WORDS, '-o', 'george.keyring'),
    files: { 'george.keyring': bare('client.george', 'K4') },
  },
  {
    argv: auth('get-or-create-key client.ringo', ...WORDS, '-o', 'ringo.key'),
    files: { 'ringo.key': 'K5\n' },
  },
  {
    argv: auth('get-or-create client.john', 'mon', 'allow rw'),
    code: 22,
    err: 'Error EINVAL: key for client.john exists but cap mon does not match\n',
  },
];

/** One user and all of them, in each way there is. */
const LOOK: readonly GuideStep[] = [
  {
    argv: auth('ls -o users'),
    err: 'installed auth entries:\n\n',
    files: {
      users: [
        `client.admin\n\tkey: K1\n${ALL.map((each) => `\tcaps: [${each}] allow *\n`).join('')}`,
        listed('client.george', 'K4'),
        listed('client.john', 'K2'),
        listed('client.paul', 'K3'),
        listed('client.ringo', 'K5'),
      ].join(''),
    },
  },
  ...['get-key', 'print-key', 'print_key'].map((verb) => ({
    argv: auth(`${verb} client.john`),
    out: 'K2',
  })),
  { argv: auth('get-key client.ringo -o ringo.key'), files: { 'ringo.key': 'K5' } },
  {
    argv: auth('get client.george -f json'),
    out:
      '\n[{"entity":"client.george","key":"K4",' +
      '"caps":{"mon":"allow r","osd":"allow rw pool=liverpool"}}]',
    err: 'exported keyring for client.george\n',
  },
  {
    argv: auth('get client.admin -o ceph.client.admin.keyring'),
    err: 'exported keyring for client.admin\n',
    files: { 'ceph.client.admin.keyring': ADMIN },
  },
  { argv: auth('export client.john'), out: JOHN, err: 'export auth(key=K2)\n' },
  {
    argv: auth('export client.john -o john.keyring'),
    err: 'export auth(key=K2)\n',
    files: { 'john.keyring': JOHN },
  },
  {
    argv: auth('export -o all.keyring'),
    err: 'exported master keyring\n',
    files: { 'all.keyring': [ADMIN, GEORGE, JOHN, PAUL, RINGO].join('') },
  },
  {
    argv: auth('get client.brian-manager'),
    code: 2,
    err: 'Error ENOENT: failed to find client.brian-manager in keyring\n',
  },
];

/** Caps are replaced as a whole. */
const CAPS: readonly GuideStep[] = [
  { argv: auth('caps client.john', ...WORDS), err: 'updated caps for client.john\n' },
  { argv: auth('export client.john'), out: JOHN, err: 'export auth(key=K2)\n' },
  {
    argv: auth('caps client.paul', 'mon', 'allow rw', 'osd', 'allow rwx pool=prague'),
    err: 'updated caps for client.paul\n',
  },
  { argv: auth('get client.paul'), out: PAUL_PRAGUE, err: 'exported keyring for client.paul\n' },
  {
    argv: auth('caps client.brian-manager', 'mon', 'allow *', 'osd', 'allow *'),
    code: 2,
    err: "Error ENOENT: couldn't find entry client.brian-manager\n",
  },
  { argv: auth('add client.brian-manager'), err: 'added key for client.brian-manager\n' },
  {
    argv: auth('caps client.brian-manager', 'mon', 'allow *', 'osd', 'allow *'),
    err: 'updated caps for client.brian-manager\n',
  },
  {
    argv: auth('export client.brian-manager -o brian.keyring'),
    err: 'export auth(key=K6)\n',
    files: { 'brian.keyring': BRIAN },
  },
  {
    argv: auth('print-key client.john -n client.brian-manager -k brian.keyring'),
    out: 'K2',
  },
  // An older guide takes caps away so; 16 refuses it and leaves them as they were.
  {
    argv: auth('caps client.ringo', 'mon', ' ', 'osd', ' '),
    code: 22,
    err: "Error EINVAL: mon capability parse failed, stopped at ' ' of ' '\n",
  },
  { argv: auth('get client.ringo'), out: RINGO, err: 'exported keyring for client.ringo\n' },
  { argv: auth('caps client.ringo', 'mon', 'allow r'), err: 'updated caps for client.ringo\n' },
  {
    argv: auth('get client.ringo'),
    out: section('client.ringo', 'K5', { mon: 'r' }),
    err: 'exported keyring for client.ringo\n',
  },
];

/** Users go, and come back from files. */
const FILES: readonly GuideStep[] = [
  { argv: auth('del client.paul'), err: 'updated\n' },
  {
    argv: auth('del client.paul'),
    err: 'entity client.paul does not exist\n',
  },
  {
    argv: auth('get client.paul'),
    code: 2,
    err: 'Error ENOENT: failed to find client.paul in keyring\n',
  },
  { argv: auth('rm client.george'), err: 'updated\n' },
  { argv: auth('import -i all.keyring'), err: 'imported keyring\n' },
  { argv: auth('get client.paul'), out: PAUL, err: 'exported keyring for client.paul\n' },
  { argv: auth('get client.ringo'), out: RINGO, err: 'exported keyring for client.ringo\n' },
  {
    argv: tool('--create-keyring ceph.keyring'),
    out: 'creating ceph.keyring\n',
    files: { 'ceph.keyring': '' },
  },
  {
    argv: tool('ceph.keyring --import-keyring ceph.client.admin.keyring'),
    out: 'importing contents of ceph.client.admin.keyring into ceph.keyring\n',
    files: { 'ceph.keyring': ADMIN },
  },
  {
    argv: tool('-C ringo.keyring -n client.ringo', ...RINGO_WORDS, '--gen-key'),
    out: 'creating ringo.keyring\n',
    files: { 'ringo.keyring': RINGO_TOOL },
  },
  {
    argv: auth('add client.ringo -i ringo.keyring'),
    code: 17,
    err: 'Error EEXIST: entity client.ringo exists but key does not match\n',
  },
  { argv: auth('del client.ringo'), err: 'updated\n' },
  { argv: auth('add client.ringo -i ringo.keyring'), err: 'added key for client.ringo\n' },
  { argv: auth('get client.ringo'), out: RINGO_TOOL, err: 'exported keyring for client.ringo\n' },
  {
    argv: tool('ringo.keyring -n client.ringo', '--cap', 'osd', 'allow rw pool=prague'),
    files: {
      'ringo.keyring': section('client.ringo', 'K7', { osd: 'rw pool=prague' }),
    },
  },
  { argv: auth('import -i ringo.keyring'), err: 'imported keyring\n' },
  {
    argv: auth('export -o end.keyring'),
    err: 'exported master keyring\n',
    files: {
      'end.keyring': [
        ...[ADMIN, BRIAN, GEORGE, JOHN, PAUL],
        section('client.ringo', 'K7', { osd: 'rw pool=prague' }),
      ].join(''),
    },
  },
];

export const GUIDE: readonly GuideStep[] = [...ADD, ...LOOK, ...CAPS, ...FILES];

function auth(words: string, ...more: readonly string[]): string[] {
  return ['ceph', 'auth', ...words.split(' '), ...more];
}

function tool(words: string, ...more: readonly string[]): string[] {
  return ['ceph-authtool', ...words.split(' '), ...more];
}

function section(name: string, key: string, caps: Readonly<Record<string, string>>): string {
  const lines = Object.entries(caps).map(([each, text]) => `\tcaps ${each} = "allow ${text}"\n`);
  return `[${name}]\n\tkey = ${key}\n${lines.join('')}`;
}

function bare(name: string, key: string): string {
  return section(name, key, {});
}

function listed(name: string, key: string): string {
  return `${name}\n\tkey: ${key}\n\tcaps: [mon] allow r\n\tcaps: [osd] allow rw pool=liverpool\n`;
}
