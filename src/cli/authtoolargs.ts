/**
 * The flags of `ceph-authtool`, its usage text, and what it says to wrong command lines.
 */

import { type KeyTypeName, keyTypeNamed } from '../cephx/cryptokey.ts';
import { type CephArgs, CephExit } from '../keyring/cephargs.ts';
import type { Release } from '../keyring/keytext.ts';

/** A command line that can be carried out. Texts that were not given are empty, as in Ceph. */
export interface AuthtoolArgs {
  readonly fileName: string;
  readonly list: boolean;
  readonly printKey: boolean;
  readonly createKeyring: boolean;
  readonly genKey: boolean;
  readonly genPrintKey: boolean;
  readonly addKey: string;
  readonly importKeyring: string;
  readonly caps: ReadonlyMap<string, string>;
  readonly capsFile: string;
  readonly keyType: KeyTypeName;
  readonly mode: number;
  /** The file is written in the end. */
  readonly changes: boolean;
}

/** The last pass over a command line. Throws CephExit. */
export function parseAuthtool(args: CephArgs, release: Release): AuthtoolArgs {
  const flags = new Set<Flag>();
  const texts = new Map<string, string>();
  const caps = new Map<string, string>();
  let keyType: KeyTypeName = release === 16 ? 'aes' : 'aes256k';
  let mode = MODE_DEFAULT;
  let fileName = '';
  for (args.rewind(); args.word !== undefined; ) {
    if (args.flag('--')) break;
    const flag = FLAGS.find((each) => args.flag(...each));
    if (flag !== undefined) {
      flags.add(flag[0]);
      continue;
    }
    if (takeText(args, texts) || takeCap(args, caps)) continue;
    const type = release === 16 ? undefined : args.option('--key-type', '-t');
    if (type !== undefined) {
      keyType = keyTypeOf(type);
      continue;
    }
    const modeText = args.option('--mode');
    if (modeText !== undefined) mode = modeOf(modeText);
    else if (fileName === '') fileName = args.take();
    else throw withUsage(`ceph-authtool: unexpected '${args.word}'`, release);
  }
  const has = (flag: Flag) => flags.has(flag);
  const text = (name: string) => texts.get(name) ?? '';
  const asked = {
    fileName,
    list: has('--list'),
    printKey: has('--print-key'),
    createKeyring: has('--create-keyring'),
    genKey: has('--gen-key'),
    genPrintKey: has('--gen-print-key'),
    addKey: text('--add-key'),
    importKeyring: text('--import-keyring'),
    caps,
    capsFile: text('--caps'),
    keyType,
    mode,
  };
  const changes =
    asked.createKeyring ||
    asked.genKey ||
    [asked.addKey, asked.importKeyring, asked.capsFile].some((each) => each !== '') ||
    caps.size > 0;
  refuseWrong({ ...asked, changes }, release);
  return { ...asked, changes };
}

function refuseWrong(asked: AuthtoolArgs, release: Release): void {
  if (asked.fileName === '' && !asked.genPrintKey) {
    throw withUsage('ceph-authtool: must specify filename', release);
  }
  if (!(asked.changes || asked.list || asked.printKey || asked.genPrintKey)) {
    throw withUsage('no command specified', release);
  }
  if (asked.genKey && asked.addKey !== '') {
    throw withUsage("can't both gen-key and add-key", release);
  }
  if (asked.createKeyring && !asked.genKey && asked.addKey === '' && asked.caps.size > 0) {
    throw withUsage('must specify either gen-key or add-key when creating', release);
  }
}

function takeText(args: CephArgs, texts: Map<string, string>): boolean {
  for (const names of TEXTS) {
    const text = args.option(...names);
    if (text === undefined) continue;
    if (names[0] === '--add-key' && text === '') {
      throw new CephExit(1, 'Option --add-key requires an argument\n');
    }
    texts.set(names[0], text);
    return true;
  }
  return false;
}

function takeCap(args: CephArgs, caps: Map<string, string>): boolean {
  const service = args.option('--cap');
  if (service === undefined) return false;
  if (args.word === undefined) {
    throw new CephExit(1, 'must give two arguments to --cap: key and val.\n');
  }
  const text = args.word;
  args.pass();
  // Ceph: the second text for a subsystem is encoded behind the first, where nothing reads it.
  if (!caps.has(service)) caps.set(service, text);
  return true;
}

function keyTypeOf(text: string): KeyTypeName {
  const name = text.toLowerCase();
  if (name === 'preferred') return 'aes256k';
  try {
    return keyTypeNamed(name).name;
  } catch {
    throw new CephExit(1, `invalid key type: ${text}\n`);
  }
}

/** As strtoll reads base 8: blanks before it and a sign are taken. */
function modeOf(text: string): number {
  const found = /^[ \t\n\v\f\r]*([+-]?)([0-7]+)$/.exec(text);
  const value = found === null ? undefined : BigInt(`0o${found[2]}`);
  const signed = found?.[1] === '-' ? -(value ?? 0n) : value;
  if (signed === undefined || BigInt.asIntN(64, signed) !== signed) {
    throw new CephExit(1, 'Option --mode requires an argument\n');
  }
  return Number(BigInt.asUintN(12, signed));
}

function withUsage(words: string, release: Release): CephExit {
  return new CephExit(1, `${words}\n`, usage(release));
}

/** The usage text; later releases have one flag more. */
export function usage(release: Release): string {
  return release === 16 ? USAGE : USAGE.replace(BEFORE_KEY_TYPE, `${USAGE_KEY_TYPE}$&`);
}

type Flag = (typeof FLAGS)[number][0];

const FLAGS = [
  ['--gen-key', '-g'],
  ['--gen-print-key'],
  ['--list', '-l'],
  ['--print-key', '-p'],
  ['--create-keyring', '-C'],
] as const;

const TEXTS = [['--add-key', '-a'], ['--caps'], ['--import-keyring']] as const;

const MODE_DEFAULT = 0o600;

const BEFORE_KEY_TYPE = '  --gen-print-key ';
const USAGE_KEY_TYPE = '  -t, --key-type KEY_TYPE       set the key-type\n';
const USAGE = `usage: ceph-authtool keyringfile [OPTIONS]...
where the options are:
  -l, --list                    will list all keys and capabilities present in
                                the keyring
  -p, --print-key               will print an encoded key for the specified
                                entityname. This is suitable for the
                                'mount -o secret=..' argument
  -C, --create-keyring          will create a new keyring, overwriting any
                                existing keyringfile
  -g, --gen-key                 will generate a new secret key for the
                                specified entityname
  --gen-print-key               will generate a new secret key without set it
                                to the keyringfile, prints the secret to stdout
  --import-keyring FILE         will import the content of a given keyring
                                into the keyringfile
  -n NAME, --name NAME          specify entityname to operate on
  -a BASE64, --add-key BASE64   will add an encoded key to the keyring
  --cap SUBSYSTEM CAPABILITY    will set the capability for given subsystem
  --caps CAPSFILE               will set all of capabilities associated with a
                                given key, for all subsystems
  --mode MODE                   will set the desired file mode to the keyring
                                e.g: '0644', defaults to '0600'
`;
