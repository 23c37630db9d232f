/**
 * Command lines as Ceph's C++ tools read them (Ceph 16.2: ceph_argparse.cc, config.cc): in passes,
 * of which each takes out the words it knows. A pass does not know the flags of the others, so
 * `--cap mon -n osd.0` gives the name to the first pass.
 */

import { type EntityName, parseEntityName } from '../cephx/protocol.ts';

/** The tool ends here, with these words on stdout and stderr. */
export class CephExit extends Error {
  override readonly name: string = 'CephExit';
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;

  constructor(exitCode: number, stderr: string, stdout = '') {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
    this.stderr = stderr;
    this.stdout = stdout;
  }
}

/** The words of a command line and a place in them; words that are known are taken out. */
export class CephArgs {
  readonly words: string[];
  #at = 0;

  constructor(words: readonly string[]) {
    this.words = [...words];
  }

  /** The word at the place; undefined at the end. */
  get word(): string | undefined {
    return this.words[this.#at];
  }

  rewind(): void {
    this.#at = 0;
  }

  /** Leaves the word where it is. */
  pass(): void {
    this.#at++;
  }

  /** Takes the word out. */
  take(): string {
    const [word] = this.words.splice(this.#at, 1);
    if (word === undefined) throw new RangeError('cannot take a word: none is left');
    return word;
  }

  /** Takes a flag out if it is one of these; `-` and `_` inside long names are equal. */
  flag(...names: readonly string[]): boolean {
    const word = this.word === undefined ? undefined : underscored(this.word);
    if (word === undefined || !names.some((name) => underscored(name) === word)) return false;
    this.take();
    return true;
  }

  /**
   * Takes `--name value`, `--name=value` or `-n value` out. Throws CephExit if the value is
   * missing.
   */
  option(...names: readonly string[]): string | undefined {
    const word = this.word === undefined ? undefined : underscored(this.word);
    if (word === undefined) return undefined;
    for (const name of names.map(underscored)) {
      if (word === name) {
        if (this.#at + 1 === this.words.length) {
          throw new CephExit(1, `Option ${this.word} requires an argument.\n`);
        }
        this.take();
        return this.take();
      }
      if (word.startsWith(`${name}=`)) {
        this.take();
        return word.slice(name.length + 1);
      }
    }
    return undefined;
  }
}

/**
 * The words of CEPH_ARGS before the typed ones, flags before what follows a `--`. Ceph: if the
 * variable is set, even empty, a `--` with nothing after it is dropped.
 */
export function withCephArgs(typed: readonly string[], cephArgs: string | undefined): string[] {
  if (cephArgs === undefined) return [...typed];
  const [envFlags, envRest] = splitDoubleDash(cephArgsWords(cephArgs));
  const [flags, rest] = splitDoubleDash(typed);
  const words = [...envRest, ...rest];
  return [...envFlags, ...flags, ...(words.length > 0 ? ['--'] : []), ...words];
}

/** The words of CEPH_ARGS, which know no quotes. */
export function cephArgsWords(cephArgs: string | undefined): string[] {
  return (cephArgs ?? '').split(' ').filter(Boolean);
}

/** What Ceph's early pass finds. */
export interface EarlyArgs {
  readonly name: EntityName;
  /** `--version` or `-v`: the pass ended there. */
  readonly version: boolean;
  readonly conf?: string;
  readonly cluster?: string;
  /** What `--show_args` prints, once for each. */
  readonly shown: string;
}

/** The first pass: name, cluster, configuration file. Throws CephExit. */
export function earlyPass(args: CephArgs, defaultName: EntityName): EarlyArgs {
  const all = `args: ${args.words.join(' ')}\n`;
  let found: EarlyArgs = { name: defaultName, version: false, shown: '' };
  for (args.rewind(); args.word !== undefined && args.word !== '--'; ) {
    if (args.flag('--version', '-v')) return { ...found, version: true };
    const changed = args.flag('--show_args')
      ? { ...found, shown: found.shown + all }
      : withEarlyOption(args, found);
    if (changed === undefined) args.pass();
    found = changed ?? found;
  }
  return found;
}

function withEarlyOption(args: CephArgs, found: EarlyArgs): EarlyArgs | undefined {
  try {
    const conf = args.option('--conf', '-c');
    if (conf !== undefined) return { ...found, conf };
    const cluster = args.option('--cluster');
    if (cluster !== undefined) return { ...found, cluster };
    const id = args.option('--id', '--user');
    if (id !== undefined) return { ...found, name: { ...found.name, id } };
    const text = args.option('--name', '-n');
    if (text === undefined) return undefined;
    const name = parseEntityName(text);
    if (name === undefined) throw new CephExit(1, `error parsing '${text}': ${NAME_WORDS}\n`);
    return { ...found, name };
  } catch (error) {
    if (!(error instanceof CephExit)) throw error;
    throw new CephExit(error.exitCode, error.stderr, found.shown);
  }
}

/** What the client options say; the last one of each wins. */
export type ConfigArgs = ReadonlyMap<string, string>;

/**
 * The second pass: configuration options. Returns what they set, and the complaint about a wrong
 * one: there the pass ends, and what follows is left for the tool. Throws CephExit.
 */
export function configPass(args: CephArgs): { values: ConfigArgs; stderr: string } {
  const values = new Map<string, string>();
  for (args.rewind(); args.word !== undefined && args.word !== '--'; ) {
    if (args.flag('--foreground', '-f', '-d', '--no-mon-config', '--mon-config')) continue;
    if (takeNamed(args, values)) continue;
    const wrong = takeBoolean(args, values) ?? takeValued(args, values);
    if (wrong === undefined) args.pass();
    else if (wrong !== '') return { values, stderr: `${wrong}\n\n` };
  }
  return { values, stderr: '' };
}

function takeNamed(args: CephArgs, values: Map<string, string>): boolean {
  for (const [option, names] of Object.entries(NAMED)) {
    const value = args.option(...names);
    if (value === undefined) continue;
    values.set(option, value);
    return true;
  }
  return false;
}

/** undefined if the word is none, a complaint if its value is wrong, else empty. */
function takeBoolean(args: CephArgs, values: Map<string, string>): string | undefined {
  const word = underscored(args.word ?? '');
  for (const name of BOOLEAN) {
    const off = word === `--no_${name}`;
    if (!off && word !== `--${name}` && !word.startsWith(`--${name}=`)) continue;
    args.take();
    const value = word.slice(name.length + '--='.length);
    if (!off && !['', 'true', 'false'].includes(value)) {
      return `parse error setting '${name}' to ''`;
    }
    values.set(name, String(!off && value !== 'false'));
    return '';
  }
  return undefined;
}

function takeValued(args: CephArgs, values: Map<string, string>): string | undefined {
  const name = /^--([a-z_]+)(?:=|$)/s.exec(underscored(args.word ?? ''))?.[1] ?? '';
  const isDebug = DEBUG.has(name);
  if (!isDebug && !VALUED.has(name)) return undefined;
  let value = '';
  let wrong: string | undefined;
  try {
    value = args.option(`--${name}`)!;
    wrong = isDebug ? wrongLevel(value) : undefined;
  } catch (error) {
    if (!(error instanceof CephExit)) throw error;
    // Ceph: here, unlike elsewhere, a missing value does not end the tool.
    args.take();
    wrong = error.stderr;
  }
  values.set(name, value);
  return wrong === undefined ? '' : `parse error setting '${name}' to '${value}' (${wrong})`;
}

/** Levels are N or N/M up to 99; text after that is ignored. */
function wrongLevel(text: string): string | undefined {
  const levels = /^\s*([+-]?\d+)(?:\/\s*([+-]?\d+))?/.exec(text)?.slice(1);
  if (levels === undefined) {
    return 'value must take the form N or N/M, where N and M are integers';
  }
  const inRange = levels.every((level) => Number(level ?? 0) >= 0 && Number(level ?? 0) <= 99);
  return inRange ? undefined : 'value must be in range [0, 99]';
}

function splitDoubleDash(words: readonly string[]): [string[], string[]] {
  const at = words.indexOf('--');
  return at < 0 ? [[...words], []] : [words.slice(0, at), words.slice(at + 1)];
}

/** `-` as `_` from the third character on, up to a `=`. */
function underscored(word: string): string {
  const equals = word.indexOf('=', 2);
  const end = equals < 0 ? word.length : equals;
  return word.slice(0, 2) + word.slice(2, end).replaceAll('-', '_') + word.slice(end);
}

const NAME_WORDS =
  'expected string of the form TYPE.ID, valid types are: auth, mon, osd, mds, mgr, client';

/** Options with names of their own. */
const NAMED: Readonly<Record<string, readonly string[]>> = {
  monmap: ['--monmap', '-M'],
  mon_host: ['--mon_host', '-m'],
  public_addr: ['--bind'],
  keyfile: ['--keyfile', '-K'],
  keyring: ['--keyring', '-k'],
  client_mountpoint: ['--client_mountpoint', '-r'],
};

/** The configuration options that clients are given; Ceph has 1,800. */
const VALUED: ReadonlySet<string> = new Set([
  'admin_socket',
  'auth_client_required',
  'auth_cluster_required',
  'auth_service_required',
  'auth_supported',
  'client_mount_timeout',
  'crash_dir',
  'key',
  'log_file',
  'log_max_recent',
  'mon_dns_srv_name',
  'ms_type',
  'pid_file',
  'plugin_dir',
  'rados_mon_op_timeout',
  'rados_osd_op_timeout',
  'run_dir',
  'setgroup',
  'setuser',
]);
const BOOLEAN: readonly string[] = [
  'auth_debug',
  'err_to_stderr',
  'err_to_syslog',
  'fatal_signal_handlers',
  'log_to_file',
  'log_to_stderr',
  'log_to_syslog',
];

/** Subsystems that have a `debug_` option. */
const DEBUG: ReadonlySet<string> = new Set(
  (
    'asok auth bdev bluefs bluestore buffer cephfs_mirror cephsqlite civetweb client compressor ' +
    'context crush crypto dpdk eventtrace filer filestore finisher fuse heartbeatmap ' +
    'immutable_obj_cache javaclient journal journaler kstore leveldb lockdep mds mds_balancer ' +
    'mds_locker mds_log mds_log_expire mds_migrator memdb mgr mgrc mon monc ms objclass ' +
    'objectcacher objecter optracker osd paxos perfcounter prioritycache rados rbd rbd_mirror ' +
    'rbd_pwl rbd_replay refs reserver rgw rgw_sync rocksdb striper test throttle timer tp'
  )
    .split(' ')
    .map((subsystem) => `debug_${subsystem}`),
);
