/**
 * The configuration of a client as Ceph finds it: command line, CEPH_KEYRING, ceph.conf, defaults,
 * with metavariables expanded (Ceph: config.cc).
 */

import { hostname } from 'node:os';
import { basename, resolve } from 'node:path';
import process from 'node:process';
import { type EntityName, entityTypeName, formatEntityName } from '../cephx/protocol.ts';
import { FileError } from '../errors.ts';
import { type ConfFile, normalizeKeyName, parseConfFile } from './conffile.ts';
import { errorWords, readFileBytes } from './files.ts';

/** What a command line says; each option that is missing is looked up elsewhere. */
export interface ClientOptions {
  readonly name: EntityName;
  /** Configuration files to try, by `,` or `;`. */
  readonly conf?: string;
  readonly cluster?: string;
  /** Keyring files to try, by `,` or `;`. */
  readonly keyring?: string;
  readonly key?: string;
  /** A file with a bare key; `-` is standard input. */
  readonly keyfile?: string;
  readonly monHost?: string;
}

/** What there is around the process; without it, the process's own. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly host?: string;
  readonly pid?: number;
  /** Standard input, for `keyfile` `-`. */
  readonly stdin?: Uint8Array;
}

export class CephConf {
  readonly name: EntityName;
  readonly cluster: string;
  /** The configuration file that was read. */
  readonly path: string | undefined;
  readonly #around: Surroundings;
  readonly #file: ConfFile;
  readonly #options: ReadonlyMap<string, string>;

  /**
   * Finds and reads the configuration file. Throws FileError `file.missing` if the ones that were
   * asked for do not exist, ConfFileError if it is none.
   */
  constructor(options: ClientOptions, around: Surroundings) {
    this.name = options.name;
    this.#around = around;
    this.#options = new Map(
      Object.entries({
        keyring: options.keyring ?? around.env.CEPH_KEYRING,
        key: options.key,
        mon_host: options.monHost,
      }).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const asked = options.conf ?? around.env.CEPH_CONF;
    this.cluster = options.cluster ?? CLUSTER_DEFAULT;
    this.#file = new Map();
    const list = splitList(this.expand(asked ?? CONF_DEFAULT));
    this.path = list.find((path) => this.#read(path) !== undefined);
    if (this.path === undefined) {
      if (asked === undefined) return;
      throw new FileError('file.missing', `cannot open a configuration file of "${asked}": none`);
    }
    this.#file = parseConfFile(this.#read(this.path)!);
    const found = basename(this.path);
    if (options.cluster === undefined && found.endsWith('.conf')) {
      this.cluster = found.slice(0, -'.conf'.length);
    }
  }

  /** The value of an option with metavariables expanded; undefined if nothing sets it. */
  get(option: string): string | undefined {
    const raw = this.#raw(normalizeKeyName(option));
    return raw === undefined ? undefined : this.expand(raw, [normalizeKeyName(option)]);
  }

  /**
   * Replaces `$name` and `${name}`; what is unknown stays as typed.
   *
   * @param within the options that are being expanded: a loop ends at the second visit
   */
  expand(text: string, within: readonly string[] = []): string {
    let out = '';
    let end = 0;
    for (const found of text.matchAll(METAVARIABLE)) {
      const before = out + text.slice(end, found.index);
      end = found.index + found[0].length;
      const name = found[1] ?? found[2] ?? '';
      // Ceph 16.2, config.cc: the home directory takes the place of all that stands before it.
      if (name === 'home') out = this.#around.env.HOME ?? '';
      // Ceph: braces that do not end are dropped with what they held.
      else out = before + (name === '' ? '$' : this.#expanded(name, within, found[0]));
    }
    return out + text.slice(end);
  }

  /** An absolute path for a file name of the configuration. */
  locate(path: string): string {
    return resolve(this.#around.cwd ?? process.cwd(), path);
  }

  #raw(option: string): string | undefined {
    const given = this.#options.get(option);
    if (given !== undefined) return given;
    const type = entityTypeName(this.name.type) ?? '';
    for (const section of [formatEntityName(this.name), type, 'global']) {
      const value = this.#file.get(section)?.get(option);
      if (value !== undefined) return value;
    }
    return option === 'keyring' ? keyringDefault(type) : DEFAULTS[option];
  }

  #expanded(name: string, within: readonly string[], typed: string): string {
    const known = this.#metavariable(name);
    if (known !== undefined) return known;
    const raw = within.includes(name) ? undefined : this.#raw(name);
    return raw === undefined ? typed : this.expand(raw, [...within, name]);
  }

  #metavariable(name: string): string | undefined {
    const { host = hostname(), pid = process.pid } = this.#around;
    switch (name) {
      case 'cluster':
        return this.cluster;
      case 'type':
        return entityTypeName(this.name.type);
      case 'id':
        return this.name.id;
      case 'name':
        return formatEntityName(this.name);
      case 'host':
        return host.split('.')[0];
      // Ceph: the address of its context, which tells the clients of a process apart.
      case 'cctid':
      case 'pid':
        return String(pid);
      default:
        return undefined;
    }
  }

  #read(path: string): Uint8Array | undefined {
    try {
      return readFileBytes(this.locate(path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new FileError('file.missing', `cannot open "${path}": ${errorWords(error)}`);
    }
  }
}

/** Items of a list of files. Blanks are part of the names; empty items do not count. */
export function splitList(text: string): readonly string[] {
  return text.split(/[,;]/).filter((item) => item !== '');
}

function keyringDefault(type: string): string {
  if (type === 'osd' || type === 'mds') return `$${type}_data/keyring`;
  return KEYRING_DEFAULT;
}

const CLUSTER_DEFAULT = 'ceph';
const CONF_DEFAULT = '/etc/ceph/$cluster.conf,$home/.ceph/$cluster.conf,$cluster.conf';
const KEYRING_DEFAULT =
  '/etc/ceph/$cluster.$name.keyring,/etc/ceph/$cluster.keyring,' +
  '/etc/ceph/keyring,/etc/ceph/keyring.bin,';

/** Defaults of options that stand in paths. */
const DEFAULTS: Readonly<Record<string, string>> = {
  key: '',
  keyfile: '',
  mon_host: '',
  mds_data: '/var/lib/ceph/mds/$cluster-$id',
  mgr_data: '/var/lib/ceph/mgr/$cluster-$id',
  mon_data: '/var/lib/ceph/mon/$cluster-$id',
  osd_data: '/var/lib/ceph/osd/$cluster-$id',
  run_dir: '/var/run/ceph',
};

/** `${name}`, `${` with what cannot be a name's end, `$name`, a lone `$`. */
const METAVARIABLE = /\$(?:\{([A-Za-z0-9_]+)\}|\{[A-Za-z0-9_]*|([A-Za-z0-9_]*))/g;
