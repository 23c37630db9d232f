/**
 * The command line of the `ceph` program (Ceph: ceph.in): its own options, those of the client
 * library, and the words of the command, in any order.
 */

import { CephArgs, CephExit, cephArgsWords, configPass } from '../keyring/cephargs.ts';
import { ETCD_OPTIONS } from './storeplace.ts';

export interface CephLine {
  /** The words of the command. */
  readonly words: readonly string[];
  readonly format: string | undefined;
  readonly inFile: string | undefined;
  readonly outFile: string | undefined;
  /** `TYPE.ID` as typed, not looked at. */
  readonly name: string;
  readonly conf: string | undefined;
  readonly cluster: string | undefined;
  readonly keyring: string | undefined;
  readonly key: string | undefined;
  readonly keyfile: string | undefined;
  /** `-m`: monitors, which are those of a real cluster. */
  readonly monHost: string | undefined;
  readonly connectTimeout: string | undefined;
  readonly help: boolean;
  readonly version: boolean;
  /** Ours: where the entities are, instead of behind the admin socket. */
  readonly store: string | undefined;
  /** Ours: how to open it, as flags of the other commands: `store-ca` and the like. */
  readonly storeFlags: ReadonlyMap<string, readonly string[]>;
  /** Ours: the admin socket. */
  readonly admin: string | undefined;
  /** Ours here, and Ceph's word elsewhere: past the guard rails. */
  readonly force: boolean;
}

/**
 * Reads a command line, without the name of the program; CEPH_ARGS comes after what was typed.
 * Throws CephExit.
 */
export function readCephLine(argv: readonly string[], cephArgs: string | undefined): CephLine {
  const all = [...argv, ...cephArgsWords(cephArgs)];
  const end = all.indexOf('--');
  const { values, left } = ownOptions(end < 0 ? all : all.slice(0, end));
  const args = new CephArgs(left);
  const config = configPass(args);
  // Ceph: without a value the library leaves its option where it is.
  const words = withoutForeign([...args.words]);
  const format = values.get('format');
  if (format !== undefined && !FORMATS.includes(format)) {
    const choices = FORMATS.map((each) => `'${each}'`).join(', ');
    throw usageError(`argument -f/--format: invalid choice: '${format}' (choose from ${choices})`);
  }
  const id = values.get('id');
  return {
    words: end < 0 ? words : [...words, ...all.slice(end + 1)],
    format,
    inFile: values.get('in-file'),
    outFile: values.get('out-file'),
    name: values.get('name') ?? `client.${id ?? 'admin'}`,
    conf: values.get('conf'),
    cluster: values.get('cluster'),
    keyring: config.values.get('keyring'),
    key: config.values.get('key'),
    keyfile: config.values.get('keyfile'),
    monHost: config.values.get('mon_host'),
    connectTimeout: values.get('connect-timeout'),
    help: values.has('help'),
    version: values.has('version'),
    store: values.get('store'),
    storeFlags: new Map(
      STORE_FLAGS.filter(({ name }) => values.has(name)).map(({ name, value }) => [
        name,
        [value === undefined ? 'true' : values.get(name)!],
      ]),
    ),
    admin: values.get('admin'),
    force: values.has('yes-i-really-mean-it'),
  };
}

/** Exit code 2 with the usage, as Python's argparse ends a program. */
function usageError(words: string): CephExit {
  return new CephExit(2, `usage: ceph [OPTIONS] COMMAND [ARGUMENTS]\nceph: error: ${words}\n`);
}

function ownOptions(argv: readonly string[]): {
  readonly values: ReadonlyMap<string, string>;
  readonly left: readonly string[];
} {
  const values = new Map<string, string>();
  const left: string[] = [];
  const words = [...argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const found = optionIn(word);
    if (found === undefined) {
      left.push(word);
      continue;
    }
    const [name, flags, attached] = found;
    if (FLAGS.includes(name)) {
      values.set(name, '');
      continue;
    }
    const value = attached ?? words.shift();
    if (value === undefined || (attached === undefined && /^-./.test(value))) {
      throw usageError(`argument ${flags.join('/')}: expected one argument`);
    }
    values.set(name, value);
  }
  return { values, left };
}

/** The option that a word is, its spellings, and the value that is attached to it. */
function optionIn(word: string): [string, readonly string[], string | undefined] | undefined {
  for (const [name, flags] of Object.entries(OPTIONS)) {
    for (const flag of flags) {
      if (word === flag) return [name, flags, undefined];
      const isLong = flag.startsWith('--');
      if (isLong && word.startsWith(`${flag}=`)) {
        return [name, flags, word.slice(flag.length + 1)];
      }
      if (!isLong && !FLAGS.includes(name) && word.startsWith(flag) && !word.startsWith('--')) {
        return [name, flags, word.slice(flag.length).replace(/^=/, '')];
      }
    }
  }
  return undefined;
}

/** Ceph: `--secret` belongs to other programs, and is taken without a word. */
function withoutForeign(words: string[]): string[] {
  const at = words.indexOf('--secret');
  if (at >= 0) words.splice(at, 2);
  return words.filter((word) => !word.startsWith('--secret='));
}

const FORMATS = ['json', 'json-pretty', 'xml', 'xml-pretty', 'plain', 'yaml'];

const STORE_FLAGS = ETCD_OPTIONS;

const FLAGS: readonly string[] = [
  ...['help', 'version', 'verbose', 'concise', 'yes-i-really-mean-it'],
  ...STORE_FLAGS.filter(({ value }) => value === undefined).map(({ name }) => name),
];

/** From `store` on they are ours. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  help: ['-h', '--help'],
  conf: ['-c', '--conf'],
  'in-file': ['-i', '--in-file'],
  'out-file': ['-o', '--out-file'],
  setuser: ['--setuser'],
  setgroup: ['--setgroup'],
  id: ['--id', '--user'],
  name: ['-n', '--name'],
  cluster: ['--cluster'],
  format: ['-f', '--format'],
  'connect-timeout': ['--connect-timeout'],
  version: ['-v', '--version'],
  verbose: ['--verbose'],
  concise: ['--concise'],
  store: ['--store'],
  admin: ['--admin'],
  'yes-i-really-mean-it': ['--yes-i-really-mean-it'],
  ...Object.fromEntries(STORE_FLAGS.map(({ name }) => [name, [`--${name}`]])),
};
